//! C2SP tlog-cosignature: a witness says that, at a time, this head was the
//! largest it had seen of a ledger that only ever grew.
//!
//! Protects a reader against an appliance, or a host with an old copy of it,
//! that shows different histories to different people: enough cosignatures by
//! keys the genesis names, and two histories would need a witness that signed both.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::checkpoint::{
    Checkpoint, NoteAlgorithms, NoteError, key_id, signature_line, signature_lines, split_note,
};
use crate::encode::exactly;
use crate::genesis::PeerEntry;
use crate::sign::{Ed25519Signer, SignerError};

/// Signature type byte of Ed25519 cosignatures.
const TYPE_COSIGNATURE: u8 = 0x04;
/// Largest timestamp that C2SP allows, in seconds.
const TIME_MAX: u64 = i64::MAX as u64;

/// The bytes a witness signs: header line, time line, whole note body.
fn message(body: &str, seconds: u64) -> String {
    format!("cosignature/v1\ntime {seconds}\n{body}")
}

/// A cosignature line of the witness `name` over a head.
pub fn cosign(
    checkpoint: &Checkpoint,
    name: &str,
    seconds: u64,
    key: &Ed25519Signer,
) -> Result<String, SignerError> {
    let signature = key.sign(message(&checkpoint.body(), seconds).as_bytes())?;
    let timestamped = [&seconds.to_be_bytes()[..], &signature].concat();
    let public = key.jwk().as_bytes();
    Ok(signature_line(
        name,
        &[TYPE_COSIGNATURE],
        public,
        &timestamped,
    ))
}

/// Who of `witnesses` cosigned a note, and when (Unix seconds); each at most
/// once, with its latest time. Lines by others are passed over; a wrong line
/// under a key of `witnesses` refuses the note, as C2SP asks.
///
/// Says nothing about the ledger's own signature: see [`super::checkpoint::open`].
pub fn cosigned_by(
    note: &str,
    witnesses: &[PeerEntry],
    algorithms: NoteAlgorithms,
) -> Result<Vec<(String, u64)>, NoteError> {
    let (body, lines) = split_note(note)?;
    Checkpoint::parse_body(&body)?;
    let signatures = signature_lines(lines)?;
    let mut found: Vec<(String, u64)> = Vec::new();
    for (name, bytes) in &signatures {
        let Some(witness) = witnesses.iter().find(|witness| is_by(witness, name, bytes)) else {
            continue;
        };
        let time = verify(&body, witness, &bytes[4..], algorithms)?;
        match found.iter_mut().find(|(known, _)| known == name) {
            Some((_, latest)) => *latest = time.max(*latest),
            None => found.push(((*name).to_owned(), time)),
        }
    }
    Ok(found)
}

/// Verifies one line of a witness's answer over a head; `None` if another key made it.
pub fn verify_line(
    line: &str,
    checkpoint: &Checkpoint,
    witness: &PeerEntry,
    algorithms: NoteAlgorithms,
) -> Result<Option<u64>, NoteError> {
    let signatures = signature_lines(line)?;
    let [(name, bytes)] = &signatures[..] else {
        return Err(NoteError::Malformed("not one signature line"));
    };
    if !is_by(witness, name, bytes) {
        return Ok(None);
    }
    verify(&checkpoint.body(), witness, &bytes[4..], algorithms).map(Some)
}

fn is_by(witness: &PeerEntry, name: &str, bytes: &[u8]) -> bool {
    let id = key_id(&witness.name, &[TYPE_COSIGNATURE], witness.key.as_bytes());
    witness.name == name && bytes[..4] == id
}

fn verify(
    body: &str,
    witness: &PeerEntry,
    timestamped: &[u8],
    algorithms: NoteAlgorithms,
) -> Result<u64, NoteError> {
    let bytes: [u8; 72] =
        exactly(timestamped).map_err(|_| NoteError::WrongSignature("cosignature"))?;
    let (time, signature) = bytes.split_at(8);
    let seconds = exactly(time)
        .map(u64::from_be_bytes)
        .map_err(|_| NoteError::WrongSignature("cosignature"))?;
    let message = message(body, seconds);
    let key = witness.key.as_bytes();
    if seconds > TIME_MAX || !(algorithms.ed25519)(key, message.as_bytes(), signature) {
        return Err(NoteError::WrongSignature("cosignature"));
    }
    Ok(seconds)
}

/// The public key as a C2SP verifier key, for other tools.
pub fn verifier_key(witness: &PeerEntry) -> String {
    let public = witness.key.as_bytes();
    let id = key_id(&witness.name, &[TYPE_COSIGNATURE], public);
    let encoded = STANDARD.encode([&[TYPE_COSIGNATURE], &public[..]].concat());
    format!("{}+{}+{encoded}", witness.name, hex::encode(id))
}

#[cfg(test)]
#[path = "cosignature_tests.rs"]
mod tests;
