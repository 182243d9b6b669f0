//! A share on its way: HPKE (RFC 9180) base mode with X-Wing (KEM 0x647A),
//! HKDF-SHA256 and AES-256-GCM, to the key of one attested boot.
//!
//! Protects against replay into another boot (another key), another appliance or
//! a rolled-back one: what the officer saw stands in the AAD, and the enclave
//! wants k officers who saw the same.

use std::convert::Infallible;

use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable, single_shot_open};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Share, ShareError};
use crate::binding::Head;
use crate::encode::{Digest32, b64u_bytes};
use crate::entropy::{Entropy, EntropyError};

type PrivateKey = <XWing as Kem>::PrivateKey;
type PublicKey = <XWing as Kem>::PublicKey;
type EncappedKey = <XWing as Kem>::EncappedKey;

const INFO: &[u8] = b"redoubt/unseal/v1";
/// Random bytes of one X-Wing encapsulation.
const ENCAPSULATION_RANDOM: usize = 64;

/// What an officer saw when sealing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnsealAad {
    /// SHA-256 of the unseal document.
    pub document: Digest32,
    /// Digest of the genesis manifest.
    pub genesis: Digest32,
    /// Its counter.
    pub counter: u64,
    /// Highest appliance head this officer has seen.
    pub head: Option<Head>,
}

impl UnsealAad {
    /// Reads the bytes an officer authenticated.
    pub fn parse(json: &[u8]) -> Result<Self, ShareError> {
        serde_json::from_slice(json).map_err(|error| ShareError::Malformed(format!("aad: {error}")))
    }

    /// Whether two officers saw the same appliance. Their documents differ,
    /// since each asked for its own.
    pub fn agrees_with(&self, other: &Self) -> bool {
        let Self {
            document: _,
            genesis,
            counter,
            head,
        } = self;
        (genesis, counter, head) == (&other.genesis, &other.counter, &other.head)
    }
}

/// A sealed share as `POST /api/v1/unseal/share` carries it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedShare {
    /// Whose share.
    pub officer: String,
    /// JSON of [`UnsealAad`], authenticated as these bytes.
    #[serde(with = "b64u_bytes")]
    pub aad: Vec<u8>,
    /// Encapsulated key.
    #[serde(with = "b64u_bytes")]
    pub enc: Vec<u8>,
    /// Sealed share file.
    #[serde(with = "b64u_bytes")]
    pub ciphertext: Vec<u8>,
}

/// The X-Wing key of one boot. Never stored, never exported.
pub struct UnsealKey {
    private: PrivateKey,
    public: Vec<u8>,
}

impl UnsealKey {
    /// Makes a key from fresh entropy.
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, ShareError> {
        let mut seed = Zeroizing::new([0; 32]);
        entropy.fill(&mut seed[..])?;
        let private = PrivateKey::from_bytes(&seed[..]).map_err(|_| ShareError::RecipientKey)?;
        let public = XWing::sk_to_pk(&private).to_bytes().to_vec();
        Ok(Self { private, public })
    }

    /// The public key, 1216 bytes.
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// Opens a ciphertext under the AAD bytes as received. What they say, and
    /// whose share it is, is the caller's to check; see [`open_share`].
    pub fn open_share(
        &self,
        aad: &[u8],
        enc: &[u8],
        ciphertext: &[u8],
    ) -> Result<Share, ShareError> {
        Share::parse(&self.open(INFO, aad, enc, ciphertext)?)
    }

