//! A ceremony with somebody at the terminal.

use std::collections::VecDeque;
use std::path::Path;

use anyhow::bail;
use redoubt_attestation::entropy::SystemEntropy;
use redoubt_attestation::genesis::{Genesis, SignedFile};
use redoubt_attestation::sign::Es256Signer;

use super::hold;
use crate::cli::ask::Person;

/// Answers questions by their beginnings, and hangs up where told to.
#[derive(Default)]
struct Scripted {
    answers: VecDeque<(&'static str, String)>,
    hangs_up_at: Option<&'static str>,
    heard: String,
}

impl Person for Scripted {
    fn answer(&mut self, question: &str) -> anyhow::Result<Option<String>> {
        self.heard += &format!("{question}\n");
        if self.hangs_up_at.is_some_and(|at| question.starts_with(at)) {
            bail!("the terminal was closed");
        }
        let next = self.answers.front();
        let answer = match next.is_some_and(|(at, _)| question.starts_with(at)) {
            true => self.answers.pop_front().map(|(_, answer)| answer),
            false => Some(String::new()),
        };
        Ok(answer)
    }

    fn tell(&mut self, text: &str) {
        self.heard += &format!("{text}\n");
    }
}

/// Everything else is left at what is offered.
fn person(dir: &Path, key: &Path) -> Scripted {
    let enclave = dir.join("enclave");
    std::fs::write(&enclave, b"the enclave").unwrap();
    let answers = [
        ("The appliance's name", "test".to_owned()),
        ("hardware, emulated", "real".to_owned()),
        ("hardware, emulated", "emulated".to_owned()),
        ("The enclave's program", enclave.display().to_string()),
        ("How many officers", "2".to_owned()),
        ("How many of them unseal", "3".to_owned()),
        ("How many of them unseal", "2".to_owned()),
        ("Name of officer-2", "Grace".to_owned()),
        ("Key of officer-2", key.display().to_string()),
        ("Is all of it right?", "yes".to_owned()),
    ];
    Scripted {
        answers: answers.into(),
        ..Scripted::default()
    }
}

fn new_key(path: &Path) {
    let key = Es256Signer::generate(&SystemEntropy).unwrap();
    std::fs::write(path, key.expose_pkcs8_pem().unwrap().as_bytes()).unwrap();
}

#[test]
fn somebody_who_answers_wrongly_is_asked_again_and_shown_what_is_signed() {
    let folder = tempfile::tempdir().unwrap();
    let (out, key) = (folder.path().join("out"), folder.path().join("key.pem"));
    new_key(&key);
    let mut person = person(folder.path(), &key);
    hold(&out, None, &mut person).unwrap();
    assert_eq!(person.answers, [], "every answer was asked for");
    for said in [
        "write hardware, emulated",
        "write 1 to 2",
        "Grace",
        "Enter signs it",
    ] {
        assert!(person.heard.contains(said), "{said}: {}", person.heard);
    }
    let genesis = Genesis::verify(&std::fs::read(out.join("genesis.json")).unwrap()).unwrap();
    let shown = person.heard.replace(' ', "");
    assert!(shown.contains(&genesis.digest.to_string()));
}

#[test]
fn whoever_says_no_signs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (out, key) = (folder.path().join("out"), folder.path().join("key.pem"));
    new_key(&key);
    let mut person = person(folder.path(), &key);
    person.answers.back_mut().unwrap().1 = "no".into();
    let error = hold(&out, None, &mut person).err().unwrap();
    assert!(error.to_string().contains("before anything was signed"));
    let draft = folder.path().join("out.draft");
    assert!(!out.exists() && !draft.join("officer-1.share.json").exists());
}

#[test]
fn between_two_signatures_nothing_is_lost_and_no_key_is_changed() {
    let folder = tempfile::tempdir().unwrap();
    let (out, key) = (folder.path().join("out"), folder.path().join("key.pem"));
    new_key(&key);
    let first = std::fs::read(&key).unwrap();
    let mut leaving = person(folder.path(), &key);
    leaving.hangs_up_at = Some("officer-2: the manifest's digest");
    assert!(hold(&out, None, &mut leaving).is_err());
    let kept = folder
        .path()
        .join("out.draft/.ceremony/manifest.signed.json");
    let kept = SignedFile::parse(&std::fs::read(kept).unwrap()).unwrap();
    assert_eq!(kept.signers().collect::<Vec<_>>(), ["officer-1"]);
    let share = std::fs::read(folder.path().join("out.draft/officer-2.share.json")).unwrap();

    new_key(&key);
    let error = hold(&out, None, &mut Scripted::default()).err().unwrap();
    assert!(
        error
            .to_string()
            .contains("another key than at the beginning"),
        "{error:#}"
    );
    std::fs::write(&key, first).unwrap();
    let mut back = Scripted::default();
    hold(&out, None, &mut back).unwrap();
    assert!(back.heard.contains("going on") && !back.heard.contains("officer-1: the manifest"));
    let genesis = Genesis::verify(&std::fs::read(out.join("genesis.json")).unwrap()).unwrap();
    assert_eq!(genesis.digest, kept.digest().unwrap());
    assert_eq!(
        std::fs::read(out.join("officer-2.share.json")).unwrap(),
        share
    );
    let page = std::fs::read_to_string(out.join("record.html")).unwrap();
    assert!(page.contains(">Grace<"));
}
