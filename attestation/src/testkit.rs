//! A whole emulated appliance on paper, for the tests of this crate.

use std::collections::BTreeMap;

use redoubt_shared::LedgerId;

use crate::attester::{AttestRequest, Attester, EmulatedAttester, emulated_root, measure};
use crate::binding::{Binding, BindingType, BootKeys, BoundLedger, NonceInput, Purpose, user_data};
use crate::cbor::Writer;
use crate::document::Pcrs;
use crate::encode::Digest32;
use crate::entropy::SystemEntropy;
use crate::genesis::{
    Environment, Genesis, GenesisType, MeasuredRole, Measurement, Officer, RootKind, SignedFile,
    Tier, VendorRootEntry, VerifiedGenesis,
};
use crate::ledger::Checkpoint;
use crate::sign::{Ed25519Signer, Es256Signer, HybridSigner};

pub(crate) const PROGRAM: &[u8] = b"the enclave's program";
pub(crate) const WORKER: &[u8] = b"the worker's program";
pub(crate) const TENANT: &str = "bank-a";

pub(crate) struct Bench {
    pub(crate) root: (String, String),
    pub(crate) officers: Vec<(String, Es256Signer)>,
    pub(crate) genesis: VerifiedGenesis,
    pub(crate) attester: EmulatedAttester,
    pub(crate) boot: HybridSigner,
    pub(crate) checkpoints: Ed25519Signer,
}

pub(crate) fn officers(count: usize) -> Vec<(String, Es256Signer)> {
    (0..count)
        .map(|i| {
            let key = Es256Signer::generate(&SystemEntropy).unwrap();
            (format!("officer-{i}"), key)
        })
        .collect()
}

pub(crate) fn manifest(root_pem: &str, officers: &[(String, Es256Signer)]) -> Genesis {
    let pcrs = |program| {
        let mut pcrs = measure(program).to_hex();
        pcrs.retain(|index, _| *index < 3);
        pcrs
    };
    let allowed = |role, program| Measurement {
        role,
        tier: Tier::Process,
        pcrs: pcrs(program),
    };
    Genesis {
        kind: GenesisType::V1,
        name: "test appliance".into(),
        environment: Environment::Emulated,
        counter: 3,
        threshold: 1,
        officers: officers
            .iter()
            .map(|(id, key)| Officer {
                id: id.clone(),
                key: key.jwk().clone(),
            })
            .collect(),
        secret_commitment: Digest32([9; 32]),
        vendor_roots: vec![VendorRootEntry {
            kind: RootKind::NitroEmulated,
            pem: root_pem.to_owned(),
        }],
        measurements: vec![
            allowed(MeasuredRole::Enclave, PROGRAM),
            allowed(MeasuredRole::Worker, WORKER),
        ],
        witnesses: vec![],
        witness_policy: None,
        custodians: vec![],
        custodian_threshold: None,
        previous: None,
        created_ms: 1,
    }
}

