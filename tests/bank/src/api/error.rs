//! What can go wrong, by the party at fault.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// An RFC 9457 problem document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    /// `urn:redoubt:problem:<code>`
    #[serde(rename = "type")]
    pub kind: String,
    /// One line for people.
    #[serde(default)]
    pub title: String,
    /// HTTP status, repeated.
    pub status: u16,
    /// What is wrong and how to mend it.
    #[serde(default)]
    pub detail: Option<Value>,
    /// Stable code.
    pub code: String,
    /// Names this request in the appliance's log.
    #[serde(default)]
    pub request_id: Option<String>,
    /// Extension members, such as `locked_until`.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// Why a request brought no result.
#[derive(Debug, thiserror::Error)]
pub enum BankError {
    /// The appliance refused, and said why.
    #[error("the appliance answered {status} {}: {}", .problem.code, .problem.title)]
    Refused {
        /// HTTP status.
        status: u16,
        /// Its problem document.
        problem: Box<Problem>,
        /// `Retry-After`, in seconds.
        retry_after: Option<u64>,
    },
    /// The answer is not what the interface promises.
    #[error("the appliance answered {status} with a body this client cannot read: {detail}")]
    Unreadable {
        /// HTTP status.
        status: u16,
        /// What was wrong with it.
        detail: String,
    },
    /// No whole answer came.
    #[error("no whole answer came: {0}")]
    Transport(String),
    /// No answer within the limit.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The authenticator did not sign.
    #[error("the authenticator did not sign: {0}")]
    Authenticator(String),
}

impl BankError {
    /// A failure below HTTP, with the whole chain of causes in its text.
    pub fn transport(error: impl std::error::Error) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(next) = cause {
            text = format!("{text}: {next}");
            cause = next.source();
        }
        Self::Transport(text)
    }

    /// The problem's code, if the appliance refused.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { problem, .. } => Some(&problem.code),
            _ => None,
        }
    }

    /// The HTTP status, if an answer came.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } | Self::Unreadable { status, .. } => Some(*status),
            _ => None,
        }
    }
}
