//! `redoubt genesis successor` and `redoubt rotate` against an enclave that attests.

mod enclave;

use std::path::{Path, PathBuf};
use std::process::Command;

use enclave::{Enclave, Script};
use redoubt_attestation::encode::sha256;
use redoubt_attestation::entropy::SystemEntropy;
use redoubt_attestation::genesis::{Config, Genesis};
use redoubt_attestation::sign::Ed25519Signer;
use serde_json::Value;

const SERVING: Script = Script {
    program: b"the enclave",
    needed: 1,
    fixed_nonce: false,
    always_serve: false,
    halts: false,
    unsealed: true,
    loses_answer: false,
};

struct Appliance {
    folder: tempfile::TempDir,
}

impl Appliance {
    fn new(officers: &str, threshold: &str) -> Self {
        let appliance = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let at = |name: &str| appliance.at(name);
        std::fs::write(at("enclave"), b"the enclave").unwrap();
        let init = "genesis init --name test --emulated --enclave-bin enclave --out old";
        appliance.yes(&format!(
            "{init} --officers {officers} --threshold {threshold}"
        ));
        appliance.yes("dev-credentials --out dev --genesis old/genesis.json");
        let keys = (1..=officers.parse().unwrap())
            .map(|n: u8| format!(" --officer-key old/officer-{n}.key.pem"));
        let sign = "config sign --genesis old/genesis.json --config dev/config.plain.json";
        let keys: String = keys.collect();
        appliance.yes(&format!("{sign} --out old/config.json{keys}"));
        std::fs::create_dir(at("boot")).unwrap();
        for name in ["genesis.json", "config.json"] {
            std::fs::copy(at("old").join(name), at("boot").join(name)).unwrap();
        }
        appliance
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, line: &str) -> Result<Value, String> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_redoubt"));
        command.current_dir(self.folder.path());
        let output = command.args(line.split(' ')).arg("--json").output();
        let output = output.unwrap();
        let json: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        match output.status.code() {
            Some(0) => Ok(json),
            Some(1) => Err(json["error"].as_str().unwrap_or("no").to_owned()),
            other => panic!("{line}: {other:?}: {output:?}"),
        }
    }

    fn yes(&self, line: &str) -> Value {
        self.run(line)
            .unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    fn enclave(&self, script: Script) -> Enclave {
        Enclave::start(&self.at("old"), &self.at("old/config.json"), script)
    }

    fn rotate(&self, enclave: &Enclave, more: &str) -> Result<Value, String> {
        let officer = "--officer-cert dev/officer/cert.pem --officer-key dev/officer/key.pem";
        let policy = "--policy old/policy.json --wait 5";
        self.run(&format!(
            "rotate {} {policy} {officer}{more}",
            enclave.url()
        ))
    }

    fn boot_is_from(&self, folder: &str) {
        for name in ["genesis.json", "config.json"] {
            let (boot, other) = (self.at("boot").join(name), self.at(folder).join(name));
            assert_eq!(parsed(&boot), parsed(&other), "{name} of {folder}");
        }
    }
}

