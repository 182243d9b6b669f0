//! Passkey registration and authentication as the bank calls them.
//!
//! Protects against: an answer filed under the wrong customer. The user is
//! named by the bank beside the browser's answer, never taken from inside it.

use std::fmt;
use std::marker::PhantomData;

use redoubt_shared::UserId;
use serde::de::{DeserializeOwned, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::Document;
use super::text::{Base64Url, SessionToken, Text, Timestamp};

/// Asks for options to create a passkey.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterOptions {
    /// The bank's name for its customer.
    #[schema(value_type = String, max_length = 128)]
    pub user_id: UserId,
    /// Account name the authenticator shows; `user_id` if absent.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 64)]
    pub user_name: Option<Text<64>>,
    /// Display name the authenticator shows; the account name if absent.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 64)]
    pub display_name: Option<Text<64>>,
}

/// Asks for options to use a passkey.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthenticateOptions {
    /// The bank's name for its customer.
    #[schema(value_type = String, max_length = 128)]
    pub user_id: UserId,
}

/// A browser's answer with the customer it is for: the answer's members beside
/// `user_id`, or nested under `credential`.
#[derive(Debug, Clone, PartialEq, ToSchema)]
pub struct Presented<T> {
    /// The bank's name for its customer.
    #[schema(value_type = String, max_length = 128)]
    pub user_id: UserId,
    /// The browser's answer.
    pub credential: T,
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Presented<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PresentedVisitor(PhantomData))
    }
}

struct PresentedVisitor<T>(PhantomData<T>);

impl<'de, T: DeserializeOwned> Visitor<'de> for PresentedVisitor<T> {
    type Value = Presented<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a WebAuthn response with user_id")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut user_id, mut nested, mut flat) = (None, None, Map::new());
        while let Some(key) = map.next_key::<String>()? {
            let seen_before = match key.as_str() {
                "user_id" => user_id.replace(map.next_value::<UserId>()?).is_some(),
                "credential" => nested.replace(map.next_value::<T>()?).is_some(),
                _ => flat
                    .insert(key.clone(), map.next_value::<Value>()?)
                    .is_some(),
            };
            if seen_before {
                return Err(A::Error::custom(format_args!("{key} appears twice")));
            }
        }
        let user_id = user_id.ok_or_else(|| A::Error::missing_field("user_id"))?;
        let credential = match nested {
            Some(_) if flat.contains_key("response") => {
                return Err(A::Error::custom(
                    "send the response either beside user_id or under credential, not both",
                ));
            }
            Some(credential) => credential,
            None => T::deserialize(Value::Object(flat)).map_err(A::Error::custom)?,
        };
        Ok(Presented {
            user_id,
            credential,
        })
    }
}

/// A passkey was registered.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Registered {
    /// Always true.
    pub verified: bool,
    /// Credential id (base64url).
    #[schema(value_type = String)]
    pub credential_id: Base64Url,
    /// The bank's name for its customer.
    #[schema(value_type = String)]
    pub user_id: UserId,
    /// Attestation statement format of the authenticator, such as `none` or `packed`.
    pub attestation_format: String,
    /// Model of the authenticator (UUID).
    pub aaguid: String,
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
    #[schema(value_type = String)]
    pub credential_id: Base64Url,
    /// Opaque bearer token of the session.
    #[schema(value_type = String)]
    pub session_token: SessionToken,
    /// When the session ends (RFC 3339, UTC).
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// Signed proof of the ledger entry.
    #[schema(value_type = Object)]
    pub receipt: Document,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
        assert!(read(both).is_err());
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
