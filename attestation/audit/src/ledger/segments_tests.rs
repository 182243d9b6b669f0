//! Store folders, honest and not, built from the formats alone.

use redoubt_attestation::ledger::{Checkpoint, Header, Tree};
use redoubt_shared::store::StoredRecord;

use super::*;

const A: LedgerId = LedgerId::from_bytes([0xaa; 16]);
const B: LedgerId = LedgerId::from_bytes([0xbb; 16]);

#[derive(serde::Serialize, Clone)]
struct Sealed {
    version: u8,
    #[serde(with = "serde_bytes")]
    header: Vec<u8>,
    drawn: [u8; 32],
    counter: u64,
    root_before: [u8; 32],
    #[serde(with = "serde_bytes")]
    ciphertext: Vec<u8>,
}

/// A log being written, as the enclave and the host would.
#[derive(Clone)]
struct Log {
    trees: BTreeMap<LedgerId, Tree>,
    counters: BTreeMap<[u8; 32], u64>,
    batches: Vec<Vec<StoredRecord>>,
    boot: u8,
    term: u64,
}

impl Log {
    fn new() -> Self {
        Self {
            trees: BTreeMap::new(),
            counters: BTreeMap::new(),
            batches: vec![],
            boot: 1,
            term: 1,
        }
    }

    fn sealed(&mut self, ledger: LedgerId, body: &[u8]) -> Sealed {
        let tree = self.trees.entry(ledger).or_default();
        let header = Header {
            ledger,
            index: tree.size(),
            epoch: 0,
            term: self.term,
            events_root: [tree.size() as u8; 32],
        };
        let mut drawn = [self.boot; 32];
        drawn[0] = ledger.as_bytes()[0];
        let counter = self.counters.entry(drawn).or_default();
        let sealed = Sealed {
            version: 2,
            header: header.encode().to_vec(),
            drawn,
            counter: *counter,
            root_before: tree.root(),
            ciphertext: body.to_vec(),
        };
        *counter += 1;
        tree.push(header.leaf());
        sealed
    }

    fn batch(&mut self, ledgers: &[LedgerId]) {
        let records = ledgers.iter().map(|ledger| {
            let index = self.trees.get(ledger).map_or(0, Tree::size);
            let sealed = self.sealed(*ledger, b"sealed body");
            stored(*ledger, index, &sealed)
        });
        let records = records.collect();
        self.batches.push(records);
    }

    fn head(&self, ledger: LedgerId, size: u64) -> Checkpoint {
        Checkpoint {
            ledger,
            size,
            root: self.trees[&ledger].root_at(size).unwrap(),
        }
    }

    /// Writes it, `per` batches to a segment, from batch `from` on.
    fn write(&self, folder: &Path, per: usize, from: usize) {
        for (at, chunk) in self.batches.chunks(per).enumerate() {
            if at * per < from {
                continue;
            }
            let mut bytes = header_of(at as u64, (at * per) as u64);
            for (within, records) in chunk.iter().enumerate() {
                bytes.extend(batch_of((at * per + within) as u64, records));
            }
            std::fs::write(folder.join(format!("{at:010}.segment")), bytes).unwrap();
        }
    }
}

fn stored(ledger: LedgerId, index: u64, sealed: &Sealed) -> StoredRecord {
    StoredRecord {
        ledger,
        index,
        bytes: postcard::to_stdvec(sealed).unwrap(),
    }
}

fn with_crc(mut bytes: Vec<u8>) -> Vec<u8> {
    let crc = crc32c::crc32c(&bytes);
    bytes.extend(crc.to_be_bytes());
    bytes
}

fn header_of(number: u64, sequence: u64) -> Vec<u8> {
    let mut bytes = b"RDBTSEG\0".to_vec();
    bytes.extend(1u32.to_be_bytes());
    bytes.extend(number.to_be_bytes());
    bytes.extend(sequence.to_be_bytes());
    with_crc(bytes)
}

