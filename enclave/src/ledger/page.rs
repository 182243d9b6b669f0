//! Pages of a tenant's ledger for its auditors: every entry's header and
//! commitments, the claims in clear, and what ties them to a signed head.

use redoubt_attestation::ledger::entry::{Hash, Header};
use redoubt_shared::TenantId;
use redoubt_shared::store::StoredRecord;

use super::body::{self, BodyError};
use super::book::BookError;
use super::commit::{Core, TenantCore};
use super::errors::{CommitError, damaged};
use super::record::RecordError;
use super::store::StoreClient;

/// Consecutive entries of one ledger.
#[derive(Debug, Clone)]
pub struct Page {
    /// First entry: the one asked for, or the first that is kept.
    pub from: u64,
    /// First entry of the ledger that is kept; those before are older than the
    /// tenant keeps them.
    pub kept_from: u64,
    /// Hashes of the complete subtrees that the entries before it fall into, largest first.
    pub peaks: Vec<Hash>,
    /// The entries.
    pub entries: Vec<PageEntry>,
    /// From the tree behind the last entry to the head, RFC 9162 section 2.1.4.
    pub consistency: Vec<Hash>,
    /// Entries of the ledger at that head.
    pub size: u64,
    /// The head, signed.
    pub note: String,
}

/// One entry.
#[derive(Debug, Clone)]
pub struct PageEntry {
    /// Its clear header.
    pub header: Header,
    /// Its events, in order.
    pub events: Vec<PageEvent>,
}

/// One event.
#[derive(Debug, Clone)]
pub struct PageEvent {
    /// Its commitment.
    pub commitment: Hash,
    /// Of a claim that is not dark: its text and salt.
    pub claim: Option<(String, [u8; 32])>,
}

impl Core {
    /// Reads entries `from .. from + limit` of a tenant's ledger, checked;
    /// those that are not kept are skipped.
    pub(super) async fn page(
        &mut self,
        store: &mut StoreClient,
        tenant: &TenantId,
        from: u64,
        limit: u64,
    ) -> Result<Page, CommitError> {
        let core = self.tenants.get(tenant).ok_or(CommitError::UnknownTenant)?;
        let (ledger, size) = (core.book.ledger(), core.book.size());
        let kept_from = self.kept_from(ledger);
        let from = from.max(kept_from).min(size);
        let to = from.saturating_add(limit).min(size);
        self.bring(store, Some(tenant), &[from, to]).await?;
        let mut records = Vec::new();
        while from + (records.len() as u64) < to {
            let next = from + records.len() as u64;
            let more = store.try_read(ledger, next, (to - next) as u32).await;
            let more = more.map_err(|error| damaged(&error))?;
            if more.is_empty() {
                return Err(CommitError::Damaged);
            }
            records.extend(more);
        }
        let core = self.tenants.get(tenant).ok_or(CommitError::UnknownTenant)?;
        let mut entries = Vec::new();
        for (record, index) in records.iter().zip(from..) {
            let entry = self.page_entry(core, record, index);
            entries.push(entry.map_err(|error| damaged(&error))?);
        }
        let tree = core.book.tree();
        Ok(Page {
            from,
            kept_from,
            peaks: tree.peaks(from).ok_or(CommitError::Damaged)?,
            entries,
            consistency: tree.consistency(to, size).ok_or(CommitError::Damaged)?,
            size,
            note: self.note_of(tenant)?,
        })
    }

    fn page_entry(
        &self,
        core: &TenantCore,
        record: &StoredRecord,
        index: u64,
    ) -> Result<PageEntry, BookError> {
        let (header, events) = core.book.reopen(&self.keys, record, index)?;
        let shown = events
            .into_iter()
            .map(|event| self.page_event(core, event, header.epoch));
        let events = shown.collect::<Result<_, _>>()?;
        Ok(PageEntry { header, events })
    }

    fn page_event(
        &self,
        core: &TenantCore,
        event: body::Event,
        epoch: u32,
    ) -> Result<PageEvent, BookError> {
        let commitment = body::commitment_of(&event).ok_or(RecordError::OtherEvents)?;
        let claim = match self.open(event, core, epoch) {
            Ok(opened) if opened.kind == 1 => Some((opened.text()?, opened.salt)),
            Ok(_) | Err(BodyError::Dark) => None,
            Err(error) => return Err(error.into()),
        };
        Ok(PageEvent { commitment, claim })
    }

    fn note_of(&self, tenant: &TenantId) -> Result<String, CommitError> {
        let core = self.tenants.get(tenant).ok_or(CommitError::UnknownTenant)?;
        core.book
            .note(&self.signer)
            .map_err(|_| CommitError::Halted)
    }
}
