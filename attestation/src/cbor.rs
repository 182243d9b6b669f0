//! The part of CBOR (RFC 8949) that documents use, read strictly.
//!
//! Protects against a document that two parsers read differently: wrong types,
//! duplicate keys and trailing bytes are errors, nothing is skipped, nothing is
//! allocated for a length before the bytes are seen to be there. Definite and
//! indefinite maps and arrays are accepted (both occur in the field); chunked
//! strings are not. Lengths need not be minimal: the signature covers the bytes.

/// Why bytes are not the CBOR expected here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CborError {
    /// The bytes end inside a value.
    #[error("it ends inside a value")]
    Truncated,
    /// Bytes follow the last value.
    #[error("bytes follow its end")]
    TrailingBytes,
    /// A value of another type stands here.
    #[error("{found} stands where {expected} belongs")]
    WrongType {
        /// What belongs here.
        expected: &'static str,
        /// What stands here.
        found: &'static str,
    },
    /// A string in chunks.
    #[error("a string is sent in chunks")]
    ChunkedString,
    /// A text is not UTF-8.
    #[error("a text is not UTF-8")]
    NotUtf8,
    /// Reserved additional information (28 to 30), or a lone break.
    #[error("a value has a reserved encoding")]
    Reserved,
}

const NAMES: [&str; 8] = [
    "an unsigned integer",
    "a negative integer",
    "a byte string",
    "a text string",
    "an array",
    "a map",
    "a tag",
    "a simple value",
];
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;
const NULL: u8 = 0xf6;
const BREAK: u8 = 0xff;

/// How many items are left in an array or map.
pub(crate) enum Items {
    Left(u64),
    UntilBreak,
}

pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Nothing may follow.
    pub(crate) fn end(&self) -> Result<(), CborError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(CborError::TrailingBytes)
        }
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8], CborError> {
        let count = usize::try_from(count).map_err(|_| CborError::Truncated)?;
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(CborError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Major type and argument; `None` is the indefinite length.
    fn head(&mut self) -> Result<(u8, Option<u64>), CborError> {
        let initial = self.take(1)?[0];
        let (major, info) = (initial >> 5, initial & 31);
        let width = match info {
            0..=23 => return Ok((major, Some(info.into()))),
            24..=27 => 1u64 << (info - 24),
            31 if matches!(major, BYTES | TEXT | ARRAY | MAP) => return Ok((major, None)),
            _ => return Err(CborError::Reserved),
        };
        let argument = self.take(width)?;
        Ok((
            major,
            Some(argument.iter().fold(0, |n, b| n << 8 | u64::from(*b))),
        ))
    }

    fn expect(&mut self, major: u8) -> Result<Option<u64>, CborError> {
        let (found, argument) = self.head()?;
        if found != major {
            return Err(CborError::WrongType {
                expected: NAMES[usize::from(major)],
                found: NAMES[usize::from(found)],
            });
        }
        Ok(argument)
    }

    pub(crate) fn uint(&mut self) -> Result<u64, CborError> {
        self.expect(0)?.ok_or(CborError::Reserved)
    }

    /// An integer of either sign that fits 64 bits.
    pub(crate) fn int(&mut self) -> Result<i64, CborError> {
        let (major, argument) = self.head()?;
        let magnitude = argument
            .and_then(|n| i64::try_from(n).ok())
            .ok_or(CborError::Reserved)?;
        match major {
            0 => Ok(magnitude),
            1 => Ok(-1 - magnitude),
            _ => Err(CborError::WrongType {
                expected: "an integer",
                found: NAMES[usize::from(major)],
            }),
        }
    }

    fn string(&mut self, major: u8) -> Result<&'a [u8], CborError> {
        let length = self.expect(major)?.ok_or(CborError::ChunkedString)?;
        self.take(length)
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], CborError> {
        self.string(BYTES)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, CborError> {
        std::str::from_utf8(self.string(TEXT)?).map_err(|_| CborError::NotUtf8)
    }

    /// A byte string, or null.
    pub(crate) fn bytes_or_null(&mut self) -> Result<Option<&'a [u8]>, CborError> {
        if self.rest.first() == Some(&NULL) {
            self.rest = &self.rest[1..];
            return Ok(None);
        }
        self.bytes().map(Some)
    }

    pub(crate) fn array(&mut self) -> Result<Items, CborError> {
        Ok(self.expect(ARRAY)?.map_or(Items::UntilBreak, Items::Left))
    }

    pub(crate) fn map(&mut self) -> Result<Items, CborError> {
        Ok(self.expect(MAP)?.map_or(Items::UntilBreak, Items::Left))
    }

    /// Whether another item (or pair) follows; consumes the break of an indefinite one.
    pub(crate) fn more(&mut self, items: &mut Items) -> Result<bool, CborError> {
        match items {
            Items::Left(0) => Ok(false),
            Items::Left(left) => {
                *left -= 1;
                Ok(true)
            }
            Items::UntilBreak => match self.rest.first() {
                None => Err(CborError::Truncated),
                Some(&BREAK) => {
                    self.rest = &self.rest[1..];
                    Ok(false)
                }
                Some(_) => Ok(true),
            },
        }
    }

    /// The tag in front of the next value, if there is one.
    pub(crate) fn tag(&mut self) -> Result<Option<u64>, CborError> {
        match self.rest.first() {
            Some(initial) if initial >> 5 == TAG => self.expect(TAG),
            _ => Ok(None),
        }
    }
}

