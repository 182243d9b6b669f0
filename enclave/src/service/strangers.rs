//! Names that no passkey belongs to, answered like customers.
//!
//! Protects against finding out who banks here: options for such a name carry an
//! imaginary credential id that stays the same from call to call (WebAuthn Level
//! 3 section 14.6.2), and an answer to them is verified, recorded and refused
//! like a customer's wrong one.

use aws_lc_rs::hkdf;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair,
    UnparsedPublicKey,
};
use redoubt_shared::UserId;
use zeroize::Zeroizing;

use crate::core::TenantKeySeeds;
use crate::keys::expand;
use crate::passkeys::{Algorithm, AttestationFormat, CredentialRecord};

/// Lengths of credential ids that synced and built-in authenticators make.
const LENGTHS: [usize; 4] = [16, 20, 20, 32];

/// Makes the imaginary customers of one tenant.
pub(super) struct Strangers {
    prk: hkdf::Prk,
    orphan: Orphan,
}

/// A P-256 key whose private half nobody holds any more.
struct Orphan {
    point: Vec<u8>,
    /// Well formed, of another message than [`MESSAGE`].
    signature: Vec<u8>,
}

/// As long as what an authenticator signs.
const MESSAGE: [u8; 69] = [0; 69];

impl Strangers {
    /// Of the tenant with these seeds: as lasting as they are.
    pub(super) fn new(seeds: &TenantKeySeeds) -> Option<Self> {
        let mut input = Zeroizing::new(seeds.es256.to_vec());
        input.extend_from_slice(&seeds.mldsa65);
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"redoubt/strangers/v1");
        Some(Self {
            prk: salt.extract(&input),
            orphan: Orphan::new()?,
        })
    }

    /// Checks a signature that is wrong, for an answer that was refused before its
    /// own was looked at: the time tells neither step nor customer.
    pub(super) fn spend_a_check(&self) {
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.orphan.point);
        let refused = key.verify(&MESSAGE, &self.orphan.signature).is_err();
        std::hint::black_box(refused);
    }

    /// What is made up of this name: always the same.
    pub(super) fn customer(&self, user: &UserId) -> Option<([u8; 16], CredentialRecord)> {
        let mut bytes = [0; 49];
        expand(&self.prk, &[user.as_str().as_bytes()], &mut bytes).ok()?;
        let [kind, rest @ ..] = bytes;
        let (handle, id) = rest.split_at(16);
        let length = LENGTHS[usize::from(kind) % LENGTHS.len()];
        Some((handle.try_into().ok()?, self.credential(id.get(..length)?)))
    }

    /// A record under this id that no signature verifies against.
    pub(super) fn credential(&self, id: &[u8]) -> CredentialRecord {
        CredentialRecord {
            id: id.to_vec(),
            public_key: self.orphan.cose(),
            algorithm: Algorithm::Es256,
            sign_count: 0,
            uv_initialized: true,
            transports: vec!["hybrid".into(), "internal".into()],
            backup_eligible: true,
            backup_state: true,
            attestation_format: AttestationFormat::None,
            attestation_trusted: false,
            aaguid: [0; 16],
            created_ms: 0,
        }
    }
}

impl Orphan {
    fn new() -> Option<Self> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).ok()?;
        let signature = pair.sign(&SystemRandom::new(), b"another message").ok()?;
        Some(Self {
            point: pair.public_key().as_ref().to_vec(),
            signature: signature.as_ref().to_vec(),
        })
    }

    /// COSE_Key, {1: 2, 3: -7, -1: 1, -2: x, -3: y}.
    fn cose(&self) -> Vec<u8> {
        let (x, y) = self.point.split_at(33);
        let x = x.get(1..).unwrap_or_default();
        let head = b"\xa5\x01\x02\x03\x26\x20\x01\x21\x58\x20";
        [&head[..], x, b"\x22\x58\x20", y].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strangers(seed: u8) -> Strangers {
        let seeds = TenantKeySeeds {
            es256: [seed; 32],
            mldsa65: [2; 32],
        };
        Strangers::new(&seeds).unwrap()
    }

    fn id(strangers: &Strangers, user: &str) -> Vec<u8> {
        let (_, record) = strangers.customer(&user.parse().unwrap()).unwrap();
        record.id
    }

    #[test]
    fn a_name_is_answered_alike_for_good_and_unlike_any_other() {
        let (first, restarted, other) = (strangers(1), strangers(1), strangers(9));
        let mut seen = std::collections::BTreeSet::new();
        for number in 0..200 {
            let user = format!("customer-{number}");
            assert_eq!(id(&first, &user), id(&restarted, &user));
            assert_ne!(id(&first, &user), id(&other, &user));
            assert!(seen.insert(id(&first, &user)));
        }
        let lengths: std::collections::BTreeSet<_> = seen.iter().map(Vec::len).collect();
        assert_eq!(lengths, [16, 20, 32].into());
    }
}
