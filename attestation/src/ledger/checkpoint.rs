//! Ledger heads as C2SP tlog-checkpoint signed notes.
//!
//! Protects against an enclave that shows two heads of one size: each note is
//! signed by an attested boot key, so two that contradict each other are proof.
//! Notes carry an Ed25519 line any tlog tool reads and, where evidence must
//! last, an ML-DSA-65 line under C2SP's type for unassigned algorithms.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use redoubt_shared::LedgerId;
use sha2::{Digest, Sha256};

use super::entry::Hash;
use crate::encode::exactly;
use crate::jwk::{AkpMlDsa65Jwk, OkpEd25519Jwk};
use crate::sign::native;

/// Signature type byte of Ed25519 notes (C2SP signed-note).
const TYPE_ED25519: u8 = 0x01;
/// Signature type byte and name of our ML-DSA-65 lines.
const TYPE_ML_DSA_65: &[u8] = b"\xffredoubt/ML-DSA-65";
const ORIGIN_PREFIX: &str = "redoubt.example/ledger/";
/// Longest note accepted, in bytes.
const NOTE_MAX: usize = 64 * 1024;

/// Why a note was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Not the text format of a checkpoint.
    #[error("checkpoint is malformed: {0}")]
    Malformed(&'static str),
    /// No line verifies under a trusted key.
    #[error("checkpoint carries no valid signature by a trusted boot key")]
    Unsigned,
    /// Evidence that is to last needs the ML-DSA-65 line too.
    #[error("checkpoint lacks the ML-DSA-65 signature of the boot that signed it")]
    NotPostQuantum,
    /// A line by a trusted key does not verify.
    #[error("checkpoint carries a wrong {0} signature by a trusted boot key")]
    WrongSignature(&'static str),
}

impl NoteError {
    /// The stable name of this reason.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "note_malformed",
            Self::Unsigned => "note_unsigned",
            Self::NotPostQuantum => "note_not_post_quantum",
            Self::WrongSignature(_) => "note_wrong_signature",
        }
    }
}

/// The head of one ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which ledger.
    pub ledger: LedgerId,
    /// Entries.
    pub size: u64,
    /// Root over them.
    pub root: Hash,
}

/// The public keys under which one boot signs its notes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteKey {
    /// Ed25519, 32 bytes.
    pub ed25519: [u8; 32],
    /// ML-DSA-65, 1952 bytes.
    pub mldsa65: Vec<u8>,
}

/// Origin line and key name of a ledger's notes.
pub fn origin(ledger: LedgerId) -> String {
    format!("{ORIGIN_PREFIX}{ledger}")
}

impl Checkpoint {
    /// The signed text: origin, size, root, each on a line.
    pub fn body(&self) -> String {
        format!(
            "{}\n{}\n{}\n",
            origin(self.ledger),
            self.size,
            STANDARD.encode(self.root)
        )
    }

    /// Reads the signed text.
    pub fn parse_body(body: &str) -> Result<Self, NoteError> {
        let mut lines = body.split('\n');
        let mut next = |what| lines.next().ok_or(NoteError::Malformed(what));
        let ledger = next("no origin line")?
            .strip_prefix(ORIGIN_PREFIX)
            .and_then(|id| id.parse().ok())
            .ok_or(NoteError::Malformed("the origin names no ledger"))?;
        let size_text = next("no size line")?;
        let size: u64 = size_text
            .parse()
            .map_err(|_| NoteError::Malformed("the size is no number"))?;
        let root_text = next("no root line")?;
        let root = STANDARD
            .decode(root_text)
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(NoteError::Malformed("the root is not 32 bytes of base64"))?;
        let checkpoint = Self { ledger, size, root };
        if checkpoint.body() != body {
            return Err(NoteError::Malformed("not the canonical text of its values"));
        }
        Ok(checkpoint)
    }

    /// One Ed25519 signature line over [`Checkpoint::body`].
    pub fn ed25519_line(&self, public: &[u8; 32], signature: &[u8]) -> String {
        signature_line(&origin(self.ledger), &[TYPE_ED25519], public, signature)
    }

    /// One ML-DSA-65 signature line over [`Checkpoint::body`].
    pub fn mldsa65_line(&self, public: &[u8], signature: &[u8]) -> String {
        signature_line(&origin(self.ledger), TYPE_ML_DSA_65, public, signature)
    }

    /// A whole note: body, blank line, signature lines.
    pub fn note(&self, lines: &[String]) -> String {
        let mut note = self.body();
        note.push('\n');
        lines.iter().for_each(|line| note.push_str(line));
        note
    }
}

pub(super) fn key_id(name: &str, kind: &[u8], public: &[u8]) -> [u8; 4] {
    let digest = Sha256::new()
        .chain_update(name)
        .chain_update(b"\n")
        .chain_update(kind)
        .chain_update(public)
        .finalize();
    [digest[0], digest[1], digest[2], digest[3]]
}

