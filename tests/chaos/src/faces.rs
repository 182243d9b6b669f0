//! Faces: one customer who is locked, one whose failures are counted, and load.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use redoubt_bank::media::Media;
use redoubt_bank::{Bank, BankError, random_name};
use tokio::task::JoinSet;

use crate::kept::Kept;

/// Long enough for a worker to load its models on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Faces {
    media: Arc<Media>,
    /// Failed three times: locked for half an hour.
    locked: String,
    /// Failed twice: one more locks.
    failed_twice: String,
    /// Enrolled, for load.
    enrolled: String,
}

impl Faces {
    /// Enrols the customers. Needs a worker.
    pub(crate) async fn prepare(bank: &Bank, media: Media, kept: &Kept) -> Result<Self> {
        let name = || random_name("customer");
        let faces = Self {
            media: Arc::new(media),
            locked: name(),
            failed_twice: name(),
            enrolled: name(),
        };
        until_there_is_a_worker(bank, &faces.media.person).await?;
        for user in [&faces.locked, &faces.failed_twice, &faces.enrolled] {
            let enrolled = bank.enroll(user, &faces.media.person).await?;
            kept.receipt(enrolled.receipt)?;
        }
        for user in [&faces.locked, &faces.locked, &faces.locked]
            .into_iter()
            .chain([&faces.failed_twice, &faces.failed_twice])
        {
            let verdict = bank.verify(user, &faces.media.other).await?;
            ensure!(verdict.result == "rejected");
            kept.receipt(verdict.receipt)?;
        }
        Ok(faces)
    }

    /// Whether the locked customer is. Needs no worker.
    pub(crate) async fn still_locked(&self, bank: &Bank) -> Result<bool> {
        match bank.verify(&self.locked, &self.media.person).await {
            Err(error) if error.code() == Some("account_locked") => Ok(true),
            Err(error) if error.status() == Some(503) => Ok(false),
            Err(error) => Err(error).context("verifying a locked customer"),
            Ok(_) => Ok(false),
        }
    }

    /// Whether the third failure of the one who failed twice before all kills locks.
    pub(crate) async fn failures_were_kept(&self, bank: &Bank, kept: &Kept) -> Result<bool> {
        until_there_is_a_worker(bank, &self.media.person).await?;
        let verdict = bank.verify(&self.failed_twice, &self.media.other).await?;
        kept.receipt(verdict.receipt)?;
        Ok(verdict.action_taken == "account_locked")
    }

    /// Enrols and verifies until an answer does not come.
    pub(crate) async fn load(&self, bank: &Bank, kept: &Kept) -> Result<JoinSet<Result<()>>> {
        until_there_is_a_worker(bank, &self.media.person).await?;
        let mut tasks = JoinSet::new();
        for enrols in [true, false] {
            let (bank, kept) = (bank.clone(), kept.clone());
            let (media, user) = (self.media.clone(), self.enrolled.clone());
            tasks.spawn(async move {
                loop {
                    let outcome = if enrols {
                        let user = random_name("customer");
                        let enrolled = bank.enroll(&user, &media.person).await;
                        enrolled.map(|enrolled| enrolled.receipt)
                    } else {
                        let verdict = bank.verify(&user, &media.person_again).await;
                        verdict.map(|verdict| verdict.receipt)
                    };
                    match outcome {
                        Ok(receipt) => kept.receipt(receipt)?,
                        Err(error) => {
                            explain(&error, &kept);
                            return Ok(());
                        }
                    }
                }
            });
        }
        Ok(tasks)
    }
}

fn explain(error: &BankError, kept: &Kept) {
    // Attempts that a kill left reserved are spent; a new one waits until they are judged.
    if error.status() != Some(429) && error.code() != Some("account_locked") {
        crate::load::explain(error, kept);
    }
}

/// Enrols strangers until one succeeds.
async fn until_there_is_a_worker(bank: &Bank, sample: &[u8]) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        match bank.enroll(&random_name("customer"), sample).await {
            Ok(_) => return Ok(()),
            Err(error) if error.status() != Some(503) || Instant::now() > end => {
                return Err(error).context("no worker");
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
