//! Exports, honest and not.

use std::io::Cursor;

use redoubt_attestation::encode::{Digest32, b64u};
use redoubt_attestation::ledger::entry::{self, EventKind, Hash};
use redoubt_attestation::ledger::export::ExportEvent;
use redoubt_attestation::ledger::{Checkpoint, Tree};
use redoubt_shared::LedgerId;
use serde_json::{Value, json};

use super::*;

const LEDGER: LedgerId = LedgerId::from_bytes([0xcc; 16]);

/// A ledger of entries with three events each: a state, a claim, a dark claim.
struct Bank {
    entries: Vec<ExportEntry>,
    tree: Tree,
}

fn event(kind: EventKind, text: &str, shown: bool) -> ExportEvent {
    let salt = [text.len() as u8; 32];
    ExportEvent {
        commitment: Digest32(entry::commit(kind, &salt, text.as_bytes())),
        claims: shown.then(|| text.to_owned()),
        salt: shown.then(|| b64u(&salt)),
    }
}

impl Bank {
    fn new(size: u64) -> Self {
        let mut bank = Self {
            entries: vec![],
            tree: Tree::new(),
        };
        for index in 0..size {
            let events = vec![
                event(EventKind::State, "state", false),
                event(EventKind::Claims, &format!("{{\"n\":{index}}}"), true),
                event(EventKind::Claims, "erased", false),
            ];
            let tree = entry::events_tree(events.iter().map(|event| event.commitment.0));
            let header = Header {
                ledger: LEDGER,
                index,
                epoch: (index / 4) as u32,
                term: 1 + index / 3,
                events_root: tree.root(),
            };
            bank.tree.push(header.leaf());
            bank.entries.push(ExportEntry {
                index,
                header: hex::encode(header.encode()),
                events,
            });
        }
        bank
    }

    fn head(&self, size: u64) -> Checkpoint {
        Checkpoint {
            ledger: LEDGER,
            size,
            root: self.tree.root_at(size).unwrap(),
        }
    }

    /// Entries `from..to` as exported when the ledger had `size`.
    fn page(&self, from: u64, to: u64, size: u64) -> Vec<Value> {
        let digests = |hashes: Vec<Hash>| hashes.into_iter().map(Digest32).collect::<Vec<_>>();
        let begin = ExportBegin {
            kind: EXPORT_TYPE.into(),
            ledger: LEDGER,
            tenant: "bank-a".parse().unwrap(),
            from,
            to,
            size,
            peaks: digests(self.tree.peaks(from).unwrap()),
        };
        let head = self.head(size);
        let end = ExportEnd {
            kind: EXPORT_END_TYPE.into(),
            consistency: digests(self.tree.consistency(to, size).unwrap()),
            checkpoint: head.note(&[head.ed25519_line(&[1; 32], &[2; 64])]),
        };
        let entries = self.entries[from as usize..to as usize].iter();
        let mut lines = vec![json!(begin)];
        lines.extend(entries.map(|entry| json!(entry)));
        lines.push(json!(end));
        lines
    }
}

fn text(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn run<'a>(
    text: &str,
    heads: Heads,
    boots: Option<&'a [Boot]>,
) -> (Export<'a>, Result<(), &'static str>) {
    let progress = Progress::new(text.len() as u64, false);
    let mut export = Export::new(heads, progress, boots);
    let verdict = export
        .verify(Cursor::new(text))
        .map_err(|error| match error {
            LedgerError::Found(finding) => finding.code,
            LedgerError::Io(text) => panic!("{text}"),
        });
    (export, verdict)
}

fn verdict(lines: &[Value]) -> Result<(), &'static str> {
    run(&text(lines), Heads::default(), None).1
}

#[test]
fn pages_in_one_file_are_an_export_from_any_beginning() {
    let bank = Bank::new(13);
    for from in [0, 1, 4, 7] {
        let lines = [
            bank.page(from, 9, 11),
            bank.page(9, 9, 12),
            bank.page(9, 13, 13),
        ]
        .concat();
        let (export, verdict) = run(&text(&lines), Heads::default(), None);
        assert_eq!(verdict, Ok(()), "{from}");
        let ExportFacts {
            pages,
            entries,
            events,
            claims,
            ..
        } = export.facts.clone();
        assert_eq!((pages, entries), (3, 13 - from));
        assert_eq!((events, claims), (3 * (13 - from), 13 - from));
        let ledger = &export.ledgers()[0];
        assert_eq!((ledger.first, ledger.size), (from, 13));
        assert_eq!(ledger.root, Some(hex::encode(bank.tree.root())));
    }
    assert_eq!(verdict(&Bank::new(0).page(0, 0, 0)), Ok(()));
    assert_eq!(verdict(&bank.page(13, 13, 13)), Ok(()));
}