pub(crate) fn signed<T: serde::Serialize>(value: &T, by: &[&(String, Es256Signer)]) -> Vec<u8> {
    let mut file = SignedFile::unsigned(&serde_json::to_vec(value).unwrap());
    for (id, key) in by {
        file.sign(id, key).unwrap();
    }
    file.to_json()
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// An appliance whose manifest takes documents that nobody signed: those alone, or
    /// those of its own root too.
    pub(crate) fn naming_unsigned(signs_too: bool) -> Self {
        Self::with(|manifest| {
            manifest.vendor_roots.truncate(signs_too.into());
            manifest.vendor_roots.push(VendorRootEntry {
                kind: RootKind::NitroUnsigned,
                pem: String::new(),
            });
        })
    }

    /// An appliance whose manifest was changed before it was signed.
    pub(crate) fn with(change: impl FnOnce(&mut Genesis)) -> Self {
        let root = emulated_root("test root").unwrap();
        let officers = officers(1);
        let mut manifest = manifest(&root.0, &officers);
        change(&mut manifest);
        let genesis = Genesis::verify(&signed(&manifest, &[&officers[0]])).unwrap();
        Self {
            attester: EmulatedAttester::dangerous_new(&root.0, &root.1, PROGRAM, 0).unwrap(),
            boot: HybridSigner::generate(&SystemEntropy).unwrap(),
            checkpoints: Ed25519Signer::generate(&SystemEntropy).unwrap(),
            root,
            officers,
            genesis,
        }
    }

    pub(crate) fn ledger() -> LedgerId {
        LedgerId::from_bytes([5; 16])
    }

    /// The appliance's own.
    pub(crate) fn appliance() -> LedgerId {
        LedgerId::from_bytes([6; 16])
    }

    /// The head under the Ed25519 key of this boot.
    pub(crate) fn note(&self, head: &Checkpoint) -> String {
        let signature = self.checkpoints.sign(head.body().as_bytes()).unwrap();
        head.note(&[head.ed25519_line(self.checkpoints.jwk().as_bytes(), &signature)])
    }

    pub(crate) fn binding(&self, purpose: Purpose) -> Binding {
        Binding {
            kind: BindingType::V1,
            purpose,
            genesis: self.genesis.digest,
            genesis_counter: self.genesis.manifest.counter,
            ledgers: vec![
                BoundLedger {
                    tenant: Some(TENANT.parse().unwrap()),
                    ledger: Self::ledger(),
                },
                BoundLedger {
                    tenant: None,
                    ledger: Self::appliance(),
                },
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

    /// A document and its preimage.
    pub(crate) fn attest(&self, binding: &Binding, nonce: NonceInput<'_>) -> (Vec<u8>, Vec<u8>) {
        let preimage = binding.to_preimage();
        let request = AttestRequest {
            public_key: Some(binding.public_key()),
            user_data: Some(user_data(&preimage).to_vec()),
            nonce: Some(nonce.hash().0.to_vec()),
        };
        (self.attester.attest(&request).unwrap(), preimage)
    }

    /// The same from an emulated machine whose security module signs nothing.
    pub(crate) fn unsigned(&self, binding: &Binding, nonce: NonceInput<'_>) -> (Unsigned, Vec<u8>) {
        let preimage = binding.to_preimage();
        let said = AttestRequest {
            public_key: Some(binding.public_key()),
            user_data: Some(user_data(&preimage).to_vec()),
            nonce: Some(nonce.hash().0.to_vec()),
        };
        (Unsigned::of(PROGRAM, said), preimage)
    }
}

/// What QEMU's emulated security module writes, each marker open to change.
#[derive(Clone)]
pub(crate) struct Unsigned {
    pub(crate) protected: Vec<u8>,
    pub(crate) signature: Vec<u8>,
    pub(crate) certificate: Vec<u8>,
    pub(crate) cabundle: Vec<Vec<u8>>,
    pub(crate) pcrs: Pcrs,
    pub(crate) said: AttestRequest,
}

impl Unsigned {
    /// Of an image that measures as `program` does, every marker in place.
    pub(crate) fn of(program: &[u8], said: AttestRequest) -> Self {
        Self {
            protected: vec![0xa1, 0x01, 0x20],
            signature: vec![0; 64],
            certificate: vec![0; 64],
            cabundle: vec![vec![0; 64]],
            pcrs: measure(program),
            said,
        }
    }

    pub(crate) fn document(&self) -> Vec<u8> {
        let mut map = Writer::default();
        map.map(9);
        map.text("module_id");
        map.text("i-234-enc5678");
        map.text("digest");
        map.text("SHA384");
        map.text("timestamp");
        map.uint(1_700_000_000_000);
        map.text("pcrs");
        map.map(self.pcrs.0.len() as u64);
        for (index, value) in &self.pcrs.0 {
            map.uint((*index).into());
            map.bytes(value);
        }
        map.text("certificate");
        map.bytes(&self.certificate);
        map.text("cabundle");
        map.array(self.cabundle.len() as u64);
        self.cabundle.iter().for_each(|issuer| map.bytes(issuer));
        map.text("public_key");
        map.bytes_or_null(self.said.public_key.as_deref());
        map.text("user_data");
        map.bytes_or_null(self.said.user_data.as_deref());
        map.text("nonce");
        map.bytes_or_null(self.said.nonce.as_deref());
        let mut out = Writer::default();
        out.array(4);
        out.bytes(&self.protected);
        out.map(0);
        out.bytes(&map.0);
        out.bytes(&self.signature);
        out.0
    }
}

/// Registers that claim debug mode.
pub(crate) fn debug_pcrs() -> Pcrs {
    let zero: BTreeMap<u8, Vec<u8>> = (0..16).map(|index| (index, vec![0; 48])).collect();
    Pcrs(zero)
}
