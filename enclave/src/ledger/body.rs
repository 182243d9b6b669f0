//! What is sealed inside an entry: its events with their salts, padded to a
//! size class so that length tells neither kind nor verdict.

use std::collections::HashMap;

use redoubt_attestation::ledger::entry::{EventKind, Hash, commit};
use redoubt_shared::ReceiptId;
use redoubt_shared::frame::decode_canonical;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::core::{
    Content, Event as CoreEvent, Recorded, SubjectHandle, SubjectKey, TenantState, receipt_of,
};
use crate::keys::{EpochKey, ObjectKey, Pool, SealError, SubjectPrk};

/// Smallest padded body of a tenant's entry, in bytes: every ordinary event,
/// with its claim, fits, whatever its kind and verdict.
pub(super) const TENANT_CLASS: usize = 4096;
/// Smallest padded body of the appliance's entries.
pub(super) const APPLIANCE_CLASS: usize = 512;
/// Above this, classes are multiples of it instead of powers of two.
const LARGE: usize = 64 * 1024;

/// A body was not what its header promises.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// Not a padded body.
    #[error("the sealed body is malformed")]
    Malformed,
    /// A subject's event does not open.
    #[error("a subject's event does not open: {0}")]
    Subject(#[from] SealError),
    /// A subject's event whose key is gone: erased, or of an earlier epoch.
    #[error("the event is dark: its key was erased")]
    Dark,
    /// No entropy for salts.
    #[error(transparent)]
    Entropy(#[from] redoubt_attestation::entropy::EntropyError),
    /// The library refused to encode.
    #[error("the body does not encode")]
    Encode,
}

/// One event as the body keeps it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// Nobody's in particular.
    Clear {
        /// 0 state, 1 claims.
        kind: u8,
        /// Behind the commitment.
        salt: [u8; 32],
        /// postcard or JSON.
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// A subject's: kind, salt and bytes are sealed under the subject's key.
    Owned {
        /// Whose.
        owner: SubjectHandle,
        /// The commitment, which outlives the key.
        commitment: Hash,
        /// Makes this event's key unique.
        random: [u8; 32],
        /// AES-256-GCM of kind ‖ salt ‖ bytes.
        #[serde(with = "serde_bytes")]
        sealed: Vec<u8>,
    },
    /// What must go dark with its epoch: sealed under the epoch's wrap key.
    Wrapped {
        /// The commitment, which outlives the key.
        commitment: Hash,
        /// Makes this event's key unique.
        random: [u8; 32],
        /// AES-256-GCM of kind ‖ salt ‖ bytes.
        #[serde(with = "serde_bytes")]
        sealed: Vec<u8>,
    },
}

/// An event in clear, with what its commitment is made of.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Opened {
    /// 0 state, 1 claims.
    pub(super) kind: u8,
    /// The salt.
    pub(super) salt: [u8; 32],
    /// The bytes.
    pub(super) bytes: Zeroizing<Vec<u8>>,
}

impl Event {
    /// About how many bytes it takes in a body.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Event::Clear { bytes, .. } => bytes.len() + 40,
            Event::Owned { sealed, .. } | Event::Wrapped { sealed, .. } => sealed.len() + 90,
        }
    }
}

impl Opened {
    /// The commitment over this event, if its kind is known.
    pub(super) fn commitment(&self) -> Option<Hash> {
        let kind = match self.kind {
            0 => EventKind::State,
            1 => EventKind::Claims,
            _ => return None,
        };
        Some(commit(kind, &self.salt, &self.bytes))
    }
}

/// An event ready to be written.
pub(super) struct Encoded {
    pub(super) event: Event,
    pub(super) commitment: Hash,
    pub(super) salt: [u8; 32],
    /// Of a wrapped event: what a rotation under way must carry over.
    pub(super) wrapped: Option<Opened>,
}

/// Whether an event holds what erasure must make unreadable.
pub(super) fn erasable(content: &Content) -> bool {
    matches!(content, Content::State(event)
        if matches!(**event, CoreEvent::SubjectOpened { .. }
            | CoreEvent::FaceEnrolled { .. }
            | CoreEvent::VoiceEnrolled { .. }
            | CoreEvent::FaceRenewed { .. }
            | CoreEvent::VoiceRenewed { .. }
            | CoreEvent::FramesSeen { .. }
            | CoreEvent::StrangerTried { .. }
            | CoreEvent::BudgetKept { .. }))
}

