//! Recorded BLOBs, judged by this verifier: one row each.

use serde::Serialize;

use super::{Entry, Expectation, Metadata, MetadataError, genuine, payload, spelt};

/// What came of one BLOB. What it says of itself is shown only where the service
/// signed it, at whatever time.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// `ok` or `error`.
    pub verdict: &'static str,
    /// The check that failed.
    pub reason: Option<&'static str>,
    /// Its number.
    pub no: Option<u64>,
    /// The highest number accepted before it.
    pub last: Option<u64>,
    /// How many models it has.
    pub entries: Option<usize>,
    /// The day of the next one.
    pub next_update: Option<String>,
    /// Whether that day has passed.
    pub overdue: Option<bool>,
    /// How many of its root certificates cannot be read.
    pub unreadable_roots: Option<usize>,
    /// Every report of a compromise.
    pub statuses: Vec<StatusRow>,
}

/// A report of a compromise.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusRow {
    /// AAGUID, AAID, or the first key identifier.
    pub model: String,
    /// The registered name.
    pub status: &'static str,
    /// From when on.
    pub effective_date: Option<String>,
    /// Whether it decides what the model is taken for.
    pub decides: bool,
}

/// Judges one BLOB; one that is accepted is `expected.last` from then on.
pub fn row(blob: &[u8], expected: &mut Expectation<'_>) -> Row {
    let last = expected.last.map(|seen| seen.number);
    match genuine(blob, expected) {
        Err(error) => Row {
            last,
            ..refused(error)
        },
        Ok((metadata, current)) => {
            if current.is_ok() {
                expected.last = Some(metadata.seen);
            }
            let verdict = current.map_or_else(refused, |()| accepted());
            Row {
                last,
                ..shown(verdict, &metadata, expected.now_ms)
            }
        }
    }
}

/// Whether a payload can be read, whoever signed it.
///
/// # Errors
/// The first check that failed.
pub fn read_payload(json: &[u8]) -> Result<(), MetadataError> {
    payload::parse(json).map(|_| ())
}

fn accepted() -> Row {
    Row {
        verdict: "ok",
        ..Row::default()
    }
}

fn refused(error: MetadataError) -> Row {
    Row {
        verdict: "error",
        reason: Some(error.reason()),
        ..Row::default()
    }
}

fn shown(verdict: Row, metadata: &Metadata, now_ms: u64) -> Row {
    let entries = &metadata.entries;
    Row {
        no: Some(metadata.seen.number),
        entries: Some(entries.len()),
        next_update: metadata.next_update.map(|day| day.to_string()),
        overdue: Some(metadata.overdue),
        unreadable_roots: Some(entries.iter().map(|entry| entry.unreadable_roots).sum()),
        statuses: entries
            .iter()
            .flat_map(|entry| statuses(entry, now_ms))
            .collect(),
        ..verdict
    }
}

fn statuses(entry: &Entry, now_ms: u64) -> impl Iterator<Item = StatusRow> + '_ {
    let deciding = entry.status_at(now_ms);
    entry.reports.iter().filter_map(move |report| {
        Some(StatusRow {
            model: model(entry),
            status: report.status.compromise()?,
            effective_date: report.effective.map(|day| day.to_string()),
            decides: deciding.is_some_and(|found| std::ptr::eq(found, report)),
        })
    })
}

fn model(entry: &Entry) -> String {
    let aaguid = entry.aaguid.as_ref().map(spelt);
    let first = || entry.key_identifiers.first().map(hex::encode);
    aaguid
        .or_else(|| entry.aaid.clone())
        .or_else(first)
        .unwrap_or_default()
}
