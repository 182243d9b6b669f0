//! Reading a document: every bound of AWS's specification, one reason per case.

use std::collections::BTreeMap;

use super::{DOCUMENT_MAX, Document, FIELD_MAX, Pcrs};
use crate::cbor::{CborError, Reader};
use crate::cose::{CoseError, CoseSign1, ES384};

/// Why bytes are no attestation document. The document is at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// Too large to be one.
    #[error("the document has {0} bytes; none has more than {DOCUMENT_MAX}")]
    TooLarge(usize),
    /// No COSE_Sign1.
    #[error(transparent)]
    Cose(#[from] CoseError),
    /// QEMU's emulated security module signs nothing.
    #[error("the document is unsigned, as QEMU's emulated security module makes them")]
    Unsigned,
    /// Another algorithm.
    #[error("the document's algorithm is {0}; Nitro documents have ES384 (-35)")]
    Algorithm(i64),
    /// The payload is no CBOR map of the right types.
    #[error("the document's payload: {0}")]
    Payload(#[from] CborError),
    /// A field stands twice.
    #[error("the document's field {0} stands twice")]
    DuplicateField(&'static str),
    /// A field is missing.
    #[error("the document has no field {0}")]
    MissingField(&'static str),
    /// A field no specification knows.
    #[error("the document has an unknown field")]
    UnknownField,
    /// Empty module id.
    #[error("the document's module_id is empty")]
    ModuleId,
    /// Another digest than SHA384.
    #[error("the document's digest is not SHA384")]
    Digest,
    /// Timestamp zero.
    #[error("the document's timestamp is zero")]
    Timestamp,
    /// None or more than 32.
    #[error("the document has {0} PCRs; 1 to 32 are allowed")]
    PcrCount(usize),
    /// Index above 31.
    #[error("the document has a PCR with index {0}; 0 to 31 are allowed")]
    PcrIndex(u64),
    /// One index twice.
    #[error("the document has PCR {0} twice")]
    DuplicatePcr(u8),
    /// Not 32, 48 or 64 bytes.
    #[error("the document's PCR {index} has {length} bytes; 32, 48 or 64 are allowed")]
    PcrLength {
        /// Which.
        index: u8,
        /// Its length.
        length: usize,
    },
    /// Certificate empty or too long.
    #[error("the document's certificate has {0} bytes; 1 to {FIELD_MAX} are allowed")]
    CertificateLength(usize),
    /// No issuers.
    #[error("the document's cabundle is empty")]
    CabundleEmpty,
    /// Too many issuers.
    #[error("the document's cabundle has more than {CABUNDLE_MAX} certificates")]
    CabundleCount,
    /// An issuer's certificate is empty or too long.
    #[error(
        "certificate {index} of the document's cabundle has {length} bytes; 1 to {FIELD_MAX} are allowed"
    )]
    CabundleCertificateLength {
        /// Which.
        index: usize,
        /// Its length.
        length: usize,
    },
    /// `public_key` too long.
    #[error("the document's public_key has {0} bytes; at most {FIELD_MAX} are allowed")]
    PublicKeyLength(usize),
    /// `user_data` too long.
    #[error("the document's user_data has {0} bytes; at most {FIELD_MAX} are allowed")]
    UserDataLength(usize),
    /// `nonce` too long.
    #[error("the document's nonce has {0} bytes; at most {FIELD_MAX} are allowed")]
    NonceLength(usize),
}

const CABUNDLE_MAX: usize = 16;

impl DocumentError {
    /// The stable name of this reason.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLarge(_) => "too_large",
            Self::Cose(error) => cose_code(error),
            Self::Unsigned => "unsigned",
            Self::Algorithm(_) => "wrong_algorithm",
            Self::Payload(error) => cbor_code(error),
            Self::DuplicateField(_) => "duplicate_field",
            Self::MissingField(_) => "missing_field",
            Self::UnknownField => "unknown_field",
            Self::ModuleId => "module_id_empty",
            Self::Digest => "wrong_digest",
            Self::Timestamp => "timestamp_zero",
            Self::PcrCount(_) => "pcr_count",
            Self::PcrIndex(_) => "pcr_index",
            Self::DuplicatePcr(_) => "duplicate_pcr",
            Self::PcrLength { .. } => "pcr_length",
            Self::CertificateLength(_) => "certificate_length",
            Self::CabundleEmpty => "cabundle_empty",
            Self::CabundleCount => "cabundle_count",
            Self::CabundleCertificateLength { .. } => "cabundle_certificate_length",
            Self::PublicKeyLength(_) => "public_key_length",
            Self::UserDataLength(_) => "user_data_length",
            Self::NonceLength(_) => "nonce_length",
        }
    }
}

