//! The enclave's side of the ledger store. Nothing the store answers is believed
//! without a check; an unknown outcome is resolved by reading back.

use std::time::Duration;

use redoubt_attestation::encode::sha256;
use redoubt_shared::store::{Numbered, StoreRefusal, StoreRequest, StoreResponse, StoredRecord};
use redoubt_shared::{Endpoint, FrameError, LedgerId, Stream, encode, read_frame};
use tokio::io::AsyncWriteExt;

/// First wait before trying the store again; doubles up to [`RETRY_MOST`].
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MOST: Duration = Duration::from_secs(2);
/// How often a reading is asked for that the store refuses for a reason that may pass:
/// over five seconds, in which it can open its files again.
const READ_TRIES: u32 = 8;
/// Longest wait for one answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Records asked for at once.
const READ_LIMIT: u32 = 4096;

/// The store failed in a way that ends the enclave.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It keeps something else than what was written.
    #[error(
        "the store keeps a different record at index {index}: it was rewritten or another enclave writes to it"
    )]
    Different {
        /// Where.
        index: u64,
    },
    /// It holds fewer or more entries than an acknowledged batch left.
    #[error("the store holds {found} entries where {expected} were acknowledged")]
    Count {
        /// There.
        found: u64,
        /// Known here.
        expected: u64,
    },
    /// It answers something that does not belong to the question.
    #[error("the store answered out of turn")]
    OutOfTurn,
    /// The connection failed (retried by callers that can).
    #[error("the store cannot be reached: {0}")]
    Unreachable(String),
    /// A batch is larger than a frame, which its bound should make impossible.
    #[error("a batch does not fit into a frame: {0}")]
    Unencodable(String),
    /// It refused for a reason that may pass.
    #[error("the store refuses: {0}")]
    Refused(String),
}

/// One connection at a time, reopened when it fails.
pub struct StoreClient {
    endpoint: Endpoint,
    stream: Option<Stream>,
    /// Requests so far.
    number: u64,
    /// First wait before trying again.
    first_wait: Duration,
}

