//! A small strict DER reader for certificate extensions.
//!
//! Protects against a second reading of an extension: definite lengths in their
//! shortest form, no trailing bytes where one element is expected.

/// Class, constructed bit and number of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag {
    class_and_form: u8,
    number: u32,
}

impl Tag {
    pub(super) const INTEGER: Self = Self::universal(0x00, 2);
    pub(super) const BIT_STRING: Self = Self::universal(0x00, 3);
    pub(super) const OCTET_STRING: Self = Self::universal(0x00, 4);
    pub(super) const ENUMERATED: Self = Self::universal(0x00, 10);
    pub(super) const SEQUENCE: Self = Self::universal(0x20, 16);
    pub(super) const SET: Self = Self::universal(0x20, 17);

    const fn universal(form: u8, number: u32) -> Self {
        Self {
            class_and_form: form,
            number,
        }
    }

    /// `[number] EXPLICIT`.
    pub(super) const fn context(number: u32) -> Self {
        Self {
            class_and_form: 0xA0,
            number,
        }
    }
}

/// Reads one element at the start of `rest` and moves behind it.
pub(super) fn next<'a>(rest: &mut &'a [u8]) -> Option<(Tag, &'a [u8])> {
    let tag = tag(rest)?;
    let length = length(rest)?;
    let (contents, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some((tag, contents))
}

/// Reads one element of kind `tag` at the start of `rest`.
pub(super) fn expect<'a>(rest: &mut &'a [u8], tag: Tag) -> Option<&'a [u8]> {
    let (found, contents) = next(rest)?;
    (found == tag).then_some(contents)
}

/// The contents of the one element of kind `tag` that fills `bytes`.
pub(super) fn only(bytes: &[u8], tag: Tag) -> Option<&[u8]> {
    let mut rest = bytes;
    let contents = expect(&mut rest, tag)?;
    rest.is_empty().then_some(contents)
}

/// A non-negative INTEGER's contents as a number that fits.
pub(super) fn small_integer(contents: &[u8]) -> Option<u32> {
    match contents {
        [first, ..] if *first < 0x80 && contents.len() <= 4 => {
            Some(contents.iter().fold(0, |n, byte| n << 8 | u32::from(*byte)))
        }
        _ => None,
    }
}

fn byte(rest: &mut &[u8]) -> Option<u8> {
    let (first, left) = rest.split_first()?;
    *rest = left;
    Some(*first)
}

fn tag(rest: &mut &[u8]) -> Option<Tag> {
    let first = byte(rest)?;
    let class_and_form = first & 0xE0;
    let low = first & 0x1F;
    let number = if low == 0x1F {
        high_number(rest)?
    } else {
        low.into()
    };
    Some(Tag {
        class_and_form,
        number,
    })
}

/// At most three base-128 digits: Android's largest tag number is below 1000.
fn high_number(rest: &mut &[u8]) -> Option<u32> {
    let mut number = 0;
    for position in 0..3 {
        let digit = byte(rest)?;
        if position == 0 && digit == 0x80 {
            return None;
        }
        number = number << 7 | u32::from(digit & 0x7F);
        if digit & 0x80 == 0 {
            return (number >= 0x1F).then_some(number);
        }
    }
    None
}

fn length(rest: &mut &[u8]) -> Option<usize> {
    let first = byte(rest)?;
    if first < 0x80 {
        return Some(first.into());
    }
    let digits = first & 0x7F;
    if !(1..=4).contains(&digits) {
        return None;
    }
    let mut value: usize = 0;
    for _ in 0..digits {
        value = value << 8 | usize::from(byte(rest)?);
    }
    let least = if digits == 1 {
        0x80
    } else {
        1 << (8 * (digits - 1))
    };
    (value >= least).then_some(value)
}