fn parsed(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

const SUCCESSOR: &str = "genesis successor --from old/genesis.json --config old/config.json --out new --officers 3 --threshold 2";
const CHANGE: &str = " --genesis new/genesis.json --config new/config.json --boot-dir boot";

#[test]
fn a_successor_has_new_officers_new_shares_and_old_signatures() {
    let appliance = Appliance::new("2", "2");
    let one = " --officer-key old/officer-1.key.pem --keep officer-1";
    let error = appliance.run(&format!("{SUCCESSOR}{one}")).unwrap_err();
    assert!(error.contains("1 of 2 signatures"), "{error}");
    assert!(!appliance.at("new").exists());

    let made = appliance.yes(&format!(
        "{SUCCESSOR}{one} --officer-key old/officer-2.key.pem"
    ));
    let read = |name: &str| std::fs::read(appliance.at(name)).unwrap();
    let old = Genesis::verify(&read("old/genesis.json")).unwrap();
    let new = old.successor(&read("new/genesis.json")).unwrap();
    assert_eq!(made["genesis"], new.digest.to_string());
    assert_eq!(new.manifest.counter, 2);
    assert_ne!(
        new.manifest.secret_commitment,
        old.manifest.secret_commitment
    );
    let ids: Vec<_> = new.manifest.officers.iter().map(|o| &*o.id).collect();
    assert_eq!(ids, ["officer-1", "officer-2-1", "officer-2-2"]);
    assert!(!appliance.at("new/officer-1.key.pem").exists());
    for id in ids {
        assert!(appliance.at(&format!("new/{id}.share.json")).exists());
    }
    let config = Config::verify(&read("new/config.json"), &new).unwrap();
    assert_eq!(config.config.genesis, new.digest);
}

#[test]
fn nobody_outside_the_present_manifest_makes_its_successor() {
    let appliance = Appliance::new("1", "1");
    let other = "genesis init --name other --emulated --enclave-bin enclave --out other";
    appliance.yes(other);
    let error = appliance
        .run(&format!(
            "{SUCCESSOR} --officer-key other/officer-1.key.pem"
        ))
        .unwrap_err();
    assert!(error.contains("no officer"), "{error}");
    let error = appliance
        .run(&format!(
            "{SUCCESSOR} --officer-key old/officer-1.key.pem --keep officer-9"
        ))
        .unwrap_err();
    assert!(error.contains("officer-9"), "{error}");
}

#[test]
fn a_new_secret_is_waited_for_and_not_ordered_twice() {
    let appliance = Appliance::new("1", "1");
    let enclave = appliance.enclave(SERVING);
    let done = appliance.rotate(&enclave, "").unwrap();
    assert_eq!(done["epoch"], 1);
    assert_eq!(enclave.orders(), 1);

    let forgetful = appliance.enclave(Script {
        loses_answer: true,
        ..SERVING
    });
    assert_eq!(appliance.rotate(&forgetful, "").unwrap()["epoch"], 1);
    assert_eq!(forgetful.orders(), 1);
}

#[test]
fn officers_change_and_the_boot_folder_follows() {
    let appliance = Appliance::new("1", "1");
    appliance.yes(&format!("{SUCCESSOR} --officer-key old/officer-1.key.pem"));
    let enclave = appliance.enclave(SERVING);
    let shares = " --share new/officer-2-1.share.json --share new/officer-2-3.share.json";
    let done = appliance
        .rotate(&enclave, &format!("{CHANGE}{shares}"))
        .unwrap();
    assert_eq!(done["epoch"], 1);
    appliance.boot_is_from("new");
    assert_eq!(enclave.orders(), 1);
    // Given again, before and after a restart, it finds nothing left to do but the files.
    for restarted in [false, true] {
        std::fs::write(appliance.at("boot/genesis.json"), b"{}").unwrap();
        if restarted {
            enclave.restart();
        }
        let again = appliance.rotate(&enclave, &format!("{CHANGE}{shares}"));
        assert_eq!(again.unwrap()["epoch"], 1);
        assert_eq!(enclave.orders(), 1);
        appliance.boot_is_from("new");
    }
    std::fs::write(appliance.at("boot/genesis.json"), b"{}").unwrap();
    let before = enclave.connections();
    appliance
        .rotate(&enclave, &format!("{CHANGE} --finish"))
        .unwrap();
    appliance.boot_is_from("new");
    assert_eq!(enclave.connections(), before);
}

#[test]
fn an_officers_change_is_resumed_where_it_stopped() {
    let appliance = Appliance::new("1", "1");
    appliance.yes(&format!("{SUCCESSOR} --officer-key old/officer-1.key.pem"));
    let enclave = appliance.enclave(Script {
        loses_answer: true,
        ..SERVING
    });
    let one = " --share new/officer-2-2.share.json";
    let error = appliance
        .rotate(&enclave, &format!("{CHANGE}{one}"))
        .unwrap_err();
    assert!(error.contains("give the same command again"), "{error}");
    appliance.boot_is_from("old");
    let two = " --share new/officer-2-1.share.json";
    appliance
        .rotate(&enclave, &format!("{CHANGE}{two}"))
        .unwrap();
    appliance.boot_is_from("new");
    assert_eq!(enclave.orders(), 1);
}

#[test]
fn nothing_is_sent_for_a_manifest_the_officers_did_not_sign_or_a_foreign_share() {
    let appliance = Appliance::new("1", "1");
    appliance.yes(&format!("{SUCCESSOR} --officer-key old/officer-1.key.pem"));
    let other = "genesis init --name other --emulated --enclave-bin enclave --out other";
    appliance.yes(other);
    let enclave = appliance.enclave(SERVING);
    let foreign = CHANGE.replace("new/genesis.json", "other/genesis.json");
    let error = appliance.rotate(&enclave, &foreign).unwrap_err();
    assert!(error.contains("previous"), "{error}");
    let share = " --share old/officer-1.share.json";
    let error = appliance
        .rotate(&enclave, &format!("{CHANGE}{share}"))
        .unwrap_err();
    assert!(error.contains("another genesis manifest"), "{error}");
    assert_eq!(enclave.connections(), 0);
}

#[test]
fn a_successor_allows_one_more_image_and_withdraws_another() {
    let appliance = Appliance::new("1", "1");
    let signed = format!("{SUCCESSOR} --officer-key old/officer-1.key.pem");
    let manifest = |name: &str| {
        let bytes = std::fs::read(appliance.at(name).join("genesis.json")).unwrap();
        Genesis::verify(&bytes).unwrap().manifest
    };
    let before = manifest("old").measurements[0].pcrs[&0].clone();
    // As `cargo xtask image` writes it, and a program.
    let pcr0 = "cd".repeat(48);
    let image = serde_json::json!({ "image": { "measurements": { "pcr0": pcr0, "pcr1": pcr0 },
        "kernel": { "bytes": 1 } }, "inputs": {} });
    std::fs::write(appliance.at("image.json"), image.to_string()).unwrap();
    std::fs::write(appliance.at("worker-2"), b"another worker").unwrap();
    let more = "--enclave-pcrs image.json --worker-bin worker-2";
    appliance.yes(&format!("{signed} {more} --withdraw {before}"));
    let allowed = manifest("new").measurements;
    assert_eq!(allowed.len(), 2);
    assert_eq!((&allowed[0].pcrs[&0], allowed[0].pcrs.len()), (&pcr0, 2));
    assert_eq!(allowed[1].tier.name(), "process");

    let other = "00".repeat(48);
    for (wrong, why) in [
        (format!("--withdraw {other}"), "lists no image"),
        (format!("--withdraw {before}"), "at least one image"),
        ("--enclave-bin enclave".to_owned(), "allowed already"),
        (
            "--enclave-pcrs old/genesis.json".to_owned(),
            "holds no PCR0",
        ),
    ] {
        let line = format!("{signed} {wrong}").replace("--out new", "--out wrong");
        let error = appliance.run(&line).unwrap_err();
        assert!(error.contains(why), "{wrong}: {error}");
        assert!(!appliance.at("wrong").exists());
    }
}

#[test]
fn a_program_is_no_enclave_of_a_hardware_appliance() {
    let appliance = Appliance::new("1", "1");
    let pcrs = serde_json::json!({ "PCR0": "ab".repeat(48) });
    std::fs::write(appliance.at("pcrs.json"), pcrs.to_string()).unwrap();
    appliance.yes("genesis init --name hard --enclave-pcrs pcrs.json --out hard");
    let from = "genesis successor --from hard/genesis.json --out new --officers 1 --threshold 1";
    let line = format!("{from} --officer-key hard/officer-1.key.pem --enclave-bin enclave");
    let error = appliance.run(&line).unwrap_err();
    assert!(error.contains("manifest of hardware"), "{error}");
}

#[test]
fn witnesses_stay_in_a_successor_while_their_policy_may_change() {
    let appliance = Appliance::new("1", "1");
    for name in ["w1", "w2"] {
        let key = Ed25519Signer::generate(&SystemEntropy).unwrap();
        let pin = sha256(&[name.as_bytes()]);
        let entry = serde_json::json!({ "name": name, "key": key.jwk(), "tls_spki_sha256": pin });
        std::fs::write(appliance.at(name), entry.to_string()).unwrap();
    }
    let init = "genesis init --name w --emulated --enclave-bin enclave --out w --witness w1";
    appliance.yes(init);
    let from = "genesis successor --from w/genesis.json --officers 1 --threshold 1";
    let from = format!("{from} --officer-key w/officer-1.key.pem --out new");
    for other in [
        "--witness w2",
        "--witness w1 --witness w2",
        "--custodian w1",
    ] {
        let error = appliance.run(&format!("{from} {other}")).unwrap_err();
        assert!(error.contains("must stay"), "{other}: {error}");
    }
    appliance.yes(&format!(
        "{from} --witness w1 --freshness lease --lease-ms 900"
    ));
    let new = std::fs::read(appliance.at("new/genesis.json")).unwrap();
    let policy = Genesis::verify(&new).unwrap().manifest.witness_policy;
    assert_eq!(policy.unwrap().lease_ms, 900);
}

#[test]
fn a_successor_is_not_given_to_an_image_that_the_officers_withdrew() {
    let appliance = Appliance::new("1", "1");
    let key = "--officer-key old/officer-1.key.pem";
    appliance.yes(&format!("{SUCCESSOR} {key}"));
    let old = Genesis::verify(&std::fs::read(appliance.at("old/genesis.json")).unwrap()).unwrap();
    let policy = |name: &str, withdrawn: &[&String]| {
        let policy = serde_json::json!({
            "type": "redoubt/appraisal-policy/v1", "genesis": old.digest, "counter": 1,
            "not_after_ms": u64::MAX, "max_age_ms": 60_000, "withdrawn": withdrawn,
        });
        std::fs::write(appliance.at(name), policy.to_string()).unwrap();
        let sign = "policy sign --genesis old/genesis.json";
        appliance.yes(&format!("{sign} {key} --policy {name} --out {name}"));
    };
    policy("harmless", &[]);
    policy("withdrawn", &[&old.manifest.measurements[0].pcrs[&0]]);
    let enclave = appliance.enclave(SERVING);
    let shares = "--share new/officer-2-1.share.json --share new/officer-2-2.share.json";
    let change = format!("{CHANGE} {shares} --appraisal");
    let error = appliance
        .rotate(&enclave, &format!("{change} withdrawn"))
        .unwrap_err();
    assert!(error.contains("have withdrawn the image"), "{error}");
    assert_eq!((enclave.orders(), enclave.shares().len()), (0, 0));
    appliance.boot_is_from("old");
    appliance
        .rotate(&enclave, &format!("{change} harmless"))
        .unwrap();
    appliance.boot_is_from("new");
}
