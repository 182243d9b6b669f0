//! Passkey registration and authentication as the bank calls them.
//!
//! Protects against: an answer filed under the wrong customer. The user is
//! named by the bank beside the browser's answer; where it names nobody, the
//! answer has to name an account that holds its very credential.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use redoubt_shared::{DeviceId, SessionId, UserId};
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Error as _, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::openapi::schema::{AllOfBuilder, ObjectBuilder, Schema, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use super::Document;
use super::SecurityFlags;
use super::extensions::{Hint, PrfInput};
use super::text::{SessionToken, Text, Timestamp, id};
use crate::passkeys::{AuthenticationResponse, Base64Url, RegistrationResponse};

/// Asks for options to create a passkey.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterOptions {
    /// The bank's name for its customer.
    #[schema(value_type = String, min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
    pub user_id: UserId,
    /// Account name the authenticator shows; `user_id` if absent.
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64, pattern = r"^[^\x00-\x1F\x7F-\x9F]+$")]
    pub user_name: Option<Text<64>>,
    /// Display name the authenticator shows; the account name if absent.
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64, pattern = r"^[^\x00-\x1F\x7F-\x9F]+$")]
    pub display_name: Option<Text<64>>,
    /// What kinds of authenticator the page expects, most likely first.
    #[serde(default)]
    pub hints: Vec<Hint>,
    /// Inputs of the `prf` extension. What comes of them stays in the browser.
    #[serde(default)]
    pub prf: Option<PrfInput>,
}

/// Asks for options to use a passkey.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthenticateOptions {
    /// The bank's name for its customer. Absent: whoever answers with a passkey of
    /// this tenant, as for conditional mediation; the reply names them.
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
    pub user_id: Option<UserId>,
    /// What kinds of authenticator the page expects, most likely first.
    #[serde(default)]
    pub hints: Vec<Hint>,
    /// Inputs of the `prf` extension. What comes of them stays in the browser.
    #[serde(default)]
    pub prf: Option<PrfInput>,
}

/// The document for `https://RP-ID/.well-known/webauthn` (WebAuthn Level 3 section 5.11).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RelatedOrigins {
    /// Pages outside the RP ID's domain that may use its passkeys. Browsers heed
    /// those of the first five names (registrable domain without its suffix).
    pub origins: Vec<String>,
}

/// A browser's answer with the customer it is for: the answer's members beside
/// `user_id`, or nested under `credential`.
#[derive(Debug, Clone, PartialEq)]
pub struct Presented<T, U = UserId> {
    /// The bank's name for its customer.
    pub user_id: U,
    /// The browser's answer.
    pub credential: T,
}

/// The answer of `navigator.credentials.create` with its customer.
pub type PresentedRegistration = Presented<RegistrationResponse>;
/// The answer of `navigator.credentials.get` with its customer.
pub type PresentedAuthentication = Presented<AuthenticationResponse>;
/// The same where the customer may be named by the answer alone.
pub type PresentedLogin = Presented<AuthenticationResponse, Option<UserId>>;

/// Whether a customer has to be named.
trait Naming: Sized {
    const REQUIRED: bool;
    fn of(given: Option<UserId>) -> Option<Self>;
}

impl Naming for UserId {
    const REQUIRED: bool = true;
    fn of(given: Option<UserId>) -> Option<Self> {
        given
    }
}

impl Naming for Option<UserId> {
    const REQUIRED: bool = false;
    fn of(given: Option<UserId>) -> Option<Self> {
        Some(given)
    }
}

/// A browser's answer, as far as both kinds are alike.
trait Answer {
    fn extension_results(&self) -> &serde_json::Value;
}

impl Answer for RegistrationResponse {
    fn extension_results(&self) -> &serde_json::Value {
        &self.client_extension_results
    }
}

impl Answer for AuthenticationResponse {
    fn extension_results(&self) -> &serde_json::Value {
        &self.client_extension_results
    }
}

/// Outputs of `prf` are keys of the customer's; a page that sends them has a fault
/// that is better found at once.
fn without_secrets<E: serde::de::Error>(answer: &impl Answer) -> Result<(), E> {
    match answer.extension_results().pointer("/prf/results") {
        None | Some(serde_json::Value::Null) => Ok(()),
        Some(_) => Err(E::custom(
            "clientExtensionResults.prf.results: these are the customer's secrets; keep them in \
             the browser",
        )),
    }
}

impl<'de, T: Deserialize<'de> + Answer, U: Naming> Deserialize<'de> for Presented<T, U> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PresentedVisitor(PhantomData))
    }
}

struct PresentedVisitor<T, U>(PhantomData<(T, U)>);

impl<'de, T: Deserialize<'de> + Answer, U: Naming> Visitor<'de> for PresentedVisitor<T, U> {
    type Value = Presented<T, U>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a WebAuthn response with user_id")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut user_id = None;
        let key = next_but_user_id(&mut map, &mut user_id)?;
        let credential = match key.as_deref() {
            Some("credential") => {
                let credential: T = map.next_value()?;
                if let Some(key) = next_but_user_id(&mut map, &mut user_id)? {
                    let told = "send nothing but user_id and credential, or the members flat";
                    return Err(A::Error::custom(format_args!("{key}: {told}")));
                }
                credential
            }
            _ => T::deserialize(MapAccessDeserializer::new(Flat {
                map: &mut map,
                key,
                user_id: &mut user_id,
            }))?,
        };
        without_secrets::<A::Error>(&credential)?;
        let user_id = U::of(user_id).ok_or_else(|| A::Error::missing_field("user_id"))?;
        Ok(Presented {
            user_id,
            credential,
        })
    }
}

