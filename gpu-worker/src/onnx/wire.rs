//! Protects against a model file that lies about its own lengths: a walker over
//! protobuf fields that borrows, never allocates by a declared size and never
//! recurses on its own. It knows the four wire types in use, nothing of schemas.

/// Why bytes are no protobuf message. The file is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A field runs past the end of its message.
    #[error("model file: a field runs past the end of its message; fetch the file again")]
    Truncated,
    /// A varint of more than 64 bits.
    #[error("model file: a number has more than 64 bits; fetch the file again")]
    Overlong,
    /// Field number zero, or one of the removed group wire types.
    #[error("model file: tag {0} is no protobuf field; fetch the file again")]
    Tag(u64),
}

/// The payload of one field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1.
    Fixed64([u8; 8]),
    /// Wire type 2: bytes, text, sub-message or packed numbers.
    Bytes(&'a [u8]),
    /// Wire type 5.
    Fixed32([u8; 4]),
}

/// One field as it stands in its message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Field<'a> {
    /// Field number.
    pub number: u32,
    /// Payload.
    pub value: Value<'a>,
    /// Tag and payload, to be copied unchanged.
    pub raw: &'a [u8],
}

impl<'a> Field<'a> {
    /// The payload if it is length-delimited.
    pub fn bytes(&self) -> Option<&'a [u8]> {
        match self.value {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }
    /// The payload if it is a varint.
    pub fn varint(&self) -> Option<u64> {
        match self.value {
            Value::Varint(number) => Some(number),
            _ => None,
        }
    }
}

/// Walks the fields of one message; stops after the first error.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

/// The fields of `message`, in order.
pub fn fields(message: &[u8]) -> Fields<'_> {
    Fields { rest: message }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, WireError>;
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = take_field(self.rest);
        self.rest = match &field {
            Ok(field) => &self.rest[field.raw.len()..],
            Err(_) => &[],
        };
        Some(field)
    }
}

fn take_field(message: &[u8]) -> Result<Field<'_>, WireError> {
    let (tag, mut at) = take_varint(message, 0)?;
    let number = u32::try_from(tag >> 3).map_err(|_| WireError::Tag(tag))?;
    if number == 0 {
        return Err(WireError::Tag(tag));
    }
    let value = match tag & 7 {
        0 => {
            let (number, end) = take_varint(message, at)?;
            at = end;
            Value::Varint(number)
        }
        1 => Value::Fixed64(take_array(message, &mut at)?),
        2 => {
            let (length, start) = take_varint(message, at)?;
            let length = usize::try_from(length).map_err(|_| WireError::Truncated)?;
            let end = start.checked_add(length).ok_or(WireError::Truncated)?;
            at = end;
            Value::Bytes(message.get(start..end).ok_or(WireError::Truncated)?)
        }
        5 => Value::Fixed32(take_array(message, &mut at)?),
        _ => return Err(WireError::Tag(tag)),
    };
    Ok(Field {
        number,
        value,
        raw: &message[..at],
    })
}

fn take_array<const N: usize>(message: &[u8], at: &mut usize) -> Result<[u8; N], WireError> {
    let bytes = message
        .get(*at..)
        .and_then(|rest| rest.first_chunk::<N>())
        .ok_or(WireError::Truncated)?;
    *at += N;
    Ok(*bytes)
}

fn take_varint(message: &[u8], start: usize) -> Result<(u64, usize), WireError> {
    let mut number = 0u64;
    for (step, byte) in message[start..].iter().enumerate() {
        if step == 9 && *byte > 1 {
            return Err(WireError::Overlong);
        }
        number |= u64::from(byte & 0x7f) << (7 * step);
        if byte & 0x80 == 0 {
            return Ok((number, start + step + 1));
        }
    }
    Err(WireError::Truncated)
}

/// The varints packed in one length-delimited payload.
pub(crate) fn packed_varints(mut payload: &[u8]) -> Result<Vec<u64>, WireError> {
    let mut out = Vec::new();
    while !payload.is_empty() {
        let (number, end) = take_varint(payload, 0)?;
        out.push(number);
        payload = &payload[end..];
    }
    Ok(out)
}

/// Appends a varint field.
pub(super) fn put_varint_field(out: &mut Vec<u8>, number: u32, value: u64) {
    put_varint(out, u64::from(number) << 3);
    put_varint(out, value);
}

/// Appends a field of four bytes.
pub(super) fn put_fixed32_field(out: &mut Vec<u8>, number: u32, bytes: [u8; 4]) {
    put_varint(out, (u64::from(number) << 3) | 5);
    out.extend_from_slice(&bytes);
}

/// Appends a length-delimited field.
pub(super) fn put_bytes_field(out: &mut Vec<u8>, number: u32, payload: &[u8]) {
    put_varint(out, (u64::from(number) << 3) | 2);
    put_varint(out, payload.len() as u64);
    out.extend_from_slice(payload);
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_end_in_fields_or_a_named_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut covered = 0;
            let mut failed = false;
            for field in fields(&bytes) {
                match field {
                    Ok(field) => covered += field.raw.len(),
                    Err(_) => failed = true,
                }
            }
            prop_assert!(failed || covered == bytes.len());
        }

        #[test]
        fn what_is_put_reads_back(numbers in proptest::collection::vec((1u32..1 << 20, any::<u64>(), proptest::collection::vec(any::<u8>(), 0..40)), 0..20)) {
            let mut out = Vec::new();
            for (number, value, payload) in &numbers {
                put_varint_field(&mut out, *number, *value);
                put_bytes_field(&mut out, *number, payload);
            }
            let read: Vec<Field<'_>> = fields(&out).collect::<Result<_, _>>().unwrap();
            prop_assert_eq!(read.len(), numbers.len() * 2);
            for (pair, (number, value, payload)) in read.chunks(2).zip(&numbers) {
                prop_assert_eq!(pair[0].number, *number);
                prop_assert_eq!(pair[0].varint(), Some(*value));
                prop_assert_eq!(pair[1].bytes(), Some(payload.as_slice()));
            }
        }
    }

    #[test]
    fn a_length_past_the_end_is_refused_before_anything_is_allocated() {
        let huge = [0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        assert_eq!(fields(&huge).next(), Some(Err(WireError::Truncated)));
    }

    #[test]
    fn groups_and_field_zero_are_no_fields() {
        assert_eq!(fields(&[0x0b]).next(), Some(Err(WireError::Tag(0x0b))));
        assert_eq!(fields(&[0x02, 0]).next(), Some(Err(WireError::Tag(2))));
    }
}
