//! Anchors and cosignatures, honest and not.

use super::super::*;
use super::court::Court;
use crate::encode::{b64u, from_b64u};
use crate::entropy::SystemEntropy;
use crate::genesis::{Genesis, PeerEntry, WitnessMode, WitnessPolicy};
use crate::ledger::anchor::{Anchor, heads_event};
use crate::ledger::cosignature::cosign;
use crate::ledger::entry::{self, EventKind};
use crate::ledger::{Checkpoint, Header, Receipt, Tree};
use crate::sign::Ed25519Signer;
use crate::testkit::Bench;

/// Three witnesses, of which two are needed.
pub(crate) struct Watched {
    pub(crate) court: Court,
    pub(crate) keys: Vec<Ed25519Signer>,
}

fn named(keys: &[Ed25519Signer]) -> Vec<PeerEntry> {
    let entry = |(at, key): (usize, &Ed25519Signer)| PeerEntry {
        name: format!("w{at}.example"),
        key: key.jwk().clone(),
        tls_spki_sha256: crate::encode::Digest32([at as u8; 32]),
    };
    keys.iter().enumerate().map(entry).collect()
}

impl Watched {
    pub(crate) fn new(mode: WitnessMode) -> Self {
        let key = || Ed25519Signer::generate(&SystemEntropy).unwrap();
        let keys = vec![key(), key(), key()];
        let bench = Bench::with(|manifest: &mut Genesis| {
            manifest.witnesses = named(&keys);
            manifest.witness_policy = Some(WitnessPolicy {
                k: 2,
                f: 0,
                mode,
                lease_ms: 2000,
            });
        });
        let court = Court::of(bench);
        Self { court, keys }
    }

    /// A receipt anchored in the appliance's ledger, cosigned by these.
    pub(crate) fn receipt(
        &self,
        freshness: &str,
        unwitnessed_ms: Option<u64>,
        by: &[usize],
    ) -> Receipt {
        let mut claims = self.court.common();
        claims["freshness"] = freshness.into();
        if let Some(ms) = unwitnessed_ms {
            claims["unwitnessed_ms"] = ms.into();
        }
        self.claiming(&claims, by)
    }

    /// The same with any claims.
    pub(crate) fn claiming(&self, claims: &serde_json::Value, by: &[usize]) -> Receipt {
        let mut receipt = self.court.receipt(&claims.to_string());
        receipt.anchor = Some(anchor(&self.court, &receipt, |head| {
            let line = |at: &usize| cosign(head, &format!("w{at}.example"), 1700, &self.keys[*at]);
            by.iter().map(|at| line(at).unwrap()).collect()
        }));
        receipt
    }

    fn judge(&self, receipt: &Receipt) -> Result<Fresh, &'static str> {
        verify_receipt(receipt, &self.court.trust())
            .map(|judged| judged.fresh)
            .map_err(|refusal| refusal.code())
    }
}

/// Puts the receipt's head into the appliance's ledger, second of three events
/// of the third of five entries.
pub(crate) fn anchor(
    court: &Court,
    receipt: &Receipt,
    lines: impl FnOnce(&Checkpoint) -> Vec<String>,
) -> Anchor {
    let head = crate::ledger::checkpoint::read_unverified(&receipt.checkpoint).unwrap();
    let event = heads_event(&head);
    let commitment = entry::commit(EventKind::State, &[8; 32], &event);
    let events = entry::events_tree([[1; 32], commitment, [3; 32]]);
    let header = |index, events_root| Header {
        ledger: Bench::appliance(),
        index,
        epoch: 0,
        term: 1,
        events_root,
    };
    let ours = header(2, events.root());
    let tree = Tree::from_leaves((0..5).map(|index| match index {
        2 => ours.leaf(),
        _ => header(index, [index as u8; 32]).leaf(),
    }));
    let head = Checkpoint {
        ledger: Bench::appliance(),
        size: 5,
        root: tree.root(),
    };
    let hexes = |path: Option<Vec<[u8; 32]>>| path.unwrap().iter().map(hex::encode).collect();
    Anchor {
        event: b64u(&event),
        salt: b64u(&[8; 32]),
        event_index: 1,
        event_count: 3,
        event_path: hexes(events.inclusion(1, 3)),
        header: hex::encode(ours.encode()),
        tree_size: 5,
        leaf_path: hexes(tree.inclusion(2, 5)),
        checkpoint: court.bench.note(&head) + &lines(&head).concat(),
    }
}

