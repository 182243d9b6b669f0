//! An export, line by line (`enclave/SPEC.md`, Export).
//!
//! Protects against pages of different histories in one file, and against a
//! page that ends before its entries do.

use std::io::{BufRead, Read};

use redoubt_attestation::artefact::Boot;
use redoubt_attestation::ledger::checkpoint::read_unverified;
use redoubt_attestation::ledger::export::{
    EXPORT_END_TYPE, EXPORT_TYPE, ExportBegin, ExportEnd, ExportEntry, LINE_MAX,
};
use redoubt_attestation::ledger::merkle::verify_consistency;
use redoubt_attestation::ledger::{Frontier, Header};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Finding, Heads, LedgerError, LedgerFacts, Progress};

/// What an export holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ExportFacts {
    /// Whose.
    pub tenant: Option<String>,
    /// Pages.
    pub pages: u64,
    /// Entries.
    pub entries: u64,
    /// Events in them.
    pub events: u64,
    /// Events whose claim is shown; the others are states, or dark.
    pub claims: u64,
    /// Size of the largest checkpoint.
    pub checkpoint_size: u64,
}

/// An export being read.
pub struct Export<'a> {
    /// About the file.
    pub facts: ExportFacts,
    /// Heads to be met on the way.
    pub heads: Heads,
    /// How long it took.
    pub progress: Progress,
    boots: Option<&'a [Boot]>,
    chain: Option<Chain>,
}

struct Chain {
    begin: ExportBegin,
    first: u64,
    edge: Frontier,
    ends: Option<(Header, Header)>,
}

impl<'a> Export<'a> {
    /// With boots, every page's checkpoint must be signed by one of them.
    pub fn new(heads: Heads, progress: Progress, boots: Option<&'a [Boot]>) -> Self {
        Self {
            facts: ExportFacts::default(),
            heads,
            progress,
            boots,
            chain: None,
        }
    }

    /// Reads and checks everything.
    pub fn verify(&mut self, input: impl BufRead) -> Result<(), LedgerError> {
        let mut lines = Lines {
            input,
            number: 0,
            line: Vec::new(),
        };
        while lines.next()? {
            self.progress.add(lines.line.len() as u64);
            let begin: ExportBegin = lines.read("first line of a page")?;
            let place = |line: u64| move |finding: Finding| finding.at(format_args!("line {line}"));
            self.begin(begin).map_err(place(lines.number))?;
            for _ in self.here()..self.end() {
                self.line(&mut lines)?;
                let entry: ExportEntry = lines.read("entry")?;
                self.entry(&entry).map_err(place(lines.number))?;
            }
            self.line(&mut lines)?;
            let end: ExportEnd = lines.read("last line of a page")?;
            self.finish_page(&end).map_err(place(lines.number))?;
        }
        if self.chain.is_none() {
            return Err(Finding::new("malformed", "an export has at least one page").into());
        }
        let (here, ledger) = (self.here(), self.chain.as_ref().map(|c| c.begin.ledger));
        let covered = |head: &redoubt_attestation::ledger::Checkpoint| {
            Some(head.ledger) == ledger && head.size <= here
        };
        Ok(self.heads.unmet(covered)?)
    }

    fn line(&mut self, lines: &mut Lines<impl BufRead>) -> Result<(), LedgerError> {
        if !lines.next()? {
            let text = "the export ends in the middle of a page";
            return Err(Finding::new("truncated", text).into());
        }
        self.progress.add(lines.line.len() as u64);
        Ok(())
    }

    fn here(&self) -> u64 {
        self.chain.as_ref().map_or(0, |chain| chain.edge.size())
    }

    fn end(&self) -> u64 {
        self.chain.as_ref().map_or(0, |chain| chain.begin.to)
    }

    fn begin(&mut self, begin: ExportBegin) -> Result<(), Finding> {
        if begin.kind != EXPORT_TYPE || begin.from > begin.to || begin.to > begin.size {
            let text = "not the first line of a page";
            return Err(Finding::new("malformed", text));
        }
        let peaks = begin.peaks.iter().map(|peak| peak.0).collect();
        let edge = Frontier::from_peaks(begin.from, peaks)
            .ok_or_else(|| Finding::new("malformed", "peaks: another number than `from` has"))?;
        let root = edge.root().unwrap_or_default();
        match &mut self.chain {
            Some(chain) => {
                let last = &chain.begin;
                if (last.ledger, &last.tenant) != (begin.ledger, &begin.tenant) {
                    let text = "a page of another ledger follows";
                    return Err(Finding::new("other_ledger", text));
                }
                if chain.edge.size() != begin.from {
                    let text = format!(
                        "a page from {} follows where {} belongs",
                        begin.from,
                        chain.edge.size()
                    );
                    return Err(Finding::new("gap", text));
                }
                if chain.edge != edge {
                    let text = "the page continues another history than the one before it";
                    return Err(Finding::new("other_root", text));
                }
                chain.begin = begin;
            }
            None => {
                self.facts.tenant = Some(begin.tenant.to_string());
                self.heads.meet(begin.ledger, begin.from, &root)?;
                self.chain = Some(Chain {
                    first: begin.from,
                    edge,
                    ends: None,
                    begin,
                });
            }
        }
        self.facts.pages += 1;
        Ok(())
    }

