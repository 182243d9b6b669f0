//! What the gateway presents and whom it believes, as one immutable value.
//!
//! Protects against: half-replaced trust. Renewing the leaf or changing a
//! tenant's anchor replaces the whole value; a session lives under one of them.

use std::fmt;
use std::sync::Arc;

use redoubt_shared::TenantId;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};

use super::caller::{ApplianceRole, Role};

/// The TLS material in force.
pub struct Trust {
    server: Arc<CertifiedKey>,
    anchors: Vec<Anchor>,
}

/// A certificate that may validate clients, and what it grants them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// The anchor's certificate.
    pub certificate: CertificateDer<'static>,
    /// What a chain under it proves.
    pub grants: Grants,
}

/// What a chain under an anchor proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grants {
    /// Membership of a tenant, with the tenant's own mapping of leaves to roles.
    Tenant {
        /// The tenant.
        tenant: TenantId,
        /// First match decides, in the recorded order.
        roles: Vec<RoleMapping>,
        /// For leaves that no mapping names.
        default_role: Option<Role>,
    },
    /// A role of the appliance.
    Appliance(ApplianceRole),
}

/// A subject alternative name (DNS name, e-mail address or URI) and its role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleMapping {
    /// The name, exactly as in the certificate.
    pub san: String,
    /// The role of a leaf that carries it.
    pub role: Role,
}

/// Why TLS material was refused. The configuration or the key maker is at fault.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The server key or its chain is unusable.
    #[error("server certificate: {0}")]
    Server(#[source] rustls::Error),
    /// An anchor does not parse as a certificate.
    #[error("client anchor {index}: {source}; give one CA certificate per anchor")]
    Anchor {
        /// Its position in the list.
        index: usize,
        /// What the parser said.
        #[source]
        source: webpki::Error,
    },
    /// Two anchors hold the same key: a chain would prove two identities.
    #[error(
        "client anchors {first} and {second} hold the same key; every tenant and role needs its own CA"
    )]
    SameKey {
        /// Position of the earlier one.
        first: usize,
        /// Position of the later one.
        second: usize,
    },
}

impl Trust {
    /// Checks that key and chain belong together and that every anchor parses and stands alone.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        anchors: Vec<Anchor>,
    ) -> Result<Self, TrustError> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let server = CertifiedKey::from_der(chain, key, &provider).map_err(TrustError::Server)?;
        server.keys_match().map_err(TrustError::Server)?;
        check_anchors(&anchors)?;
        Ok(Self {
            server: Arc::new(server),
            anchors,
        })
    }

    /// Chain and key the gateway presents.
    pub fn server(&self) -> &Arc<CertifiedKey> {
        &self.server
    }

    /// Who may validate clients.
    pub fn anchors(&self) -> &[Anchor] {
        &self.anchors
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trust({} anchors)", self.anchors.len())
    }
}

fn check_anchors(anchors: &[Anchor]) -> Result<(), TrustError> {
    let mut keys: Vec<Vec<u8>> = Vec::with_capacity(anchors.len());
    for (index, anchor) in anchors.iter().enumerate() {
        let parsed = webpki::anchor_from_trusted_cert(&anchor.certificate)
            .map_err(|source| TrustError::Anchor { index, source })?;
        let key = parsed.subject_public_key_info.to_vec();
        if let Some(first) = keys.iter().position(|seen| *seen == key) {
            return Err(TrustError::SameKey {
                first,
                second: index,
            });
        }
        keys.push(key);
    }
    Ok(())
}