fn batch_of(sequence: u64, records: &[StoredRecord]) -> Vec<u8> {
    let mut payload = sequence.to_be_bytes().to_vec();
    payload.extend(postcard::to_stdvec(records).unwrap());
    let length = (payload.len() as u32).to_be_bytes();
    let crc = crc32c::crc32c(&[&length[..], &payload].concat());
    [&length[..], &crc.to_be_bytes(), &payload].concat()
}

fn run(folder: &Path, heads: Heads) -> (Option<Folder>, Result<(), &'static str>) {
    let code = |error: LedgerError| match error {
        LedgerError::Found(finding) => finding.code,
        LedgerError::Io(text) => panic!("{text}"),
    };
    match verify_folder(folder, heads, false) {
        Ok((folder, verdict)) => (Some(folder), verdict.map_err(code)),
        Err(error) => (None, Err(code(error))),
    }
}

fn verdict(log: &Log) -> Result<(), &'static str> {
    let folder = tempfile::tempdir().unwrap();
    log.write(folder.path(), 3, 0);
    run(folder.path(), Heads::default()).1
}

/// Two ledgers, two boots, eight batches.
fn honest() -> Log {
    let mut log = Log::new();
    for at in 0..8 {
        if at == 4 {
            (log.boot, log.term) = (2, 2);
        }
        log.batch(if at % 2 == 0 { &[A, B] } else { &[B] });
    }
    log
}

fn note(name: &str, head: &Checkpoint) -> Heads {
    let mut heads = Heads::default();
    let line = head.ed25519_line(&[1; 32], &[2; 64]);
    heads.add(name, &head.note(&[line])).unwrap();
    heads
}

#[test]
fn an_honest_log_is_whole_and_its_roots_are_told() {
    let log = honest();
    let folder = tempfile::tempdir().unwrap();
    log.write(folder.path(), 3, 0);
    let (found, verdict) = run(folder.path(), Heads::default());
    assert_eq!(verdict, Ok(()));
    let found = found.unwrap();
    assert_eq!((found.facts.segments, found.facts.batches), (3, 8));
    assert_eq!(found.facts.torn_tail, None);
    assert_eq!(found.history.records(), 12);
    let [a, b] = &found.history.facts()[..] else {
        panic!("two ledgers");
    };
    assert_eq!((a.ledger.as_str(), a.size), ("aa".repeat(16).as_str(), 4));
    assert_eq!(b.root, Some(hex::encode(log.trees[&B].root())));
    assert_eq!((b.first_term, b.last_term, b.first), (1, 2, 0));
    let bytes: u64 = (0..3)
        .map(|at| folder.path().join(format!("{at:010}.segment")))
        .map(|path| path.metadata().unwrap().len())
        .sum();
    assert_eq!(found.progress.bytes(), bytes);
}

#[test]
fn each_lie_is_found_under_its_own_name() {
    let lie = |change: &dyn Fn(&mut Log)| {
        let mut log = honest();
        change(&mut log);
        verdict(&log)
    };
    assert_eq!(lie(&|_| {}), Ok(()));
    // A record left out, moved to another ledger, or to another place.
    assert_eq!(lie(&|log| drop(log.batches[5].pop())), Err("gap"));
    assert_eq!(lie(&|log| log.batches.swap(1, 3)), Err("gap"));
    assert_eq!(lie(&|log| log.batches[5][0].ledger = A), Err("misplaced"));
    assert_eq!(lie(&|log| log.batches[5][0].index += 1), Err("misplaced"));
    // One written twice: at its own place, its counter was there before.
    let twice = |log: &mut Log| {
        let again = log.batches[5].clone();
        log.batches[6] = again;
    };
    assert_eq!(lie(&twice), Err("nonce_reused"));
    assert_eq!(
        lie(&|log| log.batches[2][0].bytes.push(0)),
        Err("malformed")
    );
    assert_eq!(lie(&|log| log.batches[2][0].bytes[0] = 1), Err("malformed"));
}

