//! Artefacts that earlier versions of this project made go on verifying, byte for
//! byte. A file here is never written again: a new version gets a new one.

use serde_json::Value;

use super::*;

/// What all of them approve.
const AMOUNT: &str = "250.00";

/// Name, artefact, the client policy that pins its appliance.
pub(crate) const GOLDEN: [(&str, &[u8], &[u8]); 4] = [
    (
        "approval-v1",
        include_bytes!("golden/approval-v1.json"),
        include_bytes!("golden/approval-v1.policy.json"),
    ),
    (
        "approval-v2",
        include_bytes!("golden/approval-v2.json"),
        include_bytes!("golden/approval-v2.policy.json"),
    ),
    (
        "approval-v2-voice",
        include_bytes!("golden/approval-v2-voice.json"),
        include_bytes!("golden/approval-v2-voice.policy.json"),
    ),
    (
        "approval-v2-digits",
        include_bytes!("golden/approval-v2-digits.json"),
        include_bytes!("golden/approval-v2-digits.policy.json"),
    ),
];

#[test]
fn artefacts_of_every_version_go_on_verifying() {
    for (name, artefact, policy) in GOLDEN {
        let trust = Trust::from_policy(policy).unwrap();
        let verified = verify_artefact(artefact, &trust).unwrap();
        assert_eq!(verified.transaction["amount"], AMOUNT, "{name}");
        assert_eq!(verified.decision, "approved", "{name}");
        // And they are as good as then, no better: one digit changes everything.
        let mut bent: Value = serde_json::from_slice(artefact).unwrap();
        let claims = bent["receipt"]["claims"].as_str().unwrap();
        let claims = claims.replacen(AMOUNT, "950.00", 1);
        bent["payload"] = b64u(claims.as_bytes()).into();
        bent["receipt"]["claims"] = claims.into();
        let refused = verify_artefact(bent.to_string().as_bytes(), &trust).unwrap_err();
        assert_eq!(refused.code(), "receipt", "{name}");
    }
}

/// Writes what the version at hand makes; see the top of this file before using it.
#[test]
#[ignore = "writes the golden file of a new version into GOLDEN_OUT"]
fn make() {
    use super::several::{besides, by, face, reading};
    let folder = std::path::PathBuf::from(std::env::var("GOLDEN_OUT").unwrap());
    let court = Court::new();
    let key = super::passkeys::Passkey::new(-7);
    let answers = [face("anna"), by("anna", &key, 1)];
    let artefact = court.several(&besides(&["voice"]), &answers, |at, claims| {
        if at == 0 {
            reading(claims);
        }
    });
    let pretty = serde_json::to_vec_pretty(&artefact).unwrap();
    std::fs::write(folder.join("approval-v2-digits.json"), pretty).unwrap();
    let policy = crate::genesis::ClientPolicy::pin(&court.bench.genesis);
    std::fs::write(
        folder.join("approval-v2-digits.policy.json"),
        policy.to_json(),
    )
    .unwrap();
}
