//! An emulated appliance, its officers, real witnesses, and a host between.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

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
use redoubt_attestation::ledger::Tree;
use redoubt_attestation::ledger::checkpoint::Checkpoint;
use redoubt_attestation::ledger::merkle::leaf_hash;
use redoubt_attestation::sign::Es256Signer;
use redoubt_audit::witness::{Server, Service, init};
use redoubt_enclave::keys::BootKeySet;
use redoubt_enclave::peers::{PeerLimits, Peers, TermEvidence};
use redoubt_shared::frame::{read_frame, write_frame};
use redoubt_shared::peers::{PeerRequest, PeerResponse};
use redoubt_shared::{Endpoint, LedgerId};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) const PROGRAM: &[u8] = b"the enclave's program";
pub(crate) const LEASE_MS: u64 = 1500;

pub(crate) fn appliance() -> LedgerId {
    LedgerId::from_bytes([6; 16])
}

/// A witness process's worth: its folder, and the server while it runs.
pub(crate) struct Peer {
    pub(crate) dir: TempDir,
    pub(crate) entry: PeerEntry,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

pub(crate) struct Bench {
    root: (String, String),
    pub(crate) officers: Vec<(String, Es256Signer)>,
    attester: EmulatedAttester,
    pub(crate) genesis: VerifiedGenesis,
    pub(crate) peers: Vec<Peer>,
    routes: Arc<Mutex<BTreeMap<String, SocketAddr>>>,
    sockets: TempDir,
}

/// One boot of the enclave.
pub(crate) struct Boot {
    pub(crate) keys: BootKeySet,
    pub(crate) term: u64,
}

impl Boot {
    pub(crate) fn new(term: u64) -> Self {
        let keys = BootKeySet::generate(&SystemEntropy).unwrap();
        Self { keys, term }
    }

    /// A signed head of the appliance's ledger.
    pub(crate) fn note(&self, tree: &Tree, size: u64) -> String {
        let checkpoint = Checkpoint {
            ledger: appliance(),
            size,
            root: tree.root_at(size).unwrap(),
        };
        let signer = &self.keys.checkpoint;
        let signature = signer.sign(checkpoint.body().as_bytes()).unwrap();
        checkpoint.note(&[checkpoint.ed25519_line(signer.jwk().as_bytes(), &signature)])
    }
}

pub(crate) fn tree(leaves: u64, salt: u8) -> Tree {
    Tree::from_leaves((0..leaves).map(|i| leaf_hash(&[salt, i as u8])))
}

pub(crate) fn sign(manifest: &Genesis, by: &[&(String, Es256Signer)]) -> Vec<u8> {
    let mut file = SignedFile::unsigned(&serde_json::to_vec(manifest).unwrap());
    for (id, key) in by {
        file.sign(id, key).unwrap();
    }
    file.to_json()
}

pub(crate) fn officer(id: &str) -> (String, Es256Signer) {
    (
        id.to_owned(),
        Es256Signer::generate(&SystemEntropy).unwrap(),
    )
}

pub(crate) fn officer_entry((id, key): &(String, Es256Signer)) -> Officer {
    Officer {
        id: id.clone(),
        key: key.jwk().clone(),
    }
}

impl Bench {
    /// `n` peers, each witness and custodian, all running.
    pub(crate) async fn new(n: usize) -> Self {
        let root = emulated_root("test root").unwrap();
        let officers = vec![officer("officer-1")];
        let peers: Vec<Peer> = (0..n).map(Peer::new).collect();
        let manifest = manifest(&root.0, &officers, &peers);
        let genesis = Genesis::verify(&sign(&manifest, &[&officers[0]])).unwrap();
        let mut bench = Self {
            attester: EmulatedAttester::dangerous_new(&root.0, &root.1, PROGRAM, 0).unwrap(),
            root,
            officers,
            genesis,
            peers,
            routes: Arc::default(),
            sockets: tempfile::tempdir().unwrap(),
        };
        bench.host().await;
        for at in 0..n {
            bench.start(at).await;
        }
        bench
    }

    pub(crate) fn policy(&self) -> Vec<u8> {
        ClientPolicy::pin(&self.genesis).to_json()
    }

    /// Starts a peer, the first time and after [`Self::stop`].
    pub(crate) async fn start(&mut self, at: usize) {
        let policy = self.policy();
        let peer = &mut self.peers[at];
        let service = Service::open(peer.dir.path(), Some(&policy)).unwrap();
        let server = Server::bind(service, "127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        let address = server.address().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            server.run(async { drop(stopped.await) }).await.unwrap();
        });
        peer.running = Some((stop, task));
        let mut routes = self.routes.lock().unwrap();
        routes.insert(peer.entry.name.clone(), address);
    }

    pub(crate) async fn stop(&mut self, at: usize) {
        if let Some((stop, task)) = self.peers[at].running.take() {
            drop(stop);
            task.await.unwrap();
        }
    }

    /// Sends streams for one name to another's address: what a host can do.
    pub(crate) fn misroute(&self, from: usize, to: usize) {
        let mut routes = self.routes.lock().unwrap();
        let address = routes[&self.peers[to].entry.name];
        routes.insert(self.peers[from].entry.name.clone(), address);
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::Unix(self.sockets.path().join("peers"))
    }

