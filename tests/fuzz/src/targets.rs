//! What is bent, and what reads it. Every parser that meets bytes from outside is here.

mod audio;
mod frames;
mod gpu;
mod gpu_papers;
mod handover;
mod metadata;
mod passkeys;
mod policy;

use redoubt_attestation::appraise::AppraisalPolicy;
use redoubt_attestation::artefact::{KeptDocument, verify_artefact, verify_receipt};
use redoubt_attestation::binding::{Binding, WorkerBinding};
use redoubt_attestation::conformance::row;
use redoubt_attestation::contradiction::{self, Proof};
use redoubt_attestation::document::{Document, VendorRoot, timestamp_of};
use redoubt_attestation::encode::{b64u, sha256};
use redoubt_attestation::genesis::{ClientPolicy, Config, Genesis, RootKind};
use redoubt_attestation::ledger::Receipt;
use redoubt_attestation::ledger::export::{ExportBegin, ExportEnd, ExportEntry};
use redoubt_attestation::ledger::witness_wire::{AddCheckpoint, parse_lines, parse_size};
use redoubt_attestation::peers::{EpochRequest, EpochStatement, SignedDeletion, TermRequest};
use redoubt_attestation::shares::{SealedShare, Share, UnsealAad};
use serde_json::{Value, json};

use crate::paper::Paper;

/// Reads an input; whatever it says of it is no matter here.
pub(crate) type Read = Box<dyn Fn(&[u8])>;
/// What reads an input, and the inputs to begin with.
pub(crate) type Prepared = (Read, Vec<Vec<u8>>);

/// One parser under test.
pub(crate) struct Target {
    /// Its name on the command line.
    pub(crate) name: &'static str,
    /// Makes ready what it needs.
    pub(crate) prepare: fn() -> Prepared,
}

/// Every target.
pub(crate) const TARGETS: &[Target] = &[
    target("nitro-document", nitro_document),
    target("binding", binding),
    target("genesis", genesis),
    target("config", config),
    target("appraisal-policy", appraisal_policy),
    target("receipt", receipt),
    target("artefact", artefact),
    target("checkpoint", checkpoint),
    target("contradiction", contradictions),
    target("export", export),
    target("witness-wire", witness_wire),
    target("epoch-wire", epoch_wire),
    target("share", share),
    target("handover", handover::handover),
    target("gpu-report", gpu::report),
    target("gpu-evidence", gpu::evidence),
    target("gpu-rim", gpu_papers::rim),
    target("gpu-ocsp", gpu_papers::ocsp),
    target("store-frame", frames::store),
    target("worker-frame", frames::worker),
    target("host-frame", frames::host),
    target("frame-stream", frames::stream),
    target("websocket-frame", frames::websocket),
    target("passkey-wire", passkeys::wire),
    target("passkey-registration", passkeys::registration),
    target("passkey-assertion", passkeys::assertion),
    target("audio", audio::recording),
    target("opus", audio::opus),
    target("picture", audio::picture),
    target("weights", audio::weights),
    target("metadata-blob", metadata::blob),
    target("metadata-payload", metadata::payload),
    target("policy-payload", policy::payload),
];

const fn target(name: &'static str, prepare: fn() -> Prepared) -> Target {
    Target { name, prepare }
}

/// 2026-11-01, Unix milliseconds.
const NOW_MS: u64 = 1_793_491_200_000;

fn json_bytes(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("values made here serialize")
}

fn nitro_document() -> Prepared {
    let paper = Paper::new();
    let root = VendorRoot::from_pem(RootKind::NitroEmulated, &paper.root);
    let root = root.expect("a root of our own is PEM");
    let document = paper.evidence().0;
    // The same with an indefinite map, as the field has it since 2025.
    let mut open = document.clone();
    if let Some(at) = open.windows(2).position(|pair| pair == [0xa9, 0x69]) {
        open[at] = 0xbf;
    }
    let read = move |input: &[u8]| {
        let _ = Document::parse(input);
        let _ = timestamp_of(input);
        let _ = row(input, &root, Some(NOW_MS));
    };
    (Box::new(read), vec![document, open])
}

fn binding() -> Prepared {
    let paper = Paper::new();
    let seeds = vec![
        paper.binding().to_preimage(),
        paper.worker_binding().to_preimage(),
    ];
    let read = |input: &[u8]| {
        let _ = Binding::parse(input).map(|binding| binding.public_key());
        let _ = WorkerBinding::parse(input);
    };
    (Box::new(read), seeds)
}

fn genesis() -> Prepared {
    let paper = Paper::new();
    let pinned = paper.genesis.clone();
    let after_itself = ClientPolicy::pin_after(&pinned, std::slice::from_ref(&pinned));
    let seeds = vec![
        paper.genesis_file.clone(),
        paper.policy(),
        after_itself.to_json(),
    ];
    let read = move |input: &[u8]| {
        let _ = Genesis::verify(input);
        let _ = ClientPolicy::verify(input);
        let _ = pinned.successor(input);
    };
    (Box::new(read), seeds)
}

