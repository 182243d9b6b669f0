//! An appliance, its bank and its customer, to stand trial.

use super::super::*;
use crate::binding::{NonceInput, Purpose};
use crate::encode::{Digest32, b64u, sha256};
use crate::entropy::SystemEntropy;
use crate::jcs::to_jcs;
use crate::ledger::entry::{self, EventKind};
use crate::ledger::receipt::{Evidence, RECEIPT_TYPE};
use crate::ledger::{Checkpoint, Header, Receipt, Tree};
use crate::sign::HybridSigner;
use crate::testkit::{Bench, TENANT};
use p256::ecdsa::signature::Signer as _;
use serde_json::{Value, json};

pub(crate) const RP: &str = "bank.example";
pub(crate) const ORIGIN: &str = "https://approve.bank.example";

/// An appliance, a tenant's keys, a customer's authenticator, a term's document.
pub(crate) struct Court {
    pub(crate) bench: Bench,
    pub(crate) tenant: HybridSigner,
    pub(crate) customer: p256::ecdsa::SigningKey,
    pub(crate) evidence: (Vec<u8>, Vec<u8>),
}

impl Court {
    pub(crate) fn new() -> Self {
        Self::of(Bench::new())
    }

    pub(crate) fn of(bench: Bench) -> Self {
        let evidence = bench.attest(&bench.binding(Purpose::Serve), NonceInput::NoSession);
        Self {
            tenant: HybridSigner::generate(&SystemEntropy).unwrap(),
            customer: p256::ecdsa::SigningKey::from_slice(&[3; 32]).unwrap(),
            bench,
            evidence,
        }
    }

    pub(crate) fn trust(&self) -> Trust {
        Trust {
            genesis: self.bench.genesis.clone(),
            before: vec![],
            minimum_counter: 1,
            allow_debug: false,
        }
    }

    pub(crate) fn common(&self) -> Value {
        let hex = |byte| Digest32([byte; 32]).to_string();
        json!({
            "type": "verification", "receipt_id": "00", "tenant": TENANT, "user_id": "customer-1",
            "time_ms": 1000, "environment": "emulated", "document": sha256(&[&self.evidence.0]),
            "config": hex(1), "policy": hex(2), "models": hex(3), "freshness": "none",
        })
    }

    /// Puts a claim into a ledger of one entry and makes its receipt.
    pub(crate) fn receipt(&self, claims: &str) -> Receipt {
        let commitment = entry::commit(EventKind::Claims, &[6; 32], claims.as_bytes());
        let events = entry::events_tree([commitment]);
        let header = Header {
            ledger: Bench::ledger(),
            index: 0,
            epoch: 0,
            term: 1,
            events_root: events.root(),
        };
        let tree = Tree::from_leaves([header.leaf()]);
        let checkpoint = Checkpoint {
            ledger: Bench::ledger(),
            size: 1,
            root: tree.root(),
        };
        let body = checkpoint.body();
        let signer = &self.bench.checkpoints;
        let line = checkpoint.ed25519_line(
            signer.jwk().as_bytes(),
            &signer.sign(body.as_bytes()).unwrap(),
        );
        let mldsa = self.bench.boot.sign_ml_dsa_65(body.as_bytes()).unwrap();
        let lasting = checkpoint.mldsa65_line(self.bench.boot.jwks().1.as_bytes(), &mldsa);
        Receipt {
            kind: RECEIPT_TYPE.into(),
            claims: claims.to_owned(),
            salt: b64u(&[6; 32]),
            event_index: 0,
            event_count: 1,
            event_path: vec![],
            header: hex::encode(header.encode()),
            tree_size: 1,
            leaf_path: vec![],
            checkpoint: checkpoint.note(&[line, lasting]),
            anchor: None,
            evidence: vec![Evidence {
                document: b64u(&self.evidence.0),
                preimage: b64u(&self.evidence.1),
            }],
        }
    }

