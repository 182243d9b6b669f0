//! The rules every record keeps towards those before it.
//!
//! Protects against records left out, moved, repeated, taken from another
//! history, or sealed twice under one nonce.

use std::collections::{BTreeMap, HashMap};

use redoubt_attestation::ledger::entry::Hash;
use redoubt_attestation::ledger::{Frontier, Header};
use redoubt_shared::LedgerId;
use serde::Serialize;

use super::record::Record;
use super::{Finding, Heads};

/// What is known of one ledger at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LedgerFacts {
    /// Ledger id.
    pub ledger: String,
    /// First entry here; those before were dropped, or are not in this export.
    pub first: u64,
    /// Entries, those before the first included.
    pub size: u64,
    /// Root at that size, if it follows from what is here.
    pub root: Option<String>,
    /// Root before the first entry here, where that is taken from its record.
    pub root_given: Option<String>,
    /// Term of the first entry here.
    pub first_term: u64,
    /// Term of the last.
    pub last_term: u64,
    /// Epoch of the first entry here.
    pub first_epoch: u32,
    /// Epoch of the last.
    pub last_epoch: u32,
}

/// One ledger so far.
struct Chain {
    first: Header,
    last: Header,
    edge: Frontier,
    given: Option<Hash>,
}

/// All ledgers of one log so far.
pub struct History {
    /// Heads to be met on the way.
    pub heads: Heads,
    chains: BTreeMap<LedgerId, Chain>,
    /// Where each ledger begins, if not at 0.
    begins: BTreeMap<LedgerId, u64>,
    /// Last counter under each drawn value: one per ledger and boot.
    counters: HashMap<[u8; 32], u64>,
    records: u64,
}

impl History {
    /// A log whose ledgers begin at these indices, or at 0.
    pub fn new(heads: Heads, begins: BTreeMap<LedgerId, u64>) -> Self {
        Self {
            heads,
            chains: BTreeMap::new(),
            begins,
            counters: HashMap::new(),
            records: 0,
        }
    }

    /// Records so far.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Takes the next record of the log.
    pub(super) fn take(
        &mut self,
        ledger: LedgerId,
        index: u64,
        record: &Record,
    ) -> Result<(), Finding> {
        let header = &record.header;
        if header.ledger != ledger || header.index != index {
            let text = format!(
                "the record of ledger {ledger} at {index} was sealed for ledger {} at {}",
                header.ledger, header.index
            );
            return Err(Finding::new("misplaced", text));
        }
        self.take_nonce(record)?;
        self.records += 1;
        self.chain(header, &record.root_before)
    }

    /// A pair may stand once; an honest writer's counter only grows.
    fn take_nonce(&mut self, record: &Record) -> Result<(), Finding> {
        let counter = record.counter;
        match self.counters.insert(record.drawn, counter) {
            Some(last) if last >= counter => {
                let text = format!(
                    "ledger {} at {}: counter {counter} comes after {last} under one key: a nonce may have been used twice",
                    record.header.ledger, record.header.index
                );
                Err(Finding::new("nonce_reused", text))
            }
            _ => Ok(()),
        }
    }

    fn chain(&mut self, header: &Header, before: &Hash) -> Result<(), Finding> {
        let (ledger, index) = (header.ledger, header.index);
        let here = |code, text: String| Finding::new(code, format!("ledger {ledger}: {text}"));
        let chain = match self.chains.get_mut(&ledger) {
            Some(chain) => chain,
            None => {
                let first = self.begins.get(&ledger).copied().unwrap_or(0);
                self.chains.entry(ledger).or_insert(Chain {
                    first: *header,
                    last: *header,
                    edge: Frontier::from_root(first, *before),
                    given: (first > 0).then_some(*before),
                })
            }
        };
        let next = chain.edge.size();
        if index != next {
            return Err(here(
                "gap",
                format!("entry {index} stands where {next} belongs"),
            ));
        }
        let Header { epoch, term, .. } = chain.last;
        if header.term < term || header.epoch < epoch {
            let text = format!(
                "entry {index} is of term {}, epoch {}; the one before it of term {term}, epoch {epoch}",
                header.term, header.epoch
            );
            return Err(here("went_back", text));
        }
        if let Some(root) = chain.edge.root() {
            if root != *before {
                let text = format!(
                    "entry {index} was sealed after the root {}; the entries before it have {}",
                    hex::encode(before),
                    hex::encode(root)
                );
                return Err(here("other_root", text));
            }
            self.heads.meet(ledger, index, &root)?;
        } else if chain.given.is_some() && index == chain.first.index {
            self.heads.meet(ledger, index, before)?;
        }
        chain.edge.push(header.leaf());
        chain.last = *header;
        Ok(())
    }

    /// The end of the log: heads at the very end, and those never met.
    pub(super) fn finish(&mut self) -> Result<(), Finding> {
        for (ledger, chain) in &self.chains {
            if let Some(root) = chain.edge.root() {
                self.heads.meet(*ledger, chain.edge.size(), &root)?;
            }
        }
        let (chains, begins) = (&self.chains, &self.begins);
        self.heads.unmet(|head| {
            let size = chains.get(&head.ledger).map(|chain| chain.edge.size());
            let size = size.or_else(|| begins.get(&head.ledger).copied());
            size.is_some_and(|size| size >= head.size)
        })
    }

    /// What is known of each ledger.
    pub fn facts(&self) -> Vec<LedgerFacts> {
        let facts = |(ledger, chain): (&LedgerId, &Chain)| LedgerFacts {
            ledger: ledger.to_string(),
            first: chain.first.index,
            size: chain.edge.size(),
            root: chain.edge.root().map(hex::encode),
            root_given: chain.given.map(hex::encode),
            first_term: chain.first.term,
            last_term: chain.last.term,
            first_epoch: chain.first.epoch,
            last_epoch: chain.last.epoch,
        };
        self.chains.iter().map(facts).collect()
    }
}