fn config() -> Prepared {
    let paper = Paper::new();
    let tenant = json!({
        "id": "bank-a", "name": "Bank", "anchor": paper.root, "ledger": "05".repeat(16),
        "rp": {"id": "localhost", "name": "Bank", "origins": ["https://localhost"],
            "approval_origins": ["https://localhost"]},
        "roles": [], "default_role": "bank",
    });
    let config = json!({
        "type": "redoubt/config/v1", "genesis": paper.genesis.digest, "counter": 1,
        "server_names": ["localhost"],
        "anchors": {"auditor": paper.root, "officer": paper.root, "operator": paper.root},
        "tenants": [tenant], "appliance_ledger": "06".repeat(16),
        "policy": {
            "face_false_matches_per_million": 100, "max_failed_attempts": 3, "lockout_minutes": 30,
            "accepted_tiers": ["process"], "enrollment_minutes": 30, "challenge_seconds": 300,
            "approval_seconds": 300,
        },
    });
    let seeds = vec![paper.signed(&config), json_bytes(&config)];
    let genesis = paper.genesis.clone();
    // Bent payloads are signed again, so that what is behind the signature is reached.
    let read = move |input: &[u8]| {
        let _ = Config::verify(input, &genesis);
        if let Ok(payload) = serde_json::from_slice::<Value>(input) {
            let _ = Config::verify(&paper.signed(&payload), &genesis);
        }
    };
    (Box::new(read), seeds)
}

fn appraisal_policy() -> Prepared {
    let paper = Paper::new();
    let policy = json!({
        "type": "redoubt/appraisal-policy/v1", "genesis": paper.genesis.digest, "counter": 1,
        "not_after_ms": NOW_MS, "max_age_ms": 60_000, "withdrawn": ["00".repeat(48)],
    });
    let seeds = vec![paper.signed(&policy), json_bytes(&policy)];
    let genesis = paper.genesis.clone();
    let read = move |input: &[u8]| {
        let _ = AppraisalPolicy::verify(input, &genesis);
        if let Ok(payload) = serde_json::from_slice::<Value>(input) {
            let _ = AppraisalPolicy::verify(&paper.signed(&payload), &genesis);
        }
    };
    (Box::new(read), seeds)
}

fn receipt() -> Prepared {
    let paper = Paper::new();
    let trust = paper.trust();
    let receipt = paper.receipt();
    let judged = verify_receipt(&receipt, &trust);
    assert!(judged.is_ok(), "the seed is a good receipt: {judged:?}");
    let read = move |input: &[u8]| {
        if let Ok(receipt) = serde_json::from_slice::<Receipt>(input) {
            let _ = verify_receipt(&receipt, &trust);
        }
    };
    (Box::new(read), vec![json_bytes(&receipt)])
}

fn artefact() -> Prepared {
    let paper = Paper::new();
    let trust = paper.trust();
    let seed = json_bytes(&paper.artefact());
    let assertion = crate::paper::assertion(&sha256(&[]));
    let read = move |input: &[u8]| {
        let _ = verify_artefact(input, &trust);
        // The customer's part alone: everything before it must verify otherwise.
        let mut bent = assertion.clone();
        bent.public_key_cose = input.to_vec();
        let _ = bent.verify("bank.example", &sha256(&[]));
    };
    (
        Box::new(read),
        vec![seed, crate::paper::assertion(&sha256(&[])).public_key_cose],
    )
}

fn checkpoint() -> Prepared {
    let paper = Paper::new();
    let receipt = paper.receipt();
    let anchored = receipt
        .anchor
        .as_ref()
        .map(|anchor| anchor.checkpoint.clone());
    let seeds = [Some(receipt.checkpoint.clone()), anchored];
    let trust = paper.trust();
    let kept = KeptDocument::try_from(&receipt.evidence[0]).expect("base64url of our own");
    let boot = trust.boot(&kept).expect("a document of our own is genuine");
    let witnesses = trust.genesis.manifest.witnesses.clone();
    let read = move |input: &[u8]| {
        let Ok(note) = std::str::from_utf8(input) else {
            return;
        };
        let _ = redoubt_attestation::ledger::checkpoint::read_unverified(note);
        let _ = boot.open(note);
        let algorithms = redoubt_attestation::ledger::checkpoint::NoteAlgorithms::NATIVE;
        let _ = redoubt_attestation::ledger::cosigned_by(note, &witnesses, algorithms);
    };
    let seeds = seeds.into_iter().flatten().map(String::into_bytes);
    (Box::new(read), seeds.collect())
}

