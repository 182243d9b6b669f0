//! `redoubt ceremony` by a file of answers, and the record it leaves.

mod ceremony_setup;

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use ceremony_setup::Room;
use redoubt_attestation::genesis::Genesis;
use redoubt_attestation::shares::{OfficersSecret, Share};
use serde_json::json;

#[test]
fn a_ceremony_is_held_by_answers_and_leaves_a_record_of_its_manifest() {
    let room = Room::new();
    room.key("ada.pem", &rcgen::PKCS_ECDSA_P256_SHA256);
    let made = room
        .hold(json!({ "officers": 3, "officer-1.key": "ada.pem", "place": "Room <7>" }))
        .unwrap();
    let genesis = Genesis::verify(&room.read("out/genesis.json")).unwrap();
    assert_eq!(made["genesis"], genesis.digest.to_string());
    assert_eq!(genesis.envelope.signers().count(), 3, "everybody signs");
    let share = |n: u8| Share::parse(&room.read(&format!("out/officer-{n}.share.json"))).unwrap();
    OfficersSecret::combine(&[share(2), share(3)], &genesis.manifest.secret_commitment).unwrap();
    let mode = |name: &str| {
        let metadata = std::fs::metadata(room.at(name)).unwrap();
        metadata.permissions().mode() & 0o777
    };
    for secret in [
        "officer-1.share.json",
        "officer-2.key.pem",
        "emulated/root.key",
    ] {
        assert_eq!(mode(&format!("out/{secret}")), 0o600, "{secret}");
    }
    assert_eq!(mode("out"), 0o700);
    assert!(
        !room.at("out/officer-1.key.pem").exists(),
        "a key of one's own stays where it is"
    );
    assert!(!room.at("out/.ceremony").exists() && !room.at("out.draft").exists());

    let page = String::from_utf8(room.read("out/record.html")).unwrap();
    for thing in [
        "<script", "http:", "https:", "src=", "href=", "url(", "@import", "<7>",
    ] {
        assert!(!page.contains(thing), "{thing}");
    }
    let digits: String = page
        .split("<span>")
        .skip(1)
        .take(16)
        .map(|group| &group[..4])
        .collect();
    assert_eq!(digits, genesis.digest.to_string(), "in groups of four");
    assert!(page.contains("Room &lt;7&gt;") && page.contains("2 of 3 officers"));
    for path in ["out", "out/record.html", "out/record.txt"] {
        let checked = room.run(&format!("ceremony check {path}")).unwrap();
        assert_eq!(
            checked["signed_by"],
            json!(["officer-1", "officer-2", "officer-3"])
        );
    }
    let again = room.hold(json!({})).unwrap_err();
    assert!(again.contains("never overwritten"), "{again}");
}

#[test]
fn an_interrupted_ceremony_goes_on_where_it_stopped() {
    let room = Room::new();
    let error = room
        .hold(json!({ "officer-2.key": "later.pem" }))
        .unwrap_err();
    assert!(
        error.contains("officer-2.key") && error.contains("later.pem"),
        "{error}"
    );
    assert!(!room.at("out").exists());
    let first = room.read("out.draft/officer-1.key.pem");
    let error = room.hold(json!({ "threshold": 1 })).unwrap_err();
    assert!(
        error.contains("was answered before the interruption"),
        "{error}"
    );
    room.key("later.pem", &rcgen::PKCS_ECDSA_P256_SHA256);
    room.hold(json!({ "officer-2.key": "later.pem" })).unwrap();
    assert_eq!(room.read("out/officer-1.key.pem"), first);
}

#[test]
fn a_ceremony_killed_anywhere_is_finished_by_the_same_command() {
    let room = Room::new();
    let answers = room.answers(json!({ "officers": 5, "threshold": 3 }));
    let (mut digest, mut key) = (None, None);
    let mut kept_after = 0;
    for step in 1..1000 {
        let mut held = room.command(&format!("ceremony --out out --answers {answers}"));
        let mut held = held.spawn().unwrap();
        std::thread::sleep(Duration::from_micros(700 * step));
        let _ = held.kill();
        held.wait().unwrap();
        if room.at("out").exists() {
            break;
        }
        // What was on disk once stays as it is.
        for (kept, file) in [
            (&mut key, "out.draft/officer-1.key.pem"),
            (&mut digest, "out.draft/.ceremony/manifest.signed.json"),
        ] {
            let now = std::fs::read(room.at(file))
                .ok()
                .map(|bytes| payload(&bytes));
            assert!(kept.is_none() || *kept == now, "{file} changed");
            *kept = now;
        }
        kept_after += usize::from(key.is_some());
    }
    println!("{kept_after} kills left something to go on with");
    assert!(kept_after > 0, "no kill came in between");
    if !room.at("out").exists() {
        room.hold(json!({ "officers": 5, "threshold": 3 })).unwrap();
    }
    assert_eq!(Some(room.read("out/officer-1.key.pem")), key);
    let genesis = Genesis::verify(&room.read("out/genesis.json")).unwrap();
    let share = |n: u8| Share::parse(&room.read(&format!("out/officer-{n}.share.json"))).unwrap();
    let shares = [share(5), share(1), share(4)];
    OfficersSecret::combine(&shares, &genesis.manifest.secret_commitment).unwrap();
    if let Some(kept) = digest {
        assert_eq!(
            payload(&genesis.envelope.to_json()),
            kept,
            "another manifest"
        );
    }
    room.run("ceremony check out").unwrap();
}

