//! Bounded text, tokens and instants, as they appear in JSON.
//!
//! Protects against: unbounded or invisible text reaching state, and tokens
//! reaching a log.

use std::fmt;

use serde::de::Error as _;
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

/// Whether every character can be seen where it stands: none that turns the direction of
/// what follows (Unicode Standard Annex 9, explicit formatting characters and marks), that
/// has no width or is blank, or that breaks a line. The two joiners stay: names need them.
pub(super) fn shows(text: &str) -> bool {
    let hides = |c: char| {
        matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
    };
    !text.chars().any(|c| c.is_control() || hides(c))
}

/// An RFC 3339 instant as Unix milliseconds; 0 for any before 1970, when nothing was recorded.
pub(super) fn parse_instant(text: &str) -> Option<u64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    Some(u64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(0))
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
        if !(1..=256).contains(&token.chars().take(257).count()) {
            return Err(D::Error::custom("use the session_token as it was issued"));
        }
        Ok(Self::new(token))
    }
}

/// An instant, Unix milliseconds inside, RFC 3339 UTC in JSON (at most the year 9999).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub u64);

/// The last millisecond of the year 9999, the end of RFC 3339.
const LAST_MS: u64 = 253_402_300_799_999;

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = i128::from(self.0.min(LAST_MS)) * 1_000_000;
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
    fn text_that_hides_or_turns_does_not_show() {
        for right in [
            "Ann-Marie O'Neil",
            "محمد",
            "שלום",
            "क्\u{200d}ष",
            "می\u{200c}خواهم",
            "大文字",
            "Zoë 🙂",
        ] {
            assert!(shows(right), "{right:?}");
        }
        for wrong in [
            "Bob\u{202e}ecilA",
            "\u{2066}a",
            "a\u{200b}b",
            "a\u{feff}",
            "\u{3164}",
            "a\u{2028}b",
            "a\u{e0041}",
        ] {
            assert!(!shows(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn instants_are_rfc_3339_in_utc() {
        assert_eq!(Timestamp(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(
            Timestamp(1_795_300_000_123).to_string(),
            "2026-11-21T22:26:40.123Z"
        );
        assert_eq!(
            serde_json::to_string(&Timestamp(u64::MAX)).unwrap(),
            "\"9999-12-31T23:59:59.999Z\""
        );
    }

    #[test]
    fn instants_before_1970_are_the_beginning() {
        assert_eq!(parse_instant("1970-01-01T00:00:01Z"), Some(1000));
        assert_eq!(parse_instant("0182-08-11T18:37:57Z"), Some(0));
        assert_eq!(parse_instant("1969-12-31"), None);
    }

    #[test]
    fn tokens_do_not_print() {
        assert_eq!(
            format!("{:?}", SessionToken::new("s3cret")),
            "SessionToken(…)"
        );
    }
}
