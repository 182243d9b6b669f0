//! An appliance on paper: documents, signed files, receipts, notes of our own
//! making, from which bent inputs start.

use redoubt_attestation::artefact::{APPROVAL_TYP, Artefact, Assertion, ChallengeInput, Trust};
use redoubt_attestation::attester::{
    AttestRequest, Attester, EmulatedAttester, emulated_root, measure,
};
use redoubt_attestation::binding::{
    Backend, Binding, BindingType, BootKeys, BoundLedger, NonceInput, Purpose, WorkerBinding,
    user_data,
};
use redoubt_attestation::encode::{Digest32, b64u, sha256};
use redoubt_attestation::entropy::SystemEntropy;
use redoubt_attestation::genesis::{ClientPolicy, Genesis, SignedFile, Tier, VerifiedGenesis};
use redoubt_attestation::jcs::to_jcs;
use redoubt_attestation::ledger::anchor::{Anchor, heads_event};
use redoubt_attestation::ledger::entry::{EventKind, events_tree};
use redoubt_attestation::ledger::receipt::{Evidence, RECEIPT_TYPE};
use redoubt_attestation::ledger::{Checkpoint, Header, Receipt, Tree, commit, cosignature};
use redoubt_attestation::sign::{Ed25519Signer, Es256Signer, HybridSigner};
use redoubt_shared::LedgerId;
use serde_json::{Value, json};

const PROGRAM: &[u8] = b"the enclave's program";
const TENANT: &str = "bank-a";
const SALT: [u8; 32] = [6; 32];

/// The appliance: its officers, its witness, one boot of it.
pub(crate) struct Paper {
    officer: Es256Signer,
    witness: Ed25519Signer,
    boot: HybridSigner,
    checkpoints: Ed25519Signer,
    attester: EmulatedAttester,
    /// Root certificate, PEM.
    pub(crate) root: String,
    /// The signed manifest.
    pub(crate) genesis_file: Vec<u8>,
    /// The same, verified.
    pub(crate) genesis: VerifiedGenesis,
}

fn must<T, E: std::fmt::Debug>(made: Result<T, E>) -> T {
    made.expect("an appliance on paper needs nothing but entropy")
}

impl Paper {
    /// A fresh one.
    pub(crate) fn new() -> Self {
        let (root, root_key) = must(emulated_root("fuzz root"));
        let officer = must(Es256Signer::generate(&SystemEntropy));
        let witness = must(Ed25519Signer::generate(&SystemEntropy));
        let manifest = json!({
            "type": "redoubt/genesis/v1", "name": "paper", "environment": "emulated", "counter": 1,
            "threshold": 1, "officers": [{"id": "officer", "key": officer.jwk()}],
            "secret_commitment": "00".repeat(32),
            "vendor_roots": [{"kind": "nitro_emulated", "pem": root}],
            "measurements": [
                {"role": "enclave", "tier": "process", "pcrs": {"0": measure(PROGRAM).to_hex()[&0]}},
            ],
            "witnesses": [
                {"name": "w.example", "key": witness.jwk(), "tls_spki_sha256": "01".repeat(32)},
            ],
            "witness_policy": {"k": 1, "f": 0, "mode": "strict", "lease_ms": 2000},
            "custodians": [], "created_ms": 1,
        });
        let genesis_file = signed(&manifest, &officer);
        Self {
            attester: must(EmulatedAttester::dangerous_new(
                &root, &root_key, PROGRAM, 0,
            )),
            boot: must(HybridSigner::generate(&SystemEntropy)),
            checkpoints: must(Ed25519Signer::generate(&SystemEntropy)),
            genesis: must(Genesis::verify(&genesis_file)),
            officer,
            witness,
            root,
            genesis_file,
        }
    }

    /// A signed file of the appliance's officer.
    pub(crate) fn signed(&self, payload: &Value) -> Vec<u8> {
        signed(payload, &self.officer)
    }

    /// What a client pins.
    pub(crate) fn policy(&self) -> Vec<u8> {
        ClientPolicy::pin(&self.genesis).to_json()
    }

