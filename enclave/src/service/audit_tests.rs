//! Searches and exports over pages as the ledger hands them out.

use redoubt_attestation::ledger::entry::{EventKind, Hash, events_tree};
use redoubt_attestation::ledger::export::{ExportBegin, ExportEnd, ExportEntry};
use redoubt_attestation::ledger::merkle::{Tree, verify_consistency};
use redoubt_attestation::ledger::{Checkpoint, Frontier, Header, commit as commitment};

use super::*;
use crate::ledger::PageEvent;

const LEDGER: LedgerId = LedgerId::from_bytes([7; 16]);

/// Entry `i` holds a state, a claim of alice at time 1000 i, a dark claim, and
/// in odd entries a claim of bob.
fn entry(index: u64) -> PageEntry {
    let claim = |user: &str, kind: &str| {
        let text = format!(
            r#"{{"type":"{kind}","receipt_id":"{user}{index}","user_id":"{user}","time_ms":{}}}"#,
            index * 1000
        );
        let salt = [index as u8; 32];
        PageEvent {
            commitment: commitment(EventKind::Claims, &salt, text.as_bytes()),
            claim: Some((text, salt)),
        }
    };
    let dark = || PageEvent {
        commitment: [9; 32],
        claim: None,
    };
    let mut events = vec![dark(), claim("alice", "verification"), dark()];
    if index % 2 == 1 {
        events.push(claim("bob", "approval"));
    }
    let root = events_tree(events.iter().map(|event| event.commitment)).root();
    let header = Header {
        ledger: LEDGER,
        index,
        epoch: 0,
        term: 1,
        events_root: root,
    };
    PageEntry { header, events }
}

fn tree(size: u64) -> Tree {
    Tree::from_leaves((0..size).map(|index| entry(index).header.leaf()))
}

fn page(from: u64, to: u64, size: u64) -> Page {
    let tree = tree(size);
    let head = Checkpoint {
        ledger: LEDGER,
        size,
        root: tree.root(),
    };
    Page {
        from,
        kept_from: 0,
        peaks: tree.peaks(from).unwrap(),
        entries: (from..to).map(entry).collect(),
        consistency: tree.consistency(to, size).unwrap(),
        size,
        note: head.note(&[head.ed25519_line(&[1; 32], &[2; 64])]),
    }
}

/// Runs a search the way the appliance does, `scan` entries and `per` claims at a time.
fn search(query: &EventsQuery, per: usize, scan: u64, size: u64) -> (Vec<String>, usize) {
    let (mut query, mut all, mut replies) = (query.clone(), Vec::new(), 0);
    loop {
        let mut search = Search::new(&query, per);
        while search.scanned < scan && !search.over {
            let from = search.at.entry.min(size);
            search
                .take(&page(from, (from + 4).min(size), size))
                .unwrap();
        }
        let page = search.finish();
        assert!(page.events.len() <= per);
        replies += 1;
        all.extend(page.events.into_iter().map(|event| event.receipt_id));
        match page.next {
            Some(next) => query.after = Some(next),
            None => return (all, replies),
        }
        assert!(replies < 1000, "the cursor does not move");
    }
}

#[test]
fn every_claim_is_found_once_however_it_is_paged() {
    let query = EventsQuery::default();
    let expected: Vec<String> = (0..20)
        .flat_map(|i| match i % 2 {
            0 => vec![format!("alice{i}")],
            _ => vec![format!("alice{i}"), format!("bob{i}")],
        })
        .collect();
    for per in [1, 2, 3, 100] {
        for scan in [1, 4, 8, 512] {
            let (found, replies) = search(&query, per, scan, 20);
            assert_eq!(found, expected, "{per} {scan}");
            assert!(replies >= expected.len() / per);
        }
    }
    assert_eq!(search(&query, 10, 512, 0), (vec![], 1));
}

#[test]
fn filters_match_together_and_nothing_found_still_moves_on() {
    let bob = EventsQuery {
        user_id: Some("bob".parse().unwrap()),
        ..EventsQuery::default()
    };
    assert_eq!(search(&bob, 100, 512, 6).0, ["bob1", "bob3", "bob5"]);
    let approvals = EventsQuery {
        kind: Some("approval".to_owned()),
        from: Some(3000),
        to: Some(5000),
        ..EventsQuery::default()
    };
    assert_eq!(search(&approvals, 100, 512, 20).0, ["bob3"]);
    let both = EventsQuery {
        user_id: Some("alice".parse().unwrap()),
        ..approvals
    };
    assert_eq!(search(&both, 100, 512, 20).0, [""; 0]);
    // Four entries at a time over twenty, and nobody of that name.
    let nobody = EventsQuery {
        user_id: Some("nobody".parse().unwrap()),
        ..EventsQuery::default()
    };
    let (found, replies) = search(&nobody, 100, 4, 20);
    assert_eq!((found.len(), replies), (0, 5));
}

#[test]
fn a_cursor_behind_the_end_finds_nothing_and_ends() {
    let query = EventsQuery {
        after: Some(Cursor {
            entry: 99,
            event: 3,
        }),
        ..EventsQuery::default()
    };
    assert_eq!(search(&query, 10, 512, 20), (vec![], 1));
}

#[test]
fn an_export_holds_what_checks_it() {
    let mut lines = Vec::new();
    let tenant: TenantId = "bank-a".parse().unwrap();
    page(5, 9, 13).export(LEDGER, &tenant, &mut lines).unwrap();
    let text = String::from_utf8(lines).unwrap();
    assert!(text.ends_with('\n'));
    let lines: Vec<&str> = text.lines().collect();
    let begin: ExportBegin = serde_json::from_str(lines[0]).unwrap();
    assert_eq!((begin.from, begin.to, begin.size), (5, 9, 13));
    let peaks = begin.peaks.iter().map(|peak| peak.0).collect();
    let mut edge = Frontier::from_peaks(5, peaks).unwrap();
    for line in &lines[1..5] {
        let entry: ExportEntry = serde_json::from_str(line).unwrap();
        let header = entry.verify().unwrap();
        assert_eq!(header.index, edge.size());
        assert!(entry.events[0].claims.is_none() && entry.events[1].claims.is_some());
        edge.push(header.leaf());
    }
    let end: ExportEnd = serde_json::from_str(lines[5]).unwrap();
    assert_eq!(lines.len(), 6);
    let path: Vec<Hash> = end.consistency.iter().map(|hash| hash.0).collect();
    let (root, head) = (edge.root().unwrap(), tree(13).root());
    assert!(verify_consistency(9, 13, &root, &head, &path));
    assert!(end.checkpoint.contains("\n13\n"));
}
