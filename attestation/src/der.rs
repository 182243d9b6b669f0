//! The little of DER (ITU-T X.690) that certificates need beyond what webpki reads.
//!
//! Protects against lengths that lie: every value is a slice of what is there,
//! nothing is allocated, and whatever is no DER is `None`.

/// OCTET STRING.
pub(crate) const OCTET_STRING: u8 = 0x04;
/// OBJECT IDENTIFIER.
pub(crate) const OID: u8 = 0x06;
/// SEQUENCE.
pub(crate) const SEQUENCE: u8 = 0x30;
const BOOLEAN: u8 = 0x01;
const BIT_STRING: u8 = 0x03;
/// `extensions` of a TBSCertificate: context tag 3, constructed.
const EXTENSIONS: u8 = 0xa3;
/// id-ce-keyUsage, 2.5.29.15.
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];

/// Reads values one after the other.
pub(crate) struct Values<'a>(pub(crate) &'a [u8]);

impl<'a> Values<'a> {
    /// Tag and content of the next value; `None` at the end, or where no value is.
    pub(crate) fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[tag, first], rest) = self.0.split_first_chunk::<2>()?;
        // Tags above 30 take further bytes; certificates have none.
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x83 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                let length = bytes.iter().fold(0, |n, b| n << 8 | usize::from(*b));
                (length, rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    /// The content of the next value, if it has this tag.
    pub(crate) fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next()
            .filter(|(found, _)| *found == tag)
            .map(|(_, content)| content)
    }
}

/// The content of an extension of a certificate in DER (RFC 5280 §4.2), by the
/// content of its object identifier: `Some(None)` if the certificate has none,
/// `None` if it cannot be read as far as that.
pub(crate) fn extension<'a>(certificate: &'a [u8], oid: &[u8]) -> Option<Option<&'a [u8]>> {
    let mut outer = Values(Values(certificate).expect(SEQUENCE)?);
    let mut fields = Values(outer.expect(SEQUENCE)?);
    let list = loop {
        if fields.0.is_empty() {
            return Some(None);
        }
        let (tag, content) = fields.next()?;
        if tag == EXTENSIONS {
            break Values(content).expect(SEQUENCE)?;
        }
    };
    let mut list = Values(list);
    while !list.0.is_empty() {
        let mut one = Values(list.expect(SEQUENCE)?);
        let found = one.expect(OID)? == oid;
        let (tag, content) = one.next()?;
        let value = match tag {
            BOOLEAN => one.expect(OCTET_STRING)?,
            OCTET_STRING => content,
            _ => return None,
        };
        if found {
            return Some(Some(value));
        }
    }
    Some(None)
}

/// What a certificate's key may do, as far as it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// `digitalSignature`: sign messages.
    Sign,
    /// `keyCertSign`: issue certificates.
    Issue,
}

/// Whether a certificate's key usage (RFC 5280 §4.2.1.3) allows this. A certificate
/// without that extension allows everything; one that cannot be read, or whose
/// extension cannot, allows nothing.
pub(crate) fn allows(certificate: &[u8], wanted: Use) -> bool {
    let value = match extension(certificate, KEY_USAGE) {
        Some(Some(value)) => value,
        Some(None) => return true,
        None => return false,
    };
    let bit = match wanted {
        Use::Sign => 0x80,
        Use::Issue => 0x04,
    };
    let bits = Values(value).expect(BIT_STRING);
    bits.and_then(|bits| bits.get(1))
        .is_some_and(|first| first & bit != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_end_where_their_bytes_end() {
        assert_eq!(Values(&[4, 1, 9, 5, 0]).next(), Some((4, &[9][..])));
        assert_eq!(Values(&[4, 2, 9]).next(), None);
        assert_eq!(Values(&[4, 0x84, 0xff, 0xff, 0xff, 0xff]).next(), None);
        assert_eq!(Values(&[0x1f, 0]).next(), None);
        assert_eq!(Values(&[4, 0x80]).next(), None);
        let long = [&[4, 0x81, 0x80][..], &[7; 128]].concat();
        assert_eq!(Values(&long).expect(OCTET_STRING), Some(&[7; 128][..]));
    }

    fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
        [&[tag, content.len() as u8], content].concat()
    }

    /// What of a certificate is looked at: a serial number, then this.
    fn certificate(rest: &[u8]) -> Vec<u8> {
        let fields = [&tlv(2, &[1]), rest].concat();
        tlv(SEQUENCE, &tlv(SEQUENCE, &fields))
    }

    #[test]
    fn only_a_certificate_that_says_nothing_allows_everything() {
        let extension = |oid: &[u8], value: &[u8]| {
            let members = [tlv(OID, oid), tlv(OCTET_STRING, value)].concat();
            tlv(SEQUENCE, &members)
        };
        let holding = |list: &[u8]| certificate(&tlv(EXTENSIONS, &tlv(SEQUENCE, list)));
        let usage = |bits: u8| extension(KEY_USAGE, &tlv(BIT_STRING, &[0, bits]));
        let other = extension(&[0x55, 0x1d, 0x13], &[]);
        let both = |bytes: &[u8]| (allows(bytes, Use::Sign), allows(bytes, Use::Issue));
        // Silent.
        for silent in [certificate(&[]), holding(&[]), holding(&other)] {
            assert_eq!(both(&silent), (true, true));
        }
        // Said.
        assert_eq!(both(&holding(&usage(0x80))), (true, false));
        assert_eq!(
            both(&holding(&[other, usage(0x04)].concat())),
            (false, true)
        );
        // Unreadable: itself, what is in front of it, or the whole.
        for unreadable in [
            holding(&extension(KEY_USAGE, &[])),
            holding(&extension(KEY_USAGE, &tlv(BIT_STRING, &[0]))),
            holding(&[tlv(OID, &[1]), usage(0x84)].concat()),
            holding(&tlv(
                SEQUENCE,
                &[tlv(OID, KEY_USAGE), tlv(2, &[1])].concat(),
            )),
            certificate(&[0x30, 9]),
            vec![],
        ] {
            assert_eq!(both(&unreadable), (false, false), "{unreadable:x?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = extension(&bytes, KEY_USAGE);
            let _ = allows(&bytes, Use::Sign);
        }
    }
}