    /// What an auditor pins.
    pub(crate) fn trust(&self) -> Trust {
        Trust {
            genesis: self.genesis.clone(),
            before: vec![],
            minimum_counter: 1,
            allow_debug: false,
        }
    }

    /// The ledger of the tenant.
    pub(crate) fn ledger() -> LedgerId {
        LedgerId::from_bytes([5; 16])
    }

    fn appliance() -> LedgerId {
        LedgerId::from_bytes([6; 16])
    }

    /// What the boot binds.
    pub(crate) fn binding(&self) -> Binding {
        let bound = |tenant: Option<&str>, ledger| BoundLedger {
            tenant: tenant.map(|tenant| must(tenant.parse())),
            ledger,
        };
        Binding {
            kind: BindingType::V1,
            purpose: Purpose::Serve,
            genesis: self.genesis.digest,
            genesis_counter: 1,
            ledgers: vec![
                bound(Some(TENANT), Self::ledger()),
                bound(None, Self::appliance()),
            ],
            config: Digest32([1; 32]),
            policy: Digest32([2; 32]),
            models: Digest32([3; 32]),
            boot_keys: BootKeys {
                tls_spki: self.boot.jwks().0.to_spki(),
                receipt_es256: self.boot.jwks().0.clone(),
                receipt_mldsa65: self.boot.jwks().1.clone(),
                checkpoint_ed25519: self.checkpoints.jwk().clone(),
                unseal_xwing: vec![7; 1216],
            },
            ca_spki_sha256: None,
            head: None,
            term: Some(1),
        }
    }

    /// What a worker binds.
    pub(crate) fn worker_binding(&self) -> WorkerBinding {
        let spki = self.boot.jwks().0.to_spki();
        WorkerBinding::new(Tier::Process, Digest32([3; 32]), Backend::Cpu, spki)
    }

    /// A kept document and its preimage.
    pub(crate) fn evidence(&self) -> (Vec<u8>, Vec<u8>) {
        let binding = self.binding();
        let preimage = binding.to_preimage();
        let request = AttestRequest {
            public_key: Some(binding.public_key()),
            user_data: Some(user_data(&preimage).to_vec()),
            nonce: Some(NonceInput::NoSession.hash().0.to_vec()),
        };
        (must(self.attester.attest(&request)), preimage)
    }

    fn common(&self, document: &[u8]) -> Value {
        let hex = |byte| Digest32([byte; 32]);
        json!({
            "type": "verification", "receipt_id": "00", "tenant": TENANT, "user_id": "customer-1",
            "time_ms": 1000, "environment": "emulated", "document": sha256(&[document]),
            "config": hex(1), "policy": hex(2), "models": hex(3), "freshness": "strict",
            "unwitnessed_ms": 0,
        })
    }

    /// One event of one entry of a ledger of one: header, head, note without cosignatures.
    fn entry(
        &self,
        ledger: LedgerId,
        kind: EventKind,
        event: &[u8],
    ) -> (Header, Checkpoint, String) {
        let events = events_tree([commit(kind, &SALT, event)]);
        let header = Header {
            ledger,
            index: 0,
            epoch: 0,
            term: 1,
            events_root: events.root(),
        };
        let head = Checkpoint {
            ledger,
            size: 1,
            root: Tree::from_leaves([header.leaf()]).root(),
        };
        let body = head.body();
        let ed25519 = must(self.checkpoints.sign(body.as_bytes()));
        let mldsa65 = must(self.boot.sign_ml_dsa_65(body.as_bytes()));
        let lines = [
            head.ed25519_line(self.checkpoints.jwk().as_bytes(), &ed25519),
            head.mldsa65_line(self.boot.jwks().1.as_bytes(), &mldsa65),
        ];
        (header, head, head.note(&lines))
    }

    /// A receipt that verifies, anchor and evidence included.
    pub(crate) fn receipt(&self) -> Receipt {
        let evidence = self.evidence();
        let claims = self.common(&evidence.0).to_string();
        self.receipt_of(&claims, &evidence)
    }