#[test]
fn a_past_that_does_not_lead_here_is_found() {
    let forge = |change: &dyn Fn(&mut Sealed)| {
        let mut log = honest();
        let mut sealed = log.sealed(A, b"forged");
        change(&mut sealed);
        log.batches.push(vec![stored(A, 4, &sealed)]);
        verdict(&log)
    };
    assert_eq!(forge(&|_| {}), Ok(()));
    assert_eq!(
        forge(&|sealed| sealed.root_before[3] ^= 1),
        Err("other_root")
    );
    assert_eq!(forge(&|sealed| sealed.counter -= 1), Err("nonce_reused"));
    // Term 1 after term 2, epoch 9 then 0.
    assert_eq!(forge(&|sealed| sealed.header[36] = 1), Err("went_back"));
    let mut log = honest();
    let mut first = log.sealed(A, b"");
    first.header[28] = 9;
    log.batches.push(vec![stored(A, 4, &first)]);
    let mut tree = Tree::from_leaves((0..4).map(|at| log.trees[&A].leaf(at).unwrap()));
    tree.push(Header::decode(&first.header).unwrap().leaf());
    log.trees.insert(A, tree);
    let second = log.sealed(A, b"");
    log.batches.push(vec![stored(A, 5, &second)]);
    assert_eq!(verdict(&log), Err("went_back"));
    // The events of an entry exchanged under a whole checksum: the next one tells.
    let mut log = honest();
    let bytes = &mut log.batches[2][1].bytes;
    bytes[40] ^= 1;
    assert_eq!(verdict(&log), Err("other_root"));
}

#[test]
fn heads_kept_elsewhere_must_be_heads_of_this_history() {
    let log = honest();
    let folder = tempfile::tempdir().unwrap();
    log.write(folder.path(), 3, 0);
    for size in 0..=8 {
        let heads = note("kept", &log.head(B, size));
        let (found, verdict) = run(folder.path(), heads);
        assert_eq!(verdict, Ok(()), "{size}");
        assert_eq!(found.unwrap().history.heads.list().len(), 1);
    }
    let other = Checkpoint {
        root: [7; 32],
        ..log.head(B, 5)
    };
    assert_eq!(
        run(folder.path(), note("kept", &other)).1,
        Err("other_history")
    );
    let beyond = Checkpoint {
        size: 9,
        ..log.head(B, 8)
    };
    let short = Err("shorter_than_checkpoint");
    assert_eq!(run(folder.path(), note("kept", &beyond)).1, short);
    let elsewhere = Checkpoint {
        ledger: LedgerId::from_bytes([1; 16]),
        ..log.head(B, 8)
    };
    assert_eq!(run(folder.path(), note("kept", &elsewhere)).1, short);
}

#[test]
fn every_flipped_bit_is_found_or_only_tears_the_tail() {
    let log = honest();
    let folder = tempfile::tempdir().unwrap();
    log.write(folder.path(), 3, 0);
    let whole = log.trees[&B].root();
    for number in 0..3 {
        let path = folder.path().join(format!("{number:010}.segment"));
        let good = std::fs::read(&path).unwrap();
        for at in (0..good.len()).step_by(7) {
            let mut bent = good.clone();
            bent[at] ^= 1 << (at % 8);
            std::fs::write(&path, &bent).unwrap();
            let (found, verdict) = run(folder.path(), Heads::default());
            if verdict.is_ok() {
                let facts = found.unwrap().facts;
                assert!(number == 2 && facts.torn_tail.is_some(), "{number} {at}");
                // And whoever kept the head learns that something is missing.
                let kept = Checkpoint {
                    ledger: B,
                    size: 8,
                    root: whole,
                };
                let told = run(folder.path(), note("kept", &kept)).1;
                assert_eq!(told, Err("shorter_than_checkpoint"));
            }
        }
        std::fs::write(&path, &good).unwrap();
    }
}

