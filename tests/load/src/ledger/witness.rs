//! One real witness on this machine, appointed by a genesis manifest, reached
//! through a relay as a host carries it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use redoubt_attestation::attester::{
    AttestRequest, Attester, EmulatedAttester, emulated_root, measure,
};
use redoubt_attestation::binding::{
    Binding, BindingType, BoundLedger, NonceInput, Purpose, user_data,
};
use redoubt_attestation::encode::Digest32;
use redoubt_attestation::entropy::SystemEntropy;
use redoubt_attestation::genesis::{
    ClientPolicy, Environment, Genesis, GenesisType, MeasuredRole, Measurement, Officer, PeerEntry,
    RootKind, SignedFile, Tier, VendorRootEntry, VerifiedGenesis, WitnessMode, WitnessPolicy,
};
use redoubt_attestation::ledger::Hash;
use redoubt_attestation::sign::{Ed25519Signer, Es256Signer};
use redoubt_audit::witness::{Server, Service, init};
use redoubt_enclave::keys::BootKeySet;
use redoubt_enclave::ledger::{CosignError, Cosigner, Cosigning, Freshness, Witnessing};
use redoubt_enclave::peers::{PeerError, Peers, TermEvidence, Witness};
use redoubt_shared::frame::{read_frame, write_frame};
use redoubt_shared::peers::{PeerRequest, PeerResponse};
use redoubt_shared::{Endpoint, Stream};
use tokio::net::TcpStream;

use super::rig::{APPLIANCE, TENANT};

const PROGRAM: &[u8] = b"bench";
const LEASE_MS: u64 = 2000;

/// The witness, and the boot it was told of.
pub(super) struct Appointed {
    keys: BootKeySet,
    member: Arc<Witness>,
    evidence: TermEvidence,
    /// Its folder and the relay's socket.
    _dirs: [tempfile::TempDir; 2],
}

impl Appointed {
    pub(super) async fn start() -> Result<Self> {
        let (dir, sockets) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let (root, key) = emulated_root("bench")?;
        let entry = init(dir.path(), "w0.example")?;
        let officer = Es256Signer::generate(&SystemEntropy)?;
        let genesis = appoint(&root, &officer, entry)?;
        let policy = ClientPolicy::pin(&genesis).to_json();
        let service = Service::open(dir.path(), Some(&policy))?;
        let server = Server::bind(service, "127.0.0.1:0".parse()?).await?;
        let address = server.address()?;
        tokio::spawn(server.run(std::future::pending()));
        let endpoint = Endpoint::Unix(sockets.path().join("peers"));
        relay(&endpoint, address).await?;
        let keys = BootKeySet::generate(&SystemEntropy)?;
        let attester = EmulatedAttester::dangerous_new(&root, &key, PROGRAM, 0)?;
        let evidence = evidence(&attester, &genesis, &keys)?;
        let peers = Peers::new(Some(endpoint), &genesis.manifest);
        let member = peers.witnesses().pop().context("no witness")?;
        Ok(Self {
            keys,
            member,
            evidence,
            _dirs: [dir, sockets],
        })
    }

    /// The key whose heads it cosigns.
    pub(super) fn signer(&self) -> Arc<Ed25519Signer> {
        self.keys.checkpoint.clone()
    }

    /// Every batch waits for it.
    pub(super) fn witnessing(&self) -> Witnessing {
        let freshness = Freshness {
            strict: true,
            quorum: 1,
            lease: Duration::from_millis(LEASE_MS),
        };
        let introducing = Introducing {
            witness: self.member.clone(),
            evidence: self.evidence.clone(),
            introduced: Arc::default(),
        };
        Witnessing::new(freshness, vec![Arc::new(introducing)])
    }
}

