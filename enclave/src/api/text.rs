//! Bounded text, binary-as-text, and instants, as they appear in JSON.
//!
//! Protects against: unbounded or invisible text reaching state, and two
//! spellings of the same bytes.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use zeroize::Zeroizing;

/// 1 to `MAX` characters of human text without control characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Text<const MAX: usize>(String);

impl<const MAX: usize> Text<MAX> {
    /// The text as given, or nothing when it is empty, too long or has control characters.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        let count = text.chars().take(MAX + 1).count();
        let fits = (1..=MAX).contains(&count) && !text.chars().any(char::is_control);
        fits.then_some(Self(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, owned.
    pub fn into_string(self) -> String {
        self.0
    }
}

impl<const MAX: usize> fmt::Debug for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text(…)")
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Text<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).ok_or_else(|| {
            D::Error::custom(format_args!(
                "use 1 to {MAX} characters without control characters"
            ))
        })
    }
}

/// Bytes written as base64url without padding, the one spelling accepted.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Base64Url(pub Vec<u8>);

impl Base64Url {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Base64Url {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Base64Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Base64Url({} bytes)", self.0.len())
    }
}

impl Serialize for Base64Url {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64Url {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Decoder;
        impl Visitor<'_> for Decoder {
            type Value = Base64Url;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("base64url text without padding")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Base64Url, E> {
                let bytes = URL_SAFE_NO_PAD.decode(text);
                Ok(Base64Url(
                    bytes.map_err(|_| E::custom("use base64url without padding"))?,
                ))
            }
        }
        deserializer.deserialize_str(Decoder)
    }
}

/// A bearer token of ours. Opaque, never printed, wiped after use.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionToken(Zeroizing<String>);

impl SessionToken {
    /// Wraps a token made or received.
    pub fn new(token: impl Into<String>) -> Self {
        Self(Zeroizing::new(token.into()))
    }

    /// The token itself; compare digests of it, not the text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionToken(…)")
    }
}

impl Serialize for SessionToken {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SessionToken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let token = String::deserialize(deserializer)?;
        if token.is_empty() || token.len() > 256 {
            return Err(D::Error::custom("use the session_token as it was issued"));
        }
        Ok(Self::new(token))
    }
}

/// An instant, Unix milliseconds inside, RFC 3339 UTC in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub u64);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = i128::from(self.0) * 1_000_000;
        let text = OffsetDateTime::from_unix_timestamp_nanos(nanos)
            .ok()
            .and_then(|instant| instant.format(&Rfc3339).ok())
            .ok_or(fmt::Error)?;
        f.write_str(&text)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Ids whose text is `Display`/`FromStr`, for `#[serde(with = "…")]`.
pub(super) mod id {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(in crate::api) fn serialize<T: Display, S: Serializer>(
        id: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub(in crate::api) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_bounded_in_characters_and_visible() {
        assert!(Text::<3>::new("äöü").is_some());
        for wrong in ["", "abcd", "a\nb", "a\u{0}"] {
            assert!(Text::<3>::new(wrong).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn binary_text_has_one_spelling() {
        let read = |text: &str| serde_json::from_str::<Base64Url>(&format!("{text:?}"));
        assert_eq!(read("-_8").unwrap().as_bytes(), [0xfb, 0xff]);
        for wrong in ["-_8=", "+/8", "-_9", "a"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn instants_are_rfc_3339_in_utc() {
        assert_eq!(Timestamp(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(
            Timestamp(1_795_300_000_123).to_string(),
            "2026-11-21T22:26:40.123Z"
        );
        assert!(serde_json::to_string(&Timestamp(u64::MAX)).is_err());
    }

    #[test]
    fn tokens_do_not_print() {
        assert_eq!(
            format!("{:?}", SessionToken::new("s3cret")),
            "SessionToken(…)"
        );
    }
}