/// Writes definite lengths and minimal heads.
#[derive(Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    fn head(&mut self, major: u8, argument: u64) {
        let major = major << 5;
        match argument {
            0..=23 => self.0.push(major | argument as u8),
            24..=0xff => self.0.extend([major | 24, argument as u8]),
            0x100..=0xffff => {
                self.0.push(major | 25);
                self.0.extend((argument as u16).to_be_bytes());
            }
            0x1_0000..=0xffff_ffff => {
                self.0.push(major | 26);
                self.0.extend((argument as u32).to_be_bytes());
            }
            _ => {
                self.0.push(major | 27);
                self.0.extend(argument.to_be_bytes());
            }
        }
    }

    pub(crate) fn uint(&mut self, value: u64) {
        self.head(0, value);
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) {
        self.head(BYTES, value.len() as u64);
        self.0.extend(value);
    }

    pub(crate) fn text(&mut self, value: &str) {
        self.head(TEXT, value.len() as u64);
        self.0.extend(value.as_bytes());
    }

    pub(crate) fn bytes_or_null(&mut self, value: Option<&[u8]>) {
        match value {
            Some(bytes) => self.bytes(bytes),
            None => self.0.push(NULL),
        }
    }

    pub(crate) fn array(&mut self, items: u64) {
        self.head(ARRAY, items);
    }

    pub(crate) fn map(&mut self, pairs: u64) {
        self.head(MAP, pairs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_beyond_the_bytes_is_truncation_and_allocates_nothing() {
        let huge = [0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(Reader::new(&huge).bytes(), Err(CborError::Truncated));
        assert_eq!(Reader::new(&[]).uint(), Err(CborError::Truncated));
        assert_eq!(Reader::new(&[0x19, 1]).uint(), Err(CborError::Truncated));
    }

    #[test]
    fn reserved_and_chunked_encodings_are_refused() {
        assert_eq!(Reader::new(&[0x1c]).uint(), Err(CborError::Reserved));
        assert_eq!(Reader::new(&[0xff]).uint(), Err(CborError::Reserved));
        assert_eq!(
            Reader::new(&[0x5f, 0xff]).bytes(),
            Err(CborError::ChunkedString)
        );
        assert_eq!(Reader::new(&[0x61, 0xff]).text(), Err(CborError::NotUtf8));
    }

    #[test]
    fn what_is_written_reads_back() {
        for value in [
            0,
            23,
            24,
            255,
            256,
            65_535,
            65_536,
            u64::from(u32::MAX),
            u64::MAX,
        ] {
            let mut out = Writer::default();
            out.uint(value);
            let mut reader = Reader::new(&out.0);
            assert_eq!(reader.uint(), Ok(value));
            assert_eq!(reader.end(), Ok(()));
        }
        assert_eq!(Reader::new(&[0x38, 0x22]).int(), Ok(-35));
    }
}
