//! FIDO Metadata Service v3: what the FIDO Alliance says of authenticator models.
//!
//! Protects against a list that is forged, out of date or an older one shown
//! again: the BLOB has to be signed by the service, under certificates that chain
//! to a given root at the caller's time, and its number never goes back. Which
//! certificates were revoked is not asked here: nothing is fetched.

mod chain;
mod condensed;
pub mod conformance;
mod jws;
mod payload;
mod status;

use aws_lc_rs::digest::{SHA256, digest};
use time::{Date, OffsetDateTime};

pub use condensed::Condensed;
pub use payload::Entry;
pub use status::{Status, StatusReport};

checks! {
    /// Why a BLOB is refused.
    MetadataError {
        TooLarge = "metadata_too_large", "the BLOB, or what has to be kept of it, is too large";
        Jws = "jws_malformed", "the BLOB is not a JWS in compact serialization";
        Header = "jws_header_malformed", "the JWS header is not JSON with the members it needs";
        Critical = "jws_extension_refused", "the JWS header names critical extensions";
        Url = "jws_x5u_refused", "the JWS header points to certificates elsewhere, and nothing is fetched";
        Algorithm = "algorithm_refused", "the JWS algorithm is neither ES256 nor RS256";
        AlgorithmMismatch = "algorithm_mismatch", "the JWS algorithm is not that of the signer's key";
        NoChain = "x5c_missing", "the JWS header carries no certificates";
        LongChain = "x5c_too_long", "the JWS header carries more certificates than any chain needs";
        Certificate = "certificate_malformed", "a certificate of the JWS header cannot be read";
        Order = "x5c_out_of_order", "a certificate of the JWS header is not issued by the next";
        Signer = "signer_name_mismatch", "the signer's certificate is not for the metadata service";
        KeyUsage = "key_usage_refused", "a certificate's key usage does not allow what it is used for";
        SignerIsCa = "signer_is_ca", "the signer's certificate is one of an authority";
        IssuerIsNoCa = "issuer_is_no_ca", "an issuer's certificate is not one of an authority";
        Signature = "signature_invalid", "the JWS signature does not verify under the signer's key";
        BadRoot = "root_malformed", "a given root is not a certificate";
        RootOutOfTime = "root_out_of_time", "no given root is valid at this time";
        Untrusted = "root_not_trusted", "the certificates do not chain to a given root";
        Constraint = "certificate_constraint", "a certificate's constraint, extension or algorithm refuses the chain";
        NotYetValid = "certificate_not_yet_valid", "a certificate is not valid yet";
        Expired = "certificate_expired", "a certificate has expired";
        Payload = "payload_malformed", "the payload is not the JSON of a metadata BLOB";
        TooMany = "payload_too_many", "a list of the payload is longer than any the service makes";
        Date = "date_malformed", "a date of the payload is not a day as YYYY-MM-DD";
        Identifier = "identifier_malformed", "an AAGUID, AAID or key identifier is misspelt";
        NoIdentifier = "identifier_missing", "an entry names no authenticator model";
        RolledBack = "number_rolled_back", "a BLOB with a higher number was seen before";
        Forked = "number_forked", "another BLOB with this number was seen before";
        Overdue = "next_update_past", "the day of the next update has passed, and policy asks for the next BLOB";
    }
}

/// The name of the service in its certificate.
pub const SIGNER: &str = "mds.fidoalliance.org";
/// The longest BLOB that is read; the real one had 4 MB in 2025.
pub const MAX_BLOB_BYTES: usize = 32 << 20;

/// A BLOB that was accepted, to be remembered: no older one is accepted after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Its `no`.
    pub number: u64,
    /// SHA-256 of its payload. Not of the whole text: that changes when the same
    /// payload is signed again.
    pub digest: [u8; 32],
}

/// What to do with a BLOB once the day of the next update has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overdue {
    /// It counts, and [`Metadata::overdue`] says so.
    #[default]
    Accept,
    /// It is refused.
    Refuse,
}

/// What a BLOB is judged against.
#[derive(Debug, Clone, Copy)]
pub struct Expectation<'a> {
    /// Root certificates, DER.
    pub roots: &'a [Vec<u8>],
    /// The DNS name in the signer's certificate, [`SIGNER`] outside tests.
    pub signer: &'a str,
    /// Unix milliseconds.
    pub now_ms: u64,
    /// The last BLOB that was accepted.
    pub last: Option<Seen>,
    /// What is asked of `nextUpdate`.
    pub overdue: Overdue,
}