const fn cose_code(error: &CoseError) -> &'static str {
    match error {
        CoseError::Cbor(error) => cbor_code(error),
        CoseError::Tag(_) => "wrong_tag",
        CoseError::NotFour => "not_cose_sign1",
        CoseError::ProtectedHeader => "protected_header",
        CoseError::DuplicateAlgorithm => "duplicate_algorithm",
        CoseError::UnprotectedHeader => "unprotected_header",
    }
}

const fn cbor_code(error: &CborError) -> &'static str {
    match error {
        CborError::Truncated => "truncated",
        CborError::TrailingBytes => "trailing_bytes",
        CborError::WrongType { .. } => "wrong_type",
        CborError::ChunkedString => "chunked_string",
        CborError::NotUtf8 => "not_utf8",
        CborError::Reserved => "reserved_encoding",
    }
}

impl Document {
    /// Reads what a document says. Nothing is verified; see [`super::verify`].
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        Ok(parse_parts(bytes)?.1)
    }
}

/// Reads wrapper and payload of a document that somebody signed.
pub(super) fn parse_parts(bytes: &[u8]) -> Result<(CoseSign1<'_>, Document), DocumentError> {
    let cose = parse_wrapper(bytes)?;
    if cose.is_unsigned() {
        return Err(DocumentError::Unsigned);
    }
    if cose.algorithm != ES384 {
        return Err(DocumentError::Algorithm(cose.algorithm));
    }
    let document = Fields::read(cose.payload)?.checked()?;
    Ok((cose, document))
}

/// Reads wrapper and payload, signed or not. Only for where an unsigned document
/// is expected by name.
pub(super) fn parse_any(bytes: &[u8]) -> Result<(CoseSign1<'_>, Document), DocumentError> {
    let cose = parse_wrapper(bytes)?;
    let document = Fields::read(cose.payload)?.checked()?;
    Ok((cose, document))
}

fn parse_wrapper(bytes: &[u8]) -> Result<CoseSign1<'_>, DocumentError> {
    if bytes.len() > DOCUMENT_MAX {
        return Err(DocumentError::TooLarge(bytes.len()));
    }
    Ok(CoseSign1::parse(bytes)?)
}

/// The time in a document that this machine's own security module just made.
/// No signature is looked at: whoever asks trusts the device it asked.
pub fn timestamp_of(bytes: &[u8]) -> Result<u64, DocumentError> {
    let cose = CoseSign1::parse(bytes)?;
    let timestamp = Fields::read(cose.payload)?.timestamp;
    let timestamp = timestamp.ok_or(DocumentError::MissingField("timestamp"))?;
    if timestamp == 0 {
        return Err(DocumentError::Timestamp);
    }
    Ok(timestamp)
}

/// The payload's fields as found, before any bound is checked.
#[derive(Default)]
struct Fields<'a> {
    module_id: Option<&'a str>,
    digest: Option<&'a str>,
    timestamp: Option<u64>,
    pcrs: Option<BTreeMap<u8, Vec<u8>>>,
    certificate: Option<&'a [u8]>,
    cabundle: Option<Vec<&'a [u8]>>,
    public_key: Option<Option<&'a [u8]>>,
    user_data: Option<Option<&'a [u8]>>,
    nonce: Option<Option<&'a [u8]>>,
}

/// Stores a field, unless it is there already.
fn once<T>(name: &'static str, slot: &mut Option<T>, value: T) -> Result<(), DocumentError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(DocumentError::DuplicateField(name)),
    }
}

impl<'a> Fields<'a> {
    fn read(payload: &'a [u8]) -> Result<Self, DocumentError> {
        let mut reader = Reader::new(payload);
        let mut fields = Self::default();
        let mut pairs = reader.map()?;
        while reader.more(&mut pairs)? {
            match reader.text()? {
                "module_id" => once("module_id", &mut fields.module_id, reader.text()?)?,
                "digest" => once("digest", &mut fields.digest, reader.text()?)?,
                "timestamp" => once("timestamp", &mut fields.timestamp, reader.uint()?)?,
                "pcrs" => once("pcrs", &mut fields.pcrs, read_pcrs(&mut reader)?)?,
                "certificate" => once("certificate", &mut fields.certificate, reader.bytes()?)?,
                "cabundle" => once(
                    "cabundle",
                    &mut fields.cabundle,
                    read_cabundle(&mut reader)?,
                )?,
                "public_key" => once(
                    "public_key",
                    &mut fields.public_key,
                    reader.bytes_or_null()?,
                )?,
                "user_data" => once("user_data", &mut fields.user_data, reader.bytes_or_null()?)?,
                "nonce" => once("nonce", &mut fields.nonce, reader.bytes_or_null()?)?,
                // AWS may add fields one day; until we know what they mean, a
                // document that has one says something we did not hear.
                _ => return Err(DocumentError::UnknownField),
            }
        }
        reader.end()?;
        Ok(fields)
    }