fn appoint(root: &str, officer: &Es256Signer, entry: PeerEntry) -> Result<VerifiedGenesis> {
    let mut pcrs = measure(PROGRAM).to_hex();
    pcrs.retain(|index, _| *index < 3);
    let manifest = Genesis {
        kind: GenesisType::V1,
        name: "bench".into(),
        environment: Environment::Emulated,
        counter: 1,
        threshold: 1,
        officers: vec![Officer {
            id: "officer-1".into(),
            key: officer.jwk().clone(),
        }],
        secret_commitment: Digest32([9; 32]),
        vendor_roots: vec![VendorRootEntry {
            kind: RootKind::NitroEmulated,
            pem: root.to_owned(),
        }],
        measurements: vec![Measurement {
            role: MeasuredRole::Enclave,
            tier: Tier::Process,
            pcrs,
        }],
        witnesses: vec![entry],
        witness_policy: Some(WitnessPolicy {
            k: 1,
            f: 0,
            mode: WitnessMode::Strict,
            lease_ms: LEASE_MS,
        }),
        custodians: Vec::new(),
        custodian_threshold: None,
        previous: None,
        created_ms: 1,
    };
    let mut file = SignedFile::unsigned(&serde_json::to_vec(&manifest)?);
    file.sign("officer-1", officer)?;
    Ok(Genesis::verify(&file.to_json())?)
}

fn evidence(
    attester: &EmulatedAttester,
    genesis: &VerifiedGenesis,
    keys: &BootKeySet,
) -> Result<TermEvidence> {
    let binding = Binding {
        kind: BindingType::V1,
        purpose: Purpose::Serve,
        genesis: genesis.digest,
        genesis_counter: genesis.manifest.counter,
        ledgers: vec![
            BoundLedger {
                tenant: Some("bank-a".parse()?),
                ledger: TENANT,
            },
            BoundLedger {
                tenant: None,
                ledger: APPLIANCE,
            },
        ],
        config: Digest32([1; 32]),
        policy: Digest32([2; 32]),
        models: Digest32([3; 32]),
        boot_keys: keys.public(),
        ca_spki_sha256: None,
        head: None,
        term: Some(1),
    };
    let preimage = binding.to_preimage();
    let request = AttestRequest {
        public_key: Some(binding.public_key()),
        user_data: Some(user_data(&preimage).to_vec()),
        nonce: Some(NonceInput::NoSession.hash().0.to_vec()),
    };
    Ok(TermEvidence {
        config: None,
        document: attester.attest(&request)?,
        preimage,
        genesis: Vec::new(),
    })
}

/// What a host does for the enclave's streams to its peers.
async fn relay(endpoint: &Endpoint, address: SocketAddr) -> Result<()> {
    let mut listener = endpoint.listen().await?;
    tokio::spawn(async move {
        while let Ok(stream) = listener.accept().await {
            tokio::spawn(carry(stream, address));
        }
    });
    Ok(())
}

async fn carry(mut stream: Stream, address: SocketAddr) -> Result<()> {
    let _: PeerRequest = read_frame(&mut stream).await?;
    let mut upstream = TcpStream::connect(address).await?;
    upstream.set_nodelay(true)?;
    write_frame(&mut stream, &PeerResponse::Connected).await?;
    tokio::io::copy_bidirectional(&mut stream, &mut upstream).await?;
    Ok(())
}

/// Tells the witness of the term before the first head.
struct Introducing {
    witness: Arc<Witness>,
    evidence: TermEvidence,
    introduced: Arc<AtomicBool>,
}

impl Cosigner for Introducing {
    fn name(&self) -> &str {
        self.witness.name()
    }

    fn cosign(&self, old: u64, proof: Vec<Hash>, note: String) -> Cosigning {
        let (witness, evidence) = (self.witness.clone(), self.evidence.clone());
        let introduced = self.introduced.clone();
        Box::pin(async move {
            if !introduced.load(Ordering::Relaxed) {
                witness.introduce(&evidence).await.map_err(passing)?;
                introduced.store(true, Ordering::Relaxed);
            }
            witness.cosign(old, &proof, &note).await.map_err(passing)
        })
    }
}

/// Nobody is hostile here: every failure is tried again.
fn passing(error: PeerError) -> CosignError {
    CosignError::Passing(error.to_string())
}
