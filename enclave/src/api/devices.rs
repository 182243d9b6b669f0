//! Devices of a customer: what is known of each, and whether it may be used.

use redoubt_shared::{DeviceId, UserId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Document;
use super::text::{Text, Timestamp, id};

/// Whether a device may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeviceState {
    /// It may.
    Active,
    /// Not for now.
    Suspended,
    /// Never again.
    Revoked,
    /// Never again: somebody else may have its key.
    Compromised,
}

/// Why a device is trusted as far as it is.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TrustReason {
    /// A stable word.
    pub reason: &'static str,
    /// What it adds to 0.5.
    pub weight: f64,
}

/// How far a device is to be trusted.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DeviceTrust {
    /// 0 to 1.
    pub score: f64,
    /// What counted.
    pub reasons: Vec<TrustReason>,
}

/// A registered credential as a device.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Device {
    /// Names it; says nothing of the credential.
    #[serde(with = "id")]
    #[schema(value_type = String)]
    pub device_id: DeviceId,
    /// What its owner calls it.
    pub name: String,
    /// What kind it is, as the bank reported.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its operating system, as the bank reported.
    pub os: String,
    /// Whether it may be used.
    pub state: DeviceState,
    /// Why, as whoever set the state said.
    pub reason: String,
    /// Since when (RFC 3339, UTC); null if it always was active.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub state_since: Option<Timestamp>,
    /// Registered at (RFC 3339, UTC).
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Last used at (RFC 3339, UTC).
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used_at: Option<Timestamp>,
    /// Authenticator model (hexadecimal).
    pub aaguid: String,
    /// Format of the attestation it was registered with.
    pub attestation_format: String,
    /// Whether that attestation chained to a root of policy.
    pub attestation_trusted: bool,
    /// Whether its key may be copied to other devices.
    pub backup_eligible: bool,
    /// Whether it was, when last seen.
    pub backup_state: bool,
    /// Transports, as the browser reported.
    pub transports: Vec<String>,
    /// Sessions open now, idle ones among them.
    pub sessions: usize,
    /// How far it is to be trusted.
    pub trust: DeviceTrust,
}

/// A customer's devices.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Devices {
    /// The bank's name for its customer.
    #[schema(value_type = String)]
    pub user_id: UserId,
    /// A device was compromised and no passkey registered since: ask for a new one.
    pub re_enrollment_required: bool,
    /// Oldest first.
    pub devices: Vec<Device>,
}

/// Describes a device. What is left out stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DescribeDevice {
    /// What its owner calls it.
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64, pattern = r"^[^\x00-\x1F\x7F-\x9F]+$")]
    pub name: Option<Text<64>>,
    /// Such as `mobile`.
    #[serde(rename = "type", default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64, pattern = r"^[^\x00-\x1F\x7F-\x9F]+$")]
    pub kind: Option<Text<64>>,
    /// Such as `iOS 19`.
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64, pattern = r"^[^\x00-\x1F\x7F-\x9F]+$")]
    pub os: Option<Text<64>>,
}

/// Suspends, resumes, revokes or flags a device.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetDeviceState {
    /// The state from now on. Nothing leads back from `revoked`; from
    /// `compromised` only a new passkey does.
    pub state: DeviceState,
    /// Why; the claim repeats it.
    #[schema(value_type = String, min_length = 1, max_length = 128, pattern = r"^[^\x00-\x1F\x7F-\x9F]+$")]
    pub reason: Text<128>,
}

/// The device has its new state.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DeviceStateSet {
    /// Which.
    #[serde(with = "id")]
    #[schema(value_type = String)]
    pub device_id: DeviceId,
    /// Its state.
    pub state: DeviceState,
    /// Sessions that ended with it.
    pub sessions_ended: usize,
    /// Signed proof of the ledger entry.
    #[schema(value_type = Object)]
    pub receipt: Document,
}