pub(super) fn signature_line(name: &str, kind: &[u8], public: &[u8], signature: &[u8]) -> String {
    let mut bytes = key_id(name, kind, public).to_vec();
    bytes.extend_from_slice(signature);
    format!("\u{2014} {name} {}\n", STANDARD.encode(bytes))
}

/// Verifies one signature: (public key, message, signature).
pub type VerifyFn = fn(&[u8], &[u8], &[u8]) -> bool;

/// The two algorithms a note may carry, as the caller's implementation of them.
#[derive(Debug, Clone, Copy)]
pub struct NoteAlgorithms {
    /// Ed25519 (RFC 8032).
    pub ed25519: VerifyFn,
    /// ML-DSA-65 (FIPS 204), empty context.
    pub mldsa65: VerifyFn,
}

impl NoteAlgorithms {
    /// As aws-lc-rs has them, for request paths.
    pub const NATIVE: Self = Self {
        ed25519: |public, message, signature| {
            exactly(public).is_ok_and(|public| {
                let key = OkpEd25519Jwk::from_bytes(public);
                native::verify_ed25519(&key, message, signature).is_ok()
            })
        },
        mldsa65: |public, message, signature| {
            AkpMlDsa65Jwk::from_bytes(public)
                .is_some_and(|key| native::verify_ml_dsa_65(&key, message, signature).is_ok())
        },
    };
}

/// A note that verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedNote {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// Which of the given keys signed it.
    pub signer: usize,
    /// Whether the ML-DSA-65 line is there too (and verified).
    pub post_quantum: bool,
}

/// Verifies a note. It must carry a valid Ed25519 line by one of `keys`; an
/// ML-DSA-65 line by the same key set must be valid where present; lines by
/// unknown keys are passed over, as C2SP asks.
pub fn open(
    note: &str,
    keys: &[NoteKey],
    algorithms: NoteAlgorithms,
) -> Result<VerifiedNote, NoteError> {
    let (body, lines) = split_note(note)?;
    let checkpoint = Checkpoint::parse_body(&body)?;
    let signatures = signature_lines(lines)?;
    let name = origin(checkpoint.ledger);
    for (signer, key) in keys.iter().enumerate() {
        let find = |kind: &[u8], public: &[u8]| {
            let id = key_id(&name, kind, public);
            signatures
                .iter()
                .find(|(n, bytes)| *n == name && bytes[..4] == id)
                .map(|(_, bytes)| &bytes[4..])
        };
        let Some(signature) = find(&[TYPE_ED25519], &key.ed25519) else {
            continue;
        };
        if !(algorithms.ed25519)(&key.ed25519, body.as_bytes(), signature) {
            return Err(NoteError::WrongSignature("Ed25519"));
        }
        let post_quantum = match find(TYPE_ML_DSA_65, &key.mldsa65) {
            None => false,
            Some(signature) if (algorithms.mldsa65)(&key.mldsa65, body.as_bytes(), signature) => {
                true
            }
            Some(_) => return Err(NoteError::WrongSignature("ML-DSA-65")),
        };
        return Ok(VerifiedNote {
            checkpoint,
            signer,
            post_quantum,
        });
    }
    Err(NoteError::Unsigned)
}

/// The signed text with its last newline, and the signature lines.
pub(super) fn split_note(note: &str) -> Result<(String, &str), NoteError> {
    if note.len() > NOTE_MAX {
        return Err(NoteError::Malformed("longer than 65536 bytes"));
    }
    let (body, lines) = note
        .split_once("\n\n")
        .ok_or(NoteError::Malformed("no blank line before the signatures"))?;
    Ok((format!("{body}\n"), lines))
}

/// What a note claims to be the head of, before anything is verified: to find
/// the keys to verify it under.
pub fn read_unverified(note: &str) -> Result<Checkpoint, NoteError> {
    Checkpoint::parse_body(&split_note(note)?.0)
}

pub(super) fn signature_lines(text: &str) -> Result<Vec<(&str, Vec<u8>)>, NoteError> {
    let text = text
        .strip_suffix('\n')
        .ok_or(NoteError::Malformed("the last line has no end"))?;
    text.split('\n')
        .map(|line| {
            let rest = line
                .strip_prefix("\u{2014} ")
                .ok_or(NoteError::Malformed("a signature line has no dash"))?;
            let (name, encoded) = rest
                .split_once(' ')
                .ok_or(NoteError::Malformed("a signature line has no name"))?;
            let bytes = STANDARD
                .decode(encoded)
                .map_err(|_| NoteError::Malformed("a signature is not base64"))?;
            if bytes.len() < 5 {
                return Err(NoteError::Malformed("a signature is too short"));
            }
            Ok((name, bytes))
        })
        .collect()
}