#[test]
fn each_change_of_an_export_is_refused() {
    let bank = Bank::new(13);
    let refused = |change: &dyn Fn(&mut Vec<Value>)| {
        let mut lines = [bank.page(2, 6, 9), bank.page(6, 13, 13)].concat();
        change(&mut lines);
        verdict(&lines)
    };
    assert_eq!(refused(&|_| {}), Ok(()));
    // Entries left out, twice, in another order, of another place.
    assert_eq!(refused(&|l| drop(l.remove(2))), Err("misplaced"));
    assert_eq!(refused(&|l| l.insert(2, l[2].clone())), Err("misplaced"));
    assert_eq!(refused(&|l| l.swap(2, 3)), Err("misplaced"));
    assert_eq!(refused(&|l| l[2]["index"] = json!(4)), Err("misplaced"));
    // What stands in an entry.
    assert_eq!(
        refused(&|l| l[2]["events"][1]["claims"] = json!("{\"n\":9}")),
        Err("other_events")
    );
    assert_eq!(
        refused(&|l| l[2]["events"][1]["salt"] = json!(b64u(&[1; 32]))),
        Err("other_events")
    );
    let only_claim = |l: &mut Vec<Value>| {
        l[2]["events"][1].as_object_mut().unwrap().remove("salt");
    };
    assert_eq!(refused(&only_claim), Err("other_events"));
    let other = "00".repeat(32);
    assert_eq!(
        refused(&|l| l[2]["events"][2]["commitment"] = json!(other)),
        Err("other_events")
    );
    assert_eq!(
        refused(&|l| l[2]["events"] = json!([])),
        Err("other_events")
    );
    // A claim may be withheld: that is what erasure looks like.
    let dark = |l: &mut Vec<Value>| {
        let event = l[2]["events"][1].as_object_mut().unwrap();
        event.remove("salt");
        event.remove("claims");
    };
    assert_eq!(refused(&dark), Ok(()));
    let header = |at: usize| {
        move |l: &mut Vec<Value>| {
            let mut bytes = hex::decode(l[2]["header"].as_str().unwrap()).unwrap();
            bytes[at] ^= 1;
            l[2]["header"] = json!(hex::encode(bytes));
        }
    };
    for at in 0..69 {
        assert!(refused(&header(at)).is_err(), "{at}");
    }
    // What stands around them.
    assert_eq!(
        refused(&|l| l[0]["peaks"][0] = json!(other)),
        Err("other_root")
    );
    assert_eq!(refused(&|l| l[0]["peaks"] = json!([])), Err("malformed"));
    assert_eq!(refused(&|l| l[0]["size"] = json!(10)), Err("checkpoint"));
    assert_eq!(
        refused(&|l| l[0]["ledger"] = json!("dd".repeat(16))),
        Err("misplaced")
    );
    assert_eq!(
        refused(&|l| l[6]["tenant"] = json!("bank-b")),
        Err("other_ledger")
    );
    assert_eq!(
        refused(&|l| l[6]["peaks"][0] = json!(other)),
        Err("other_root")
    );
    assert_eq!(
        refused(&|l| drop(l.drain(0..6))),
        Ok(()),
        "the second page alone"
    );
    assert_eq!(refused(&|l| drop(l.drain(6..))), Ok(()), "the first alone");
    assert_eq!(refused(&|l| drop(l.pop())), Err("truncated"));
    assert_eq!(refused(&|l| l.clear()), Err("malformed"));
    assert_eq!(
        refused(&|l| l[5]["consistency"][0] = json!(other)),
        Err("other_root")
    );
    assert_eq!(
        refused(&|l| l[5]["consistency"] = json!([])),
        Err("other_root")
    );
    let note = |l: &mut Vec<Value>| {
        let text = l[5]["checkpoint"]
            .as_str()
            .unwrap()
            .replace("\n9\n", "\n8\n");
        l[5]["checkpoint"] = json!(text);
    };
    assert_eq!(refused(&note), Err("checkpoint"));
    assert_eq!(refused(&|l| l[5] = l[14].clone()), Err("checkpoint"));
    assert_eq!(refused(&|l| l[0]["more"] = json!(1)), Err("malformed"));
    // Pages of two histories, or with entries between them missing.
    let gap = [bank.page(0, 5, 13), bank.page(6, 13, 13)].concat();
    assert_eq!(verdict(&gap), Err("gap"));
    let mut other = Bank::new(13);
    let mut header = Header::decode(&hex::decode(&other.entries[1].header).unwrap()).unwrap();
    header.term = 2;
    other.entries[1].header = hex::encode(header.encode());
    let leaf = |entry: &ExportEntry| {
        Header::decode(&hex::decode(&entry.header).unwrap())
            .unwrap()
            .leaf()
    };
    other.tree = Tree::from_leaves(other.entries.iter().map(leaf));
    let spliced = [bank.page(0, 5, 13), other.page(5, 13, 13)].concat();
    assert_eq!(verdict(&spliced), Err("other_root"));
    assert_eq!(verdict(&other.page(0, 13, 13)), Err("went_back"));
}

#[test]
fn kept_heads_must_be_met_and_checkpoints_signed_where_keys_are_known() {
    let bank = Bank::new(13);
    let lines = text(&bank.page(3, 9, 13));
    let keep = |head: &Checkpoint| {
        let mut heads = Heads::default();
        heads
            .add("kept", &head.note(&[head.ed25519_line(&[1; 32], &[2; 64])]))
            .unwrap();
        heads
    };
    for size in [3, 5, 9, 13] {
        assert_eq!(
            run(&lines, keep(&bank.head(size)), None).1,
            Ok(()),
            "{size}"
        );
    }
    let forked = Checkpoint {
        root: [7; 32],
        ..bank.head(6)
    };
    assert_eq!(run(&lines, keep(&forked), None).1, Err("other_history"));
    assert_eq!(
        run(&lines, keep(&bank.head(2)), None).1,
        Err("checkpoint_not_covered")
    );
    let later = Checkpoint {
        size: 40,
        ..bank.head(6)
    };
    assert_eq!(
        run(&lines, keep(&later), None).1,
        Err("shorter_than_checkpoint")
    );
    assert_eq!(
        run(&lines, Heads::default(), Some(&[])).1,
        Err("checkpoint_unsigned")
    );
}
