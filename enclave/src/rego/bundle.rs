//! What a tenant's policy signers sign.

use redoubt_attestation::encode::as_text;
use redoubt_shared::{LedgerId, TenantId};
use serde::{Deserialize, Serialize};

/// Bytes of all modules together.
const TEXT_MAX: usize = 48 * 1024;
const MODULES_MAX: usize = 32;
const PATH_MAX: usize = 128;

/// Marks the only format of bundles so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BundleType {
    /// `redoubt/policy-bundle/v1`
    #[serde(rename = "redoubt/policy-bundle/v1")]
    V1,
}

/// Marks the only format of orders to go back so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RollbackType {
    /// `redoubt/policy-rollback/v1`
    #[serde(rename = "redoubt/policy-rollback/v1")]
    V1,
}

/// One module of Rego.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Module {
    /// Names it in errors.
    pub path: String,
    /// Its text.
    pub rego: String,
}

/// Rules and their unit tests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyBundle {
    /// The format.
    #[serde(rename = "type")]
    pub kind: BundleType,
    /// Whose policy it is.
    pub tenant: TenantId,
    /// Its ledger, which no other appliance has.
    #[serde(with = "as_text")]
    pub ledger: LedgerId,
    /// Its number, from 1: above that of every bundle before it.
    pub version: u64,
    /// Rego, at most 32 modules and 48 KiB.
    pub modules: Vec<Module>,
}

/// An order to use an earlier bundle again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyRollback {
    /// The format.
    #[serde(rename = "type")]
    pub kind: RollbackType,
    /// Whose policy it is.
    pub tenant: TenantId,
    /// Its ledger, which no other appliance has.
    #[serde(with = "as_text")]
    pub ledger: LedgerId,
    /// Which bundle; 0 for none: the typed rules alone.
    pub version: u64,
    /// The activation in force when the order is given, so that it is good once.
    pub after: u64,
}

/// Why a document is not one of these.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// Other members, or none.
    #[error("not_a_bundle: {0}")]
    Json(String),
    /// Another tenant's.
    #[error("other_tenant: it is signed for {0}")]
    OtherTenant(String),
    /// Another appliance's, or from before a restore.
    #[error("other_ledger: it is signed for {0}")]
    OtherLedger(String),
    /// Bytes, modules or paths.
    #[error(
        "bundle_too_large: at most {MODULES_MAX} modules with paths of {PATH_MAX} and texts of {TEXT_MAX} bytes in all"
    )]
    TooLarge,
    /// Nothing, two modules of one path, version 0.
    #[error("bundle_malformed: {0}")]
    Malformed(&'static str),
}

impl BundleError {
    /// A stable word.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Json(_) => "not_a_bundle",
            Self::OtherTenant(_) => "other_tenant",
            Self::OtherLedger(_) => "other_ledger",
            Self::TooLarge => "bundle_too_large",
            Self::Malformed(_) => "bundle_malformed",
        }
    }
}

impl PolicyBundle {
    /// Reads a payload and checks what can be checked without Rego.
    pub fn read(payload: &[u8], tenant: &TenantId, ledger: LedgerId) -> Result<Self, BundleError> {
        let bundle: Self = serde_json::from_slice(payload)
            .map_err(|error| BundleError::Json(error.to_string()))?;
        meant_for((&bundle.tenant, bundle.ledger), (tenant, ledger))?;
        if bundle.version == 0 {
            return Err(BundleError::Malformed("versions count from 1"));
        }
        let mut paths: Vec<&str> = bundle.modules.iter().map(|one| &*one.path).collect();
        let bytes: usize = bundle.modules.iter().map(|one| one.rego.len()).sum();
        let long = paths.iter().any(|path| path.len() > PATH_MAX);
        if bytes > TEXT_MAX || paths.len() > MODULES_MAX || long {
            return Err(BundleError::TooLarge);
        }
        paths.sort_unstable();
        if paths.is_empty() || paths.iter().any(|path| path.is_empty()) {
            return Err(BundleError::Malformed("give modules, each with a path"));
        }
        if paths.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(BundleError::Malformed("two modules have one path"));
        }
        Ok(bundle)
    }

    /// Path and text of each module.
    pub fn texts(self) -> Vec<(String, String)> {
        let modules = self.modules.into_iter();
        modules.map(|one| (one.path, one.rego)).collect()
    }
}

impl PolicyRollback {
    /// Reads a payload.
    pub fn read(payload: &[u8], tenant: &TenantId, ledger: LedgerId) -> Result<Self, BundleError> {
        let order: Self = serde_json::from_slice(payload)
            .map_err(|error| BundleError::Json(error.to_string()))?;
        meant_for((&order.tenant, order.ledger), (tenant, ledger))?;
        Ok(order)
    }
}

fn meant_for(said: (&TenantId, LedgerId), own: (&TenantId, LedgerId)) -> Result<(), BundleError> {
    if said.0 != own.0 {
        return Err(BundleError::OtherTenant(said.0.to_string()));
    }
    match said.1 == own.1 {
        true => Ok(()),
        false => Err(BundleError::OtherLedger(said.1.to_string())),
    }
}