#[test]
fn enough_cosignatures_make_a_receipt_as_fresh_as_it_says() {
    for (mode, name, ms) in [
        (WitnessMode::Strict, "strict", 0),
        (WitnessMode::Lease, "lease", 2000),
    ] {
        let watched = Watched::new(mode);
        let fresh = watched
            .judge(&watched.receipt(name, Some(ms), &[0, 2]))
            .unwrap();
        assert_eq!((fresh.mode, fresh.unwitnessed_ms), (name, Some(ms)));
        let expected = [
            ("w0.example".to_owned(), 1700),
            ("w2.example".to_owned(), 1700),
        ];
        assert_eq!(fresh.cosigned, expected);
        assert_eq!(fresh.anchor.unwrap().size, 5);
    }
}

#[test]
fn too_few_cosignatures_or_none_are_refused_for_a_reason_of_their_own() {
    let watched = Watched::new(WitnessMode::Lease);
    for by in [&[][..], &[1], &[1, 1]] {
        let receipt = watched.receipt("lease", Some(2000), by);
        assert_eq!(watched.judge(&receipt), Err("not_cosigned"), "{by:?}");
    }
    let mut receipt = watched.receipt("lease", Some(2000), &[0, 1, 2]);
    receipt.anchor = None;
    assert_eq!(watched.judge(&receipt), Err("not_anchored"));
}

#[test]
fn a_claim_that_says_otherwise_than_the_manifest_is_refused() {
    let watched = Watched::new(WitnessMode::Lease);
    for (freshness, ms) in [
        ("none", None),
        ("strict", Some(0)),
        ("lease", Some(0)),
        ("lease", Some(2001)),
        ("lease", None),
        ("LEASE", Some(2000)),
    ] {
        let receipt = watched.receipt(freshness, ms, &[0, 1, 2]);
        assert_eq!(
            watched.judge(&receipt),
            Err("freshness"),
            "{freshness} {ms:?}"
        );
    }
    let alone = Court::new();
    let mut claims = alone.common();
    claims["freshness"] = "strict".into();
    claims["unwitnessed_ms"] = 0.into();
    let receipt = alone.receipt(&claims.to_string());
    let refused = verify_receipt(&receipt, &alone.trust()).unwrap_err();
    assert_eq!(refused.code(), "freshness");
    assert_eq!(refused.check(), Some(RECEIPT_CHECKS - 1));
}

#[test]
fn without_witnesses_an_anchor_may_be_there_and_must_hold() {
    let court = Court::new();
    let mut receipt = court.receipt(&court.common().to_string());
    receipt.anchor = Some(anchor(&court, &receipt, |_| vec![]));
    let judged = verify_receipt(&receipt, &court.trust()).unwrap();
    assert_eq!(judged.fresh.mode, "none");
    assert_eq!(judged.fresh.anchor.unwrap().ledger, Bench::appliance());
    let read: Receipt = serde_json::from_str(&serde_json::to_string(&receipt).unwrap()).unwrap();
    assert_eq!(read, receipt);
    receipt.anchor.as_mut().unwrap().salt = b64u(&[9; 32]);
    let refused = verify_receipt(&receipt, &court.trust()).unwrap_err();
    assert_eq!(refused.code(), "anchor");
}

