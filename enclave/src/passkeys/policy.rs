//! What the relying party expects of a ceremony: values, decided before the
//! response is looked at.
//!
//! Protects against defaults that widen by themselves: everything a bank has not
//! said is refused (frames, other origins, weak algorithms, SafetyNet).

use super::algorithm::Algorithm;
use super::attestation::{AttestationFormat, TrustAnchors};
use super::record::CredentialRecord;

/// Which pages may hold a ceremony (§13.4.9).
#[derive(Debug, Clone, Copy)]
pub enum Origins<'a> {
    /// Exactly these, compared as strings; related origins are listed here too.
    Exactly(&'a [String]),
    /// Any `https` origin whose host is the RP ID or below it, `http` where the
    /// RP ID is `localhost`, and exactly these besides (native applications,
    /// related origins). One malicious subdomain is enough to abuse it.
    BelowRpIdOr(&'a [String]),
}

impl Origins<'_> {
    pub(crate) fn accept(&self, rp_id: &str, origin: &str) -> bool {
        match self {
            Self::Exactly(list) => list.iter().any(|expected| expected == origin),
            Self::BelowRpIdOr(list) => {
                Self::Exactly(list).accept(rp_id, origin) || is_below(rp_id, origin)
            }
        }
    }
}

/// Whether an origin's host is `rp_id` or a subdomain of it, over a scheme that
/// browsers allow for it.
pub(crate) fn is_below(rp_id: &str, origin: &str) -> bool {
    let local = rp_id == "localhost";
    let authority = match origin.split_once("://") {
        Some(("https", authority)) => authority,
        Some(("http", authority)) if local => authority,
        _ => return false,
    };
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, port),
        None => (authority, "0"),
    };
    let below = host
        .strip_suffix(rp_id)
        .is_some_and(|head| head.is_empty() || (head.len() > 1 && head.ends_with('.')));
    let host_is_plain = host
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.');
    below && host_is_plain && port.parse::<u16>().is_ok()
}

/// Whether the ceremony may run inside another site's page.
#[derive(Debug, Clone, Copy, Default)]
pub enum CrossOrigin<'a> {
    /// No frames of other origins.
    #[default]
    Refuse,
    /// Inside frames, and where the browser names the top page, below these.
    AllowBelow(&'a [String]),
    /// Inside frames below any page.
    AllowBelowAnyPage,
}

/// Whether the authenticator has to have verified the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UserVerification {
    /// The UV flag must be set.
    #[default]
    Required,
    /// The UV flag is reported only.
    Preferred,
}

/// Whether somebody has to have touched the authenticator at registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UserPresence {
    /// The UP flag must be set.
    #[default]
    Required,
    /// `mediation: "conditional"`: a password manager may create silently.
    ConditionalMediation,
}

/// What policy says about credentials that can be copied to other devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BackupPolicy {
    /// Synced and device-bound credentials alike.
    #[default]
    Any,
    /// Only credentials that can never leave their device.
    DeviceBoundOnly,
    /// May be eligible, but must not be backed up now.
    NotBackedUp,
}

/// What policy says about a signature counter that did not grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SignCountPolicy {
    /// Fail the ceremony.
    #[default]
    Refuse,
    /// Succeed and report it as a signal for risk scoring.
    Report,
}

/// How origin and purpose of an Android key are read from its two
/// authorization lists (§8.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AndroidKeyPolicy {
    /// Both are stated by the trusted environment.
    HardwareEnforced,
    /// Both are stated, by either list.
    #[default]
    Stated,
    /// Neither list states another value. The W3C's own test vector states
    /// nothing; no phone seen so far does.
    NotContradicted,
}

/// Whether host name and signature of a SafetyNet verdict are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SafetyNetOrigin {
    /// They are.
    #[default]
    Verified,
    /// They are not, which is only heeded while trust is open: then anybody's
    /// certificate would do anyway.
    DangerouslyUnverified,
}

