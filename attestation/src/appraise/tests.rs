use super::*;
use crate::attester::{AttestRequest, Attester, EmulatedAttester, emulated_root};
use crate::binding::{Backend, Head};
use crate::genesis::{Genesis, VendorRootEntry};
use crate::testkit::{Bench, PROGRAM, WORKER, debug_pcrs, manifest, signed};

mod unsigned;

const CLIENT: &[u8] = b"client nonce";
const EXPORTER: [u8; 32] = [4; 32];
const SESSION: NonceInput<'static> = NonceInput::Session {
    client_nonce: CLIENT,
    exporter: &EXPORTER,
};

fn expectation(genesis: &VerifiedGenesis) -> Appraisal<'_> {
    Appraisal {
        genesis,
        minimum_counter: 1,
        purpose: Purpose::Serve,
        nonce: SESSION,
        session_spki: None,
        models: None,
        now_ms: 0,
        max_age_ms: None,
        allow_debug: false,
    }
}

fn code(evidence: &(Vec<u8>, Vec<u8>), appraisal: &Appraisal<'_>) -> &'static str {
    match appraise(&evidence.0, &evidence.1, appraisal) {
        Ok(_) => "accepted",
        Err(refusal) => {
            assert!(refusal.check() < CHECKS.len());
            refusal.code()
        }
    }
}

#[test]
fn a_good_document_is_accepted_and_says_what_it_binds() {
    let bench = Bench::new();
    let binding = Binding {
        head: Some(Head {
            size: 4,
            root: Digest32([8; 32]),
        }),
        ..bench.binding(Purpose::Serve)
    };
    let (document, preimage) = bench.attest(&binding, SESSION);
    let spki = binding.boot_keys.tls_spki.clone();
    let appraisal = Appraisal {
        session_spki: Some(&spki),
        models: Some(binding.models),
        now_ms: bench.attester.now_ms().unwrap(),
        max_age_ms: Some(60_000),
        ..expectation(&bench.genesis)
    };
    let good = appraise(&document, &preimage, &appraisal).unwrap();
    assert_eq!(good.enclave(), Some(&binding));
    assert_eq!(good.environment, Environment::Emulated);
    assert_eq!(good.tier, Tier::Process);
    assert!(good.worker().is_none());
}

#[test]
fn the_unseal_key_is_bound_by_its_digest() {
    let bench = Bench::new();
    let evidence = bench.attest(&bench.binding(Purpose::Unseal), SESSION);
    let unseal = Appraisal {
        purpose: Purpose::Unseal,
        ..expectation(&bench.genesis)
    };
    assert_eq!(code(&evidence, &unseal), "accepted");
    assert_eq!(
        code(&evidence, &expectation(&bench.genesis)),
        "wrong_purpose"
    );
}

#[test]
fn a_document_relayed_from_another_session_is_refused() {
    let bench = Bench::new();
    let evidence = bench.attest(&bench.binding(Purpose::Serve), SESSION);
    let refused = |nonce| {
        let appraisal = Appraisal {
            nonce,
            ..expectation(&bench.genesis)
        };
        assert_eq!(code(&evidence, &appraisal), "wrong_nonce");
    };
    refused(NonceInput::Session {
        client_nonce: CLIENT,
        exporter: &[5; 32],
    });
    refused(NonceInput::Session {
        client_nonce: b"another nonce",
        exporter: &EXPORTER,
    });
    refused(NonceInput::NoSession);
}

#[test]
fn an_exporter_sent_as_a_plain_nonce_is_refused() {
    let bench = Bench::new();
    let binding = bench.binding(Purpose::Serve);
    let preimage = binding.to_preimage();
    let raw = |nonce: Option<Vec<u8>>| {
        let request = AttestRequest {
            public_key: Some(binding.public_key()),
            user_data: Some(user_data(&preimage).to_vec()),
            nonce,
        };
        (bench.attester.attest(&request).unwrap(), preimage.clone())
    };
    for nonce in [
        None,
        Some(vec![]),
        Some(EXPORTER.to_vec()),
        Some(CLIENT.to_vec()),
    ] {
        assert_eq!(
            code(&raw(nonce), &expectation(&bench.genesis)),
            "wrong_nonce"
        );
    }
}

#[test]
fn an_appliance_of_other_officers_is_refused() {
    let (ours, theirs) = (Bench::new(), Bench::new());
    // Another root altogether.
    let evidence = theirs.attest(&theirs.binding(Purpose::Serve), SESSION);
    assert_eq!(
        code(&evidence, &expectation(&ours.genesis)),
        "root_not_pinned"
    );
    // The same root and the same genuine image, set up under another manifest.
    let binding = Binding {
        genesis: theirs.genesis.digest,
        ..ours.binding(Purpose::Serve)
    };
    let evidence = ours.attest(&binding, SESSION);
    assert_eq!(
        code(&evidence, &expectation(&ours.genesis)),
        "other_genesis"
    );
}

#[test]
fn a_superseded_genesis_is_refused() {
    let bench = Bench::new();
    let evidence = bench.attest(&bench.binding(Purpose::Serve), SESSION);
    let later = Appraisal {
        minimum_counter: 4,
        ..expectation(&bench.genesis)
    };
    assert_eq!(code(&evidence, &later), "counter_too_low");
    let binding = Binding {
        genesis_counter: 2,
        ..bench.binding(Purpose::Serve)
    };
    let evidence = bench.attest(&binding, SESSION);
    assert_eq!(
        code(&evidence, &expectation(&bench.genesis)),
        "counter_too_low"
    );
}

#[test]
fn a_program_the_officers_did_not_list_is_refused() {
    let bench = Bench::new();
    let (cert, key) = &bench.root;
    let other = EmulatedAttester::dangerous_new(cert, key, b"another program", 0).unwrap();
    let bench = Bench {
        attester: other,
        ..bench
    };
    let evidence = bench.attest(&bench.binding(Purpose::Serve), SESSION);
    assert_eq!(
        code(&evidence, &expectation(&bench.genesis)),
        "measurement_not_allowed"
    );
}

#[test]
fn a_worker_does_not_pass_for_an_enclave_nor_an_enclave_for_a_worker() {
    let bench = Bench::new();
    let (cert, key) = bench.root.clone();
    let worker = Bench {
        attester: EmulatedAttester::dangerous_new(&cert, &key, WORKER, 0).unwrap(),
        ..bench
    };
    let evidence = worker.attest(&worker.binding(Purpose::Serve), SESSION);
    assert_eq!(
        code(&evidence, &expectation(&worker.genesis)),
        "measurement_not_allowed"
    );

    let enclave = Bench {
        attester: EmulatedAttester::dangerous_new(&cert, &key, PROGRAM, 0).unwrap(),
        ..worker
    };
    let evidence = worker_evidence(&enclave, Tier::Process);
    let appraisal = Appraisal {
        purpose: Purpose::Worker,
        ..expectation(&enclave.genesis)
    };
    assert_eq!(code(&evidence, &appraisal), "measurement_not_allowed");
}

fn worker_evidence(bench: &Bench, tier: Tier) -> (Vec<u8>, Vec<u8>) {
    let spki = bench.boot.jwks().0.to_spki();
    let preimage =
        WorkerBinding::new(tier, Digest32([3; 32]), Backend::Cpu, spki.clone()).to_preimage();
    let request = AttestRequest {
        public_key: Some(spki),
        user_data: Some(user_data(&preimage).to_vec()),
        nonce: Some(SESSION.hash().0.to_vec()),
    };
    (bench.attester.attest(&request).unwrap(), preimage)
}

#[test]
fn a_worker_is_accepted_at_the_tier_of_its_measurement_only() {
    let bench = Bench::new();
    let (cert, key) = bench.root.clone();
    let bench = Bench {
        attester: EmulatedAttester::dangerous_new(&cert, &key, WORKER, 0).unwrap(),
        ..bench
    };
    let appraisal = Appraisal {
        purpose: Purpose::Worker,
        models: Some(Digest32([3; 32])),
        ..expectation(&bench.genesis)
    };
    let evidence = worker_evidence(&bench, Tier::Process);
    let good = appraise(&evidence.0, &evidence.1, &appraisal).unwrap();
    assert_eq!(good.worker().unwrap().backend, Backend::Cpu);
    assert_eq!(
        code(&worker_evidence(&bench, Tier::ConfidentialGpu), &appraisal),
        "wrong_tier"
    );
    let other = Appraisal {
        models: Some(Digest32([4; 32])),
        ..appraisal
    };
    assert_eq!(code(&evidence, &other), "other_models");
}

#[test]
fn debug_mode_is_refused_unless_the_policy_and_the_manifest_allow_it() {
    let bench = Bench::new();
    let (cert, key) = bench.root.clone();
    let bench = Bench {
        attester: EmulatedAttester::dangerous_with_pcrs(&cert, &key, debug_pcrs(), 0).unwrap(),
        ..bench
    };
    let evidence = bench.attest(&bench.binding(Purpose::Serve), SESSION);
    assert_eq!(code(&evidence, &expectation(&bench.genesis)), "debug");
    // Tolerating debug mode does not mean accepting anybody's.
    let tolerant = Appraisal {
        allow_debug: true,
        ..expectation(&bench.genesis)
    };
    assert_eq!(code(&evidence, &tolerant), "measurement_not_allowed");
}

#[test]
fn another_preimage_than_the_committed_one_is_refused() {
    let bench = Bench::new();
    let (document, mut preimage) = bench.attest(&bench.binding(Purpose::Serve), SESSION);
    // Even a space, which changes no meaning.
    preimage.push(b' ');
    assert_eq!(
        code(&(document, preimage), &expectation(&bench.genesis)),
        "wrong_user_data"
    );
}

#[test]
fn a_preimage_with_an_unknown_or_missing_member_is_refused() {
    let bench = Bench::new();
    let binding = bench.binding(Purpose::Serve);
    let text = String::from_utf8(binding.to_preimage()).unwrap();
    for bent in [
        text.replace("\"term\":1", "\"term\":1,\"more\":1"),
        text.replace(",\"term\":1", ""),
        text.replace("binding/v1", "binding/v2"),
        String::new(),
    ] {
        let request = AttestRequest {
            public_key: Some(binding.public_key()),
            user_data: Some(user_data(bent.as_bytes()).to_vec()),
            nonce: Some(SESSION.hash().0.to_vec()),
        };
        let evidence = (bench.attester.attest(&request).unwrap(), bent.into_bytes());
        assert_eq!(
            code(&evidence, &expectation(&bench.genesis)),
            "preimage_malformed"
        );
    }
}

#[test]
fn the_key_must_be_the_attested_one_in_document_and_session() {
    let bench = Bench::new();
    let binding = bench.binding(Purpose::Serve);
    let preimage = binding.to_preimage();
    let request = AttestRequest {
        public_key: Some(vec![1; 91]),
        user_data: Some(user_data(&preimage).to_vec()),
        nonce: Some(SESSION.hash().0.to_vec()),
    };
    let evidence = (bench.attester.attest(&request).unwrap(), preimage);
    assert_eq!(
        code(&evidence, &expectation(&bench.genesis)),
        "wrong_public_key"
    );
    let evidence = bench.attest(&binding, SESSION);
    let other = Appraisal {
        session_spki: Some(&[1; 91]),
        ..expectation(&bench.genesis)
    };
    assert_eq!(code(&evidence, &other), "other_session_key");
}

#[test]
fn old_and_future_documents_are_refused_where_age_matters() {
    let bench = Bench::new();
    let evidence = bench.attest(&bench.binding(Purpose::Serve), SESSION);
    let made = crate::document::Document::parse(&evidence.0)
        .unwrap()
        .timestamp_ms;
    let at = |now_ms| {
        let appraisal = Appraisal {
            now_ms,
            max_age_ms: Some(60_000),
            ..expectation(&bench.genesis)
        };
        code(&evidence, &appraisal)
    };
    assert_eq!(at(made), "accepted");
    assert_eq!(at(made + 60_000), "accepted");
    assert_eq!(at(made + 60_001), "too_old");
    assert_eq!(at(made - 60_000), "accepted");
    assert_eq!(at(made - 60_001), "from_the_future");
}

#[test]
fn a_hardware_genesis_takes_no_emulated_root_whatever_it_calls_it() {
    let bench = Bench::new();
    let hardware = |kind, pem: &str| {
        let mut manifest = manifest(&bench.root.0, &bench.officers);
        manifest.environment = Environment::Hardware;
        manifest.vendor_roots = vec![VendorRootEntry {
            kind,
            pem: pem.to_owned(),
        }];
        Genesis::verify(&signed(&manifest, &[&bench.officers[0]]))
    };
    assert!(hardware(RootKind::NitroEmulated, &bench.root.0).is_err());
    assert!(hardware(RootKind::Nitro, &bench.root.0).is_err());
    let aws = hardware(RootKind::Nitro, "").unwrap();
    let evidence = bench.attest(&bench.binding(Purpose::Serve), SESSION);
    assert_eq!(code(&evidence, &expectation(&aws)), "root_not_pinned");
    // And if validation ever let one through, appraisal would still refuse it.
    let mut smuggled = bench.genesis.clone();
    smuggled.manifest.environment = Environment::Hardware;
    assert_eq!(
        code(&evidence, &expectation(&smuggled)),
        "emulated_under_hardware_genesis"
    );
    assert_ne!(emulated_root("a").unwrap(), emulated_root("a").unwrap());
}
