//! Whether a vendor's root vouches for a document.

use super::parse::parse_parts;
use super::{Document, DocumentError, unsigned};
use crate::chain::{self, ChainError};
use crate::encode::{Digest32, sha256};
use crate::genesis::{RootKind, anchor_der};
use crate::sign::{independent, native};

/// SHA-256 of the certificate of AWS Nitro Enclaves root G1. The certificate
/// itself comes with every document and is taken from there when it matches.
pub const AWS_NITRO_ROOT_G1: Digest32 = Digest32([
    0x64, 0x1a, 0x03, 0x21, 0xa3, 0xe2, 0x44, 0xef, 0xe4, 0x56, 0x46, 0x31, 0x95, 0xd6, 0x06, 0x31,
    0x7e, 0xd7, 0xcd, 0xcc, 0x3c, 0x17, 0x56, 0xe0, 0x98, 0x93, 0xf3, 0xc6, 0x8f, 0x79, 0xbb, 0x5b,
]);

/// A pinned root: accepted by the digest of its exact certificate, or the one
/// statement that there is no root and no signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VendorRoot {
    kind: RootKind,
    /// None where nobody signs.
    digest: Option<Digest32>,
}

/// A root that cannot be pinned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the root {0}")]
pub struct RootError(String);

impl VendorRoot {
    /// AWS Nitro Enclaves root G1.
    pub const fn aws_nitro() -> Self {
        Self {
            kind: RootKind::Nitro,
            digest: Some(AWS_NITRO_ROOT_G1),
        }
    }

    /// No root: exactly the documents that QEMU's emulated security module writes.
    pub const fn unsigned() -> Self {
        Self {
            kind: RootKind::NitroUnsigned,
            digest: None,
        }
    }

    /// Pins the one certificate in a PEM text.
    pub fn from_pem(kind: RootKind, pem: &str) -> Result<Self, RootError> {
        Ok(Self::from_der(kind, &anchor_der(pem).map_err(RootError)?))
    }

    /// Pins a certificate.
    pub fn from_der(kind: RootKind, der: &[u8]) -> Self {
        Self {
            kind,
            digest: Some(sha256(&[der])),
        }
    }

    /// Whose root.
    pub const fn kind(&self) -> RootKind {
        self.kind
    }

    /// SHA-256 of the certificate; none where nobody signs.
    pub const fn digest(&self) -> Option<Digest32> {
        self.digest
    }
}

/// When a document's certificates must have been valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Time {
    /// At the document's own time. Leaves live for hours only, so this is how
    /// kept documents are judged; freshness is the nonce's or the age's matter.
    OfDocument,
    /// At this Unix time in milliseconds.
    At(u64),
}

/// Why a document is not authentic. The document is at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not readable as a document.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// Signed, where documents that nobody signed are expected.
    #[error(
        "the document is not one that QEMU's emulated security module left unsigned, and no other kind is accepted here"
    )]
    NotUnsigned,
    /// Marked as unsigned, but not as QEMU writes it.
    #[error(
        "the document says that nobody signed it, but its {0} is not what QEMU's emulated security module writes"
    )]
    UnsignedMarker(&'static str),
    /// Its root is not the pinned one.
    #[error("the document's root certificate has SHA-256 {found}; pinned is {pinned}")]
    RootNotPinned {
        /// What it brings.
        found: Digest32,
        /// What is trusted.
        pinned: Digest32,
    },
    /// Its certificates do not lead to the root.
    #[error("the document's certificates: {0}")]
    Chain(#[from] ChainError),
    /// Not 96 bytes.
    #[error("the document's signature has {0} bytes; ES384 has 96")]
    SignatureLength(usize),
    /// The signature is not that of the certificate's key.
    #[error("the document's signature does not verify under its certificate's key")]
    BadSignature,
}

impl Refusal {
    /// The stable name of this reason.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Document(error) => error.code(),
            Self::NotUnsigned => "not_unsigned",
            Self::UnsignedMarker(_) => "unsigned_marker",
            Self::RootNotPinned { .. } => "root_not_pinned",
            Self::Chain(error) => error.code(),
            Self::SignatureLength(_) => "signature_length",
            Self::BadSignature => "bad_signature",
        }
    }
}

/// A document that a pinned root vouches for, or that bears every marker of those
/// that nobody does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedDocument {
    /// What it says.
    pub document: Document,
    /// Whose root vouches.
    pub root: RootKind,
    /// Debug mode: the host can read the enclave's memory.
    pub debug: bool,
}

/// As [`verify`], and a signature must verify in the second implementation too.
pub fn verify_twice(
    bytes: &[u8],
    root: &VendorRoot,
    at: Time,
) -> Result<VerifiedDocument, Refusal> {
    let verified = verify(bytes, root, at)?;
    if verified.root == RootKind::NitroUnsigned {
        return Ok(verified);
    }
    let (cose, document) = parse_parts(bytes)?;
    let point = chain::leaf_point(&document.certificate)?;
    independent::verify_es384(&point, &cose.signed_bytes(), cose.signature)
        .map_err(|_| Refusal::BadSignature)?;
    Ok(verified)
}

/// Verifies a document against one pinned root. Where that root is
/// [`VendorRoot::unsigned`] there is neither a certificate that could expire nor a
/// signature: only the markers are compared.
pub fn verify(bytes: &[u8], root: &VendorRoot, at: Time) -> Result<VerifiedDocument, Refusal> {
    let Some(pinned) = root.digest else {
        return unsigned::verify(bytes);
    };
    let (cose, document) = parse_parts(bytes)?;
    let at = match at {
        Time::OfDocument => document.timestamp_ms,
        Time::At(ms) => ms,
    };
    let point = verify_chain(&document, pinned, at)?;
    let length = cose.signature.len();
    if length != 96 {
        return Err(Refusal::SignatureLength(length));
    }
    // High s is accepted: 17 of 37 real documents have it.
    native::verify_es384(&point, &cose.signed_bytes(), cose.signature)
        .map_err(|_| Refusal::BadSignature)?;
    Ok(VerifiedDocument {
        debug: document.pcrs.is_debug(),
        root: root.kind,
        document,
    })
}

/// Walks leaf, cabundle, root; returns the leaf's public key.
fn verify_chain(document: &Document, pinned: Digest32, at_ms: u64) -> Result<[u8; 97], Refusal> {
    let [first, intermediates @ ..] = document.cabundle.as_slice() else {
        return Err(DocumentError::CabundleEmpty.into());
    };
    let found = sha256(&[first]);
    if found != pinned {
        return Err(Refusal::RootNotPinned { found, pinned });
    }
    let intermediates = intermediates.iter().map(Vec::as_slice);
    Ok(chain::verify(
        first,
        intermediates,
        &document.certificate,
        at_ms,
    )?)
}