/// The next key that is not `user_id`; that one's value is set aside on the way.
fn next_but_user_id<'de, A: MapAccess<'de>>(
    map: &mut A,
    user_id: &mut Option<UserId>,
) -> Result<Option<String>, A::Error> {
    while let Some(key) = map.next_key::<String>()? {
        if key != "user_id" {
            return Ok(Some(key));
        }
        if user_id.replace(map.next_value()?).is_some() {
            return Err(A::Error::custom("user_id appears twice"));
        }
    }
    Ok(None)
}

/// A flat answer as its own type sees it: without `user_id`.
struct Flat<'a, A> {
    map: &'a mut A,
    key: Option<String>,
    user_id: &'a mut Option<UserId>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Flat<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        let key = match self.key.take() {
            Some(first) => Some(first),
            None => next_but_user_id(self.map, self.user_id)?,
        };
        match key {
            Some(key) if key == "credential" => Err(A::Error::custom(
                "credential: send the response flat or under credential, not both",
            )),
            Some(key) => seed.deserialize(key.into_deserializer()).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

impl<T: ToSchema, U: Naming> PartialSchema for Presented<T, U> {
    fn schema() -> RefOr<Schema> {
        let user_id = ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(1))
            .max_length(Some(128))
            .pattern(Some("^[!-~]+$"))
            .description(Some("The bank's name for its customer."));
        let mut named = ObjectBuilder::new().property("user_id", user_id);
        if U::REQUIRED {
            named = named.required("user_id");
        }
        AllOfBuilder::new()
            .item(named)
            .item(Ref::from_schema_name(T::name()))
            .description(Some(
                "The browser's answer with the customer it is for: the answer's members \
                 beside `user_id` as here, or all of them under `credential`.",
            ))
            .into()
    }
}

impl<T: ToSchema, U: Naming> ToSchema for Presented<T, U> {
    fn name() -> Cow<'static, str> {
        match U::REQUIRED {
            true => format!("{}WithUser", T::name()).into(),
            false => format!("{}WithOptionalUser", T::name()).into(),
        }
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(schemas);
    }
}

/// A passkey was registered.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Registered {
    /// Always true.
    pub verified: bool,
    /// Credential id (base64url).
    pub credential_id: Base64Url,
    /// The bank's name for its customer.
    #[schema(value_type = String)]
    pub user_id: UserId,
    /// Attestation statement format of the authenticator, such as `none` or `packed`.
    pub attestation_format: String,
    /// Model of the authenticator (UUID).
    pub aaguid: String,
    /// Names the passkey as a device.
    #[serde(with = "id")]
    #[schema(value_type = String)]
    pub device_id: DeviceId,
    /// Signed proof of the ledger entry.
    #[schema(value_type = Object)]
    pub receipt: Document,
}

/// A passkey was verified.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Authenticated {
    /// Always true.
    pub verified: bool,
    /// The bank's name for its customer.
    #[schema(value_type = String)]
    pub user_id: UserId,
    /// Credential id (base64url).
    pub credential_id: Base64Url,
    /// Opaque bearer token of the session.
    #[schema(value_type = String)]
    pub session_token: SessionToken,
    /// When the session ends if it never idles (RFC 3339, UTC).
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// Seconds without an introspection after which it ends before that.
    pub idle_seconds: u64,
    /// Names the session.
    #[serde(with = "id")]
    #[schema(value_type = String)]
    pub session_id: SessionId,
    /// The device that logged in.
    #[serde(with = "id")]
    #[schema(value_type = String)]
    pub device_id: DeviceId,
    /// Signals about the login.
    pub security_flags: SecurityFlags,
    /// Signed proof of the ledger entry.
    #[schema(value_type = Object)]
    pub receipt: Document,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::AuthenticationResponse;

    fn answer() -> Value {
        json!({"id": "AQ", "rawId": "AQ", "type": "public-key", "clientExtensionResults": {},
            "response": {"clientDataJSON": "AQ", "authenticatorData": "AQ", "signature": "AQ"}})
    }

    fn read(value: Value) -> Result<Presented<AuthenticationResponse>, serde_json::Error> {
        serde_json::from_str(&value.to_string())
    }

    #[test]
    fn flat_and_nested_answers_mean_the_same() {
        let mut flat = answer();
        flat["user_id"] = json!("alice");
        let nested = json!({"user_id": "alice", "credential": answer()});
        assert_eq!(read(flat).unwrap(), read(nested).unwrap());
    }

    #[test]
    fn an_answer_given_twice_is_refused() {
        let mut both = answer();
        both["user_id"] = json!("alice");
        both["credential"] = answer();
        assert!(read(both.clone()).is_err());
        let credential = both.as_object_mut().unwrap().shift_remove("credential");
        let mut first = json!({"credential": credential, "user_id": "alice"});
        assert!(read(first.clone()).is_ok());
        first["response"] = json!({});
        assert!(read(first).is_err());
        let twice = r#"{"user_id":"a","user_id":"b"}"#;
        let error = serde_json::from_str::<Presented<AuthenticationResponse>>(twice).unwrap_err();
        assert!(error.to_string().contains("user_id appears twice"));
    }

    #[test]
    fn a_missing_member_is_named() {
        let error = read(json!({"user_id": "a", "id": "AQ"})).unwrap_err();
        assert!(error.to_string().contains("rawId"), "{error}");
        assert!(read(answer()).unwrap_err().to_string().contains("user_id"));
    }
}