#[test]
fn a_torn_tail_is_told_and_no_error_and_a_missing_segment_is_one() {
    let log = honest();
    let folder = tempfile::tempdir().unwrap();
    log.write(folder.path(), 3, 0);
    let last = folder.path().join("0000000002.segment");
    let good = std::fs::read(&last).unwrap();
    let batch = batch_of(7, &log.batches[7]);
    for cut in 1..batch.len() {
        std::fs::write(&last, &good[..good.len() - cut]).unwrap();
        let (found, verdict) = run(folder.path(), Heads::default());
        assert_eq!(verdict, Ok(()));
        let tail = found.unwrap().facts.torn_tail.unwrap();
        assert_eq!(tail.segment, 2);
        assert_eq!(tail.bytes as usize, batch.len() - cut);
        assert_eq!(tail.offset as usize, good.len() - batch.len());
    }
    // A creation that was interrupted.
    std::fs::write(&last, &good[..31]).unwrap();
    let (found, verdict) = run(folder.path(), Heads::default());
    assert_eq!(verdict, Ok(()));
    assert_eq!(found.unwrap().facts.torn_tail.unwrap().bytes, 31);
    // The same cut where a segment follows is damage.
    std::fs::write(&last, &good).unwrap();
    let middle = folder.path().join("0000000001.segment");
    let bytes = std::fs::read(&middle).unwrap();
    std::fs::write(&middle, &bytes[..bytes.len() - 1]).unwrap();
    assert_eq!(run(folder.path(), Heads::default()).1, Err("batch_damaged"));
    std::fs::remove_file(&middle).unwrap();
    let gone = run(folder.path(), Heads::default()).1;
    assert_eq!(gone, Err("segment_missing"));
}

#[test]
fn after_dropping_the_history_begins_where_the_base_says() {
    let log = honest();
    let folder = tempfile::tempdir().unwrap();
    log.write(folder.path(), 3, 3);
    assert_eq!(
        run(folder.path(), Heads::default()).1,
        Err("segment_missing")
    );
    // Three batches hold two records of A and three of B.
    let mut base = b"RDBTBAS\0".to_vec();
    base.extend(1u32.to_be_bytes());
    base.extend(1u64.to_be_bytes());
    base.extend(3u64.to_be_bytes());
    base.extend(500u64.to_be_bytes());
    base.extend(2u32.to_be_bytes());
    for (ledger, count) in [(A, 2u64), (B, 3)] {
        base.extend(ledger.as_bytes());
        base.extend(count.to_be_bytes());
    }
    let put = |bytes: &[u8]| std::fs::write(folder.path().join("base"), bytes).unwrap();
    put(&with_crc(base.clone()));
    let (found, verdict) = run(folder.path(), Heads::default());
    assert_eq!(verdict, Ok(()));
    let found = found.unwrap();
    assert_eq!(found.facts.base.unwrap().sequence, 3);
    let [a, b] = &found.history.facts()[..] else {
        panic!("two ledgers");
    };
    // Two dropped entries are one subtree, so its root is enough; three are not.
    assert_eq!((a.first, a.size), (2, 4));
    assert_eq!(a.root_given, Some(hex::encode(log.head(A, 2).root)));
    assert_eq!(a.root, Some(hex::encode(log.trees[&A].root())));
    assert_eq!((b.first, b.size, &b.root), (3, 8, &None));
    assert_eq!(b.root_given, Some(hex::encode(log.head(B, 3).root)));
    // A head from before is not confirmed by what is left, nor one behind the gap.
    assert_eq!(run(folder.path(), note("a", &log.head(A, 3))).1, Ok(()));
    assert_eq!(run(folder.path(), note("b", &log.head(B, 3))).1, Ok(()));
    for head in [log.head(A, 1), log.head(B, 7)] {
        let told = run(folder.path(), note("kept", &head)).1;
        assert_eq!(told, Err("checkpoint_not_covered"));
    }
    // Another beginning, or a damaged file.
    let mut other = base.clone();
    other[63] = 1;
    put(&with_crc(other));
    assert_eq!(run(folder.path(), Heads::default()).1, Err("gap"));
    let mut damaged = with_crc(base);
    damaged[20] ^= 1;
    put(&damaged);
    assert_eq!(run(folder.path(), Heads::default()).1, Err("base_damaged"));
}
