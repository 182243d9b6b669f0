//! What goes back over HTTP.

use http::StatusCode;
use serde::Serialize;

use super::log::LogRefusal;
use super::vault::VaultRefusal;
use redoubt_attestation::ledger::witness_wire::{SIZE_CONTENT_TYPE, size_text};

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) content_type: &'static str,
    pub(super) wait_ms: Option<u64>,
    pub(super) body: String,
}

/// A refusal with its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    status: StatusCode,
    text: String,
}

const TEXT: &str = "text/plain; charset=utf-8";

impl Answer {
    pub(super) fn text(body: String) -> Self {
        Self {
            status: StatusCode::OK,
            content_type: TEXT,
            wait_ms: None,
            body,
        }
    }

    pub(super) fn json<T: Serialize>(value: &T) -> Result<Self, Refused> {
        let body = serde_json::to_string(value).map_err(|e| Refused::failed(e.to_string()))?;
        Ok(Self {
            content_type: "application/json",
            ..Self::text(body)
        })
    }

    fn refusal(status: StatusCode, text: impl ToString) -> Self {
        Self {
            status,
            ..Self::text(format!("{}\n", text.to_string()))
        }
    }
}

impl Refused {
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
        }
    }

    pub(super) fn forbidden(text: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, text)
    }

    pub(super) fn bad(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    pub(super) fn failed(text: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, text)
    }

    /// The disk refused: nothing was promised. What is wrong with it is the
    /// operator's to see, not the asker's.
    pub(super) fn disk(error: std::io::Error) -> Self {
        eprintln!("redoubt-audit witness: the disk refuses: {error}");
        Self::failed("the peer cannot write its state")
    }
}

impl From<Refused> for Answer {
    fn from(refused: Refused) -> Self {
        Self::refusal(refused.status, refused.text)
    }
}

impl From<LogRefusal> for Answer {
    fn from(refusal: LogRefusal) -> Self {
        let status = match refusal {
            LogRefusal::Superseded { .. } | LogRefusal::OtherKey { .. } => StatusCode::FORBIDDEN,
            LogRefusal::OldTooLarge => StatusCode::BAD_REQUEST,
            LogRefusal::Wait { .. } => StatusCode::SERVICE_UNAVAILABLE,
            LogRefusal::Conflict { .. } | LogRefusal::OtherRoot { .. } => StatusCode::CONFLICT,
            LogRefusal::Inconsistent => StatusCode::UNPROCESSABLE_ENTITY,
        };
        let answer = Self::refusal(status, refusal);
        match refusal {
            LogRefusal::Conflict { size } => Self {
                content_type: SIZE_CONTENT_TYPE,
                body: size_text(size),
                ..answer
            },
            LogRefusal::Wait { wait_ms } => Self {
                wait_ms: Some(wait_ms),
                ..answer
            },
            _ => answer,
        }
    }
}

impl From<VaultRefusal> for Answer {
    fn from(refusal: VaultRefusal) -> Self {
        let status = match refusal {
            VaultRefusal::Superseded { .. } => StatusCode::FORBIDDEN,
            VaultRefusal::Retired { .. } => StatusCode::GONE,
            VaultRefusal::InUse { .. } | VaultRefusal::Replayed { .. } => StatusCode::CONFLICT,
            VaultRefusal::Unknown { .. } => StatusCode::NOT_FOUND,
            VaultRefusal::Full => StatusCode::INSUFFICIENT_STORAGE,
        };
        Self::refusal(status, refusal)
    }
}
