//! One verdict per document, for runners that judge whole folders of them.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::document::{Document, Time, VendorRoot, verify};

/// Accept or refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Authentic.
    Accept,
    /// Not authentic, or no document.
    Refuse,
}

/// What is known about one document. Fields of what cannot be read are null.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Accept or refuse.
    pub verdict: Verdict,
    /// Stable snake_case reason of a refusal; null when accepted.
    pub reason: Option<&'static str>,
    /// Every register in the document, hexadecimal.
    pub pcrs: Option<BTreeMap<u8, String>>,
    /// Debug mode: PCR 0 to 2 are zero.
    pub debug: Option<bool>,
    /// Length of `user_data`; null when absent.
    pub user_data_len: Option<usize>,
    /// Length of `nonce`; null when absent.
    pub nonce_len: Option<usize>,
    /// Length of `public_key`; null when absent.
    pub public_key_len: Option<usize>,
}

/// Judges one document, at its own time unless another is given.
pub fn row(bytes: &[u8], root: &VendorRoot, at_ms: Option<u64>) -> Row {
    let verified = verify(bytes, root, at_ms.map_or(Time::OfDocument, Time::At));
    let document = Document::parse(bytes).ok();
    let said = document.as_ref();
    let length = |field: fn(&Document) -> Option<&Vec<u8>>| said.and_then(field).map(Vec::len);
    Row {
        verdict: match verified {
            Ok(_) => Verdict::Accept,
            Err(_) => Verdict::Refuse,
        },
        reason: verified.as_ref().err().map(|refusal| refusal.code()),
        pcrs: said.map(|document| document.pcrs.to_hex()),
        debug: said.map(|document| document.pcrs.is_debug()),
        user_data_len: length(|document| document.user_data.as_ref()),
        nonce_len: length(|document| document.nonce.as_ref()),
        public_key_len: length(|document| document.public_key.as_ref()),
    }
}