    pub(crate) fn challenge_input(&self) -> ChallengeInput {
        ChallengeInput {
            domain: ChallengeInput::DOMAIN.into(),
            tenant: TENANT.parse().unwrap(),
            rp_id: RP.into(),
            user_id: "customer-1".parse().unwrap(),
            purpose: ChallengeInput::PURPOSE.into(),
            expires_ms: 2000,
            nonce: [5; 32],
            transaction_jcs: to_jcs(&transaction()).unwrap(),
        }
    }

    pub(crate) fn assertion(&self, challenge: &Digest32, flags: u8) -> Assertion {
        let client_data = json!({
            "type": "webauthn.get", "challenge": b64u(&challenge.0), "origin": ORIGIN, "crossOrigin": false,
        })
        .to_string();
        let data = [
            &sha256(&[RP.as_bytes()]).0[..],
            &[flags],
            &7u32.to_be_bytes(),
        ]
        .concat();
        let signed = [&data[..], &sha256(&[client_data.as_bytes()]).0].concat();
        let signature: p256::ecdsa::Signature = self.customer.sign(&signed);
        let point = self.customer.verifying_key().to_sec1_point(false);
        let (x, y) = (&point.as_bytes()[1..33], &point.as_bytes()[33..]);
        let cose = [
            &[0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32][..],
            x,
            &[0x22, 0x58, 32],
            y,
        ]
        .concat();
        Assertion {
            credential_id: b64u(b"credential"),
            public_key_cose: cose,
            authenticator_data: data,
            client_data_json: client_data.into_bytes(),
            signature: signature.to_der().as_bytes().to_vec(),
            sign_count: 7,
            user_verified: flags & 4 != 0,
            origin: ORIGIN.into(),
        }
    }

    pub(crate) fn claims(&self) -> Value {
        let input = self.challenge_input();
        let mut claims = self.common();
        claims["type"] = "approval".into();
        claims["decision"] = "approved".into();
        claims["transaction"] = transaction();
        claims["challenge"] = b64u(&input.challenge().0).into();
        claims["assertion"] = json!(self.assertion(&input.challenge(), 5));
        claims["challenge_input"] = json!(input);
        claims["tenant_key_es256"] = self.tenant.jwks().0.kid().into();
        claims["tenant_key_mldsa65"] = self.tenant.jwks().1.kid().into();
        claims
    }

    /// Signs and receipts whatever claims are given, as a lying enclave could.
    pub(crate) fn artefact(&self, claims: &Value) -> Artefact {
        self.artefact_typed(claims, APPROVAL_TYP)
    }

    pub(crate) fn artefact_typed(&self, claims: &Value, typ: &str) -> Artefact {
        let text = claims.to_string();
        let [a, b] = self.tenant.sign_jws(text.as_bytes(), typ).unwrap();
        let [c, d] = self.bench.boot.sign_jws(text.as_bytes(), typ).unwrap();
        let (es256, mldsa65) = self.tenant.jwks();
        Artefact {
            payload: b64u(text.as_bytes()),
            signatures: vec![a, b, c, d],
            receipt: self.receipt(&text),
            tenant_keys: (es256.clone(), mldsa65.clone()),
            grants: vec![],
        }
    }

    pub(crate) fn judge(&self, artefact: &Artefact) -> Result<VerifiedArtefact, &'static str> {
        let bytes = serde_json::to_vec(artefact).unwrap();
        verify_artefact(&bytes, &self.trust()).map_err(|refusal| refusal.code())
    }

    pub(crate) fn refused(&self, change: impl FnOnce(&mut Value)) -> &'static str {
        let mut claims = self.claims();
        change(&mut claims);
        self.judge(&self.artefact(&claims))
            .expect_err("these claims must be refused")
    }
}

pub(crate) fn transaction() -> Value {
    json!({
        "amount": "250.00", "currency": "EUR", "reference": "invoice 7",
        "payee": {"name": "Example GmbH", "account": "DE00"},
    })
}