/// What the last subject's events were sealed with: those of one command are mostly of
/// one subject. Not kept longer than that, since a subject may be erased.
#[derive(Default)]
pub(super) struct LastSubject(Option<(SubjectKey, SubjectPrk)>);

impl LastSubject {
    fn of(&mut self, key: &SubjectKey) -> &SubjectPrk {
        let last = self.0.take().filter(|(of, _)| of == key);
        let made = || (key.clone(), SubjectPrk::new(key.expose()));
        &self.0.insert(last.unwrap_or_else(made)).1
    }
}

/// Encodes one event of a tenant, before it is applied: under its epoch's wrap
/// key if it must go dark, else under its owner's key if it has one.
pub(super) fn encode_event(
    recorded: &Recorded,
    state: &TenantState,
    (epoch, last): (&EpochKey, &mut LastSubject),
    pool: &Pool,
) -> Result<Encoded, BodyError> {
    let (kind, bytes) = match &recorded.content {
        Content::State(event) => (
            0,
            postcard::to_stdvec(event).map_err(|_| BodyError::Encode)?,
        ),
        Content::Claims { text } => (1, text.clone().into_bytes()),
    };
    let opened = Opened {
        kind,
        salt: pool.draw()?,
        bytes: bytes.into(),
    };
    let (commitment, salt) = (opened.commitment().ok_or(BodyError::Encode)?, opened.salt);
    let mut wrapped = None;
    let event = if erasable(&recorded.content) {
        let random: [u8; 32] = pool.draw()?;
        let sealed = opened.seal(&epoch.wrapped(&random)?, &commitment)?;
        wrapped = Some(opened);
        Event::Wrapped {
            commitment,
            random,
            sealed,
        }
    } else if let Some(owner) = recorded.owner {
        let subject = state.subjects.get(&owner).ok_or(BodyError::Encode)?;
        let random: [u8; 32] = pool.draw()?;
        let key = last.of(&subject.key).event(&random)?;
        Event::Owned {
            owner,
            commitment,
            random,
            sealed: opened.seal(&key, &commitment)?,
        }
    } else {
        Event::Clear {
            kind,
            salt,
            bytes: opened.bytes.to_vec(),
        }
    };
    Ok(Encoded {
        event,
        commitment,
        salt,
        wrapped,
    })
}

impl Opened {
    fn seal(&self, key: &ObjectKey, commitment: &Hash) -> Result<Vec<u8>, SealError> {
        let mut sealed = self.to_bytes();
        key.seal(0, commitment, &mut sealed)?;
        Ok(sealed)
    }

    /// The text of a claim.
    pub(super) fn text(&self) -> Result<String, BodyError> {
        let text = std::str::from_utf8(&self.bytes).map_err(|_| BodyError::Malformed)?;
        Ok(text.to_owned())
    }

    /// The receipt of a claim.
    pub(super) fn receipt(&self) -> Option<ReceiptId> {
        match (self.kind, self.text()) {
            (1, Ok(text)) => receipt_of(&text),
            _ => None,
        }
    }

    /// kind ‖ salt ‖ bytes.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.bytes.len() + 64);
        bytes.push(self.kind);
        bytes.extend_from_slice(&self.salt);
        bytes.extend_from_slice(&self.bytes);
        bytes
    }

    /// Reads kind ‖ salt ‖ bytes.
    pub(super) fn from_bytes(clear: &[u8]) -> Result<Self, BodyError> {
        let (head, bytes) = clear.split_at_checked(33).ok_or(BodyError::Malformed)?;
        let salt = head[1..].try_into().map_err(|_| BodyError::Malformed)?;
        Ok(Self {
            kind: head[0],
            salt,
            bytes: bytes.to_vec().into(),
        })
    }
}

