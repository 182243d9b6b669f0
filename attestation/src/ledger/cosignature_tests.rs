use super::*;
use crate::encode::{Digest32, sha256};
use crate::entropy::SystemEntropy;
use crate::ledger::checkpoint::read_unverified;
use proptest::prelude::*;
use redoubt_shared::LedgerId;

const ALGORITHMS: NoteAlgorithms = NoteAlgorithms::NATIVE;

fn head() -> Checkpoint {
    Checkpoint {
        ledger: LedgerId::from_bytes([2; 16]),
        size: 42,
        root: [3; 32],
    }
}

fn witness(name: &str) -> (PeerEntry, Ed25519Signer) {
    let key = Ed25519Signer::generate(&SystemEntropy).unwrap();
    let entry = PeerEntry {
        name: name.into(),
        key: key.jwk().clone(),
        tls_spki_sha256: Digest32([0; 32]),
    };
    (entry, key)
}

#[test]
fn a_cosignature_reads_back_with_its_time() {
    let (witness, key) = witness("w1.example");
    let line = cosign(&head(), &witness.name, 1_679_315_147, &key).unwrap();
    let note = head().note(std::slice::from_ref(&line));
    assert_eq!(
        cosigned_by(&note, std::slice::from_ref(&witness), ALGORITHMS).unwrap(),
        [("w1.example".to_owned(), 1_679_315_147)]
    );
    assert_eq!(
        verify_line(&line, &head(), &witness, ALGORITHMS).unwrap(),
        Some(1_679_315_147)
    );
    assert_eq!(read_unverified(&note).unwrap(), head());
}

#[test]
fn the_line_is_laid_out_as_the_specification_says() {
    let (witness, key) = witness("w1.example");
    let line = cosign(&head(), &witness.name, 7, &key).unwrap();
    let encoded = line
        .strip_prefix("\u{2014} w1.example ")
        .and_then(|rest| rest.strip_suffix('\n'))
        .unwrap();
    let bytes = STANDARD.decode(encoded).unwrap();
    let public = witness.key.as_bytes();
    let id = sha256(&[b"w1.example\n", &[4], public]);
    assert_eq!(bytes.len(), 4 + 8 + 64);
    assert_eq!(bytes[..4], id.0[..4]);
    assert_eq!(bytes[4..12], [0, 0, 0, 0, 0, 0, 0, 7]);
    let signed = format!("cosignature/v1\ntime 7\n{}", head().body());
    let algorithm = ALGORITHMS.ed25519;
    assert!(algorithm(public, signed.as_bytes(), &bytes[12..]));
    let vkey = verifier_key(&witness);
    let mut parts = vkey.splitn(3, '+');
    assert_eq!(parts.next(), Some("w1.example"));
    assert_eq!(parts.next(), Some(&*hex::encode(&id.0[..4])));
    let material = STANDARD.decode(parts.next().unwrap()).unwrap();
    assert_eq!(material, [&[4], &public[..]].concat());
}

#[test]
fn each_witness_counts_once_and_strangers_not_at_all() {
    let ((first, key), (second, other)) = (witness("w1"), witness("w2"));
    let (_, stranger) = witness("w1");
    let lines = [
        cosign(&head(), "w1", 5, &key).unwrap(),
        cosign(&head(), "w1", 9, &key).unwrap(),
        cosign(&head(), "w2", 6, &other).unwrap(),
        // A known name with another key has another key id: a stranger's line.
        cosign(&head(), "w1", 99, &stranger).unwrap(),
        cosign(&head(), "w3", 99, &stranger).unwrap(),
    ];
    let note = head().note(&lines);
    let found = cosigned_by(&note, &[first.clone(), second], ALGORITHMS).unwrap();
    assert_eq!(found, [("w1".to_owned(), 9), ("w2".to_owned(), 6)]);
    assert_eq!(cosigned_by(&note, &[], ALGORITHMS).unwrap(), []);
    assert_eq!(
        verify_line(&lines[4], &head(), &first, ALGORITHMS).unwrap(),
        None
    );
}

#[test]
fn a_cosignature_stands_for_one_head_one_time_and_one_kind() {
    let (witness, key) = witness("w1");
    let line = cosign(&head(), "w1", 5, &key).unwrap();
    let wrong = Err(NoteError::WrongSignature("cosignature"));
    let list = std::slice::from_ref(&witness);
    for (size, root) in [(43, [3; 32]), (42, [4; 32])] {
        let other = Checkpoint {
            size,
            root,
            ..head()
        };
        let note = other.note(std::slice::from_ref(&line));
        assert_eq!(cosigned_by(&note, list, ALGORITHMS), wrong);
    }
    // The same bytes as an ordinary signature of the same key are no cosignature.
    let plain = head().ed25519_line(
        witness.key.as_bytes(),
        &key.sign(head().body().as_bytes()).unwrap(),
    );
    let note = head().note(&[plain]);
    assert_eq!(cosigned_by(&note, list, ALGORITHMS).unwrap(), []);
    // Any bent byte behind the key id refuses the note.
    let encoded = line[7..].trim_end();
    let bytes = STANDARD.decode(encoded).unwrap();
    for at in [4, 11, 12, 75] {
        let mut bent = bytes.clone();
        bent[at] ^= 1;
        let line = format!("\u{2014} w1 {}\n", STANDARD.encode(&bent));
        let note = head().note(&[line]);
        assert_eq!(cosigned_by(&note, list, ALGORITHMS), wrong, "{at}");
    }
    for length in [5, 75, 77] {
        let mut bent = bytes.clone();
        bent.resize(length, 0);
        let line = format!("\u{2014} w1 {}\n", STANDARD.encode(&bent));
        assert_eq!(
            cosigned_by(&head().note(&[line]), list, ALGORITHMS),
            wrong,
            "{length}"
        );
    }
}

#[test]
fn a_time_beyond_63_bits_is_refused() {
    let (witness, key) = witness("w1");
    let line = cosign(&head(), "w1", TIME_MAX + 1, &key).unwrap();
    assert_eq!(
        verify_line(&line, &head(), &witness, ALGORITHMS),
        Err(NoteError::WrongSignature("cosignature"))
    );
}

proptest! {
    #[test]
    fn no_text_makes_the_readers_panic(text in "(\\PC|\n|\u{2014} ){0,200}") {
        let (witness, _) = witness("w1");
        let _ = cosigned_by(&text, std::slice::from_ref(&witness), ALGORITHMS);
        let _ = verify_line(&text, &head(), &witness, ALGORITHMS);
        let _ = read_unverified(&text);
    }
}
