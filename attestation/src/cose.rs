//! COSE_Sign1 (RFC 9052) as attestation documents use it.
//!
//! Protects against a wrapper that says one thing to one reader and another to
//! the next: tagged 18 or untagged, one algorithm, an empty unprotected header,
//! nothing after the end. What is verified is the received bytes, never a
//! re-encoding of what was understood.

pub use crate::cbor::CborError;
use crate::cbor::{Reader, Writer};

/// COSE algorithm ES384: ECDSA with SHA-384.
pub const ES384: i64 = -35;
/// The protected header `{1: -1}` of documents that QEMU's emulated security
/// module writes without signing them.
const QEMU_UNSIGNED: [u8; 3] = [0xa1, 0x01, 0x20];
/// The protected header `{1: -35}`.
const PROTECTED_ES384: [u8; 4] = [0xa1, 0x01, 0x38, 0x22];
const TAG_COSE_SIGN1: u64 = 18;
const HEADER_ALG: i64 = 1;

/// Why bytes are no COSE_Sign1 of this kind. The document is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CoseError {
    /// No CBOR, or other types than COSE_Sign1 has.
    #[error("the document is no COSE_Sign1: {0}")]
    Cbor(#[from] CborError),
    /// A tag other than 18.
    #[error("the document has CBOR tag {0}; COSE_Sign1 has tag 18 or none")]
    Tag(u64),
    /// Not an array of four.
    #[error(
        "the document is no array of four; COSE_Sign1 is [protected, unprotected, payload, signature]"
    )]
    NotFour,
    /// Protected header is not exactly {1: alg}.
    #[error("the document's protected header is not exactly {{1: algorithm}}")]
    ProtectedHeader,
    /// A protected header key stands twice.
    #[error("the document's protected header names the algorithm twice")]
    DuplicateAlgorithm,
    /// Unprotected header is not empty.
    #[error("the document's unprotected header is not empty; nothing there is signed")]
    UnprotectedHeader,
}

/// The four parts, borrowed from the received bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoseSign1<'a> {
    protected: &'a [u8],
    /// Signature algorithm of the protected header.
    pub algorithm: i64,
    /// The signed payload.
    pub payload: &'a [u8],
    /// The signature.
    pub signature: &'a [u8],
}

impl<'a> CoseSign1<'a> {
    /// Reads exactly one COSE_Sign1.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, CoseError> {
        let mut reader = Reader::new(bytes);
        if let Some(tag) = reader.tag()?
            && tag != TAG_COSE_SIGN1
        {
            return Err(CoseError::Tag(tag));
        }
        let mut items = reader.array()?;
        let mut next = |reader: &mut Reader<'a>| match reader.more(&mut items) {
            Ok(true) => Ok(()),
            Ok(false) => Err(CoseError::NotFour),
            Err(error) => Err(error.into()),
        };
        next(&mut reader)?;
        let protected = reader.bytes()?;
        next(&mut reader)?;
        empty_map(&mut reader)?;
        next(&mut reader)?;
        let payload = reader.bytes()?;
        next(&mut reader)?;
        let signature = reader.bytes()?;
        if reader.more(&mut items)? {
            return Err(CoseError::NotFour);
        }
        reader.end()?;
        Ok(Self {
            protected,
            algorithm: algorithm(protected)?,
            payload,
            signature,
        })
    }

    /// The bytes that the signature covers (RFC 9052 §4.4), built from the
    /// received protected header and payload.
    pub fn signed_bytes(&self) -> Vec<u8> {
        signed_bytes(self.protected, self.payload)
    }

    /// Whether this bears the marks of QEMU's emulated security module, which
    /// signs nothing, or has an empty or all-zero signature.
    pub fn is_unsigned(&self) -> bool {
        self.is_marked_unsigned() || self.signature.iter().all(|b| *b == 0)
    }

    /// Whether the protected header is the one that QEMU's emulated security
    /// module writes.
    pub fn is_marked_unsigned(&self) -> bool {
        self.protected == QEMU_UNSIGNED
    }
}

fn empty_map(reader: &mut Reader<'_>) -> Result<(), CoseError> {
    let mut pairs = reader.map()?;
    if reader.more(&mut pairs)? {
        return Err(CoseError::UnprotectedHeader);
    }
    Ok(())
}

fn algorithm(protected: &[u8]) -> Result<i64, CoseError> {
    let mut reader = Reader::new(protected);
    let mut pairs = reader.map()?;
    let mut found = None;
    while reader.more(&mut pairs)? {
        if reader.int()? != HEADER_ALG {
            return Err(CoseError::ProtectedHeader);
        }
        if found.replace(reader.int()?).is_some() {
            return Err(CoseError::DuplicateAlgorithm);
        }
    }
    reader.end()?;
    found.ok_or(CoseError::ProtectedHeader)
}

fn signed_bytes(protected: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut out = Writer(Vec::with_capacity(payload.len() + 32));
    out.array(4);
    out.text("Signature1");
    out.bytes(protected);
    out.bytes(&[]);
    out.bytes(payload);
    out.0
}

/// What an ES384 signer signs for a payload.
pub(crate) fn es384_signed_bytes(payload: &[u8]) -> Vec<u8> {
    signed_bytes(&PROTECTED_ES384, payload)
}

/// An untagged COSE_Sign1 with algorithm ES384.
pub(crate) fn encode_es384(payload: &[u8], signature: &[u8]) -> Vec<u8> {
    let mut out = Writer::default();
    out.array(4);
    out.bytes(&PROTECTED_ES384);
    out.map(0);
    out.bytes(payload);
    out.bytes(signature);
    out.0
}
