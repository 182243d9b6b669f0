//! Officers whose keys are in PKCS#11 tokens: SoftHSM2, a token without hardware.

mod ceremony_setup;

use std::path::{Path, PathBuf};
use std::process::Command;

use ceremony_setup::{Room, answer};
use redoubt_attestation::appraise::AppraisalPolicy;
use redoubt_attestation::genesis::{Config, Genesis};
use serde_json::{Value, json};

const PIN: &str = "48151623";

/// A room with tokens in it.
struct Tokens {
    room: Room,
    softhsm: PathBuf,
}

impl Tokens {
    /// `None` where there is no SoftHSM2: the test is skipped by name.
    fn new(test: &str) -> Option<Self> {
        let softhsm = std::env::var_os("REDOUBT_SOFTHSM").filter(|folder| !folder.is_empty());
        let Some(softhsm) = softhsm else {
            println!("skipped: {test}: REDOUBT_SOFTHSM is not set");
            return None;
        };
        let tokens = Self {
            room: Room::new(),
            softhsm: softhsm.into(),
        };
        std::fs::create_dir(tokens.room.at("tokens")).unwrap();
        let folder = tokens.room.at("tokens");
        let text = format!(
            "directories.tokendir = {}\nlog.level = ERROR\n",
            folder.display()
        );
        tokens.room.write("softhsm.conf", text.as_bytes());
        tokens.room.write("pin", PIN.as_bytes());
        Some(tokens)
    }

    fn library(&self, name: &str) -> PathBuf {
        let folders = ["usr/lib/softhsm", "usr/lib/x86_64-linux-gnu/softhsm"];
        let mut files = folders
            .map(|folder| self.softhsm.join(folder).join(name))
            .into_iter();
        files
            .find(|file| file.exists())
            .unwrap_or_else(|| panic!("no {name}"))
    }

    /// With what the unpacked packages need to find each other.
    fn with_tokens<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.env("SOFTHSM2_CONF", self.room.at("softhsm.conf"));
        command.env(
            "LD_LIBRARY_PATH",
            self.softhsm.join("usr/lib/x86_64-linux-gnu"),
        )
    }

    fn util(&self, line: &str) {
        let mut util = Command::new(self.softhsm.join("usr/bin/softhsm2-util"));
        util.arg("--module").arg(self.library("libsofthsm2.so"));
        util.args(line.split(' ')).current_dir(self.room.at(""));
        let output = self.with_tokens(&mut util).output().unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
    }

    /// A token with one key in it, called `signing`.
    fn token(&self, label: &str, kind: &'static rcgen::SignatureAlgorithm) {
        self.util(&format!(
            "--init-token --free --label {label} --so-pin 12345678 --pin {PIN}"
        ));
        self.room.key("import.pem", kind);
        self.util(&format!(
            "--import import.pem --token {label} --label signing --id 01 --pin {PIN}"
        ));
        std::fs::remove_file(self.room.at("import.pem")).unwrap();
    }

    fn key(&self, token: &str, pin: &str) -> String {
        let module = self.library("libsofthsm2.so");
        format!(
            "pkcs11:token={token};object=signing?module-path={}&pin-source={pin}",
            module.display()
        )
    }

    fn run(&self, line: &str) -> Result<Value, String> {
        answer(self.with_tokens(&mut self.room.command(line)))
    }

    fn hold(&self, more: Value) -> Result<Value, String> {
        let answers = self.room.answers(more);
        self.run(&format!("ceremony --out out --answers {answers}"))
    }
}

