//! Signing keys of the enclave: ES256 and ML-DSA-65 side by side, and Ed25519
//! for checkpoints. Made only from entropy that is handed in.
//!
//! Protects private keys against copying by accident: seeds are boxed, zeroized,
//! without Clone, Debug or Serialize, and leave only through `expose_*`.

use aws_lc_rs::agreement;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, ML_DSA_65_SIGNING,
    PqdsaKeyPair,
};
use zeroize::Zeroizing;

use super::jws::{JwsSignature, Protected};
use crate::entropy::{Entropy, EntropyError};
use crate::jwk::{AkpMlDsa65Jwk, EcP256Jwk, OkpEd25519Jwk};

/// Bytes of an ML-DSA-65 signature.
const ML_DSA_65_SIGNATURE: usize = 3309;
/// A random 32-byte string is no P-256 scalar with probability 2^-32.
const SCALAR_ATTEMPTS: usize = 8;

/// Why a signer could not be made or used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignerError {
    /// No entropy.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// The stored seed is no private key.
    #[error("the stored seed is no {0} private key; the sealed state it came from is damaged")]
    Seed(&'static str),
    /// The library refused to sign.
    #[error("signing with {0} failed inside the library")]
    Signing(&'static str),
}

/// The 32-byte secrets of a [`HybridSigner`], for sealed storage and nothing else.
pub struct HybridSeeds {
    es256: Box<Zeroizing<[u8; 32]>>,
    mldsa65: Box<Zeroizing<[u8; 32]>>,
}

impl HybridSeeds {
    /// From what sealed storage kept: the P-256 scalar and the ML-DSA-65 seed.
    pub fn new(es256: &[u8; 32], mldsa65: &[u8; 32]) -> Self {
        Self {
            es256: Box::new(Zeroizing::new(*es256)),
            mldsa65: Box::new(Zeroizing::new(*mldsa65)),
        }
    }

    /// The P-256 private scalar.
    pub fn expose_es256(&self) -> &[u8; 32] {
        &self.es256
    }

    /// The ML-DSA-65 seed (FIPS 204 ξ).
    pub fn expose_mldsa65(&self) -> &[u8; 32] {
        &self.mldsa65
    }
}

/// Two keys that sign the same bytes: ES256 and ML-DSA-65.
pub struct HybridSigner {
    seeds: HybridSeeds,
    es256: EcdsaKeyPair,
    mldsa65: PqdsaKeyPair,
    es256_jwk: EcP256Jwk,
    mldsa65_jwk: AkpMlDsa65Jwk,
}

impl HybridSigner {
    /// Makes both keys from fresh entropy.
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, SignerError> {
        let mldsa65 = draw_secret(entropy)?;
        for _ in 0..SCALAR_ATTEMPTS {
            let es256 = draw_secret(entropy)?;
            match Self::from_seeds(HybridSeeds::new(&es256, &mldsa65)) {
                Err(SignerError::Seed("P-256")) => {}
                made => return made,
            }
        }
        Err(EntropyError("it keeps returning what is no P-256 scalar".into()).into())
    }

    /// Restores both keys from sealed storage.
    pub fn from_seeds(seeds: HybridSeeds) -> Result<Self, SignerError> {
        let (es256, es256_jwk) = es256_pair(&seeds.es256)?;
        let mldsa65 = PqdsaKeyPair::from_seed(&ML_DSA_65_SIGNING, &seeds.mldsa65[..])
            .map_err(|_| SignerError::Seed("ML-DSA-65"))?;
        let mldsa65_jwk = AkpMlDsa65Jwk::from_bytes(mldsa65.public_key().as_ref())
            .ok_or(SignerError::Seed("ML-DSA-65"))?;
        Ok(Self {
            seeds,
            es256,
            mldsa65,
            es256_jwk,
            mldsa65_jwk,
        })
    }

    /// The secrets, for sealing.
    pub fn expose_seeds(&self) -> &HybridSeeds {
        &self.seeds
    }

    /// Both public keys.
    pub fn jwks(&self) -> (&EcP256Jwk, &AkpMlDsa65Jwk) {
        (&self.es256_jwk, &self.mldsa65_jwk)
    }

    /// ES256 signature, r || s.
    pub fn sign_es256(&self, message: &[u8]) -> Result<[u8; 64], SignerError> {
        es256_sign(&self.es256, message)
    }

    /// ML-DSA-65 signature with the empty context.
    pub fn sign_ml_dsa_65(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        let mut signature = vec![0; ML_DSA_65_SIGNATURE];
        self.mldsa65
            .sign(message, &mut signature)
            .map_err(|_| SignerError::Signing("ML-DSA-65"))?;
        Ok(signature)
    }

    /// The two JWS signatures over a payload (RFC 7515 §7.2.1), ES256 first.
    pub fn sign_jws(&self, payload: &[u8], typ: &str) -> Result<[JwsSignature; 2], SignerError> {
        let es256 = Protected::new("ES256", &self.es256_jwk.kid(), Some(typ));
        let mldsa65 = Protected::new("ML-DSA-65", &self.mldsa65_jwk.kid(), Some(typ));
        Ok([
            es256.sign(payload, |input| Ok(self.sign_es256(input)?.to_vec()))?,
            mldsa65.sign(payload, |input| self.sign_ml_dsa_65(input))?,
        ])
    }
}

fn es256_pair(scalar: &[u8; 32]) -> Result<(EcdsaKeyPair, EcP256Jwk), SignerError> {
    let point = agreement::PrivateKey::from_private_key(&agreement::ECDH_P256, scalar)
        .map_err(|_| SignerError::Seed("P-256"))?
        .compute_public_key()
        .map_err(|_| SignerError::Seed("P-256"))?;
    let pair = EcdsaKeyPair::from_private_key_and_public_key(
        &ECDSA_P256_SHA256_FIXED_SIGNING,
        scalar,
        point.as_ref(),
    )
    .map_err(|_| SignerError::Seed("P-256"))?;
    let jwk = EcP256Jwk::from_sec1(point.as_ref()).ok_or(SignerError::Seed("P-256"))?;
    Ok((pair, jwk))
}

fn es256_sign(pair: &EcdsaKeyPair, message: &[u8]) -> Result<[u8; 64], SignerError> {
    let signature = pair
        .sign(&SystemRandom::new(), message)
        .map_err(|_| SignerError::Signing("ES256"))?;
    crate::encode::exactly(signature.as_ref()).map_err(|_| SignerError::Signing("ES256"))
}

fn draw_secret(entropy: &dyn Entropy) -> Result<Zeroizing<[u8; 32]>, EntropyError> {
    let mut secret = Zeroizing::new([0; 32]);
    entropy.fill(&mut secret[..])?;
    Ok(secret)
}

/// One ES256 key: an officer's, or whatever signs alone.
pub struct Es256Signer {
    scalar: Box<Zeroizing<[u8; 32]>>,
    pair: EcdsaKeyPair,
    jwk: EcP256Jwk,
}

impl Es256Signer {
    /// Makes a key from fresh entropy.
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, SignerError> {
        for _ in 0..SCALAR_ATTEMPTS {
            match Self::from_scalar(&*draw_secret(entropy)?) {
                Err(SignerError::Seed(_)) => {}
                made => return made,
            }
        }
        Err(EntropyError("it keeps returning what is no P-256 scalar".into()).into())
    }

    /// Restores a key from its private scalar.
    pub fn from_scalar(scalar: &[u8; 32]) -> Result<Self, SignerError> {
        let (pair, jwk) = es256_pair(scalar)?;
        Ok(Self {
            scalar: Box::new(Zeroizing::new(*scalar)),
            pair,
            jwk,
        })
    }

    /// Restores a key from PKCS#8 in PEM, as key files on an officer's disk hold it.
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self, SignerError> {
        use p256::pkcs8::DecodePrivateKey as _;
        let secret =
            p256::SecretKey::from_pkcs8_pem(pem).map_err(|_| SignerError::Seed("P-256"))?;
        Self::from_secret(&secret)
    }

    /// Restores a key from PKCS#8 in DER, as sealed storage holds it.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, SignerError> {
        use p256::pkcs8::DecodePrivateKey as _;
        let secret =
            p256::SecretKey::from_pkcs8_der(der).map_err(|_| SignerError::Seed("P-256"))?;
        Self::from_secret(&secret)
    }

    fn from_secret(secret: &p256::SecretKey) -> Result<Self, SignerError> {
        let mut scalar = Zeroizing::new([0; 32]);
        scalar.copy_from_slice(&Zeroizing::new(secret.to_bytes()));
        Self::from_scalar(&scalar)
    }

    /// The key as PKCS#8 in DER, for sealed storage.
    pub fn expose_pkcs8_der(&self) -> Result<Zeroizing<Vec<u8>>, SignerError> {
        use p256::pkcs8::EncodePrivateKey as _;
        let secret = p256::SecretKey::from_slice(&self.scalar[..]);
        let der = secret
            .map_err(|_| SignerError::Seed("P-256"))?
            .to_pkcs8_der()
            .map_err(|_| SignerError::Seed("P-256"))?;
        Ok(Zeroizing::new(der.as_bytes().to_vec()))
    }

    /// The key as PKCS#8 in PEM, for a file that only its officer may read.
    pub fn expose_pkcs8_pem(&self) -> Result<Zeroizing<String>, SignerError> {
        use p256::pkcs8::{EncodePrivateKey as _, LineEnding};
        p256::SecretKey::from_slice(&self.scalar[..])
            .map_err(|_| SignerError::Seed("P-256"))?
            .to_pkcs8_pem(LineEnding::LF)
            .map_err(|_| SignerError::Seed("P-256"))
    }

    /// The public key.
    pub fn jwk(&self) -> &EcP256Jwk {
        &self.jwk
    }

    /// Signature r || s.
    pub fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignerError> {
        es256_sign(&self.pair, message)
    }

    /// The same as X.509 writes it (RFC 3279 §2.2.3: DER of both integers).
    pub fn sign_der(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        let signature = p256::ecdsa::Signature::from_slice(&self.sign(message)?);
        let signature = signature.map_err(|_| SignerError::Signing("ES256"))?;
        Ok(signature.to_der().as_bytes().to_vec())
    }
}

/// The checkpoint key of one boot.
pub struct Ed25519Signer {
    pair: Ed25519KeyPair,
    jwk: OkpEd25519Jwk,
}

impl Ed25519Signer {
    /// Makes a key from fresh entropy.
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, SignerError> {
        Self::from_seed(&*draw_secret(entropy)?)
    }

    /// Restores a key from its RFC 8032 seed.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, SignerError> {
        let pair =
            Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| SignerError::Seed("Ed25519"))?;
        let public = crate::encode::exactly(pair.public_key().as_ref())
            .map_err(|_| SignerError::Seed("Ed25519"))?;
        Ok(Self {
            pair,
            jwk: OkpEd25519Jwk::from_bytes(public),
        })
    }

    /// The public key.
    pub fn jwk(&self) -> &OkpEd25519Jwk {
        &self.jwk
    }

    /// Signature of RFC 8032.
    pub fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignerError> {
        let signature = self
            .pair
            .try_sign(message)
            .map_err(|_| SignerError::Signing("Ed25519"))?;
        crate::encode::exactly(signature.as_ref()).map_err(|_| SignerError::Signing("Ed25519"))
    }
}
