//! Authenticator data (Level 3 §6.1): what the authenticator itself vouches for.
//!
//! Protects against bytes that are signed but mean nothing to us: every byte is
//! accounted for by the flags, nothing is left over, and the key is canonical.
//! Extension outputs, which nobody here interprets, only have to be one map
//! without duplicate keys.

use super::cbor::{self, CborError, Form, Map};

/// Longest credential id the specification allows.
pub const MAX_CREDENTIAL_ID_BYTES: usize = 1023;
const RP_ID_HASH: usize = 32;
const HEADER: usize = 37;

/// Why authenticator data cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthenticatorDataError {
    /// Shorter than its flags and lengths say.
    #[error("authenticator data ends too early")]
    Truncated,
    /// Bytes remain that no flag announces.
    #[error("authenticator data has bytes that no flag announces")]
    TrailingBytes,
    /// The AT flag is missing where a credential is being created.
    #[error("authenticator data of a registration carries no attested credential")]
    AttestedCredentialMissing,
    /// An assertion repeats attested credential data, but of another credential.
    #[error("authenticator data of an assertion carries another attested credential")]
    AttestedCredentialUnexpected,
    /// The credential public key is not canonical CBOR.
    #[error("credential public key: {0}")]
    PublicKey(CborError),
    /// The extension outputs are not a CBOR map with text keys.
    #[error("authenticator extension outputs are not a CBOR map with text keys")]
    Extensions,
}

impl AuthenticatorDataError {
    /// Stable name of this error.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Truncated => "authenticator_data_truncated",
            Self::TrailingBytes => "authenticator_data_trailing_bytes",
            Self::AttestedCredentialMissing => "attested_credential_missing",
            Self::AttestedCredentialUnexpected => "attested_credential_unexpected",
            Self::PublicKey(inner) => match inner {
                CborError::DuplicateKey => "public_key_duplicate_key",
                CborError::Truncated => "public_key_truncated",
                _ => "public_key_not_canonical",
            },
            Self::Extensions => "extensions_malformed",
        }
    }
}

/// The flags byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flags(u8);

impl Flags {
    /// UP: somebody was there.
    pub(crate) fn user_present(self) -> bool {
        self.0 & 0x01 != 0
    }
    /// UV: the authenticator verified who.
    pub(crate) fn user_verified(self) -> bool {
        self.0 & 0x04 != 0
    }
    /// BE: the credential may be copied to other devices.
    pub(crate) fn backup_eligible(self) -> bool {
        self.0 & 0x08 != 0
    }
    /// BS: it has been.
    pub(crate) fn backed_up(self) -> bool {
        self.0 & 0x10 != 0
    }
    fn attested_credential(self) -> bool {
        self.0 & 0x40 != 0
    }
    fn extensions(self) -> bool {
        self.0 & 0x80 != 0
    }
}

/// Attested credential data (§6.5.1).
#[derive(Debug, Clone)]
pub(crate) struct AttestedCredential<'a> {
    pub(crate) aaguid: [u8; 16],
    pub(crate) credential_id: &'a [u8],
    /// The COSE key as received.
    pub(crate) public_key: &'a [u8],
    /// The same, decoded.
    pub(crate) public_key_map: Map<'a>,
}

/// Parsed authenticator data.
#[derive(Debug, Clone)]
pub(crate) struct AuthenticatorData<'a> {
    pub(crate) rp_id_hash: &'a [u8],
    pub(crate) flags: Flags,
    pub(crate) sign_count: u32,
    pub(crate) attested_credential: Option<AttestedCredential<'a>>,
    /// Extension outputs as received, when the ED flag is set.
    pub(crate) extensions: Option<&'a [u8]>,
}

impl<'a> AuthenticatorData<'a> {
    /// Reads `bytes` completely; `key_form` judges the credential public key.
    pub(crate) fn parse(bytes: &'a [u8], key_form: Form) -> Result<Self, AuthenticatorDataError> {
        let mut rest = bytes;
        let header = take(&mut rest, HEADER)?;
        let (rp_id_hash, tail) = header.split_at(RP_ID_HASH);
        let &[flags, a, b, c, d] = tail else {
            return Err(AuthenticatorDataError::Truncated);
        };
        let flags = Flags(flags);
        let attested_credential = match flags.attested_credential() {
            true => Some(attested_credential(&mut rest, key_form)?),
            false => None,
        };
        let extensions = match flags.extensions() {
            true => Some(extensions(&mut rest)?),
            false => None,
        };
        if !rest.is_empty() {
            return Err(AuthenticatorDataError::TrailingBytes);
        }
        Ok(Self {
            rp_id_hash,
            flags,
            sign_count: u32::from_be_bytes([a, b, c, d]),
            attested_credential,
            extensions,
        })
    }
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], AuthenticatorDataError> {
    let (taken, left) = rest
        .split_at_checked(count)
        .ok_or(AuthenticatorDataError::Truncated)?;
    *rest = left;
    Ok(taken)
}

fn attested_credential<'a>(
    rest: &mut &'a [u8],
    key_form: Form,
) -> Result<AttestedCredential<'a>, AuthenticatorDataError> {
    let mut aaguid = [0; 16];
    aaguid.copy_from_slice(take(rest, 16)?);
    let length = take(rest, 2)?
        .iter()
        .fold(0, |n, byte| n << 8 | usize::from(*byte));
    let credential_id = take(rest, length)?;
    let (key, used) =
        cbor::decode_prefix(rest, key_form).map_err(AuthenticatorDataError::PublicKey)?;
    let public_key_map = key
        .as_map()
        .cloned()
        .ok_or(AuthenticatorDataError::PublicKey(CborError::Forbidden))?;
    let public_key = take(rest, used)?;
    Ok(AttestedCredential {
        aaguid,
        credential_id,
        public_key,
        public_key_map,
    })
}

fn extensions<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], AuthenticatorDataError> {
    let (value, used) = cbor::decode_prefix(rest, Form::WellFormed)
        .map_err(|_| AuthenticatorDataError::Extensions)?;
    let keys_are_text = value
        .as_map()
        .is_some_and(|map| map.iter().all(|(key, _)| key.as_text().is_some()));
    if !keys_are_text {
        return Err(AuthenticatorDataError::Extensions);
    }
    take(rest, used)
}
