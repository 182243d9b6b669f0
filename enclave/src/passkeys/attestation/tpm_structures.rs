//! TPM 2.0 structures (Part 2 of the TPM specification) that a statement
//! carries: `TPMT_PUBLIC` and `TPMS_ATTEST`.
//!
//! Protects against bytes that the TPM signed and nobody read: both structures
//! are read to their last byte.

use super::super::public_key::{Curve, KeyMaterial, strip_zeros};

const TPM_GENERATED_VALUE: u32 = 0xff54_4347;
const TPM_ST_ATTEST_CERTIFY: u16 = 0x8017;
const TPM_ALG_RSA: u16 = 0x0001;
const TPM_ALG_ECC: u16 = 0x0023;
const TPM_ALG_NULL: u16 = 0x0010;
/// `TPM_ALG_ECDAA`, whose scheme details hold a counter besides the hash.
const TPM_ALG_ECDAA: u16 = 0x001A;
/// `TPM_ALG_RSAES`, whose scheme details are empty.
const TPM_ALG_RSAES: u16 = 0x0015;
const DEFAULT_RSA_EXPONENT: u32 = 65_537;

/// Hash algorithms by `TPM_ALG_ID`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TpmHash {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl TpmHash {
    const fn from_id(id: u16) -> Option<Self> {
        match id {
            0x0004 => Some(Self::Sha1),
            0x000B => Some(Self::Sha256),
            0x000C => Some(Self::Sha384),
            0x000D => Some(Self::Sha512),
            _ => None,
        }
    }
}

/// What a `TPMT_PUBLIC` says.
pub(super) struct PublicArea {
    /// `nameAlg`, as number and as hash.
    pub(super) name_alg: (u16, TpmHash),
    /// `parameters` and `unique`.
    pub(super) key: KeyMaterial,
}

/// What a `TPMS_ATTEST` over a certified object says.
pub(super) struct Attest<'a> {
    pub(super) magic: u32,
    pub(super) kind: u16,
    pub(super) extra_data: &'a [u8],
    /// The rest, to be read as `TPMS_CERTIFY_INFO` once magic and type hold.
    attested: Reader<'a>,
}

impl<'a> Attest<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let magic = reader.u32()?;
        let kind = reader.u16()?;
        reader.sized()?; // qualifiedSigner
        let extra_data = reader.sized()?;
        reader.take(17)?; // clockInfo
        reader.take(8)?; // firmwareVersion
        Some(Self {
            magic,
            kind,
            extra_data,
            attested: reader,
        })
    }

    pub(super) fn magic_is_generated_value(&self) -> bool {
        self.magic == TPM_GENERATED_VALUE
    }

    pub(super) fn type_is_certify(&self) -> bool {
        self.kind == TPM_ST_ATTEST_CERTIFY
    }

    /// The `name` of the `TPMS_CERTIFY_INFO`.
    pub(super) fn certified_name(&self) -> Option<&'a [u8]> {
        let mut reader = self.attested;
        let name = reader.sized()?;
        reader.sized()?; // qualifiedName
        reader.0.is_empty().then_some(name)
    }
}

impl PublicArea {
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let kind = reader.u16()?;
        let name_alg = reader.u16()?;
        reader.u32()?; // objectAttributes
        reader.sized()?; // authPolicy
        let key = match kind {
            TPM_ALG_RSA => rsa(&mut reader)?,
            TPM_ALG_ECC => ecc(&mut reader)?,
            _ => return None,
        };
        let area = Self {
            name_alg: (name_alg, TpmHash::from_id(name_alg)?),
            key,
        };
        reader.0.is_empty().then_some(area)
    }
}

fn rsa(reader: &mut Reader<'_>) -> Option<KeyMaterial> {
    symmetric(reader)?;
    scheme(reader)?;
    let key_bits = reader.u16()?;
    let exponent = match reader.u32()? {
        0 => DEFAULT_RSA_EXPONENT,
        other => other,
    };
    let n = strip_zeros(reader.sized()?).to_vec();
    (n.len() * 8 == usize::from(key_bits)).then_some(KeyMaterial::Rsa {
        n,
        e: strip_zeros(&exponent.to_be_bytes()).to_vec(),
    })
}

fn ecc(reader: &mut Reader<'_>) -> Option<KeyMaterial> {
    symmetric(reader)?;
    scheme(reader)?;
    let (curve, width) = match reader.u16()? {
        0x0003 => (Curve::P256, 32_usize),
        0x0004 => (Curve::P384, 48),
        0x0005 => (Curve::P521, 66),
        _ => return None,
    };
    scheme(reader)?; // kdf
    let mut point = vec![4];
    for _ in 0..2 {
        let coordinate = strip_zeros(reader.sized()?);
        point.resize(point.len() + width.checked_sub(coordinate.len())?, 0);
        point.extend_from_slice(coordinate);
    }
    Some(KeyMaterial::Ec { curve, point })
}

/// `TPMT_SYM_DEF_OBJECT`: null for signing keys, else key bits and mode follow.
fn symmetric(reader: &mut Reader<'_>) -> Option<()> {
    if reader.u16()? != TPM_ALG_NULL {
        reader.take(4)?;
    }
    Some(())
}

/// An asymmetric or key derivation scheme with its details.
fn scheme(reader: &mut Reader<'_>) -> Option<()> {
    match reader.u16()? {
        TPM_ALG_NULL | TPM_ALG_RSAES => {}
        TPM_ALG_ECDAA => {
            reader.take(4)?;
        }
        _ => {
            reader.take(2)?;
        }
    }
    Some(())
}

/// Big-endian reader.
#[derive(Clone, Copy)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    /// A `TPM2B_*`: two bytes of length, then that many.
    fn sized(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.take(length.into())
    }
}
