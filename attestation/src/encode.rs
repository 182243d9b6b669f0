//! The encodings of signed structures, each with exactly one accepted spelling.
//!
//! Protects against one value with two spellings: base64url without padding and
//! with zero spare bits, lowercase hexadecimal, digests of fixed length.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What is wrong with an encoded text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodingError {
    /// Not base64url without padding.
    #[error("not base64url without padding")]
    Base64,
    /// Not lowercase hexadecimal.
    #[error("not lowercase hexadecimal")]
    Hex,
    /// Decodes to another number of bytes than the field has.
    #[error("{actual} bytes where {expected} belong")]
    Length {
        /// Bytes the field has.
        expected: usize,
        /// Bytes found.
        actual: usize,
    },
}

/// Base64url without padding.
pub fn b64u(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Decodes base64url without padding; refuses any other spelling.
pub fn from_b64u(text: &str) -> Result<Vec<u8>, EncodingError> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| EncodingError::Base64)
}

/// Decodes lowercase hexadecimal; refuses any other spelling.
pub fn from_hex(text: &str) -> Result<Vec<u8>, EncodingError> {
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(EncodingError::Hex);
    }
    hex::decode(text).map_err(|_| EncodingError::Hex)
}

/// Exactly `N` bytes, or the error that says how many there were.
pub fn exactly<const N: usize>(bytes: &[u8]) -> Result<[u8; N], EncodingError> {
    bytes.try_into().map_err(|_| EncodingError::Length {
        expected: N,
        actual: bytes.len(),
    })
}

/// SHA-256 of the parts one after the other.
pub fn sha256(parts: &[&[u8]]) -> Digest32 {
    let mut context = digest::Context::new(&digest::SHA256);
    parts.iter().for_each(|part| context.update(part));
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    Digest32(out)
}

/// SHA-384 of the parts one after the other.
pub fn sha384(parts: &[&[u8]]) -> [u8; 48] {
    let mut context = digest::Context::new(&digest::SHA384);
    parts.iter().for_each(|part| context.update(part));
    let mut out = [0; 48];
    out.copy_from_slice(context.finish().as_ref());
    out
}

/// A SHA-256 digest; lowercase hexadecimal wherever it is text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest32(pub [u8; 32]);

impl Digest32 {
    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Digest32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest32({self})")
    }
}

impl FromStr for Digest32 {
    type Err = EncodingError;
    fn from_str(text: &str) -> Result<Self, EncodingError> {
        exactly(&from_hex(text)?).map(Self)
    }
}

impl Serialize for Digest32 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest32 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// `#[serde(with = "b64u_bytes")]` for `Vec<u8>` fields.
pub mod b64u_bytes {
    use super::{b64u, from_b64u};
    use serde::{Deserialize, Deserializer, Serializer, de};

    /// Writes base64url without padding.
    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&b64u(bytes))
    }

    /// Reads base64url without padding.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        from_b64u(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// `#[serde(with = "b64u_array")]` for `[u8; N]` fields.
pub mod b64u_array {
    use super::{b64u, exactly, from_b64u};
    use serde::{Deserialize, Deserializer, Serializer, de};

    /// Writes base64url without padding.
    pub fn serialize<S: Serializer, const N: usize>(
        bytes: &[u8; N],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&b64u(bytes))
    }

    /// Reads base64url without padding of exactly `N` bytes.
    pub fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
        deserializer: D,
    ) -> Result<[u8; N], D::Error> {
        let bytes = from_b64u(&String::deserialize(deserializer)?).map_err(de::Error::custom)?;
        exactly(&bytes).map_err(de::Error::custom)
    }
}

/// `#[serde(with = "as_text")]` for ids that print and parse as text.
pub mod as_text {
    use serde::{Deserialize, Deserializer, Serializer, de};
    use std::fmt::Display;
    use std::str::FromStr;

    /// Writes what `Display` prints.
    pub fn serialize<S: Serializer, T: Display>(value: &T, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(value)
    }

    /// Reads what `FromStr` accepts.
    pub fn deserialize<'de, D: Deserializer<'de>, T>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr,
        T::Err: Display,
    {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_has_one_accepted_spelling() {
        assert_eq!(from_b64u("_-8").unwrap(), [0xff, 0xef]);
        for wrong in ["_-8=", "/+8", "_-9", "_"] {
            assert_eq!(from_b64u(wrong), Err(EncodingError::Base64), "{wrong}");
        }
        assert_eq!(from_hex("ab").unwrap(), [0xab]);
        for wrong in ["AB", "a", "0x"] {
            assert_eq!(from_hex(wrong), Err(EncodingError::Hex), "{wrong}");
        }
        assert!("00".parse::<Digest32>().is_err());
    }

    #[test]
    fn digests_are_those_of_the_standard() {
        assert_eq!(
            sha256(&[b"a", b"bc"]).to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(hex::encode(&sha384(&[b"abc"])[..8]), "cb00753f45a35e8b");
    }
}