impl StoreClient {
    /// A client; connects on first use.
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            stream: None,
            number: 0,
            first_wait: RETRY_FIRST,
        }
    }

    /// The same, trying again sooner.
    #[cfg(test)]
    pub(super) fn trying_again_after(self, first_wait: Duration) -> Self {
        Self { first_wait, ..self }
    }

    async fn ask(&mut self, request: &StoreRequest) -> Result<StoreResponse, StoreError> {
        let unreachable =
            |error: &dyn std::fmt::Display| StoreError::Unreachable(error.to_string());
        self.number += 1;
        let number = self.number;
        let frame = encode(&Numbered {
            number,
            body: request,
        });
        let frame = frame.map_err(|error| StoreError::Unencodable(error.to_string()))?;
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.endpoint.connect().await.map_err(|e| unreachable(&e))?,
        };
        let exchange = async {
            stream.write_all(&frame).await?;
            stream.flush().await?;
            loop {
                let answer: Numbered<StoreResponse> = read_frame(&mut stream).await?;
                // One before it is late or repeated, and was answered or given up.
                if answer.number >= number {
                    return Ok::<_, FrameError>(answer);
                }
            }
        };
        let answer = tokio::time::timeout(ANSWER_WITHIN, exchange)
            .await
            .map_err(|_| StoreError::Unreachable("no answer in time".into()))?
            .map_err(|e| unreachable(&e))?;
        if answer.number != number || !answers(request, &answer.body) {
            // What else is under way on this connection cannot be trusted to belong
            // to its questions, so it is given up.
            return Err(StoreError::Unreachable("an answer out of turn".into()));
        }
        self.stream = Some(stream);
        Ok(answer.body)
    }

    /// Asks until the store answers; waits longer each time it cannot be reached.
    async fn insist(&mut self, request: &StoreRequest) -> Result<StoreResponse, StoreError> {
        let mut wait = self.first_wait;
        loop {
            match self.ask(request).await {
                Err(StoreError::Unreachable(why)) => {
                    tracing::warn!(why, "store unreachable, trying again")
                }
                answered => return answered,
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(RETRY_MOST);
        }
    }

    /// Insists on something to be read. A refusal that may pass is borne for a while:
    /// an opening is not to end over one bad moment of the host's disk.
    async fn reading(&mut self, request: &StoreRequest) -> Result<StoreResponse, StoreError> {
        let mut wait = self.first_wait;
        for _ in 1..READ_TRIES {
            match self.insist(request).await? {
                StoreResponse::Refused {
                    reason: StoreRefusal::Storage,
                    detail,
                } => tracing::warn!(detail, "the store refuses to read, trying again"),
                answered => return Ok(answered),
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(RETRY_MOST);
        }
        self.insist(request).await
    }

    /// The signed genesis manifest and configuration.
    pub async fn boot_files(&mut self) -> Result<(Vec<u8>, Vec<u8>), StoreError> {
        match self.insist(&StoreRequest::Boot).await? {
            StoreResponse::Boot { genesis, config } => Ok((genesis, config)),
            other => Err(out_of_turn(other)),
        }
    }

    /// How many entries the store says a ledger has.
    pub async fn count(&mut self, ledger: LedgerId) -> Result<u64, StoreError> {
        match self.reading(&StoreRequest::Heads).await? {
            StoreResponse::Heads(heads) => Ok(heads
                .iter()
                .find(|(id, _)| *id == ledger)
                .map_or(0, |(_, count)| *count)),
            other => Err(out_of_turn(other)),
        }
    }

    /// Entries of a ledger from an index on; empty past its end.
    pub async fn read(
        &mut self,
        ledger: LedgerId,
        from: u64,
    ) -> Result<Vec<StoredRecord>, StoreError> {
        self.read_some(ledger, from, READ_LIMIT).await
    }

    /// Entries, for one caller: given up after two tries, and never believed unread.
    pub async fn try_read(
        &mut self,
        ledger: LedgerId,
        from: u64,
        limit: u32,
    ) -> Result<Vec<StoredRecord>, StoreError> {
        let request = StoreRequest::Read {
            ledger,
            from,
            limit,
        };
        let response = match self.ask(&request).await {
            Err(StoreError::Unreachable(_))
            | Ok(StoreResponse::Refused {
                reason: StoreRefusal::Storage,
                ..
            }) => self.ask(&request).await,
            answered => answered,
        }?;
        match response {
            StoreResponse::Records(records) => Ok(records),
            other => Err(out_of_turn(other)),
        }
    }

    /// One entry, as [`Self::try_read`] reads many.
    pub async fn try_read_one(
        &mut self,
        ledger: LedgerId,
        index: u64,
    ) -> Result<StoredRecord, StoreError> {
        let mut records = self.try_read(ledger, index, 1).await?;
        records.pop().ok_or(StoreError::OutOfTurn)
    }

    async fn read_some(
        &mut self,
        ledger: LedgerId,
        from: u64,
        limit: u32,
    ) -> Result<Vec<StoredRecord>, StoreError> {
        let request = StoreRequest::Read {
            ledger,
            from,
            limit,
        };
        match self.reading(&request).await? {
            StoreResponse::Records(records) => Ok(records),
            other => Err(out_of_turn(other)),
        }
    }

    /// Makes a blob durable and returns its name. A refusal is the caller's to
    /// bear: no acknowledged entry depends on it.
    pub async fn put_blob(&mut self, bytes: Vec<u8>) -> Result<[u8; 32], StoreError> {
        let name = sha256(&[&bytes]).0;
        match self.insist(&StoreRequest::PutBlob { name, bytes }).await? {
            StoreResponse::Stored => Ok(name),
            other => Err(out_of_turn(other)),
        }
    }

    /// A blob by its name; `None` when the store has none whose bytes have this digest.
    pub async fn get_blob(&mut self, name: [u8; 32]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.reading(&StoreRequest::GetBlob { name }).await? {
            StoreResponse::Blob { bytes } if sha256(&[&bytes]).0 == name => Ok(Some(bytes)),
            StoreResponse::Blob { .. } => Ok(None),
            StoreResponse::Refused {
                reason: StoreRefusal::Missing,
                ..
            } => Ok(None),
            other => Err(out_of_turn(other)),
        }
    }

    /// First blobs of the snapshots the store was told of, newest first.
    pub async fn snapshots(&mut self) -> Result<Vec<[u8; 32]>, StoreError> {
        match self.reading(&StoreRequest::Snapshot).await? {
            StoreResponse::Snapshot { latest } => Ok(latest),
            other => Err(out_of_turn(other)),
        }
    }

    /// Names the snapshots to begin from, and every blob still needed.
    pub async fn set_snapshot(
        &mut self,
        latest: Vec<[u8; 32]>,
        keep: Vec<[u8; 32]>,
    ) -> Result<(), StoreError> {
        let request = StoreRequest::SetSnapshot { latest, keep };
        match self.insist(&request).await? {
            StoreResponse::Stored => Ok(()),
            other => Err(out_of_turn(other)),
        }
    }

    /// Lets the store delete whole segments of records below these indices. Asks
    /// once: nothing rests on its answer.
    pub async fn drop_below(&mut self, below: Vec<(LedgerId, u64)>) -> Result<(), StoreError> {
        match self.ask(&StoreRequest::Drop { below }).await? {
            StoreResponse::Stored => Ok(()),
            other => Err(out_of_turn(other)),
        }
    }

    /// Makes a batch durable. Returns only when it is, or when the store shows
    /// that it keeps something else. A retry sends identical bytes.
    pub async fn append(&mut self, records: Vec<StoredRecord>) -> Result<(), StoreError> {
        let request = StoreRequest::Append { records };
        let mut wait = self.first_wait;
        loop {
            let why = match self.ask(&request).await {
                Ok(StoreResponse::Appended) => return Ok(()),
                Ok(StoreResponse::Refused {
                    reason: StoreRefusal::Storage,
                    detail,
                }) => detail,
                // Batches are bounded below what the store takes: it misread this one.
                Ok(StoreResponse::Refused {
                    reason: StoreRefusal::TooLarge,
                    detail,
                }) => detail,
                Ok(StoreResponse::Refused { detail, .. }) => {
                    if self.settle(&request).await? {
                        return Ok(());
                    }
                    detail
                }
                Ok(other) => return Err(out_of_turn(other)),
                Err(StoreError::Unreachable(why)) => why,
                Err(other) => return Err(other),
            };
            tracing::warn!(why, "the batch is not durable yet, trying again");
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(RETRY_MOST);
        }
    }

    /// After a refusal that should not happen, reads back: identical records mean
    /// committed, absent ones are sent again, and anything else is a store that
    /// was changed behind our back.
    async fn settle(&mut self, request: &StoreRequest) -> Result<bool, StoreError> {
        let StoreRequest::Append { records } = request else {
            return Err(StoreError::OutOfTurn);
        };
        let mut committed = true;
        for record in records {
            let index = record.index;
            match self.read_some(record.ledger, index, 1).await?.pop() {
                Some(kept) if kept == *record => {}
                Some(_) => return Err(StoreError::Different { index }),
                None => {
                    let found = self.count(record.ledger).await?;
                    if found < index {
                        return Err(StoreError::Count {
                            found,
                            expected: index,
                        });
                    }
                    committed = false;
                }
            }
        }
        Ok(committed)
    }
}

/// Whether a response can belong to a request.
fn answers(request: &StoreRequest, response: &StoreResponse) -> bool {
    match (request, response) {
        (_, StoreResponse::Refused { .. })
        | (StoreRequest::Boot, StoreResponse::Boot { .. })
        | (StoreRequest::Heads, StoreResponse::Heads(_))
        | (StoreRequest::Append { .. }, StoreResponse::Appended)
        | (StoreRequest::GetBlob { .. }, StoreResponse::Blob { .. })
        | (StoreRequest::Snapshot, StoreResponse::Snapshot { .. })
        | (
            StoreRequest::PutBlob { .. }
            | StoreRequest::SetSnapshot { .. }
            | StoreRequest::Drop { .. },
            StoreResponse::Stored,
        ) => true,
        (
            StoreRequest::Read {
                ledger,
                from,
                limit,
            },
            StoreResponse::Records(records),
        ) => {
            let in_turn = |(i, record): (usize, &StoredRecord)| {
                record.ledger == *ledger && record.index == from + i as u64
            };
            records.len() <= *limit as usize && records.iter().enumerate().all(in_turn)
        }
        _ => false,
    }
}

fn out_of_turn(response: StoreResponse) -> StoreError {
    match response {
        StoreResponse::Refused { reason, detail } => {
            StoreError::Refused(format!("{reason:?}: {detail}"))
        }
        _ => StoreError::OutOfTurn,
    }
}