/// What opens wrapped events: the wrap key of their epoch, or, for those a
/// rotation carried over, their contents by commitment.
#[derive(Clone, Copy)]
pub(super) enum Unwrap<'a> {
    /// Entry of the epoch at hand.
    Epoch(&'a EpochKey),
    /// Entry of an earlier epoch.
    Carried(&'a Carried),
}

/// Contents of wrapped events by commitment.
pub(super) type Carried = HashMap<Hash, Zeroizing<Vec<u8>>>;

/// Opens one event; the caller checks the commitment against the header's root.
pub(super) fn open_event(
    event: Event,
    state: &TenantState,
    unwrap: Unwrap<'_>,
) -> Result<Opened, BodyError> {
    match event {
        Event::Clear { kind, salt, bytes } => Ok(Opened {
            kind,
            salt,
            bytes: bytes.into(),
        }),
        Event::Owned {
            owner,
            commitment,
            random,
            sealed,
        } => {
            let subject = state.subjects.get(&owner).ok_or(BodyError::Dark)?;
            let key = SubjectPrk::new(subject.key.expose()).event(&random)?;
            Opened::from_bytes(&key.open(0, &commitment, sealed)?)
        }
        Event::Wrapped {
            commitment,
            random,
            sealed,
        } => match unwrap {
            Unwrap::Epoch(epoch) => {
                let key = epoch.wrapped(&random)?;
                Opened::from_bytes(&key.open(0, &commitment, sealed)?)
            }
            Unwrap::Carried(carried) => {
                Opened::from_bytes(carried.get(&commitment).ok_or(BodyError::Dark)?)
            }
        },
    }
}

/// The commitment of an event as stored.
pub(super) fn commitment_of(event: &Event) -> Option<Hash> {
    match event {
        Event::Clear { kind, salt, bytes } => Opened {
            kind: *kind,
            salt: *salt,
            bytes: bytes.clone().into(),
        }
        .commitment(),
        Event::Owned { commitment, .. } | Event::Wrapped { commitment, .. } => Some(*commitment),
    }
}

/// Events to padded bytes: u32 length, postcard, zeros up to the size class.
pub(super) fn pad(events: &[Event], smallest: usize) -> Result<Vec<u8>, BodyError> {
    let body = postcard::to_stdvec(events).map_err(|_| BodyError::Encode)?;
    let needed = (body.len() + 4).max(smallest);
    let class = if needed > LARGE {
        needed.next_multiple_of(LARGE)
    } else {
        needed.next_power_of_two()
    };
    let mut padded = Vec::with_capacity(class + 16);
    padded.extend_from_slice(&(body.len() as u32).to_be_bytes());
    padded.extend_from_slice(&body);
    padded.resize(class, 0);
    Ok(padded)
}

/// Padded bytes to events.
pub(super) fn unpad(padded: &[u8]) -> Result<Vec<Event>, BodyError> {
    let (length, rest) = padded
        .split_first_chunk::<4>()
        .ok_or(BodyError::Malformed)?;
    let length = u32::from_be_bytes(*length) as usize;
    let body = rest.get(..length).ok_or(BodyError::Malformed)?;
    if rest[length..].iter().any(|b| *b != 0) {
        return Err(BodyError::Malformed);
    }
    decode_canonical(body).map_err(|_| BodyError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_of_one_class_have_one_length() {
        let event = |n| Event::Clear {
            kind: 0,
            salt: [1; 32],
            bytes: vec![7; n],
        };
        let lengths: Vec<usize> = [0, 1, 500, 900]
            .iter()
            .map(|n| pad(&[event(*n)], 1024).unwrap().len())
            .collect();
        assert_eq!(lengths, [1024; 4]);
        assert_eq!(pad(&[event(1000)], 1024).unwrap().len(), 2048);
    }

    #[test]
    fn padding_reads_back_and_anything_else_is_refused() {
        let events = vec![Event::Clear {
            kind: 1,
            salt: [1; 32],
            bytes: b"{}".to_vec(),
        }];
        let padded = pad(&events, 1024).unwrap();
        assert!(unpad(&padded).unwrap() == events);
        let mut dirty = padded.clone();
        *dirty.last_mut().unwrap() = 1;
        assert!(matches!(unpad(&dirty), Err(BodyError::Malformed)));
        let mut long = padded;
        long[0] = 0xff;
        assert!(matches!(unpad(&long), Err(BodyError::Malformed)));
        assert!(matches!(unpad(&[0, 0]), Err(BodyError::Malformed)));
    }
}
