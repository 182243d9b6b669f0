//! The TLS session with a peer: one key accepted.
//!
//! Protects against the host's own server at the other end: the certificate's
//! key must be the one whose digest the genesis manifest pins.

use std::sync::Arc;

use redoubt_attestation::encode::{Digest32, sha256};
use rustls::{ClientConfig, Error};

use crate::outbound;

/// A configuration that accepts the pinned key.
pub(super) fn config(pinned: Digest32) -> Result<Arc<ClientConfig>, Error> {
    let mut config = outbound::config(move |spki| {
        let found = sha256(&[spki]);
        match found == pinned {
            true => Ok(()),
            false => Err(format!(
                "its TLS key has digest {found}; the genesis manifest pins {pinned}"
            )),
        }
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
