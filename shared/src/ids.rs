//! One newtype per kind of name, so that no id can stand where another belongs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What is wrong with a textual id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {problem}")]
pub struct IdError {
    kind: &'static str,
    problem: &'static str,
}

macro_rules! name_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $max:literal, $allowed:expr, $hint:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text as given.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                let allowed: fn(char) -> bool = $allowed;
                if text.is_empty() || text.len() > $max || !text.chars().all(allowed) {
                    return Err(IdError { kind: $kind, problem: $hint });
                }
                Ok(Self(text))
            }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::try_from(text.to_owned())
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name_id!(
    /// A tenant: the trust anchor that validated a client's chain (one anchor, one tenant).
    TenantId, "tenant id", 64,
    |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-',
    "use 1 to 64 of a-z, 0-9 and '-'"
);
name_id!(
    /// A bank's own name for its customer. Unique within a tenant, never seen by the host.
    UserId, "user_id", 128,
    |c| c.is_ascii_graphic(),
    "use 1 to 128 printable ASCII characters without spaces"
);

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name([u8; 16]);

        impl $name {
            /// From 16 bytes drawn by the caller.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }
            /// The 16 bytes.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let wrong = IdError { kind: $kind, problem: "use 32 lowercase hexadecimal digits" };
                let ok = text.len() == 32
                    && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
                if !ok {
                    return Err(wrong);
                }
                let value = u128::from_str_radix(text, 16).map_err(|_| wrong)?;
                Ok(Self(value.to_be_bytes()))
            }
        }
    };
}

random_id!(
    /// A ledger: one per tenant and one for the appliance.
    LedgerId, "ledger id"
);
random_id!(
    /// A challenge to a person in front of a camera: what they are to do.
    ChallengeId, "challenge_id"
);
random_id!(
    /// A job handed to the worker: random, says nothing of tenant or subject.
    JobId, "job id"
);
random_id!(
    /// A receipt of one decision.
    ReceiptId, "receipt id"
);
random_id!(
    /// An enrolment in progress or done.
    EnrollmentId, "enrollment_id"
);
random_id!(
    /// One biometric verification attempt.
    VerificationId, "verification_id"
);
random_id!(
    /// One approval of one transaction.
    ApprovalId, "approval id"
);
random_id!(
    /// One erasure of a template or of a whole subject.
    ErasureId, "erasure id"
);
random_id!(
    /// One session of one customer; not its token.
    SessionId, "session_id"
);
random_id!(
    /// One credential of one customer, as a device; not the credential id.
    DeviceId, "device_id"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_outside_its_alphabet_is_refused_with_the_remedy() {
        let error = "Bank A".parse::<TenantId>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "tenant id: use 1 to 64 of a-z, 0-9 and '-'"
        );
        assert!("".parse::<UserId>().is_err());
        assert!("a b".parse::<UserId>().is_err());
        assert!("x".repeat(129).parse::<UserId>().is_err());
    }

    #[test]
    fn random_ids_read_back_what_they_print_and_nothing_else() {
        let id = ReceiptId::from_bytes([7; 16]);
        assert_eq!(id.to_string().parse::<ReceiptId>().unwrap(), id);
        for wrong in [
            "",
            "00",
            "+7070707070707070707070707070707",
            &"G".repeat(32),
            &"A".repeat(32),
        ] {
            assert!(wrong.parse::<ReceiptId>().is_err(), "{wrong}");
        }
    }
}
