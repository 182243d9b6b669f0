//! Every key of the enclave: made at boot and attested, or derived from the
//! officers' secret, or kept in the sealed ledger.
//!
//! Protects against keys a host can influence, copy or outlive: entropy comes
//! from the attester, secrets are boxed and zeroized, and nothing here can be
//! printed, cloned or serialised by accident.

mod boot;
mod entropy;
mod hkdf;
mod receipt_ids;
mod root;
mod tls;

pub use boot::BootKeySet;
pub use entropy::Pool;
pub(crate) use hkdf::{Prk, expand, of_tenant};
pub use receipt_ids::{Place, RANDOM_BYTES, ReceiptIds};
pub use root::{EntryKey, EpochKey, Keyring, ObjectKey, Root, SealError, SubjectPrk};
pub use tls::{CertificateAuthority, CertificateError, TlsKey};