    pub(crate) fn client(&self) -> Peers {
        let limits = PeerLimits {
            connect: Duration::from_secs(10),
            exchange: Duration::from_secs(10),
        };
        Peers::with_limits(Some(self.endpoint()), &self.genesis.manifest, limits)
    }

    async fn host(&self) {
        let mut listener = self.endpoint().listen().await.unwrap();
        let routes = Arc::clone(&self.routes);
        tokio::spawn(async move {
            while let Ok(mut stream) = listener.accept().await {
                let routes = Arc::clone(&routes);
                tokio::spawn(async move {
                    let PeerRequest { name } = read_frame(&mut stream).await.unwrap();
                    let route = routes.lock().unwrap().get(&name).copied();
                    let upstream = match route {
                        Some(address) => TcpStream::connect(address).await.ok(),
                        None => None,
                    };
                    let Some(mut upstream) = upstream else {
                        let refused = PeerResponse::Refused {
                            detail: format!("{name} does not answer"),
                        };
                        let _ = write_frame(&mut stream, &refused).await;
                        return;
                    };
                    let _ = write_frame(&mut stream, &PeerResponse::Connected).await;
                    let _ = tokio::io::copy_bidirectional(&mut stream, &mut upstream).await;
                });
            }
        });
    }

    pub(crate) fn binding(&self, boot: &Boot, purpose: Purpose) -> Binding {
        Binding {
            kind: BindingType::V1,
            purpose,
            genesis: self.genesis.digest,
            genesis_counter: self.genesis.manifest.counter,
            ledgers: vec![
                BoundLedger {
                    tenant: Some("bank-a".parse().unwrap()),
                    ledger: LedgerId::from_bytes([9; 16]),
                },
                BoundLedger {
                    tenant: None,
                    ledger: appliance(),
                },
            ],
            config: Digest32([1; 32]),
            policy: Digest32([2; 32]),
            models: Digest32([3; 32]),
            boot_keys: boot.keys.public(),
            ca_spki_sha256: None,
            head: None,
            term: (purpose == Purpose::Serve).then_some(boot.term),
        }
    }

    pub(crate) fn attest(&self, binding: &Binding) -> (Vec<u8>, Vec<u8>) {
        self.attest_as(&self.attester, binding)
    }

    fn attest_as(&self, attester: &EmulatedAttester, binding: &Binding) -> (Vec<u8>, Vec<u8>) {
        let preimage = binding.to_preimage();
        let request = AttestRequest {
            public_key: Some(binding.public_key()),
            user_data: Some(user_data(&preimage).to_vec()),
            nonce: Some(NonceInput::NoSession.hash().0.to_vec()),
        };
        (attester.attest(&request).unwrap(), preimage)
    }

    pub(crate) fn evidence(&self, boot: &Boot) -> TermEvidence {
        self.evidence_for(&self.binding(boot, Purpose::Serve))
    }

    pub(crate) fn evidence_for(&self, binding: &Binding) -> TermEvidence {
        let (document, preimage) = self.attest(binding);
        TermEvidence {
            config: None,
            document,
            preimage,
            genesis: vec![],
        }
    }

    /// Evidence of another program on the same machine.
    pub(crate) fn evidence_of_another_program(&self, boot: &Boot) -> TermEvidence {
        let (certificate, key) = &self.root;
        let attester = EmulatedAttester::dangerous_new(certificate, key, b"other", 0).unwrap();
        let (document, preimage) = self.attest_as(&attester, &self.binding(boot, Purpose::Serve));
        TermEvidence {
            config: None,
            document,
            preimage,
            genesis: vec![],
        }
    }
}

impl Peer {
    fn new(at: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let entry = init(dir.path(), &format!("w{at}.example")).unwrap();
        Self {
            dir,
            entry,
            running: None,
        }
    }

    /// Files with shares in them.
    pub(crate) fn share_files(&self) -> Vec<std::path::PathBuf> {
        let folder = self.dir.path().join("shares").join(appliance().to_string());
        list(&folder)
            .into_iter()
            .filter(|path| path.extension().is_some_and(|e| e == "share"))
            .collect()
    }
}

fn list(folder: &Path) -> Vec<std::path::PathBuf> {
    std::fs::read_dir(folder)
        .map(|items| items.map(|item| item.unwrap().path()).collect())
        .unwrap_or_default()
}

fn manifest(root: &str, officers: &[(String, Es256Signer)], peers: &[Peer]) -> Genesis {
    let mut pcrs = measure(PROGRAM).to_hex();
    pcrs.retain(|index, _| *index < 3);
    let entries: Vec<_> = peers.iter().map(|peer| peer.entry.clone()).collect();
    let n = u8::try_from(peers.len()).unwrap();
    Genesis {
        kind: GenesisType::V1,
        name: "peers test".into(),
        environment: Environment::Emulated,
        counter: 1,
        threshold: 1,
        officers: officers.iter().map(officer_entry).collect(),
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
        witnesses: entries.clone(),
        witness_policy: Some(WitnessPolicy {
            k: n / 2 + 1,
            f: 0,
            mode: WitnessMode::Lease,
            lease_ms: LEASE_MS,
        }),
        custodians: entries,
        custodian_threshold: Some(n / 2 + 1),
        previous: None,
        created_ms: 1,
    }
}
