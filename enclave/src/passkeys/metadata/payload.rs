//! The BLOB's payload (Metadata Service v3.1, sections 3.1.1 to 3.1.6).
//!
//! Protects against an entry that is read as another model's: identifiers and
//! dates have one spelling, lists have limits, known members come once. Members
//! that are not known, and the legal header, are passed over.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use time::{Date, Month};

use super::super::attestation::TrustRoot;
use super::status::{Status, StatusReport, deciding};
use super::{MetadataError, day_of, require};

const MAX_ENTRIES: usize = 8192;
/// Of roots, reports and key identifiers in one entry; 39 roots were seen.
const MAX_PER_ENTRY: usize = 512;

pub(super) struct Payload {
    pub(super) number: u64,
    pub(super) next_update: Option<Date>,
    pub(super) entries: Vec<Entry>,
}

/// One authenticator model.
#[derive(Debug, Clone)]
pub struct Entry {
    /// FIDO2.
    pub aaguid: Option<[u8; 16]>,
    /// UAF, `4e4e#4005` in lower case.
    pub aaid: Option<String>,
    /// U2F: SHA-1 of the attestation certificates' keys.
    pub key_identifiers: Vec<[u8; 20]>,
    /// `attestationRootCertificates`, DER: issuers, or attestation certificates
    /// themselves.
    pub roots: Vec<Vec<u8>>,
    /// How many of them are no certificates; those are trusted for nothing.
    pub unreadable_roots: usize,
    /// In the order of the BLOB.
    pub reports: Vec<StatusReport>,
}

impl Entry {
    /// The report that decides at a time in Unix milliseconds.
    #[must_use]
    pub fn status_at(&self, now_ms: u64) -> Option<&StatusReport> {
        deciding(&self.reports, day_of(now_ms))
    }

    /// Whether the model is revoked or compromised at a time in Unix milliseconds.
    #[must_use]
    pub fn is_compromised_at(&self, now_ms: u64) -> bool {
        self.status_at(now_ms)
            .is_some_and(|report| report.status.compromise().is_some())
    }

    /// The model's roots for judging attestation statements; none without AAGUID.
    #[must_use]
    pub fn trust_roots(&self) -> Vec<TrustRoot> {
        let Some(aaguid) = self.aaguid else {
            return Vec::new();
        };
        let roots = self.roots.iter();
        roots
            .filter_map(|der| TrustRoot::new(der, Some(aaguid)).ok())
            .collect()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawPayload {
    no: u64,
    next_update: Option<String>,
    entries: Vec<RawEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawEntry {
    aaguid: Option<String>,
    aaid: Option<String>,
    #[serde(default)]
    attestation_certificate_key_identifiers: Vec<String>,
    #[serde(default)]
    metadata_statement: RawStatement,
    status_reports: Vec<RawReport>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct RawStatement {
    #[serde(default)]
    attestation_root_certificates: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawReport {
    status: String,
    effective_date: Option<String>,
}

pub(super) fn parse(json: &[u8]) -> Result<Payload, MetadataError> {
    let text = std::str::from_utf8(json).map_err(|_| MetadataError::Payload)?;
    let raw: RawPayload = serde_json::from_str(text).map_err(|_| MetadataError::Payload)?;
    require(raw.entries.len() <= MAX_ENTRIES, MetadataError::TooMany)?;
    Ok(Payload {
        number: raw.no,
        next_update: raw.next_update.as_deref().map(date).transpose()?,
        entries: raw.entries.iter().map(entry).collect::<Result<_, _>>()?,
    })
}

fn entry(raw: &RawEntry) -> Result<Entry, MetadataError> {
    let identifiers = &raw.attestation_certificate_key_identifiers;
    let roots = &raw.metadata_statement.attestation_root_certificates;
    let longest = [identifiers.len(), roots.len(), raw.status_reports.len()];
    let fits = longest.iter().all(|length| *length <= MAX_PER_ENTRY);
    require(fits, MetadataError::TooMany)?;
    let named = raw.aaguid.is_some() || raw.aaid.is_some() || !identifiers.is_empty();
    require(named, MetadataError::NoIdentifier)?;
    let readable: Vec<_> = roots.iter().filter_map(|text| root(text)).collect();
    Ok(Entry {
        aaguid: raw.aaguid.as_deref().map(aaguid).transpose()?,
        aaid: raw.aaid.as_deref().map(aaid).transpose()?,
        key_identifiers: identifiers
            .iter()
            .map(|text| bytes_of_hex(text))
            .collect::<Result<_, _>>()?,
        unreadable_roots: roots.len() - readable.len(),
        roots: readable,
        reports: raw
            .status_reports
            .iter()
            .map(report)
            .collect::<Result<_, _>>()?,
    })
}

fn report(raw: &RawReport) -> Result<StatusReport, MetadataError> {
    Ok(StatusReport {
        status: Status::from_name(&raw.status),
        effective: raw.effective_date.as_deref().map(date).transpose()?,
    })
}

/// Real BLOBs have line breaks and tabs in their base64, and a maker's mistake must
/// not hide what is reported of all other models.
fn root(text: &str) -> Option<Vec<u8>> {
    let joined: String = text.split_ascii_whitespace().collect();
    let der = STANDARD.decode(joined).ok()?;
    TrustRoot::new(&der, None).ok()?;
    Some(der)
}

/// 8-4-4-4-12 hexadecimal digits.
fn aaguid(text: &str) -> Result<[u8; 16], MetadataError> {
    let parts: Vec<&str> = text.split('-').collect();
    let lengths = parts.iter().map(|part| part.len());
    require(lengths.eq([8, 4, 4, 4, 12]), MetadataError::Identifier)?;
    bytes_of_hex(&parts.concat())
}

/// Two times four hexadecimal digits around `#`.
fn aaid(text: &str) -> Result<String, MetadataError> {
    let (vendor, model) = text.split_once('#').ok_or(MetadataError::Identifier)?;
    bytes_of_hex::<2>(vendor)?;
    bytes_of_hex::<2>(model)?;
    Ok(text.to_ascii_lowercase())
}

fn bytes_of_hex<const N: usize>(text: &str) -> Result<[u8; N], MetadataError> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| MetadataError::Identifier)?;
    Ok(bytes)
}

/// A day as `2025-01-31`.
fn date(text: &str) -> Result<Date, MetadataError> {
    parse_date(text).ok_or(MetadataError::Date)
}

fn parse_date(text: &str) -> Option<Date> {
    let digits = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'-');
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let shape = (year.len(), month.len(), day.len()) == (4, 2, 2);
    if !digits || !shape || parts.next().is_some() {
        return None;
    }
    let month = Month::try_from(month.parse::<u8>().ok()?).ok()?;
    Date::from_calendar_date(year.parse().ok()?, month, day.parse().ok()?).ok()
}
