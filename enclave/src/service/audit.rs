//! The ledger for auditors: claims by filter, pages with proofs.
//!
//! Protects against an auditor who must believe: what is searched and what is
//! exported comes out of the sealed entries, checked against the tree, and an
//! export carries everything to check it again without us.

use redoubt_shared::{LedgerId, TenantId};
use serde::Deserialize;
use serde_json::Value;

use super::boot::Appliance;
use super::problems::{commit, internal};
use super::serving::Serving;
use crate::api::{
    AuditEvent, Cursor, EventsPage, EventsQuery, ExportQuery, JsonLines, Problem, Reader,
};
use crate::ledger::{CommitError, Page, PageEntry};

/// Entries one page holds.
const PAGE: u64 = 64;
/// Entries one search looks at.
const SCAN: u64 = 512;
/// Claims in one reply.
const CLAIMS: std::ops::RangeInclusive<u16> = 1..=500;
const CLAIMS_DEFAULT: u16 = 100;
/// Entries in one export.
const ENTRIES: std::ops::RangeInclusive<u16> = 1..=256;

impl Appliance {
    /// Answers `GET /api/v1/audit/events`.
    pub(super) async fn audit_events(
        &self,
        reader: Reader,
        query: EventsQuery,
    ) -> Result<EventsPage, Problem> {
        let serving = self.serving()?;
        let (tenant, _) = whose(&serving, &reader, query.tenant.as_ref())?;
        let limit = bounded(query.limit.unwrap_or(CLAIMS_DEFAULT), &CLAIMS)?;
        let mut search = Search::new(&query, usize::from(limit));
        while search.scanned < SCAN && !search.over {
            let page = page(&serving, &tenant, search.at.entry, PAGE).await?;
            search.take(&page)?;
        }
        Ok(search.finish())
    }

    /// Answers `GET /api/v1/audit/export`.
    pub(super) async fn audit_export(
        &self,
        reader: Reader,
        query: ExportQuery,
    ) -> Result<JsonLines, Problem> {
        let serving = self.serving()?;
        let (tenant, ledger) = whose(&serving, &reader, query.tenant.as_ref())?;
        let mut left = u64::from(bounded(query.limit.unwrap_or(PAGE as u16), &ENTRIES)?);
        let (mut from, mut lines) = (query.from, Vec::new());
        loop {
            let page = page(&serving, &tenant, from, left.min(PAGE)).await?;
            // What came next was let go meanwhile: an export has no gaps.
            if !lines.is_empty() && page.from != from {
                return Ok(JsonLines(lines));
            }
            let count = page.entries.len() as u64;
            (from, left) = (page.from + count, left.saturating_sub(count));
            let (end, size) = (from, page.size);
            let written = page.export(ledger, &tenant, &mut lines);
            written.map_err(|_| internal("a page does not serialise"))?;
            if count == 0 || left == 0 || end >= size {
                return Ok(JsonLines(lines));
            }
        }
    }
}

/// Whose ledger a reader may see: a tenant its own, the auditor the one it names.
fn whose(
    serving: &Serving,
    reader: &Reader,
    named: Option<&TenantId>,
) -> Result<(TenantId, LedgerId), Problem> {
    let tenant = match (reader, named) {
        (Reader::Tenant(caller), Some(named)) if caller.tenant != *named => {
            return Err(Problem::role_not_allowed());
        }
        (Reader::Tenant(caller), _) => &caller.tenant,
        (Reader::Auditor { .. }, Some(named)) => named,
        (Reader::Auditor { .. }, None) => {
            let wrong = "Query string: name the tenant whose ledger you want (tenant=ID).";
            return Err(Problem::malformed_request().detail(wrong));
        }
    };
    let known = serving.tenants.get(tenant);
    let service = known.ok_or_else(Problem::unknown_tenant)?;
    Ok((tenant.clone(), service.config.ledger))
}