    fn checked(self) -> Result<Document, DocumentError> {
        let missing = DocumentError::MissingField;
        let Self {
            module_id,
            digest,
            timestamp,
            pcrs,
            certificate,
            cabundle,
            public_key,
            user_data,
            nonce,
        } = self;
        let module_id = module_id.ok_or(missing("module_id"))?;
        if module_id.is_empty() {
            return Err(DocumentError::ModuleId);
        }
        if digest.ok_or(missing("digest"))? != "SHA384" {
            return Err(DocumentError::Digest);
        }
        let timestamp_ms = timestamp.ok_or(missing("timestamp"))?;
        if timestamp_ms == 0 {
            return Err(DocumentError::Timestamp);
        }
        let pcrs = pcrs.ok_or(missing("pcrs"))?;
        if pcrs.is_empty() {
            return Err(DocumentError::PcrCount(0));
        }
        let certificate = certificate.ok_or(missing("certificate"))?;
        if !(1..=FIELD_MAX).contains(&certificate.len()) {
            return Err(DocumentError::CertificateLength(certificate.len()));
        }
        Ok(Document {
            module_id: module_id.to_owned(),
            timestamp_ms,
            pcrs: Pcrs(pcrs),
            certificate: certificate.to_vec(),
            cabundle: checked_cabundle(cabundle.ok_or(missing("cabundle"))?)?,
            public_key: optional(public_key, DocumentError::PublicKeyLength)?,
            user_data: optional(user_data, DocumentError::UserDataLength)?,
            nonce: optional(nonce, DocumentError::NonceLength)?,
        })
    }
}

/// Absent and null mean the same; empty stays empty.
fn optional(
    field: Option<Option<&[u8]>>,
    too_long: fn(usize) -> DocumentError,
) -> Result<Option<Vec<u8>>, DocumentError> {
    match field.flatten() {
        Some(bytes) if bytes.len() > FIELD_MAX => Err(too_long(bytes.len())),
        bytes => Ok(bytes.map(<[u8]>::to_vec)),
    }
}

fn read_pcrs(reader: &mut Reader<'_>) -> Result<BTreeMap<u8, Vec<u8>>, DocumentError> {
    let mut pcrs = BTreeMap::new();
    let mut pairs = reader.map()?;
    while reader.more(&mut pairs)? {
        let wide = reader.uint()?;
        let index = u8::try_from(wide)
            .ok()
            .filter(|index| *index < 32)
            .ok_or(DocumentError::PcrIndex(wide))?;
        let value = reader.bytes()?;
        if !matches!(value.len(), 32 | 48 | 64) {
            return Err(DocumentError::PcrLength {
                index,
                length: value.len(),
            });
        }
        if pcrs.insert(index, value.to_vec()).is_some() {
            return Err(DocumentError::DuplicatePcr(index));
        }
    }
    Ok(pcrs)
}

fn read_cabundle<'a>(reader: &mut Reader<'a>) -> Result<Vec<&'a [u8]>, DocumentError> {
    let mut bundle = Vec::new();
    let mut items = reader.array()?;
    while reader.more(&mut items)? {
        if bundle.len() == CABUNDLE_MAX {
            return Err(DocumentError::CabundleCount);
        }
        bundle.push(reader.bytes()?);
    }
    Ok(bundle)
}

fn checked_cabundle(bundle: Vec<&[u8]>) -> Result<Vec<Vec<u8>>, DocumentError> {
    if bundle.is_empty() {
        return Err(DocumentError::CabundleEmpty);
    }
    for (index, certificate) in bundle.iter().enumerate() {
        if !(1..=FIELD_MAX).contains(&certificate.len()) {
            return Err(DocumentError::CabundleCertificateLength {
                index,
                length: certificate.len(),
            });
        }
    }
    Ok(bundle.into_iter().map(<[u8]>::to_vec).collect())
}