    fn entry(&mut self, entry: &ExportEntry) -> Result<(), Finding> {
        let Some(chain) = &mut self.chain else {
            return Err(Finding::new("malformed", "an entry before its page"));
        };
        let header = entry.verify().map_err(|error| {
            Finding::new("other_events", format!("entry {}: {error}", entry.index))
        })?;
        let next = chain.edge.size();
        if header.ledger != chain.begin.ledger || header.index != next || entry.index != next {
            let text = format!("entry {} stands where {next} belongs", entry.index);
            return Err(Finding::new("misplaced", text));
        }
        let (first, last) = chain.ends.unwrap_or((header, header));
        if header.term < last.term || header.epoch < last.epoch {
            let text =
                format!("entry {next} is of an earlier term or epoch than the one before it");
            return Err(Finding::new("went_back", text));
        }
        chain.ends = Some((first, header));
        chain.edge.push(header.leaf());
        let (size, root) = (chain.edge.size(), chain.edge.root().unwrap_or_default());
        self.heads.meet(chain.begin.ledger, size, &root)?;
        self.facts.entries += 1;
        self.facts.events += entry.events.len() as u64;
        let shown = entry.events.iter().filter(|event| event.claims.is_some());
        self.facts.claims += shown.count() as u64;
        Ok(())
    }

    fn finish_page(&mut self, end: &ExportEnd) -> Result<(), Finding> {
        let Some(chain) = &self.chain else {
            return Err(Finding::new("malformed", "the end of no page"));
        };
        if end.kind != EXPORT_END_TYPE {
            return Err(Finding::new("malformed", "not the last line of a page"));
        }
        let head = read_unverified(&end.checkpoint)
            .map_err(|error| Finding::new("checkpoint", error.to_string()))?;
        if head.ledger != chain.begin.ledger || head.size != chain.begin.size {
            let text = "the page's checkpoint is of another ledger or size";
            return Err(Finding::new("checkpoint", text));
        }
        let path: Vec<_> = end.consistency.iter().map(|hash| hash.0).collect();
        let (size, root) = (chain.edge.size(), chain.edge.root().unwrap_or_default());
        let whole = size != head.size || root == head.root;
        if !whole || !verify_consistency(size, head.size, &root, &head.root, &path) {
            let text =
                format!("the page's checkpoint does not continue the {size} entries up to here");
            return Err(Finding::new("other_root", text));
        }
        if let Some(boots) = self.boots
            && !boots.iter().any(|boot| boot.open(&end.checkpoint).is_ok())
        {
            let text = "no boot whose document was given signed the page's checkpoint";
            return Err(Finding::new("checkpoint_unsigned", text));
        }
        self.heads.meet(head.ledger, head.size, &head.root)?;
        self.facts.checkpoint_size = self.facts.checkpoint_size.max(head.size);
        Ok(())
    }

    /// What is known of the ledger.
    pub fn ledgers(&self) -> Vec<LedgerFacts> {
        let facts = |chain: &Chain| {
            let (first, last) = chain.ends?;
            Some(LedgerFacts {
                ledger: chain.begin.ledger.to_string(),
                first: chain.first,
                size: chain.edge.size(),
                root: chain.edge.root().map(hex::encode),
                root_given: None,
                first_term: first.term,
                last_term: last.term,
                first_epoch: first.epoch,
                last_epoch: last.epoch,
            })
        };
        self.chain.as_ref().and_then(facts).into_iter().collect()
    }
}

struct Lines<R> {
    input: R,
    number: u64,
    line: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> Result<bool, LedgerError> {
        self.line.clear();
        self.number += 1;
        let mut limited = (&mut self.input).take(LINE_MAX as u64 + 1);
        let read = limited.read_until(b'\n', &mut self.line);
        let read = read.map_err(|error| LedgerError::Io(error.to_string()))?;
        if read > LINE_MAX {
            let text = format!("line {}: longer than {LINE_MAX} bytes", self.number);
            return Err(Finding::new("malformed", text).into());
        }
        Ok(read > 0)
    }

    fn read<T: DeserializeOwned>(&self, what: &str) -> Result<T, LedgerError> {
        serde_json::from_slice(&self.line).map_err(|error| {
            let text = format!("line {}: no {what}: {error}", self.number);
            Finding::new("malformed", text).into()
        })
    }
}

#[cfg(test)]
#[path = "export_tests.rs"]
mod tests;
