//! What customers do: commands as the service makes them once a ceremony or a
//! sample was verified.

use std::time::Duration;

use anyhow::Result;
use futures::stream::{self, StreamExt, TryStreamExt};
use redoubt_attestation::encode::sha256;
use redoubt_enclave::core::{Command, OpenSession, Template};
use redoubt_enclave::ledger::{CommitError, Ledgers, Outcome, SnapshotFailed};
use redoubt_enclave::passkeys::{Algorithm, AttestationFormat, CredentialRecord};
use redoubt_shared::{EnrollmentId, SessionId, TenantId, UserId};

/// Commands under way at once where speed is not what is measured.
const AT_ONCE: usize = 512;

/// The bank's name of the customer with this number.
pub(crate) fn user(number: u64) -> Result<UserId> {
    Ok(format!("customer-{number:08}").parse()?)
}

fn credential(number: u64) -> Vec<u8> {
    let mut id = vec![3; 32];
    id[..8].copy_from_slice(&number.to_be_bytes());
    id
}

fn sixteen(number: u64) -> [u8; 16] {
    let mut id = [5; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    id
}

/// A passkey, of the sizes authenticators make.
pub(crate) fn register(number: u64) -> Result<Command> {
    let record = CredentialRecord {
        id: credential(number),
        public_key: vec![4; 77],
        algorithm: Algorithm::Es256,
        sign_count: 0,
        uv_initialized: true,
        transports: vec!["internal".into()],
        backup_eligible: true,
        backup_state: true,
        attestation_format: AttestationFormat::None,
        attestation_trusted: false,
        aaguid: [6; 16],
        created_ms: 1_700_000_000_000,
    };
    Ok(Command::RegisterPasskey {
        user: user(number)?,
        user_handle: sixteen(number),
        record: Box::new(record),
    })
}

/// A login whose assertion held.
pub(crate) fn login(number: u64, sign_count: u32) -> Result<Command> {
    login_with(number, credential(number), sign_count)
}

/// The same with one of several passkeys.
pub(crate) fn login_with(number: u64, credential_id: Vec<u8>, sign_count: u32) -> Result<Command> {
    Ok(Command::ConcludeLogin {
        user: user(number)?,
        credential_id,
        sign_count,
        backup_state: true,
        user_verified: true,
        session: Box::new(OpenSession {
            id: SessionId::from_bytes(sixteen(number)),
            hash: sha256(&[&number.to_be_bytes(), &sign_count.to_be_bytes()]).0,
            client: [8; 32],
            idle_ms: 300_000,
            absolute_ms: 43_200_000,
        }),
    })
}

/// The three commands of a face enrolment.
pub(crate) fn enrol(number: u64) -> Result<[Command; 3]> {
    let (id, token_hash) = (EnrollmentId::from_bytes(sixteen(number)), [0; 32]);
    let template = Template {
        version: 2,
        model: "sface-dlib-1".into(),
        transform: 1,
        dimension: 256,
        scale: 0.01,
        values: vec![-1; 384],
        quality: 0.9,
        worker_tier: "process".into(),
        enrolled_ms: 1_700_000_000_000,
    };
    Ok([
        Command::BeginEnrollment {
            modality: redoubt_enclave::core::Modality::Face,
            user: user(number)?,
            id,
            token_hash,
            consent_given: true,
        },
        Command::ReserveEnrollmentSample { id, token_hash },
        Command::CompleteEnrollment {
            id,
            template: Box::new(template),
            liveness: None,
            performed: None,
            searched: None,
        },
    ])
}

/// Makes and commits a command for each number, many at once.
pub(crate) async fn all(
    ledgers: &Ledgers,
    tenant: &TenantId,
    numbers: impl Iterator<Item = u64>,
    at_once: Option<usize>,
    command: impl Fn(u64) -> Result<Command>,
) -> Result<()> {
    stream::iter(numbers)
        .map(|number| {
            let made = command(number);
            async move { decide(ledgers, tenant, made?).await.map(|_| ()) }
        })
        .buffer_unordered(at_once.unwrap_or(AT_ONCE))
        .try_collect()
        .await
}

/// Commits one command.
pub(crate) async fn decide(
    ledgers: &Ledgers,
    tenant: &TenantId,
    command: Command,
) -> Result<Outcome> {
    Ok(ledgers.decide(tenant, command).await?)
}

/// Writes a snapshot, after the one that may be under way.
pub(crate) async fn snapshot(ledgers: &Ledgers) -> Result<()> {
    loop {
        match ledgers.snapshot().await {
            Err(CommitError::Snapshot(SnapshotFailed::UnderWay)) => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            done => return Ok(done?),
        }
    }
}