/// Of a signed file the payload, since signatures are added; of others all.
fn payload(bytes: &[u8]) -> Vec<u8> {
    let signed = redoubt_attestation::genesis::SignedFile::parse(bytes);
    signed.map_or(bytes.to_vec(), |signed| signed.payload().unwrap())
}

#[test]
fn wrong_answers_are_refused_by_the_name_of_their_question() {
    let room = Room::new();
    room.key("curve.pem", &rcgen::PKCS_ECDSA_P384_SHA384);
    room.key("ada.pem", &rcgen::PKCS_ECDSA_P256_SHA256);
    room.peer("w1.json");
    for (wrong, why) in [
        (
            json!({ "officer-1.key": "curve.pem" }),
            "no P-256 private key",
        ),
        (
            json!({ "officer-1.key": "ada.pem", "officer-2.key": "ada.pem" }),
            "officer-2.key: the same key as that of officer-1",
        ),
        (json!({ "threshold": 4 }), "threshold: write 1 to 2"),
        (json!({ "enclave": "absent" }), "enclave: absent"),
        (
            json!({ "environment": "real" }),
            "environment: write hardware",
        ),
        (
            json!({ "witnesses": ["w1.json", "w1.json"] }),
            "this key was named before",
        ),
        (
            json!({ "witnesses": "w1.json", "witness_k": 2 }),
            "witness_k: write 1 to 1",
        ),
        (
            json!({ "treshold": 2 }),
            "treshold: is the answer to no question",
        ),
        (json!({ "name": null }), "name: has no answer"),
    ] {
        let error = room.hold(wrong.clone()).unwrap_err();
        assert!(error.contains(why), "{wrong}: {error}");
        assert!(!room.at("out").exists());
        std::fs::remove_dir_all(room.at("out.draft")).unwrap();
    }
}

#[test]
fn a_record_altered_afterwards_is_found_out_wherever_it_was() {
    let room = Room::new();
    room.hold(json!({ "officer-1.name": "Ada" })).unwrap();
    let other = Room::new();
    other.hold(json!({})).unwrap();
    for name in ["record.html", "record.txt"] {
        let page = String::from_utf8(room.read(&format!("out/{name}"))).unwrap();
        let (mut tried, step) = (0, 23);
        for at in (0..page.len()).step_by(step) {
            if said(&page, at) {
                continue;
            }
            let mut altered = page.clone().into_bytes();
            altered[at] = if altered[at] == b'7' { b'1' } else { b'7' };
            room.write("altered.txt", &altered);
            let kept = format!("altered.{}", &name[7..]);
            room.write(&kept, &altered);
            let line = format!("ceremony check {kept} --genesis out/genesis.json");
            let error = room.run(&line).unwrap_err();
            assert!(
                error.contains("not the record of this manifest"),
                "{at}: {error}"
            );
            tried += 1;
        }
        assert!(tried > page.len() / step / 2);
        room.write("more.html", format!("{page}<p>and more</p>").as_bytes());
        assert!(
            room.run("ceremony check more.html --genesis out/genesis.json")
                .is_err()
        );
        let line = format!(
            "ceremony check {} --genesis",
            room.at("out").join(name).display()
        );
        let error = other.run(&format!("{line} out/genesis.json")).unwrap_err();
        assert!(error.contains("by the manifest it says"), "{error}");
    }
    // Names are what people said: only their hands sign for them.
    let page = String::from_utf8(room.read("out/record.html")).unwrap();
    room.write("out/record.html", page.replace(">Ada<", ">Eve<").as_bytes());
    room.run("ceremony check out").unwrap();
    room.write("out/policy.json", &other.read("out/policy.json"));
    let error = room.run("ceremony check out").unwrap_err();
    assert!(error.contains("policy.json: pins manifest"), "{error}");
    room.write("out/policy.json", b"{}");
    assert!(room.run("ceremony check out").is_err());
}

/// Whether a byte is part of what people said of themselves.
fn said(page: &str, at: usize) -> bool {
    let before = &page[..at];
    let cell = before.rfind("class=\"said\">").map(|start| start + 13);
    cell.is_some_and(|start| start <= at && !page[start..=at].contains('<'))
}