/// A BLOB that verified (Metadata Service v3.1, section 3.1.6).
#[derive(Debug, Clone)]
pub struct Metadata {
    /// Its number and digest.
    pub seen: Seen,
    /// The day by which the next one is there; deprecated since v3.1.
    pub next_update: Option<Date>,
    /// Whether that day has passed.
    pub overdue: bool,
    /// The authenticator models.
    pub entries: Vec<Entry>,
}

/// Verifies a BLOB in JWS compact serialization.
///
/// # Errors
/// The first check that failed.
pub fn verify(blob: &[u8], expected: &Expectation<'_>) -> Result<Metadata, MetadataError> {
    let (metadata, current) = genuine(blob, expected)?;
    current.map(|()| metadata)
}

/// A BLOB that the service signed at some time, and whether it counts now. That
/// an older one is shown again is told before that its certificates have expired.
fn genuine(
    blob: &[u8],
    expected: &Expectation<'_>,
) -> Result<(Metadata, Result<(), MetadataError>), MetadataError> {
    require(blob.len() <= MAX_BLOB_BYTES, MetadataError::TooLarge)?;
    let jws = jws::Jws::parse(blob)?;
    let path = chain::Path::parse(&jws.certificates)?;
    jws.verify(path.signer_key())?;
    let in_time = path.chains(expected.roots, expected.now_ms);
    if in_time.is_err() {
        path.chains(expected.roots, path.first_moment_ms())
            .map_err(|_| in_time.err().unwrap_or(MetadataError::Untrusted))?;
    }
    path.check_signer(expected.signer)?;
    let payload = payload::parse(&jws.payload)?;
    let seen = Seen {
        number: payload.number,
        digest: sha256(&jws.payload),
    };
    let today = day_of(expected.now_ms);
    let overdue = payload.next_update.is_some_and(|day| day < today);
    let current = goes_on(expected.last, seen).and(in_time).and(require(
        !overdue || expected.overdue == Overdue::Accept,
        MetadataError::Overdue,
    ));
    let metadata = Metadata {
        seen,
        next_update: payload.next_update,
        overdue,
        entries: payload.entries,
    };
    Ok((metadata, current))
}

/// The same BLOB may come again; numbers may be skipped.
fn goes_on(last: Option<Seen>, seen: Seen) -> Result<(), MetadataError> {
    let Some(last) = last else {
        return Ok(());
    };
    require(seen.number >= last.number, MetadataError::RolledBack)?;
    let same = seen.digest == last.digest;
    require(seen.number > last.number || same, MetadataError::Forked)
}

impl Metadata {
    /// The entries of a FIDO2 model.
    pub fn of_aaguid(&self, aaguid: [u8; 16]) -> impl Iterator<Item = &Entry> {
        let named = move |entry: &&Entry| entry.aaguid == Some(aaguid);
        self.entries.iter().filter(named)
    }

    /// The entries of a UAF model, as `4e4e#4005`.
    pub fn of_aaid<'a>(&'a self, aaid: &str) -> impl Iterator<Item = &'a Entry> {
        let aaid = aaid.to_ascii_lowercase();
        let named = move |entry: &&Entry| entry.aaid.as_deref() == Some(&aaid);
        self.entries.iter().filter(named)
    }

    /// The entries of a U2F model, by the SHA-1 key identifier of its attestation
    /// certificate (RFC 5280 section 4.2.1.2, method 1). Real BLOBs repeat some.
    pub fn of_key_identifier(&self, identifier: [u8; 20]) -> impl Iterator<Item = &Entry> {
        let named = move |entry: &&Entry| entry.key_identifiers.contains(&identifier);
        self.entries.iter().filter(named)
    }
}

/// The UTC day of a moment in Unix milliseconds.
fn day_of(now_ms: u64) -> Date {
    let seconds = i64::try_from(now_ms / 1000).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds).map_or(Date::MAX, OffsetDateTime::date)
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

fn require(holds: bool, otherwise: MetadataError) -> Result<(), MetadataError> {
    if holds { Ok(()) } else { Err(otherwise) }
}

/// An AAGUID as the service spells it, 8-4-4-4-12 (RFC 9562).
pub fn spelt(aaguid: &[u8; 16]) -> String {
    uuid::Uuid::from_bytes(*aaguid).to_string()
}
