//! Names that no passkey belongs to, answered like customers.
//!
//! Protects against finding out who banks here: options for such a name carry an
//! imaginary credential id that stays the same from call to call (WebAuthn Level
//! 3 section 14.6.2), and an answer to them is verified, recorded and refused
//! like a customer's wrong one.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair,
    UnparsedPublicKey,
};
use redoubt_shared::UserId;

use super::customers::{Known, known};
use super::problems::{commit, internal};
use super::serving::Serving;
use crate::api::{AuthenticationResponse, Caller, Problem};
use crate::core::TenantKeySeeds;
use crate::keys::{Prk, expand, of_tenant};
use crate::passkeys::{Algorithm, AttestationFormat, CredentialRecord};

/// Lengths of credential ids that synced and built-in authenticators make.
const LENGTHS: [usize; 4] = [16, 20, 20, 32];

/// Makes the imaginary customers of one tenant.
pub(super) struct Decoys {
    prk: Prk,
    key: DecoyKey,
}

/// A P-256 key whose private half nobody holds any more.
struct DecoyKey {
    point: Vec<u8>,
    /// Well formed, of another message than [`MESSAGE`].
    signature: Vec<u8>,
}

/// As long as what an authenticator signs.
const MESSAGE: [u8; 69] = [0; 69];

impl Decoys {
    /// Of the tenant with these seeds: as lasting as they are.
    pub(super) fn new(seeds: &TenantKeySeeds) -> Option<Self> {
        Some(Self {
            prk: of_tenant(seeds, b"redoubt/decoys/v1"),
            key: DecoyKey::new()?,
        })
    }

    /// Checks a signature that is wrong, for an answer that was refused before its
    /// own was looked at: the time tells neither step nor customer.
    pub(super) fn spend_a_check(&self) {
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.key.point);
        let refused = key.verify(&MESSAGE, &self.key.signature).is_err();
        std::hint::black_box(refused);
    }

    /// What is made up of this name: always the same.
    pub(super) fn customer(&self, user: &UserId) -> Option<Known> {
        let mut bytes = [0; 49];
        expand(&self.prk, &[user.as_str().as_bytes()], &mut bytes).ok()?;
        let [kind, rest @ ..] = bytes;
        let (handle, id) = rest.split_at(16);
        let length = LENGTHS[usize::from(kind) % LENGTHS.len()];
        Some(self.holder(handle.try_into().ok()?, id.get(..length)?))
    }

    /// What the template of whoever has none is made of: this many components, always the
    /// same of a name, like nobody's.
    pub(super) fn template(&self, user: &UserId, length: usize) -> Option<Vec<i8>> {
        let mut bytes = vec![0; length];
        let name = user.as_str().as_bytes();
        expand(&self.prk, &[name, b"\0template"], &mut bytes).ok()?;
        Some(bytes.into_iter().map(u8::cast_signed).collect())
    }

    /// Who would hold this credential, which no signature verifies against.
    fn holder(&self, user_handle: [u8; 16], credential_id: &[u8]) -> Known {
        let record = CredentialRecord {
            id: credential_id.to_vec(),
            public_key: self.key.cose(),
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
        };
        Known {
            user_handle,
            passkeys: vec![record],
            closed: Vec::new(),
        }
    }
}

impl DecoyKey {
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

/// Whom a login is asked of.
pub(super) enum Asked {
    /// A customer with a passkey at least.
    Customer(UserId, Known),
    /// Nobody: made up, so that the reply tells nothing.
    Stranger(Known),
}

impl Asked {
    pub(super) fn as_known(&self) -> &Known {
        let (Self::Customer(_, known) | Self::Stranger(known)) = self;
        known
    }

    /// Whose login it is. Nothing that is verified makes a stranger a customer.
    pub(super) fn settle<T>(&self, verified: T) -> Result<(UserId, T), &'static str> {
        match self {
            Self::Customer(user, _) => Ok((user.clone(), verified)),
            Self::Stranger(_) => Err("user_unknown"),
        }
    }
}

/// Whom this name asks.
pub(super) async fn asked(
    serving: &Serving,
    caller: &Caller,
    user: &UserId,
) -> Result<Asked, Problem> {
    // Made up for everybody, so that it takes the same time.
    let stranger = serving.tenant(&caller.tenant)?.decoys.customer(user);
    let known = known(serving, caller, user).await?;
    match known.filter(|known| !known.passkeys.is_empty()) {
        Some(known) => Ok(Asked::Customer(user.clone(), known)),
        None => stranger
            .map(Asked::Stranger)
            .ok_or_else(|| internal("an imaginary customer could not be made")),
    }
}

/// Whom an answer itself names: the account with its user handle, if that very
/// account holds its credential. Neither alone finds anybody.
pub(super) async fn asked_by_answer(
    serving: &Serving,
    caller: &Caller,
    answer: &AuthenticationResponse,
) -> Result<Asked, Problem> {
    let (tenant, id) = (caller.tenant.clone(), answer.raw_id.clone());
    let presented = answer.response.user_handle.as_ref();
    let presented = presented.and_then(|handle| handle.as_slice().try_into().ok());
    // Made up for everybody here too.
    let decoys = &serving.tenant(&caller.tenant)?.decoys;
    let stranger = decoys.holder(presented.unwrap_or_default(), id.as_slice());
    let found = serving.ledgers.look(move |core| {
        let state = &core.tenants.get(&tenant)?.state;
        let subject = state.account(&presented?, id.as_slice())?;
        Some((subject.user.clone(), Known::of(state, subject)))
    });
    let found = found.await.map_err(|error| commit(error, 0))?;
    Ok(match found {
        Some((user, known)) => Asked::Customer(user, known),
        None => Asked::Stranger(stranger),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoys(seed: u8) -> Decoys {
        let seeds = TenantKeySeeds {
            es256: [seed; 32],
            mldsa65: [2; 32],
        };
        Decoys::new(&seeds).unwrap()
    }

    fn id(decoys: &Decoys, user: &str) -> Vec<u8> {
        let known = decoys.customer(&user.parse().unwrap()).unwrap();
        known.passkeys[0].id.clone()
    }

    #[test]
    fn a_name_is_answered_alike_for_good_and_unlike_any_other() {
        let (first, restarted, other) = (decoys(1), decoys(1), decoys(9));
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