fn contradictions() -> Prepared {
    let paper = Paper::new();
    let receipt = paper.receipt();
    let evidence = &receipt.evidence[0];
    let side = json!({
        "document": evidence.document, "preimage": evidence.preimage,
        "checkpoint": receipt.checkpoint,
    });
    let proof = |rule: &str| {
        json_bytes(&json!({
            "type": "redoubt/contradiction/v1", "rule": rule, "sides": [side, side],
        }))
    };
    let rules = ["two_roots", "two_boots_in_one_term", "rewound"];
    let trust = paper.trust();
    let read = move |input: &[u8]| {
        if let Ok(proof) = serde_json::from_slice::<Proof>(input) {
            let _ = contradiction::check(&proof, &trust);
        }
    };
    (Box::new(read), rules.map(proof).to_vec())
}

fn export() -> Prepared {
    let receipt = Paper::new().receipt();
    let entry = json!({
        "index": 0, "header": receipt.header,
        "events": [
            {"commitment": "01".repeat(32), "claims": receipt.claims, "salt": receipt.salt},
            {"commitment": "02".repeat(32)},
        ],
    });
    let page = json!({
        "type": "redoubt/export/v1", "ledger": Paper::ledger().to_string(), "tenant": "bank-a",
        "from": 0, "to": 1, "size": 1, "peaks": [],
    });
    let end = json!({
        "type": "redoubt/export-end/v1", "consistency": ["03".repeat(32)],
        "checkpoint": receipt.checkpoint,
    });
    let read = |input: &[u8]| {
        if let Ok(entry) = serde_json::from_slice::<ExportEntry>(input) {
            let _ = entry.verify();
        }
        let _ = serde_json::from_slice::<ExportBegin>(input);
        let _ = serde_json::from_slice::<ExportEnd>(input);
    };
    let seeds = [entry, page, end].map(|line| json_bytes(&line));
    (Box::new(read), seeds.to_vec())
}

fn witness_wire() -> Prepared {
    let note = Paper::new().receipt().checkpoint;
    let request = AddCheckpoint {
        old_size: 3,
        proof: vec![[1; 32], [2; 32]],
        note: note.clone(),
    };
    let lines = note
        .split_once("\n\n")
        .map(|(_, lines)| lines.as_bytes().to_vec());
    let seeds = [
        Some(request.to_text().into_bytes()),
        lines,
        Some(b"17\n".to_vec()),
    ];
    let read = |input: &[u8]| {
        let _ = AddCheckpoint::parse(input);
        let _ = parse_lines(input);
        let _ = parse_size(input);
    };
    (Box::new(read), seeds.into_iter().flatten().collect())
}

fn epoch_wire() -> Prepared {
    let (document, preimage) = Paper::new().evidence();
    let appliance = "06".repeat(16);
    let statements = [
        json!({"type": "redoubt/epoch-deposit/v1", "appliance": appliance, "epoch": 1,
            "threshold": 1, "index": 1, "share": b64u(&[1; 32])}),
        json!({"type": "redoubt/epoch-release/v1", "appliance": appliance, "epoch": 1}),
        json!({"type": "redoubt/epoch-retire/v1", "appliance": appliance, "below": 1}),
    ];
    let request = json!({
        "document": b64u(&document), "preimage": b64u(&preimage),
        "statement": b64u(statements[0].to_string().as_bytes()), "signature": b64u(&[1; 64]),
    });
    let term = json!({"document": b64u(&document), "preimage": b64u(&preimage)});
    let read = |input: &[u8]| {
        let _ = EpochStatement::parse(input);
        let _ = serde_json::from_slice::<EpochRequest>(input);
        let _ = serde_json::from_slice::<TermRequest>(input);
        let _ = serde_json::from_slice::<SignedDeletion>(input);
    };
    let seeds = statements.iter().chain([&request, &term]).map(json_bytes);
    (Box::new(read), seeds.collect())
}

fn share() -> Prepared {
    let share = json!({
        "type": "redoubt/share/v1", "officer": "officer", "k": 2, "n": 3, "index": 1, "epoch": 0,
        "genesis": "01".repeat(32), "share": b64u(&[1; 32]),
    });
    let aad = json!({
        "document": "01".repeat(32), "genesis": "02".repeat(32), "counter": 1,
        "head": {"size": 4, "root": "03".repeat(32)},
    });
    let sealed = json!({
        "officer": "officer", "aad": b64u(aad.to_string().as_bytes()), "enc": b64u(&[1; 1120]),
        "ciphertext": b64u(&[2; 200]),
    });
    let read = |input: &[u8]| {
        let _ = Share::parse(input);
        let _ = UnsealAad::parse(input);
        let _ = serde_json::from_slice::<SealedShare>(input);
    };
    let seeds = [share, aad, sealed].map(|value| json_bytes(&value));
    (Box::new(read), seeds.to_vec())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn every_target_reads_its_own_seeds_and_nothing_at_all() {
        let names: BTreeSet<_> = super::TARGETS.iter().map(|target| target.name).collect();
        assert_eq!(names.len(), super::TARGETS.len());
        for target in super::TARGETS {
            let (read, seeds) = (target.prepare)();
            assert!(!seeds.is_empty(), "{}", target.name);
            seeds.iter().for_each(|seed| read(seed));
            read(&[]);
        }
    }
}