#[test]
fn officers_found_and_sign_with_keys_that_never_leave_their_tokens() {
    let name = "officers_found_and_sign_with_keys_that_never_leave_their_tokens";
    let Some(tokens) = Tokens::new(name) else {
        return;
    };
    for label in ["ada", "grace"] {
        tokens.token(label, &rcgen::PKCS_ECDSA_P256_SHA256);
    }
    let (ada, grace) = (tokens.key("ada", "pin"), tokens.key("grace", "file:pin"));
    // The second token is not there yet: the first officer's part is kept.
    let error = tokens
        .hold(json!({ "officer-1.key": ada, "officer-2.key": tokens.key("bob", "pin") }))
        .unwrap_err();
    assert!(error.contains("officer-2.key: token \"bob\""), "{error}");
    assert!(
        error.contains("there are: ") && error.contains("\"grace\""),
        "{error}"
    );
    tokens
        .hold(json!({ "officer-1.key": ada, "officer-2.key": grace }))
        .unwrap();
    let room = &tokens.room;
    let genesis = Genesis::verify(&room.read("out/genesis.json")).unwrap();
    assert_eq!(genesis.envelope.signers().count(), 2);
    let page = String::from_utf8(room.read("out/record.html")).unwrap();
    assert!(
        page.contains("token &quot;ada&quot;, key &quot;signing&quot;"),
        "{page}"
    );
    tokens.run("ceremony check out").unwrap();
    assert_eq!(
        holding(&room.at("out"), PIN.as_bytes()),
        Vec::<PathBuf>::new()
    );
    assert!(!room.at("out/officer-1.key.pem").exists());

    // What officers sign later, they sign with the same tokens.
    tokens
        .run("dev-credentials --out dev --genesis out/genesis.json")
        .unwrap();
    let keys = format!("--officer-key {ada} --officer-key {grace}");
    let sign = "sign --genesis out/genesis.json";
    let line = format!("config {sign} --config dev/config.plain.json --out config.json {keys}");
    tokens.run(&line).unwrap();
    Config::verify(&room.read("config.json"), &genesis).unwrap();
    let policy = json!({
        "type": "redoubt/appraisal-policy/v1", "genesis": genesis.digest, "counter": 1,
        "not_after_ms": u64::MAX, "max_age_ms": 60_000, "withdrawn": [],
    });
    room.write("policy.json", policy.to_string().as_bytes());
    tokens
        .run(&format!(
            "policy {sign} --policy policy.json --out policy.json {keys}"
        ))
        .unwrap();
    AppraisalPolicy::verify(&room.read("policy.json"), &genesis).unwrap();
    let successor = "genesis successor --from out/genesis.json --out next --config config.json";
    let stay = "--officers 2 --threshold 2 --keep officer-1 --keep officer-2";
    tokens.run(&format!("{successor} {stay} {keys}")).unwrap();
    genesis.successor(&room.read("next/genesis.json")).unwrap();

    // Who joins later brings a token too; the key of another one is made.
    tokens.token("edsger", &rcgen::PKCS_ECDSA_P256_SHA256);
    let edsger = tokens.key("edsger", "pin");
    let join = successor.replace("next", "joined");
    let join = format!("{join} --officers 3 --threshold 2 --keep officer-1 {keys}");
    let error = tokens.run(&format!("{join} --new-key {ada}")).unwrap_err();
    assert!(error.contains("every key must differ"), "{error}");
    tokens.run(&format!("{join} --new-key {edsger}")).unwrap();
    let joined = genesis
        .successor(&room.read("joined/genesis.json"))
        .unwrap();
    let ids: Vec<_> = joined.manifest.officers.iter().map(|o| &*o.id).collect();
    assert_eq!(ids, ["officer-1", "officer-2-1", "officer-2-2"]);
    assert!(!room.at("joined/officer-2-1.key.pem").exists());
    assert!(room.at("joined/officer-2-2.key.pem").exists());
}

/// Files below a folder that hold some bytes.
fn holding(folder: &Path, bytes: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holding(&path, bytes));
        } else if std::fs::read(&path)
            .unwrap()
            .windows(bytes.len())
            .any(|here| here == bytes)
        {
            found.push(path);
        }
    }
    found
}

#[test]
fn each_thing_that_is_wrong_with_a_token_is_said_plainly() {
    let name = "each_thing_that_is_wrong_with_a_token_is_said_plainly";
    let Some(tokens) = Tokens::new(name) else {
        return;
    };
    let (room, good) = (&tokens.room, tokens.key("ada", "pin"));
    let none = tokens.hold(json!({ "officer-1.key": good })).unwrap_err();
    assert!(none.contains("no token is there"), "{none}");
    std::fs::remove_dir_all(room.at("out.draft")).unwrap();
    tokens.token("ada", &rcgen::PKCS_ECDSA_P256_SHA256);
    tokens.token("wide", &rcgen::PKCS_ECDSA_P384_SHA384);
    room.write("wrong", b"00000000");
    for (key, why) in [
        (tokens.key("ada", "wrong"), "wrong PIN"),
        (tokens.key("ada", "absent"), "absent"),
        (tokens.key("eve", "pin"), "this token is not there"),
        (tokens.key("wide", "pin"), "another curve than P-256"),
        (
            good.replace("object=signing", "object=other"),
            "0 private keys have this label",
        ),
        (
            good.replace("libsofthsm2.so", "absent.so"),
            "is no PKCS#11 module",
        ),
        (
            good.replace("pin-source=pin", "pin-value=1"),
            "use pin-source",
        ),
        (good.replace("&pin-source=pin", ""), "add pin-source=FILE"),
    ] {
        let error = tokens.hold(json!({ "officer-1.key": key })).unwrap_err();
        assert!(
            error.contains("officer-1.key") && error.contains(why),
            "{why}: {error}"
        );
        std::fs::remove_dir_all(room.at("out.draft")).unwrap();
    }
    let twice = json!({ "officer-1.key": good, "officer-2.key": good });
    let error = tokens.hold(twice).unwrap_err();
    assert!(
        error.contains("the same key as that of officer-1"),
        "{error}"
    );
    assert!(!room.at("out").exists());
}
