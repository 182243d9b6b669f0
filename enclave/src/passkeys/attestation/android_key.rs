//! §8.4 `android-key`: Android's keystore certifies the credential's key.

use super::super::cbor::Value;
use super::super::policy::AndroidKeyPolicy;
use super::der::{self, Tag};
use super::x509::Certificate;
use super::{AttestationFormat, AttestationType, Statement, Verified, syntax};

checks! {
    /// Why an `android-key` statement is refused.
    AndroidKeyError {
        Syntax = "android_key_syntax", "the statement is not (alg, sig, x5c)";
        Algorithm = "android_key_algorithm_refused", "the algorithm is unknown or refused by policy";
        Certificate = "android_key_certificate_malformed", "the credential certificate cannot be read";
        Signature = "android_key_signature_invalid", "the signature does not verify under the credential certificate";
        PublicKey = "android_key_public_key_mismatch", "the certified key is not the credential's";
        Description = "android_key_description_malformed", "the key description extension is missing or malformed";
        Challenge = "android_key_challenge_mismatch", "the attested challenge is not the client data hash";
        AllApplications = "android_key_all_applications", "the key may be used by all applications";
        Origin = "android_key_origin_not_generated", "the key was not generated in the keystore";
        Purpose = "android_key_purpose_not_sign", "the key is not for signing";
    }
}

/// Android's key description extension.
const KEY_DESCRIPTION: &str = "1.3.6.1.4.1.11129.2.1.17";
const TAG_PURPOSE: u32 = 1;
const TAG_ALL_APPLICATIONS: u32 = 600;
const TAG_ORIGIN: u32 = 702;
const KM_PURPOSE_SIGN: u32 = 2;
const KM_ORIGIN_GENERATED: u32 = 0;

pub(super) fn verify(
    att_stmt: &Value<'_>,
    statement: &Statement<'_>,
) -> Result<Verified, AndroidKeyError> {
    let map = syntax::members(att_stmt, &["alg", "sig", "x5c"]).ok_or(AndroidKeyError::Syntax)?;
    let signature = syntax::bytes(map, "sig").ok_or(AndroidKeyError::Syntax)?;
    let path = syntax::x5c(map).ok_or(AndroidKeyError::Syntax)?;
    let leaf = path.first().ok_or(AndroidKeyError::Syntax)?;
    let algorithm = syntax::algorithm(map, statement.policy).ok_or(AndroidKeyError::Algorithm)?;
    let certificate = Certificate::parse(leaf).ok_or(AndroidKeyError::Certificate)?;
    let key = certificate
        .public_key()
        .ok_or(AndroidKeyError::Certificate)?;
    require(
        key.verify(algorithm, &statement.to_be_signed(), signature),
        AndroidKeyError::Signature,
    )?;
    require(
        key == statement.public_key.material,
        AndroidKeyError::PublicKey,
    )?;
    let extension = certificate
        .extension(KEY_DESCRIPTION)
        .ok_or(AndroidKeyError::Description)?;
    let description = KeyDescription::parse(extension.value).ok_or(AndroidKeyError::Description)?;
    description.check(statement)?;
    Ok(Verified::new(
        AttestationFormat::AndroidKey,
        AttestationType::BasicOrAttCa,
        &path,
    ))
}

/// The parts of the extension that are judged.
struct KeyDescription<'a> {
    attestation_challenge: &'a [u8],
    software_enforced: AuthorizationList,
    tee_enforced: AuthorizationList,
}

#[derive(Default)]
struct AuthorizationList {
    purposes: Vec<u32>,
    all_applications: bool,
    origin: Option<u32>,
}

impl<'a> KeyDescription<'a> {
    fn parse(value: &'a [u8]) -> Option<Self> {
        let mut rest = der::only(value, Tag::SEQUENCE)?;
        der::expect(&mut rest, Tag::INTEGER)?; // attestationVersion
        der::expect(&mut rest, Tag::ENUMERATED)?; // attestationSecurityLevel
        der::expect(&mut rest, Tag::INTEGER)?; // keymasterVersion
        der::expect(&mut rest, Tag::ENUMERATED)?; // keymasterSecurityLevel
        let attestation_challenge = der::expect(&mut rest, Tag::OCTET_STRING)?;
        der::expect(&mut rest, Tag::OCTET_STRING)?; // uniqueId
        let software_enforced = AuthorizationList::parse(der::expect(&mut rest, Tag::SEQUENCE)?)?;
        let tee_enforced = AuthorizationList::parse(der::expect(&mut rest, Tag::SEQUENCE)?)?;
        Some(Self {
            attestation_challenge,
            software_enforced,
            tee_enforced,
        })
    }

    fn check(&self, statement: &Statement<'_>) -> Result<(), AndroidKeyError> {
        require(
            self.attestation_challenge == statement.client_data_hash,
            AndroidKeyError::Challenge,
        )?;
        let (software, tee) = (&self.software_enforced, &self.tee_enforced);
        require(
            !software.all_applications && !tee.all_applications,
            AndroidKeyError::AllApplications,
        )?;
        let policy = statement.policy.android_key;
        let origins: Vec<u32> = lists(software, tee, policy)
            .filter_map(|list| list.origin)
            .collect();
        let purposes: Vec<u32> = lists(software, tee, policy)
            .flat_map(|list| list.purposes.iter().copied())
            .collect();
        let unstated = policy == AndroidKeyPolicy::NotContradicted;
        require(
            (!origins.is_empty() || unstated)
                && origins.iter().all(|origin| *origin == KM_ORIGIN_GENERATED),
            AndroidKeyError::Origin,
        )?;
        require(
            purposes.contains(&KM_PURPOSE_SIGN) || (unstated && purposes.is_empty()),
            AndroidKeyError::Purpose,
        )
    }
}

/// The lists that policy reads: the trusted environment's, or both.
fn lists<'l>(
    software: &'l AuthorizationList,
    tee: &'l AuthorizationList,
    policy: AndroidKeyPolicy,
) -> impl Iterator<Item = &'l AuthorizationList> {
    let software = (policy != AndroidKeyPolicy::HardwareEnforced).then_some(software);
    software.into_iter().chain([tee])
}

impl AuthorizationList {
    fn parse(contents: &[u8]) -> Option<Self> {
        let mut list = Self::default();
        let mut rest = contents;
        while !rest.is_empty() {
            let (tag, value) = der::next(&mut rest)?;
            if tag == Tag::context(TAG_PURPOSE) {
                list.purposes = integers(der::only(value, Tag::SET)?)?;
            } else if tag == Tag::context(TAG_ALL_APPLICATIONS) {
                list.all_applications = true;
            } else if tag == Tag::context(TAG_ORIGIN) {
                list.origin = Some(der::small_integer(der::only(value, Tag::INTEGER)?)?);
            }
        }
        Some(list)
    }
}

fn integers(set: &[u8]) -> Option<Vec<u32>> {
    let mut rest = set;
    let mut numbers = Vec::new();
    while !rest.is_empty() {
        numbers.push(der::small_integer(der::expect(&mut rest, Tag::INTEGER)?)?);
    }
    Some(numbers)
}

fn require(holds: bool, otherwise: AndroidKeyError) -> Result<(), AndroidKeyError> {
    if holds { Ok(()) } else { Err(otherwise) }
}
