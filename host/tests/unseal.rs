//! `redoubt unseal` against an enclave that attests, and against others.

mod enclave;

use std::path::{Path, PathBuf};
use std::process::Command;

use enclave::{Enclave, Script};
use redoubt_attestation::binding::Head;
use redoubt_attestation::encode::Digest32;
use redoubt_attestation::shares::OfficersSecret;
use serde_json::{Value, json};

struct Ceremony {
    folder: tempfile::TempDir,
}

impl Ceremony {
    fn new(threshold: &str, officers: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ceremony = Self { folder };
        let program = ceremony.path("enclave");
        std::fs::write(&program, b"the enclave").unwrap();
        let out = ceremony.path("genesis");
        run(&[
            "genesis",
            "init",
            "--name",
            "test",
            "--emulated",
            "--officers",
            officers,
            "--threshold",
            threshold,
            "--out",
            text(&out),
            "--enclave-bin",
            text(&program),
        ])
        .unwrap();
        let genesis = ceremony.path("genesis/genesis.json");
        let dev = ceremony.path("dev");
        run(&[
            "dev-credentials",
            "--out",
            text(&dev),
            "--genesis",
            text(&genesis),
        ])
        .unwrap();
        let (plain, signed) = (dev.join("config.plain.json"), ceremony.path("config.json"));
        let mut sign = vec![
            "config",
            "sign",
            "--genesis",
            text(&genesis),
            "--config",
            text(&plain),
        ];
        let keys: Vec<PathBuf> = (1..=officers.parse().unwrap())
            .map(|n: u8| ceremony.path(&format!("genesis/officer-{n}.key.pem")))
            .collect();
        for key in &keys {
            sign.extend(["--officer-key", text(key)]);
        }
        sign.extend(["--out", text(&signed)]);
        run(&sign).unwrap();
        ceremony
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn enclave(&self, script: Script) -> Enclave {
        Enclave::start(&self.path("genesis"), &self.path("config.json"), script)
    }

    fn unseal(&self, enclave: &Enclave, officer: u8, more: &[&str]) -> Result<Value, String> {
        let policy = self.path("genesis/policy.json");
        let share = self.path(&format!("genesis/officer-{officer}.share.json"));
        let url = enclave.url();
        let args = [
            "unseal",
            &url,
            "--policy",
            text(&policy),
            "--share",
            text(&share),
            "--wait",
            "3",
        ];
        run(&[&args, more].concat())
    }

    fn memory(&self, officer: u8) -> PathBuf {
        self.path(&format!("genesis/officer-{officer}.memory.json"))
    }

    fn remember(&self, officer: u8, head: Head) {
        let memory = json!({ "head": head });
        std::fs::write(self.memory(officer), memory.to_string()).unwrap();
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn run(args: &[&str]) -> Result<Value, String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_redoubt"));
    let output = command.args(args).arg("--json").output().unwrap();
    let json: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    match output.status.code() {
        Some(0) => Ok(json),
        Some(1) => Err(json["error"].as_str().unwrap_or("no").to_owned()),
        other => panic!("{args:?}: {other:?}: {output:?}"),
    }
}

fn head(size: u64, root: u8) -> Head {
    let root = Digest32([root; 32]);
    Head { size, root }
}

#[test]
fn a_share_reaches_the_attested_enclave_and_its_head_is_remembered() {
    let ceremony = Ceremony::new("1", "1");
    let enclave = ceremony.enclave(Script::default());
    let answer = ceremony.unseal(&enclave, 1, &[]).unwrap();
    assert_eq!(answer["phase"], "serving");
    assert_eq!(answer["head"]["size"], 3);
    let memory: Value =
        serde_json::from_slice(&std::fs::read(ceremony.memory(1)).unwrap()).unwrap();
    assert_eq!(memory["head"], json!(head(3, 1)));

    let policy = ceremony.path("genesis/policy.json");
    let url = enclave.url();
    let status = run(&["status", &url, "--policy", text(&policy)]).unwrap();
    assert_eq!(
        (&status["verified"], &status["phase"]),
        (&json!(true), &json!("serving"))
    );
    let opened = enclave.shares();
    assert_eq!(opened[0].aad.head, None, "nothing was remembered yet");
    let commitment = enclave.secret_commitment();
    OfficersSecret::combine(&[opened.into_iter().next().unwrap().share], &commitment).unwrap();
}

#[test]
fn what_an_officer_remembers_goes_with_the_share() {
    let ceremony = Ceremony::new("1", "1");
    ceremony.remember(1, head(2, 9));
    let enclave = ceremony.enclave(Script::default());
    ceremony.unseal(&enclave, 1, &[]).unwrap();
    assert_eq!(enclave.shares()[0].aad.head, Some(head(2, 9)));
}

#[test]
fn a_lower_head_is_refused_and_not_remembered() {
    let ceremony = Ceremony::new("1", "1");
    ceremony.remember(1, head(8, 4));
    let before = std::fs::read(ceremony.memory(1)).unwrap();
    let enclave = ceremony.enclave(Script::default());
    let error = ceremony.unseal(&enclave, 1, &[]).unwrap_err();
    assert!(error.contains("rolled back"), "{error}");
    assert_eq!(std::fs::read(ceremony.memory(1)).unwrap(), before);
}

#[test]
fn two_officers_unseal_together_and_may_agree_on_the_higher_memory() {
    let ceremony = Ceremony::new("2", "2");
    ceremony.remember(2, head(2, 9));
    let enclave = ceremony.enclave(Script {
        needed: 2,
        ..Script::default()
    });
    let other = ceremony.memory(2);
    let first = ceremony
        .unseal(&enclave, 1, &["--agree", text(&other)])
        .unwrap();
    assert_eq!(
        (&first["received"], &first["needed"]),
        (&json!(1), &json!(2))
    );
    assert!(
        !ceremony.memory(1).exists(),
        "nothing was proven to this officer yet"
    );
    let second = ceremony.unseal(&enclave, 2, &[]).unwrap();
    assert_eq!(second["phase"], "serving");
    let heads: Vec<_> = enclave
        .shares()
        .iter()
        .map(|opened| opened.aad.head)
        .collect();
    assert_eq!(heads, [Some(head(2, 9)); 2]);
    // The other way round: an officer never names less than their own memory.
    let less = ceremony.path("less.json");
    std::fs::write(&less, json!({ "head": head(1, 1) }).to_string()).unwrap();
    let error = ceremony
        .unseal(&enclave, 2, &["--agree", text(&less)])
        .unwrap_err();
    assert!(error.contains("rolled back"), "{error}");
}

#[test]
fn no_share_goes_to_another_program_another_genesis_or_an_old_proof() {
    let ceremony = Ceremony::new("1", "1");
    let changed = ceremony.enclave(Script {
        program: b"not the enclave",
        ..Script::default()
    });
    let error = ceremony.unseal(&changed, 1, &[]).unwrap_err();
    assert!(error.contains("no measurement"), "{error}");
    assert!(changed.shares().is_empty());

    let stranger = Ceremony::new("1", "1");
    let theirs = stranger.enclave(Script::default());
    let error = ceremony.unseal(&theirs, 1, &[]).unwrap_err();
    assert!(
        error.contains("root") || error.contains("genesis"),
        "{error}"
    );
    assert!(theirs.shares().is_empty());

    let replaying = ceremony.enclave(Script {
        fixed_nonce: true,
        ..Script::default()
    });
    let error = ceremony.unseal(&replaying, 1, &[]).unwrap_err();
    assert!(error.contains("relayed or replayed"), "{error}");
    assert!(replaying.shares().is_empty());

    let wrong_purpose = ceremony.enclave(Script {
        always_serve: true,
        ..Script::default()
    });
    let error = ceremony.unseal(&wrong_purpose, 1, &[]).unwrap_err();
    assert!(error.contains("not for unseal"), "{error}");
    assert!(wrong_purpose.shares().is_empty());
}

#[test]
fn another_ceremonys_share_is_refused_before_anything_is_sent() {
    let (ceremony, other) = (Ceremony::new("1", "1"), Ceremony::new("1", "1"));
    let enclave = ceremony.enclave(Script::default());
    let share = other.path("genesis/officer-1.share.json");
    let policy = ceremony.path("genesis/policy.json");
    let args = [
        "unseal",
        &enclave.url(),
        "--policy",
        text(&policy),
        "--share",
        text(&share),
    ];
    let error = run(&args).unwrap_err();
    assert!(error.contains("another genesis"), "{error}");
    assert_eq!(enclave.connections(), 0);
}

#[test]
fn an_enclave_that_halts_over_its_history_is_told() {
    let ceremony = Ceremony::new("1", "1");
    let enclave = ceremony.enclave(Script {
        halts: true,
        ..Script::default()
    });
    let error = ceremony.unseal(&enclave, 1, &[]).unwrap_err();
    assert!(error.contains("halted"), "{error}");
}

#[test]
fn status_brings_a_memory_up_to_date_and_refuses_a_lower_or_another_head() {
    let ceremony = Ceremony::new("1", "1");
    let serving = ceremony.enclave(Script {
        unsealed: true,
        ..Script::default()
    });
    let (url, policy) = (serving.url(), ceremony.path("genesis/policy.json"));
    let memory = ceremony.memory(1);
    let status = |url: &str| {
        let args = ["status", url, "--policy", text(&policy)];
        run(&[&args[..], &["--memory", text(&memory)]].concat())
    };
    let read = || serde_json::from_slice::<Value>(&std::fs::read(&memory).unwrap()).unwrap();
    // The enclave shows three entries.
    ceremony.remember(1, head(2, 9));
    assert_eq!(status(&url).unwrap()["phase"], "serving");
    assert_eq!(read()["head"], json!(head(3, 1)));
    for (remembered, why) in [(head(4, 1), "rolled back"), (head(3, 2), "forked")] {
        ceremony.remember(1, remembered);
        let error = status(&url).unwrap_err();
        assert!(error.contains(why), "{error}");
        assert_eq!(read()["head"], json!(remembered), "nothing is forgotten");
    }
    // Before unsealing there is no head: nothing to learn, and nobody is accused.
    let sealed = ceremony.enclave(Script::default());
    assert_eq!(status(&sealed.url()).unwrap_err(), "no");
    assert_eq!(read()["head"], json!(head(3, 2)));
}