    fn receipt_of(&self, claims: &str, evidence: &(Vec<u8>, Vec<u8>)) -> Receipt {
        let (header, head, note) = self.entry(Self::ledger(), EventKind::Claims, claims.as_bytes());
        let event = heads_event(&head);
        let (above, appliance, anchored) = self.entry(Self::appliance(), EventKind::State, &event);
        let line = must(cosignature::cosign(
            &appliance,
            "w.example",
            1700,
            &self.witness,
        ));
        let anchor = Anchor {
            event: b64u(&event),
            salt: b64u(&SALT),
            event_index: 0,
            event_count: 1,
            event_path: vec![],
            header: hex::encode(above.encode()),
            tree_size: 1,
            leaf_path: vec![],
            checkpoint: anchored + &line,
        };
        Receipt {
            kind: RECEIPT_TYPE.into(),
            claims: claims.to_owned(),
            salt: b64u(&SALT),
            event_index: 0,
            event_count: 1,
            event_path: vec![],
            header: hex::encode(header.encode()),
            tree_size: 1,
            leaf_path: vec![],
            checkpoint: note,
            anchor: Some(anchor),
            evidence: vec![Evidence {
                document: b64u(&evidence.0),
                preimage: b64u(&evidence.1),
            }],
        }
    }

    /// An artefact that holds up to the customer's own signature, which is a dummy.
    pub(crate) fn artefact(&self) -> Artefact {
        let tenant = must(HybridSigner::generate(&SystemEntropy));
        let transaction = json!({
            "amount": "250.00", "currency": "EUR", "reference": "invoice 7",
            "payee": {"name": "Example GmbH", "account": "DE00"},
        });
        let input = ChallengeInput {
            domain: ChallengeInput::DOMAIN.into(),
            tenant: must(TENANT.parse()),
            rp_id: "bank.example".into(),
            user_id: must("customer-1".parse()),
            purpose: ChallengeInput::PURPOSE.into(),
            expires_ms: 2000,
            nonce: [5; 32],
            transaction_jcs: must(to_jcs(&transaction)),
        };
        let challenge = input.challenge();
        let evidence = self.evidence();
        let mut claims = self.common(&evidence.0);
        claims["type"] = "approval".into();
        claims["decision"] = "approved".into();
        claims["transaction"] = transaction;
        claims["challenge"] = b64u(&challenge.0).into();
        claims["assertion"] = json!(assertion(&challenge));
        claims["challenge_input"] = json!(input);
        claims["tenant_key_es256"] = tenant.jwks().0.kid().into();
        claims["tenant_key_mldsa65"] = tenant.jwks().1.kid().into();
        let text = claims.to_string();
        let [a, b] = must(tenant.sign_jws(text.as_bytes(), APPROVAL_TYP));
        let [c, d] = must(self.boot.sign_jws(text.as_bytes(), APPROVAL_TYP));
        Artefact {
            payload: b64u(text.as_bytes()),
            signatures: vec![a, b, c, d],
            receipt: self.receipt_of(&text, &evidence),
            tenant_keys: (tenant.jwks().0.clone(), tenant.jwks().1.clone()),
            grants: vec![],
        }
    }
}

fn signed(payload: &Value, officer: &Es256Signer) -> Vec<u8> {
    let mut file = SignedFile::unsigned(payload.to_string().as_bytes());
    must(file.sign("officer", officer));
    file.to_json()
}

/// An assertion of the right form over a challenge.
pub(crate) fn assertion(challenge: &Digest32) -> Assertion {
    let origin = "https://approve.bank.example";
    let client_data = json!({
        "type": "webauthn.get", "challenge": b64u(&challenge.0), "origin": origin, "crossOrigin": false,
    });
    let rp = sha256(&[b"bank.example"]);
    let head = [0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32];
    Assertion {
        credential_id: b64u(b"credential"),
        public_key_cose: [&head[..], &[1; 32], &[0x22, 0x58, 32], &[2; 32]].concat(),
        authenticator_data: [&rp.0[..], &[5, 0, 0, 0, 7]].concat(),
        client_data_json: client_data.to_string().into_bytes(),
        signature: vec![0x30, 6, 2, 1, 1, 2, 1, 1],
        sign_count: 7,
        user_verified: true,
        origin: origin.into(),
    }
}