#[test]
fn every_altered_field_of_an_anchor_is_refused() {
    let watched = Watched::new(WitnessMode::Strict);
    let good = watched.receipt("strict", Some(0), &[0, 1]);
    watched.judge(&good).unwrap();
    let refuse = |change: &dyn Fn(&mut Anchor)| {
        let mut bent = good.clone();
        change(bent.anchor.as_mut().unwrap());
        assert_ne!(bent, good, "the change changed nothing");
        let judged = verify_receipt(&bent, &watched.court.trust()).map(|judged| judged.document);
        judged.expect_err("a bent anchor was taken").to_string()
    };
    // Every byte of the event, its salt, header and paths.
    let event = from_b64u(&good.anchor.as_ref().unwrap().event).unwrap();
    for at in 0..event.len() {
        let mut bent = event.clone();
        bent[at] ^= 1;
        assert!(refuse(&|a| a.event = b64u(&bent)).contains("another head"));
    }
    let longer = [&event[..], &[0]].concat();
    assert!(refuse(&|a| a.event = b64u(&longer)).contains("another head"));
    // The same head in a longer encoding of its size.
    let mut padded = event.clone();
    padded.splice(18..19, [event[18] | 0x80, 0]);
    assert!(refuse(&|a| a.event = b64u(&padded)).contains("another head"));
    assert!(refuse(&|a| a.event = "!".into()).contains("malformed"));
    assert!(refuse(&|a| a.salt = b64u(&[7; 32])).contains("committed to"));
    assert!(refuse(&|a| a.salt = b64u(&[8; 31])).contains("malformed"));
    for index in [0, 2, 3] {
        assert!(refuse(&|a| a.event_index = index).contains("committed to"));
    }
    // The count is no more than the shape of the path: 3 and 4 have one shape.
    for count in [0, 1, 2, 5, u64::MAX] {
        refuse(&|a| a.event_count = count);
    }
    for at in 0..2 {
        assert!(refuse(&|a| a.event_path[at] = "00".repeat(32)).contains("committed to"));
        assert!(refuse(&|a| a.leaf_path[at] = "00".repeat(32)).contains("not in the tree"));
    }
    refuse(&|a| drop(a.event_path.pop()));
    refuse(&|a| drop(a.leaf_path.pop()));
    refuse(&|a| a.leaf_path.push("00".repeat(32)));
    for at in 0..69 {
        refuse(&|a| {
            let mut header = hex::decode(&a.header).unwrap();
            header[at] ^= 1;
            a.header = hex::encode(header);
        });
    }
    for size in [0, 4, 6] {
        assert!(refuse(&|a| a.tree_size = size).contains("another ledger or size"));
    }
    // Every byte of the checkpoint's text, its signatures and cosignatures included.
    let note = good.anchor.as_ref().unwrap().checkpoint.clone();
    for at in 0..note.len() {
        let mut bytes = note.clone().into_bytes();
        bytes[at] ^= 1;
        if let Ok(bent) = String::from_utf8(bytes) {
            refuse(&|a| a.checkpoint = bent.clone());
        }
    }
}

#[test]
fn an_anchor_of_another_boot_ledger_or_witness_is_refused() {
    let watched = Watched::new(WitnessMode::Strict);
    let good = watched.receipt("strict", Some(0), &[0, 1]);
    // A stranger's key under the appliance's name.
    let stranger = Watched::new(WitnessMode::Strict);
    let mut bent = good.clone();
    bent.anchor = stranger.receipt("strict", Some(0), &[0, 1]).anchor;
    assert_eq!(watched.judge(&bent), Err("anchor"));
    // Genuine notes, but of the tenant's ledger: its own entry records its head.
    let court = &watched.court;
    let mut elsewhere = good.clone();
    let head = crate::ledger::checkpoint::read_unverified(&good.checkpoint).unwrap();
    let event = heads_event(&head);
    let commitment = entry::commit(EventKind::State, &[8; 32], &event);
    let events = entry::events_tree([commitment]);
    let header = Header {
        ledger: Bench::ledger(),
        index: 0,
        epoch: 0,
        term: 1,
        events_root: events.root(),
    };
    let head = Checkpoint {
        ledger: Bench::ledger(),
        size: 1,
        root: header.leaf(),
    };
    let lines: Vec<String> = (0..2)
        .map(|at| cosign(&head, &format!("w{at}.example"), 1, &watched.keys[at]).unwrap())
        .collect();
    elsewhere.anchor = Some(Anchor {
        event: b64u(&event),
        salt: b64u(&[8; 32]),
        event_index: 0,
        event_count: 1,
        event_path: vec![],
        header: hex::encode(header.encode()),
        tree_size: 1,
        leaf_path: vec![],
        checkpoint: court.bench.note(&head) + &lines.concat(),
    });
    assert_eq!(watched.judge(&elsewhere), Err("anchor_ledger"));
    // Cosigned by keys that the manifest does not name.
    let mut unknown = good;
    unknown.anchor = Some(anchor(court, &unknown, |head| {
        let line = |at: usize| cosign(head, &format!("w{at}.example"), 1, &stranger.keys[at]);
        vec![line(0).unwrap(), line(1).unwrap(), line(2).unwrap()]
    }));
    assert_eq!(watched.judge(&unknown), Err("not_cosigned"));
}
