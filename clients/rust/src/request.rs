//! A request before it travels: target, headers, body.

use std::fmt::Write as _;

use serde::Serialize;

use crate::Error;

/// Separates the parts of a form: random digits, which no sample holds by accident.
const BOUNDARY: &str = "redoubt-9d1c0f6a4be84f7f8f7c";
const FORM: &str = "multipart/form-data; boundary=redoubt-9d1c0f6a4be84f7f8f7c";

/// Method, target and headers.
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) target: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    asked: bool,
}

impl Request {
    pub(crate) fn new(method: &'static str, template: &str) -> Self {
        Self {
            method,
            target: template.to_owned(),
            headers: Vec::new(),
            asked: false,
        }
    }

    /// Puts a value in the place of `{name}`.
    pub(crate) fn path(mut self, name: &str, value: &str) -> Self {
        self.target = self.target.replace(&format!("{{{name}}}"), &encoded(value));
        self
    }

    pub(crate) fn query(mut self, name: &str, value: &str) -> Self {
        let before = if self.asked { '&' } else { '?' };
        self.asked = true;
        let _ = write!(self.target, "{before}{name}={}", encoded(value));
        self
    }

    pub(crate) fn query_if(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    pub(crate) fn header_if(mut self, name: &'static str, value: Option<&str>) -> Self {
        self.headers
            .extend(value.map(|value| (name, value.to_owned())));
        self
    }
}

/// A body and its content type.
pub(crate) struct Body {
    pub(crate) kind: Option<&'static str>,
    pub(crate) bytes: Vec<u8>,
}

impl Body {
    pub(crate) fn none() -> Self {
        let bytes = Vec::new();
        Self { kind: None, bytes }
    }

    pub(crate) fn json(value: &impl Serialize) -> Result<Self, Error> {
        Ok(Self {
            kind: Some("application/json"),
            bytes: serde_json::to_vec(value)?,
        })
    }

    /// The members that are text, as a form (WHATWG URL section 5.2).
    pub(crate) fn members(value: &impl Serialize) -> Result<Self, Error> {
        let value = serde_json::to_value(value)?;
        let members = value.as_object().into_iter().flatten();
        let pairs = members
            .filter_map(|(name, value)| Some(format!("{name}={}", encoded(value.as_str()?))));
        Ok(Self {
            kind: Some("application/x-www-form-urlencoded"),
            bytes: pairs.collect::<Vec<_>>().join("&").into_bytes(),
        })
    }

    /// A JWS in compact serialization, as it is (RFC 7515 section 9.2.1).
    pub(crate) fn jose(jws: &str) -> Self {
        Self {
            kind: Some("application/jose"),
            bytes: jws.as_bytes().to_vec(),
        }
    }

    /// The one form of parts there is: samples, `biometric_file` and from the second on
    /// `biometric_file_2`, …
    pub(crate) fn form(samples: &[&[u8]]) -> Self {
        let mut bytes = Vec::new();
        for (at, sample) in samples.iter().enumerate() {
            let name = match at {
                0 => "biometric_file".to_owned(),
                _ => format!("biometric_file_{}", at + 1),
            };
            let head = "content-disposition: form-data; name=";
            let head = format!("--{BOUNDARY}\r\n{head}\"{name}\"; filename=\"sample\"\r\n\r\n");
            bytes.extend_from_slice(head.as_bytes());
            bytes.extend_from_slice(sample);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
        Self {
            kind: Some(FORM),
            bytes,
        }
    }
}

/// Everything but the unreserved characters of RFC 3986 section 2.3, percent-encoded.
fn encoded(value: &str) -> String {
    let mut out = String::new();
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_place_in_the_target() {
        let request = Request::new("GET", "/a/{id}").path("id", "../b?c=d");
        let request = request
            .query("q", "x&y=z")
            .query_if("r", None)
            .query("s", "1");
        assert_eq!(request.target, "/a/..%2Fb%3Fc%3Dd?q=x%26y%3Dz&s=1");
    }

    #[test]
    fn values_cannot_leave_their_place_in_a_form() {
        let form = serde_json::json!({"token": "a&b=c +%", "hint": null});
        let form = Body::members(&form).unwrap();
        assert_eq!(form.bytes, b"token=a%26b%3Dc%20%2B%25");
    }
}
