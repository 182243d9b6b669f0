//! Attestation documents: malformed, misissued, bent, late, and recorded ones.

use std::path::Path;

use super::Second;
use crate::artefact::tests::court::Court;
use crate::binding::{NonceInput, Purpose};
use crate::document::tests::{chains, parsing};
use crate::document::{Time, VendorRoot, verify};
use crate::genesis::RootKind;
use crate::testkit::{Bench, Unsigned};

fn first(bytes: &[u8], root: &VendorRoot, at: Time) -> &'static str {
    verify(bytes, root, at).map_or_else(|refusal| refusal.code(), |_| "accepted")
}

#[test]
fn malformed_documents_are_refused_under_the_same_names() {
    let Some(second) = Second::find("malformed_documents_are_refused_under_the_same_names") else {
        return;
    };
    let cases = parsing::recorded();
    let bytes: Vec<Vec<u8>> = cases.iter().map(|(bytes, _)| bytes.clone()).collect();
    let kind = ("--kind", Path::new("document"));
    let verdicts = second.verdicts(&bytes, &[kind]);
    for (at, (theirs, (bytes, expected))) in verdicts.iter().zip(&cases).enumerate() {
        let ours = first(bytes, &VendorRoot::aws_nitro(), Time::OfDocument);
        assert_eq!((theirs.as_str(), ours), (*expected, *expected), "case {at}");
    }
}

#[test]
fn certification_paths_get_the_same_verdicts() {
    let Some(second) = Second::find("certification_paths_get_the_same_verdicts") else {
        return;
    };
    for (at, (bytes, root, expected)) in chains::recorded().into_iter().enumerate() {
        let root = second.root(&root);
        let verdicts = second.verdicts(&[bytes], &[("--root", &root)]);
        assert_eq!(verdicts, [expected], "case {at}");
    }
}

#[test]
fn a_flipped_bit_anywhere_is_refused_by_both() {
    let Some(second) = Second::find("a_flipped_bit_anywhere_is_refused_by_both") else {
        return;
    };
    let court = Court::new();
    let good = court.evidence.0.clone();
    let pin = VendorRoot::from_pem(RootKind::NitroEmulated, &court.bench.root.0).unwrap();
    let root = second.put("root.pem", court.bench.root.0.as_bytes());
    let bent = (0..good.len()).step_by(3).map(|at| {
        let mut bent = good.clone();
        bent[at] ^= 1 << (at % 8);
        bent
    });
    let documents: Vec<Vec<u8>> = std::iter::once(good.clone()).chain(bent).collect();
    let verdicts = second.verdicts(&documents, &[("--root", &root)]);
    assert_eq!(verdicts[0], "accepted");
    for (bytes, theirs) in documents.iter().zip(&verdicts).skip(1) {
        assert_ne!(theirs, "accepted");
        assert_ne!(first(bytes, &pin, Time::OfDocument), "accepted");
    }
    // Half a day later, and a day before.
    let made = verify(&good, &pin, Time::OfDocument).unwrap().document;
    for (shift, expected) in [
        (43_200, "certificate_expired"),
        (-86_400, "certificate_not_yet_valid"),
    ] {
        let seconds = (made.timestamp_ms / 1000).saturating_add_signed(shift);
        assert_eq!(first(&good, &pin, Time::At(seconds * 1000)), expected);
        let at = seconds.to_string();
        let options = [("--root", root.as_path()), ("--at", Path::new(&at))];
        assert_eq!(second.verdicts(&documents[..1], &options), [expected]);
    }
}

#[test]
fn documents_that_nobody_signed_get_the_same_verdicts() {
    let Some(second) = Second::find("documents_that_nobody_signed_get_the_same_verdicts") else {
        return;
    };
    let bench = Bench::naming_unsigned(false);
    let court = Court::of(bench);
    let binding = court.bench.binding(Purpose::Serve);
    let (good, _) = court.bench.unsigned(&binding, NonceInput::NoSession);
    let bent = |change: &dyn Fn(&mut Unsigned)| {
        let mut document = good.clone();
        change(&mut document);
        document.document()
    };
    let documents = [
        bent(&|_| ()),
        bent(&|d| d.signature = vec![]),
        bent(&|d| d.signature[63] = 1),
        bent(&|d| d.certificate = vec![0; 65]),
        bent(&|d| d.certificate.clear()),
        bent(&|d| d.cabundle = vec![vec![0; 64]; 2]),
        bent(&|d| d.cabundle.clear()),
        bent(&|d| drop(d.pcrs.0.insert(3, vec![0; 32]))),
        bent(&|d| d.pcrs.0.clear()),
        bent(&|d| d.protected = vec![0xa1, 0x01, 0x38, 0x22]),
        bent(&|d| d.protected = vec![0xa1, 0x01, 0x21]),
        bent(&|d| d.protected = vec![0xa0]),
        bent(&|d| d.said.nonce = Some(vec![0; 1025])),
        [&good.document()[..], &[0]].concat(),
        court.evidence.0.clone(),
    ];
    let policy = second.policy(&court);
    let theirs = second.verdicts(&documents, &[("--policy", &policy)]);
    for (at, (bytes, theirs)) in documents.iter().zip(&theirs).enumerate() {
        let ours = first(bytes, &VendorRoot::unsigned(), Time::OfDocument);
        assert_eq!(ours, theirs, "case {at}");
    }
    assert_eq!(theirs.iter().filter(|code| *code == "accepted").count(), 1);
    let file = second.put("good", &documents[0]);
    let report = &second.reports(&[file], &[("--policy", &policy)])[0];
    assert_eq!(report["signed"], false);
    let said = report["unverified"][0].as_str().unwrap();
    assert!(said.starts_with("NOBODY SIGNED"), "{said}");
    // Where a signature is due it is refused for what it is.
    let theirs = second.verdicts(&documents[..1], &[]);
    assert_eq!(theirs, ["unsigned"]);
}

#[test]
fn recorded_documents_get_the_same_verdicts() {
    let Some(second) = Second::find("recorded_documents_get_the_same_verdicts") else {
        return;
    };
    let Ok(vectors) = std::env::var("REDOUBT_VECTORS") else {
        println!("skipped: recorded_documents_get_the_same_verdicts: REDOUBT_VECTORS is not set");
        return;
    };
    let mut files = Vec::new();
    for folder in ["nitro", "nitro/negative"] {
        let entries = std::fs::read_dir(Path::new(&vectors).join(folder)).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        files.extend(paths.filter(|path| path.extension().is_some_and(|e| e == "cose")));
    }
    assert!(files.len() >= 11);
    let late = "2032-01-01T00:00:00Z";
    let late_ms = 1_956_528_000_000;
    for (at, options) in [
        (Time::OfDocument, vec![]),
        (Time::At(late_ms), vec![("--at", Path::new(late))]),
    ] {
        let reports = second.reports(&files, &options);
        for (file, report) in files.iter().zip(&reports) {
            let ours = first(&std::fs::read(file).unwrap(), &VendorRoot::aws_nitro(), at);
            let theirs = report["code"].as_str().unwrap_or("accepted");
            assert_eq!(ours, theirs, "{}", file.display());
        }
    }
}
