//! A small strict CBOR reader (RFC 8949) for what authenticators send.
//!
//! Protects against two readers seeing two messages in the same bytes:
//! duplicate keys, trailing bytes, indefinite lengths, tags, truncation, deep
//! nesting and lengths that promise more than there is are refused, and nothing
//! is allocated on the word of a length field. It borrows from its input.

use std::collections::BTreeMap;

/// How strictly the encoding is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// CTAP2 canonical CBOR: shortest lengths and sorted keys.
    Ctap2Canonical,
    /// Well-formed, definite, no duplicate keys; order and shortest form are
    /// not demanded, since clients re-encode attestation objects in their way.
    WellFormed,
}

/// Deepest nesting that is read; a compound attestation object needs five.
const MAX_DEPTH: usize = 8;
/// Most entries of one array or map.
const MAX_ENTRIES: u64 = 256;

/// Why bytes are not acceptable CBOR.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CborError {
    /// The bytes end before the item does.
    #[error("CBOR ends in the middle of an item")]
    Truncated,
    /// Bytes follow the item.
    #[error("bytes follow the CBOR item")]
    TrailingBytes,
    /// One map names a key twice.
    #[error("a CBOR map holds the same key twice")]
    DuplicateKey,
    /// An indefinite length, a tag, or a reserved or unassigned initial byte.
    #[error("CBOR feature that CTAP2 forbids (indefinite length, tag or reserved value)")]
    Forbidden,
    /// A length or integer is not in its shortest form.
    #[error("CBOR integer or length is not in its shortest form")]
    NotShortest,
    /// Map keys are not in CTAP2 canonical order.
    #[error("CBOR map keys are not in CTAP2 canonical order")]
    UnsortedKeys,
    /// A text string is not UTF-8.
    #[error("CBOR text is not UTF-8")]
    NotUtf8,
    /// Nested deeper, or holding more entries, than this reader accepts.
    #[error("CBOR is nested too deep or holds too many entries")]
    TooLarge,
}

impl CborError {
    /// Stable name of this error.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Truncated => "cbor_truncated",
            Self::TrailingBytes => "cbor_trailing_bytes",
            Self::DuplicateKey => "cbor_duplicate_key",
            Self::Forbidden => "cbor_forbidden_item",
            Self::NotShortest => "cbor_not_shortest_form",
            Self::UnsortedKeys => "cbor_keys_not_sorted",
            Self::NotUtf8 => "cbor_text_not_utf8",
            Self::TooLarge => "cbor_too_large",
        }
    }
}

