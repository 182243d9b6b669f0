//! Sessions as the bank's gateway asks about them: introspection (RFC 7662, and
//! signed: RFC 9701), revocation (RFC 7009), and the keys that sign.
//!
//! Protects against: an answer that tells why a token is no good. Unknown, over,
//! revoked, another bank's and another client's are one and the same reply.

use redoubt_shared::{DeviceId, SessionId, UserId};
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{AllOfBuilder, ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use super::Document;
use super::text::{SessionToken, id};

/// A token in a form, as RFC 7662 and RFC 7009 send it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
pub struct TokenForm {
    /// The `session_token` of a login.
    #[schema(value_type = String, min_length = 1, max_length = 256)]
    pub token: SessionToken,
    /// Not looked at: there is one kind of token.
    #[serde(default)]
    pub token_type_hint: Option<String>,
}

/// In which form an introspection is answered, by the `Accept` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntrospectionForm {
    /// `application/json` (RFC 7662).
    Json,
    /// `application/token-introspection+jwt` (RFC 9701): JWS compact serialization, ES256.
    Jwt,
    /// `application/jose+json`: the session as a JWS in JSON general serialization
    /// with two signatures, for services behind the gateway.
    Hybrid,
}

/// An introspection in the form that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Introspected {
    /// As JSON. The one form of what is not active, but for RFC 9701's.
    Json(Introspection),
    /// Compact JWS.
    Jwt(String),
    /// JWS in JSON general serialization.
    Hybrid(Document),
}

/// What is said of a token (RFC 7662 §2.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Introspection {
    /// Whether the session is open. If not, this is the only member.
    pub active: bool,
    /// Of an open session.
    #[serde(flatten)]
    pub session: Option<SessionClaims>,
}

/// By hand: `active` stands alone unless all members of a session are there.
impl PartialSchema for Introspection {
    fn schema() -> RefOr<Schema> {
        let nothing = ObjectBuilder::new()
            .max_properties(Some(1))
            .description(Some("Of no open session: nothing more."));
        let session = OneOfBuilder::new()
            .item(Ref::from_schema_name(SessionClaims::name()))
            .item(nothing);
        let active = ObjectBuilder::new()
            .schema_type(Type::Boolean)
            .description(Some("Whether the session is open."));
        let active = ObjectBuilder::new()
            .property("active", active)
            .required("active");
        AllOfBuilder::new()
            .item(session)
            .item(active)
            .description(Some("What is said of a token (RFC 7662 section 2.2)."))
            .into()
    }
}

impl ToSchema for Introspection {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((SessionClaims::name().into(), SessionClaims::schema()));
        SessionClaims::schemas(schemas);
    }
}

/// An open session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SessionClaims {
    /// The appliance.
    pub iss: String,
    /// The bank's name for its customer.
    #[schema(value_type = String)]
    pub sub: UserId,
    /// The tenant.
    pub aud: String,
    /// Login, Unix seconds.
    pub auth_time: u64,
    /// End of the session if it never idles, Unix seconds.
    pub exp: u64,
    /// Names the session.
    #[serde(with = "id")]
    #[schema(value_type = String)]
    pub sid: SessionId,
    /// The device that logged in.
    #[serde(with = "id")]
    #[schema(value_type = String)]
    pub device_id: DeviceId,
    /// Level of assurance: `urn:redoubt:acr:aal1`, `aal2` or `aal3`.
    pub acr: &'static str,
    /// Methods, by the names of RFC 8176.
    pub amr: Vec<&'static str>,
    /// When a face of the customer last matched, if that is less than five minutes
    /// ago, in Unix seconds. Not a method of this session: it may have matched
    /// anywhere the bank asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub face_matched_at: Option<u64>,
    /// The client certificate it is bound to (RFC 8705).
    pub cnf: Confirmation,
    /// Digest of the policy in force (hexadecimal).
    pub policy: String,
}

/// A client certificate (RFC 8705 §3.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Confirmation {
    /// SHA-256 of the certificate (base64url).
    #[serde(rename = "x5t#S256")]
    pub x5t_s256: String,
}

/// Sessions to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionScope {
    /// Every session of the tenant.
    Tenant,
    /// A customer's.
    User(UserId),
    /// Those of one of a customer's devices.
    Device(UserId, DeviceId),
}

/// Sessions ended.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SessionsEnded {
    /// How many. 0: there was none.
    pub ended: usize,
    /// Signed proof of the ledger entry; null when a token named no session.
    #[schema(value_type = Option<Object>)]
    pub receipt: Option<Document>,
}

/// The tenant's public keys (RFC 7517).
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct JwkSet {
    /// ES256 (`EC`) and ML-DSA-65 (`AKP`, RFC 9964), `kid` the RFC 7638 thumbprint.
    #[schema(value_type = Vec<Object>)]
    pub keys: Vec<Document>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_active_has_one_member() {
        let inactive = Introspection {
            active: false,
            session: None,
        };
        let text = serde_json::to_string(&inactive).unwrap();
        assert_eq!(text, r#"{"active":false}"#);
    }
}