    /// Opens any ciphertext to this key.
    pub(super) fn open(
        &self,
        info: &[u8],
        aad: &[u8],
        enc: &[u8],
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, ShareError> {
        let enc = EncappedKey::from_bytes(enc).map_err(|_| ShareError::NotForThisBoot)?;
        single_shot_open::<AesGcm256, HkdfSha256, XWing>(
            &OpModeR::Base,
            &self.private,
            &enc,
            info,
            ciphertext,
            aad,
        )
        .map(Zeroizing::new)
        .map_err(|_| ShareError::NotForThisBoot)
    }
}

/// A share that arrived, and what its officer saw.
pub struct OpenedShare {
    /// The share.
    pub share: Share,
    /// What the officer saw.
    pub aad: UnsealAad,
}

/// Seals a share to the X-Wing key of an appraised document.
pub fn seal_share(
    share: &Share,
    recipient: &[u8],
    aad: &UnsealAad,
    entropy: &dyn Entropy,
) -> Result<SealedShare, ShareError> {
    let aad = serde_json::to_vec(aad).map_err(|error| ShareError::Malformed(error.to_string()))?;
    let (enc, ciphertext) = seal(&share.expose_json(), recipient, INFO, &aad, entropy)?;
    Ok(SealedShare {
        officer: share.officer.clone(),
        aad,
        enc,
        ciphertext,
    })
}

/// HPKE base mode to an X-Wing key: encapsulated key and ciphertext.
pub(super) fn seal(
    plaintext: &[u8],
    recipient: &[u8],
    info: &[u8],
    aad: &[u8],
    entropy: &dyn Entropy,
) -> Result<(Vec<u8>, Vec<u8>), ShareError> {
    let recipient = PublicKey::from_bytes(recipient).map_err(|_| ShareError::RecipientKey)?;
    let mut random = Drawn::new(entropy)?;
    let (enc, ciphertext) = hpke::single_shot_seal_with_rng::<AesGcm256, HkdfSha256, XWing>(
        &OpModeS::Base,
        &recipient,
        info,
        plaintext,
        aad,
        &mut random,
    )
    .map_err(|_| ShareError::RecipientKey)?;
    random.finish()?;
    Ok((enc.to_bytes().to_vec(), ciphertext))
}

/// Opens a share that was sealed to this boot.
pub fn open_share(key: &UnsealKey, sealed: &SealedShare) -> Result<OpenedShare, ShareError> {
    let share = key.open_share(&sealed.aad, &sealed.enc, &sealed.ciphertext)?;
    let aad = UnsealAad::parse(&sealed.aad)?;
    if share.officer != sealed.officer {
        return Err(ShareError::Mixed("officer"));
    }
    if share.genesis.is_some_and(|genesis| genesis != aad.genesis) {
        return Err(ShareError::Mixed("genesis"));
    }
    Ok(OpenedShare { share, aad })
}

/// Entropy drawn beforehand, since the library's generators may not fail. If it
/// asks for more than was drawn, `finish` refuses what came out.
struct Drawn {
    bytes: Zeroizing<[u8; ENCAPSULATION_RANDOM]>,
    used: usize,
    overdrawn: bool,
}

impl Drawn {
    fn new(entropy: &dyn Entropy) -> Result<Self, EntropyError> {
        let mut bytes = Zeroizing::new([0; ENCAPSULATION_RANDOM]);
        entropy.fill(&mut bytes[..])?;
        Ok(Self {
            bytes,
            used: 0,
            overdrawn: false,
        })
    }

    fn finish(self) -> Result<(), EntropyError> {
        if self.overdrawn || self.used == 0 {
            return Err(EntropyError(
                "the sealing library drew another number of bytes than it should".into(),
            ));
        }
        Ok(())
    }
}

impl TryRng for Drawn {
    type Error = Infallible;

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        match self.bytes.get(self.used..self.used + out.len()) {
            Some(drawn) => out.copy_from_slice(drawn),
            None => self.overdrawn = true,
        }
        self.used += out.len();
        Ok(())
    }

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut out = [0; 4];
        self.try_fill_bytes(&mut out)?;
        Ok(u32::from_le_bytes(out))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut out = [0; 8];
        self.try_fill_bytes(&mut out)?;
        Ok(u64::from_le_bytes(out))
    }
}

impl TryCryptoRng for Drawn {}
