//! Signature algorithms by their COSE identifiers.
//!
//! Protects against algorithm confusion: an identifier fixes curve, hash and
//! padding together (§5.8.5), and a key is only ever used with its own.

use serde::{Deserialize, Serialize};

/// A COSE signature algorithm. Stored in credential records: variants are only
/// ever appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the variants are the registered names")]
pub enum Algorithm {
    Es256,
    Es384,
    Es512,
    Es256K,
    EdDsa,
    Ed448,
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Rs1,
    MlDsa44,
    MlDsa65,
    MlDsa87,
    Esp256,
    Esp384,
    Esp512,
    Ed25519,
}

use Algorithm as A;

/// Identifier and registered name of every algorithm this verifier knows.
const REGISTRY: [(Algorithm, i64, &str); 20] = [
    (A::Es256, -7, "ES256"),
    (A::Es384, -35, "ES384"),
    (A::Es512, -36, "ES512"),
    (A::Es256K, -47, "ES256K"),
    (A::EdDsa, -8, "EdDSA"),
    (A::Ed448, -53, "Ed448"),
    (A::Rs256, -257, "RS256"),
    (A::Rs384, -258, "RS384"),
    (A::Rs512, -259, "RS512"),
    (A::Ps256, -37, "PS256"),
    (A::Ps384, -38, "PS384"),
    (A::Ps512, -39, "PS512"),
    (A::Rs1, -65535, "RS1"),
    (A::MlDsa44, -48, "ML-DSA-44"),
    (A::MlDsa65, -49, "ML-DSA-65"),
    (A::MlDsa87, -50, "ML-DSA-87"),
    (A::Esp256, -9, "ESP256"),
    (A::Esp384, -51, "ESP384"),
    (A::Esp512, -52, "ESP512"),
    (A::Ed25519, -19, "Ed25519"),
];

impl Algorithm {
    /// What options offer by default, most wanted first. Not among them: RS1
    /// (SHA-1), ES256K (no use outside ledgers) and Ed448 (its only Rust
    /// implementation has not been audited); policy can name them.
    pub const DEFAULT: &'static [Self] = &[
        A::Es256,
        A::EdDsa,
        A::MlDsa65,
        A::MlDsa44,
        A::MlDsa87,
        A::Es384,
        A::Es512,
        A::Rs256,
        A::Ps256,
        A::Esp256,
        A::Ed25519,
    ];

    /// Every algorithm there is code for.
    pub fn all() -> impl Iterator<Item = Self> {
        REGISTRY.iter().map(|(algorithm, ..)| *algorithm)
    }

    /// The `COSEAlgorithmIdentifier`.
    #[must_use]
    pub fn cose_id(self) -> i64 {
        self.entry().1
    }

    /// The name in the IANA registry.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.entry().2
    }

    /// The algorithm of an identifier, if known.
    #[must_use]
    pub fn from_cose_id(id: i64) -> Option<Self> {
        REGISTRY
            .iter()
            .find(|(_, known, _)| *known == id)
            .map(|(algorithm, ..)| *algorithm)
    }

    fn entry(self) -> (Self, i64, &'static str) {
        let position = REGISTRY
            .iter()
            .position(|(algorithm, ..)| *algorithm == self);
        position.map_or((self, 0, "unregistered"), |at| REGISTRY[at])
    }
}