/// One decoded item; strings borrow from the input.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Value<'a> {
    /// Any integer, major types 0 and 1.
    Integer(i128),
    /// A byte string.
    Bytes(&'a [u8]),
    /// A text string.
    Text(&'a str),
    /// An array.
    Array(Vec<Value<'a>>),
    /// A map.
    Map(Map<'a>),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
    /// `undefined`.
    Undefined,
    /// A float by width and bits: never interpreted here.
    Float(u8, u64),
}

/// A map without duplicate keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Map<'a>(BTreeMap<Value<'a>, Value<'a>>);

impl<'a> Map<'a> {
    /// The value under an integer label.
    pub(crate) fn int(&self, label: i64) -> Option<&Value<'a>> {
        self.0.get(&Value::Integer(label.into()))
    }

    /// The value under a text key.
    pub(crate) fn text(&self, key: &'a str) -> Option<&Value<'a>> {
        self.0.get(&Value::Text(key))
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// All entries.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Value<'a>, &Value<'a>)> {
        self.0.iter()
    }
}

impl<'a> Value<'a> {
    pub(crate) fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(n) => i64::try_from(*n).ok(),
            _ => None,
        }
    }

    pub(crate) fn as_bytes(&self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub(crate) fn as_text(&self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_array(&self) -> Option<&[Value<'a>]> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    pub(crate) fn as_map(&self) -> Option<&Map<'a>> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }
}

/// Decodes exactly one item that fills `bytes`.
pub(crate) fn decode(bytes: &[u8], form: Form) -> Result<Value<'_>, CborError> {
    let (value, used) = decode_prefix(bytes, form)?;
    if used == bytes.len() {
        Ok(value)
    } else {
        Err(CborError::TrailingBytes)
    }
}

/// Decodes one item at the start of `bytes` and says how long it is.
pub(crate) fn decode_prefix(bytes: &[u8], form: Form) -> Result<(Value<'_>, usize), CborError> {
    let mut reader = Reader { bytes, at: 0, form };
    let value = reader.item(MAX_DEPTH)?;
    Ok((value, reader.at))
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    form: Form,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: u64) -> Result<&'a [u8], CborError> {
        let count = usize::try_from(count).map_err(|_| CborError::Truncated)?;
        let end = self.at.checked_add(count).ok_or(CborError::Truncated)?;
        let taken = self.bytes.get(self.at..end).ok_or(CborError::Truncated)?;
        self.at = end;
        Ok(taken)
    }

    fn big_endian(&mut self, count: u64) -> Result<u64, CborError> {
        let bytes = self.take(count)?;
        Ok(bytes.iter().fold(0, |n, byte| n << 8 | u64::from(*byte)))
    }

    /// The argument of an initial byte: small value, or 1, 2, 4, 8 bytes.
    fn argument(&mut self, info: u8) -> Result<u64, CborError> {
        let (width, least) = match info {
            0..=23 => return Ok(info.into()),
            24 => (1, 24),
            25 => (2, 1 << 8),
            26 => (4, 1 << 16),
            27 => (8, 1 << 32),
            _ => return Err(CborError::Forbidden),
        };
        let value = self.big_endian(width)?;
        if self.form == Form::Ctap2Canonical && value < least {
            return Err(CborError::NotShortest);
        }
        Ok(value)
    }

    fn item(&mut self, depth: usize) -> Result<Value<'a>, CborError> {
        let deeper = depth.checked_sub(1).ok_or(CborError::TooLarge)?;
        let initial = *self.take(1)?.first().ok_or(CborError::Truncated)?;
        let (major, info) = (initial >> 5, initial & 0x1f);
        if major == 7 {
            return self.simple(info);
        }
        let argument = self.argument(info)?;
        match major {
            0 => Ok(Value::Integer(argument.into())),
            1 => Ok(Value::Integer(-1 - i128::from(argument))),
            2 => Ok(Value::Bytes(self.take(argument)?)),
            3 => std::str::from_utf8(self.take(argument)?)
                .map(Value::Text)
                .map_err(|_| CborError::NotUtf8),
            4 => self.array(argument, deeper),
            5 => self.map(argument, deeper),
            _ => Err(CborError::Forbidden),
        }
    }

    fn simple(&mut self, info: u8) -> Result<Value<'a>, CborError> {
        match info {
            20 => Ok(Value::Bool(false)),
            21 => Ok(Value::Bool(true)),
            22 => Ok(Value::Null),
            23 => Ok(Value::Undefined),
            25 => Ok(Value::Float(2, self.big_endian(2)?)),
            26 => Ok(Value::Float(4, self.big_endian(4)?)),
            27 => Ok(Value::Float(8, self.big_endian(8)?)),
            _ => Err(CborError::Forbidden),
        }
    }

    fn array(&mut self, count: u64, depth: usize) -> Result<Value<'a>, CborError> {
        if count > MAX_ENTRIES {
            return Err(CborError::TooLarge);
        }
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(self.item(depth)?);
        }
        Ok(Value::Array(items))
    }

    fn map(&mut self, count: u64, depth: usize) -> Result<Value<'a>, CborError> {
        if count > MAX_ENTRIES {
            return Err(CborError::TooLarge);
        }
        let mut entries = BTreeMap::new();
        let mut previous: Option<&'a [u8]> = None;
        for _ in 0..count {
            let start = self.at;
            let key = self.item(depth)?;
            let encoded = self.bytes.get(start..self.at).unwrap_or_default();
            if entries.contains_key(&key) {
                return Err(CborError::DuplicateKey);
            }
            if self.form == Form::Ctap2Canonical
                && previous.is_some_and(|before| !sorts_before(before, encoded))
            {
                return Err(CborError::UnsortedKeys);
            }
            previous = Some(encoded);
            let value = self.item(depth)?;
            entries.insert(key, value);
        }
        Ok(Value::Map(Map(entries)))
    }
}

/// CTAP2 order: lower major type, then shorter, then bytewise lower.
fn sorts_before(before: &[u8], after: &[u8]) -> bool {
    let major = |key: &[u8]| key.first().map(|byte| byte >> 5);
    (major(before), before.len(), before) < (major(after), after.len(), after)
}
