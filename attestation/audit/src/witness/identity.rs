//! The peer's own keys: one signs notes and statements, one speaks TLS.
//!
//! Protects against two peers that share a key by a copied folder being taken for
//! one another: the entry beside the keys must be the entry the keys make.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use redoubt_attestation::encode::{b64u, exactly, from_b64u, sha256};
use redoubt_attestation::entropy::{SystemEntropy, draw};
use redoubt_attestation::genesis::{PeerEntry, is_peer_name};
use redoubt_attestation::sign::{Ed25519Signer, Es256Signer};
use rustls::ServerConfig;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::sync::Arc;
use zeroize::Zeroizing;

use super::files;

const ENTRY: &str = "peer.json";
const NOTE_KEY: &str = "note.key";
const TLS_KEY: &str = "tls.key";

/// Who this peer is.
pub(super) struct Identity {
    pub(super) entry: PeerEntry,
    pub(super) signer: Ed25519Signer,
    tls: KeyPair,
}

/// Makes the keys of a new peer and returns its entry for the genesis manifest.
pub fn init(dir: &Path, name: &str) -> Result<PeerEntry> {
    ensure!(
        is_peer_name(name),
        "--name {name:?}: use 1 to 64 of a-z, 0-9, '.' and '-'"
    );
    files::make_dir(dir).with_context(|| dir.display().to_string())?;
    ensure!(
        files::read(&dir.join(ENTRY))?.is_none(),
        "{}: keys are here already; run without --init, or take another folder",
        dir.display()
    );
    let seed = Zeroizing::new(draw::<32>(&SystemEntropy)?);
    let signer = Ed25519Signer::from_seed(&seed)?;
    let pem = Es256Signer::generate(&SystemEntropy)?.expose_pkcs8_pem()?;
    let entry = entry(name, &signer, &tls_pair(&pem)?);
    let seed = Zeroizing::new(b64u(&seed[..]));
    files::replace(&dir.join(NOTE_KEY), seed.as_bytes())?;
    files::replace(&dir.join(TLS_KEY), pem.as_bytes())?;
    files::replace(&dir.join(ENTRY), &serde_json::to_vec_pretty(&entry)?)?;
    Ok(entry)
}

impl Identity {
    /// Reads the keys of a folder that [`init`] made.
    pub(super) fn load(dir: &Path) -> Result<Self> {
        let read = |name: &str| {
            let path = dir.join(name);
            files::read(&path)
                .with_context(|| path.display().to_string())?
                .with_context(|| format!("{}: not there; run --init first", path.display()))
        };
        let known: PeerEntry = serde_json::from_slice(&read(ENTRY)?).context(ENTRY)?;
        let seed = read(NOTE_KEY)?;
        let seed = Zeroizing::new(from_b64u(std::str::from_utf8(&seed)?.trim()).context(NOTE_KEY)?);
        let seed = Zeroizing::new(exactly::<32>(&seed).context(NOTE_KEY)?);
        let signer = Ed25519Signer::from_seed(&seed)?;
        let tls = tls_pair(std::str::from_utf8(&read(TLS_KEY)?)?)?;
        ensure!(
            entry(&known.name, &signer, &tls) == known,
            "{}: {ENTRY} names other keys than {NOTE_KEY} and {TLS_KEY}",
            dir.display()
        );
        Ok(Self {
            entry: known,
            signer,
            tls,
        })
    }

    /// TLS 1.3 under a certificate that this key signs itself. Clients pin the
    /// key, so the certificate is made anew at each start.
    pub(super) fn tls(&self) -> Result<Arc<ServerConfig>> {
        let certificate =
            CertificateParams::new(vec![self.entry.name.clone()])?.self_signed(&self.tls)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.tls.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.into()], key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.max_early_data_size = 0;
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }
}

fn tls_pair(pem: &str) -> Result<KeyPair> {
    KeyPair::from_pkcs8_pem_and_sign_algo(pem, &PKCS_ECDSA_P256_SHA256).context(TLS_KEY)
}

fn entry(name: &str, signer: &Ed25519Signer, tls: &KeyPair) -> PeerEntry {
    let spki = rcgen::PublicKeyData::subject_public_key_info(tls);
    PeerEntry {
        name: name.to_owned(),
        key: signer.jwk().clone(),
        tls_spki_sha256: sha256(&[&spki]),
    }
}