/// What policy says about attestation statements and their makers.
#[derive(Debug, Clone)]
pub struct AttestationPolicy {
    /// Formats that are accepted.
    pub formats: Vec<AttestationFormat>,
    /// Whether self attestation is accepted.
    pub self_attestation: bool,
    /// Roots that attestation certificates must chain to.
    pub trust: TrustAnchors,
    /// Authenticator models that alone are accepted, when not empty.
    pub allowed_aaguids: Vec<[u8; 16]>,
    /// Authenticator models that are refused.
    pub denied_aaguids: Vec<[u8; 16]>,
    /// What an Android key's authorization lists have to say.
    pub android_key: AndroidKeyPolicy,
    /// Whether a SafetyNet verdict has to have come from Google's service.
    pub safetynet_origin: SafetyNetOrigin,
    /// SafetyNet: oldest acceptable verdict; `None` accepts any age.
    pub safetynet_max_age_ms: Option<u64>,
    /// Whether statements may be signed with SHA-1 (`RS1`, first-generation TPMs).
    pub allow_sha1_statements: bool,
}

impl Default for AttestationPolicy {
    /// Every current format, trust open, SafetyNet (switched off by Google in
    /// 2025) and SHA-1 refused.
    fn default() -> Self {
        use AttestationFormat as F;
        Self {
            formats: vec![
                F::None,
                F::Packed,
                F::Tpm,
                F::AndroidKey,
                F::FidoU2f,
                F::Apple,
                F::Compound,
            ],
            self_attestation: true,
            trust: TrustAnchors::Open,
            allowed_aaguids: Vec::new(),
            denied_aaguids: Vec::new(),
            android_key: AndroidKeyPolicy::default(),
            safetynet_origin: SafetyNetOrigin::default(),
            safetynet_max_age_ms: Some(60_000),
            allow_sha1_statements: false,
        }
    }
}

/// What a registration response is judged against (§7.1).
#[derive(Clone, Copy)]
pub struct RegistrationExpectation<'a> {
    /// The challenge of the options, made and spent by the caller.
    pub challenge: &'a [u8],
    /// The RP ID of the options.
    pub rp_id: &'a str,
    /// Pages that may hold the ceremony.
    pub origins: Origins<'a>,
    /// Frames that may.
    pub cross_origin: CrossOrigin<'a>,
    /// Whether the UP flag is demanded.
    pub user_presence: UserPresence,
    /// Whether the UV flag is demanded.
    pub user_verification: UserVerification,
    /// Whether synced credentials are accepted.
    pub backup: BackupPolicy,
    /// The algorithms of `pubKeyCredParams`.
    pub algorithms: &'a [Algorithm],
    /// What is demanded of the attestation statement.
    pub attestation: &'a AttestationPolicy,
    /// Whether a credential id is registered already, for any user of the tenant.
    pub is_registered: &'a dyn Fn(&[u8]) -> bool,
    /// Unix milliseconds; certificates are judged and records stamped with it.
    pub now_ms: u64,
}

/// How the caller came to know whose assertion this is (§7.2 step 6).
#[derive(Debug, Clone, Copy)]
pub enum Identification<'a> {
    /// The user was named before; a user handle in the response must agree.
    Before {
        /// The user handle of that account.
        user_handle: &'a [u8],
    },
    /// The response's user handle named the user; it must be there.
    ByUserHandle {
        /// The user handle of the account it led to.
        user_handle: &'a [u8],
    },
}

/// What an authentication response is judged against (§7.2).
#[derive(Debug, Clone, Copy)]
pub struct AssertionExpectation<'a> {
    /// The challenge of the options, made and spent by the caller.
    pub challenge: &'a [u8],
    /// The RP ID of the options.
    pub rp_id: &'a str,
    /// Pages that may hold the ceremony.
    pub origins: Origins<'a>,
    /// Frames that may.
    pub cross_origin: CrossOrigin<'a>,
    /// Whether the UV flag is demanded.
    pub user_verification: UserVerification,
    /// Whether backed-up credentials are accepted.
    pub backup: BackupPolicy,
    /// What to do when the counter did not grow.
    pub sign_count: SignCountPolicy,
    /// The ids of `allowCredentials`; empty when the options listed none.
    pub allow_credentials: &'a [&'a [u8]],
    /// Whose assertion it has to be.
    pub identification: Identification<'a>,
    /// The record that this very account holds under the response's id.
    pub credential: &'a CredentialRecord,
}