fn bounded(limit: u16, bounds: &std::ops::RangeInclusive<u16>) -> Result<u16, Problem> {
    if bounds.contains(&limit) {
        return Ok(limit);
    }
    let (least, most) = (bounds.start(), bounds.end());
    let wrong = format!("Query string: limit: use {least} to {most}.");
    Err(Problem::malformed_request().detail(wrong))
}

async fn page(
    serving: &Serving,
    tenant: &TenantId,
    from: u64,
    limit: u64,
) -> Result<Page, Problem> {
    let page = serving.ledgers.page(tenant, from, limit).await;
    page.map_err(|error: CommitError| commit(error, 0))
}

/// What filters look at.
#[derive(Deserialize)]
struct Searched {
    #[serde(rename = "type")]
    kind: String,
    receipt_id: String,
    user_id: Option<String>,
    time_ms: u64,
}

/// One search under way.
struct Search<'a> {
    query: &'a EventsQuery,
    limit: usize,
    at: Cursor,
    scanned: u64,
    over: bool,
    /// Whether there is nothing behind `at` to look for.
    ended: bool,
    found: Vec<AuditEvent>,
    kept_from: u64,
}

impl<'a> Search<'a> {
    fn new(query: &'a EventsQuery, limit: usize) -> Self {
        Self {
            query,
            limit,
            at: query.after.unwrap_or(Cursor { entry: 0, event: 0 }),
            scanned: 0,
            over: false,
            ended: false,
            found: Vec::new(),
            kept_from: 0,
        }
    }

    fn take(&mut self, page: &Page) -> Result<(), Problem> {
        self.kept_from = page.kept_from;
        for entry in &page.entries {
            self.take_entry(entry)?;
            if self.over {
                return Ok(());
            }
        }
        // A cursor behind the end finds nothing, now or later.
        if self.at.entry >= page.size || page.entries.is_empty() {
            (self.over, self.ended) = (true, true);
        }
        Ok(())
    }

    fn take_entry(&mut self, entry: &PageEntry) -> Result<(), Problem> {
        self.scanned += 1;
        let index = entry.header.index;
        for (event, number) in entry.events.iter().zip(0u32..) {
            let here = Cursor {
                entry: index,
                event: number,
            };
            if here < self.at {
                continue;
            }
            if self.found.len() == self.limit {
                self.over = true;
                return Ok(());
            }
            if let Some((text, _)) = &event.claim {
                self.take_claim(here, text)?;
                if self.over {
                    return Ok(());
                }
            }
            self.at = Cursor {
                event: number + 1,
                ..here
            };
        }
        self.at = Cursor {
            entry: index + 1,
            event: 0,
        };
        Ok(())
    }

    fn take_claim(&mut self, at: Cursor, text: &str) -> Result<(), Problem> {
        let read = |_| internal("a claim of our own does not parse");
        let claim: Searched = serde_json::from_str(text).map_err(read)?;
        let EventsQuery {
            kind,
            user_id,
            from,
            to,
            after: _,
            limit: _,
            tenant: _,
        } = self.query;
        // Times never decrease, so there is nothing to look for behind this.
        if to.is_some_and(|to| claim.time_ms >= to) {
            (self.over, self.ended) = (true, true);
            return Ok(());
        }
        let matches = kind.as_ref().is_none_or(|kind| *kind == claim.kind)
            && user_id
                .as_ref()
                .is_none_or(|user| claim.user_id.as_deref() == Some(user.as_str()))
            && from.is_none_or(|from| claim.time_ms >= from);
        if matches {
            let claims: Value = serde_json::from_str(text).map_err(read)?;
            self.found.push(AuditEvent {
                receipt_id: claim.receipt_id,
                kind: claim.kind,
                time_ms: claim.time_ms,
                user_id: claim.user_id,
                entry: at.entry,
                event: at.event,
                claims,
            });
        }
        Ok(())
    }

    fn finish(self) -> EventsPage {
        EventsPage {
            events: self.found,
            next: (!self.ended).then_some(self.at),
            kept_from: self.kept_from,
        }
    }
}

#[cfg(test)]
#[path = "audit_tests.rs"]
mod tests;
