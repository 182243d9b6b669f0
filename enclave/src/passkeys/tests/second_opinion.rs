//! A verifier that nobody here wrote judges the same ceremonies: good ones are
//! good to both, and whatever it refuses is refused here as well.
//!
//! It makes its own challenges and knows fewer algorithms, so it sees the
//! ceremonies it can do: `none` and self-attested `packed` with ES256 and RS256.

use webauthn_rs_core::WebauthnCore;
use webauthn_rs_core::proto::{
    AuthenticationState, COSEAlgorithm, Credential, PublicKeyCredential,
    RegisterPublicKeyCredential, RegistrationState, UserVerificationPolicy,
};

use super::authenticator::*;
use super::cbor_writer::Item;
use super::expectations::*;
use crate::passkeys::*;

fn core() -> WebauthnCore {
    let origin = ORIGIN.try_into().unwrap();
    let timeout = std::time::Duration::from_secs(60);
    WebauthnCore::new_unsafe_experts_only("Bank", RP_ID, vec![origin], timeout, None, None)
}

fn registration_state(core: &WebauthnCore) -> (Vec<u8>, RegistrationState) {
    let builder = core
        .new_challenge_register_builder(USER_HANDLE, "alice", "Alice")
        .unwrap()
        .credential_algorithms(vec![COSEAlgorithm::ES256, COSEAlgorithm::RS256])
        .user_verification_policy(UserVerificationPolicy::Required);
    let (options, state) = core.generate_challenge_register(builder).unwrap();
    (options.public_key.challenge.to_vec(), state)
}

fn login_state(core: &WebauthnCore, credential: &Credential) -> (Vec<u8>, AuthenticationState) {
    let builder = core
        .new_challenge_authenticate_builder(
            vec![credential.clone()],
            Some(UserVerificationPolicy::Required),
        )
        .unwrap();
    let (options, state) = core.generate_challenge_authenticate(builder).unwrap();
    (options.public_key.challenge.to_vec(), state)
}

/// The same response in the other library's type, by way of its JSON.
fn theirs<T: serde::de::DeserializeOwned>(response: &impl serde::Serialize) -> Option<T> {
    let mut json = serde_json::to_value(response).unwrap();
    json["clientExtensionResults"] = serde_json::json!({});
    serde_json::from_value(json).ok()
}

struct Both {
    core: WebauthnCore,
    authenticator: Authenticator,
}

impl Both {
    fn of(algorithm: Algorithm) -> Self {
        Self {
            core: core(),
            authenticator: Authenticator::with_key(Key::generate(algorithm)),
        }
    }

    /// Registers with both and returns what each keeps.
    fn register(&self, format: &'static str) -> (CredentialRecord, Credential) {
        let (challenge, state) = registration_state(&self.core);
        let client_data = client_data("webauthn.create", &challenge, ORIGIN);
        let data = self.authenticator.attested_data();
        let statement = match format {
            "packed" => {
                let message = [data.as_slice(), &sha256(&client_data)].concat();
                let alg = self.authenticator.key.cose_entries()[1].1.clone();
                Item::Map(vec![
                    (Item::Text("alg"), alg),
                    (
                        Item::Text("sig"),
                        Item::Bytes(self.authenticator.key.sign(&message)),
                    ),
                ])
            }
            _ => Item::Map(Vec::new()),
        };
        let object = attestation_object(format, statement, &data);
        let response = self.authenticator.response(client_data, object);
        let expected = Registration {
            challenge,
            ..Registration::default()
        };
        let ours = expected.run(&response).unwrap().record;
        let theirs_response: RegisterPublicKeyCredential = theirs(&response).unwrap();
        let theirs = self
            .core
            .register_credential(&theirs_response, &state, None)
            .unwrap();
        assert_eq!(ours.id, theirs.cred_id.as_slice());
        assert_eq!(ours.sign_count, theirs.counter);
        assert_eq!(ours.backup_eligible, theirs.backup_eligible);
        (ours, theirs)
    }
}

#[test]
fn good_ceremonies_are_good_to_both() {
    for algorithm in [Algorithm::Es256, Algorithm::Rs256] {
        for format in ["none", "packed"] {
            let mut both = Both::of(algorithm);
            let (ours, credential) = both.register(format);
            both.authenticator.sign_count += 1;
            let (challenge, state) = login_state(&both.core, &credential);
            let response =
                both.authenticator
                    .assert_over(client_data("webauthn.get", &challenge, ORIGIN));
            let mut login = Login::of(&mut Authenticator::new());
            (login.challenge, login.allow, login.record) = (challenge, vec![ours.id.clone()], ours);
            let assertion = login.run(&response).unwrap();
            let theirs_response: PublicKeyCredential = theirs(&response).unwrap();
            let result = both
                .core
                .authenticate_credential(&theirs_response, &state)
                .unwrap();
            assert_eq!(assertion.sign_count, result.counter());
            assert_eq!(assertion.user_verified, result.user_verified());
        }
    }
}

#[test]
fn whatever_it_refuses_is_refused_here() {
    let mut both = Both::of(Algorithm::Es256);
    let (ours, credential) = both.register("none");
    both.authenticator.sign_count += 1;
    let (challenge, state) = login_state(&both.core, &credential);
    let good = both
        .authenticator
        .assert_over(client_data("webauthn.get", &challenge, ORIGIN));
    let mut login = Login::of(&mut Authenticator::new());
    (login.challenge, login.allow, login.record) = (challenge, vec![ours.id.clone()], ours);
    let (mut refused_by_it, mut refused_by_us) = (0, 0);
    for part in 0..3 {
        let length = part_of(&mut good.clone(), part).len();
        for bit in (0..length * 8).step_by(5) {
            let mut response = good.clone();
            part_of(&mut response, part)[bit / 8] ^= 1 << (bit % 8);
            let their_verdict = theirs::<PublicKeyCredential>(&response)
                .is_some_and(|r| both.core.authenticate_credential(&r, &state).is_ok());
            let our_verdict = login.run(&response).is_ok();
            refused_by_it += usize::from(!their_verdict);
            refused_by_us += usize::from(!our_verdict);
            assert!(
                their_verdict || !our_verdict,
                "part {part} bit {bit}: only we accept"
            );
        }
    }
    assert!(refused_by_it > 200 && refused_by_us >= refused_by_it);
}

fn part_of(response: &mut AuthenticationResponse, part: usize) -> &mut Vec<u8> {
    match part {
        0 => &mut response.response.client_data_json.0,
        1 => &mut response.response.authenticator_data.0,
        _ => &mut response.response.signature.0,
    }
}
