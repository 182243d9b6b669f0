//! The session's rules, without models: proof first, bounded queue, no crash on
//! anything a peer may send.

mod common;

use std::sync::Arc;

use common::client::connect;
use proptest::prelude::*;
use redoubt_attestation::attester::{EmulatedAttester, emulated_root};
use redoubt_attestation::binding::{Backend, NonceInput, WorkerBinding, user_data};
use redoubt_attestation::document::Document;
use redoubt_attestation::encode::Digest32;
use redoubt_attestation::genesis::Tier;
use redoubt_shared::limits::JOBS_IN_FLIGHT;
use redoubt_shared::worker::{SampleRefusal, WorkerRequest, WorkerResponse};
use redoubt_shared::{JobId, decode, encode, read_frame, write_frame};
use redoubt_worker::session::{Identity, Job, Queue, SessionError, serve};
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
use tokio_rustls::client::TlsStream;

fn identity() -> Identity {
    let (certificate, key) = emulated_root("worker test").unwrap();
    let attester = EmulatedAttester::dangerous_new(&certificate, &key, b"program", 0).unwrap();
    let bind = |spki| WorkerBinding::new(Tier::Process, Digest32([7; 32]), Backend::Cpu, spki);
    Identity::generate(Box::new(attester), bind).unwrap()
}

fn job(number: u8) -> WorkerRequest {
    WorkerRequest::Face {
        job: JobId::from_bytes([number; 16]),
        deadline_ms: 1000,
        liveness: false,
        image: vec![number; 100],
    }
}

/// Runs `client` against a session whose jobs nobody takes.
async fn against<F>(
    client: impl FnOnce(TlsStream<DuplexStream>, [u8; 32]) -> F,
) -> Result<(), SessionError>
where
    F: Future<Output = ()>,
{
    let (ours, theirs) = duplex(64 * 1024);
    let identity = identity();
    let queue: Arc<Queue<Job>> = Arc::default();
    let client = async {
        let (stream, exporter) = connect(ours).await.unwrap();
        client(stream, exporter).await;
    };
    tokio::join!(serve(theirs, &identity, &queue), client).0
}

async fn prove(stream: &mut TlsStream<DuplexStream>, nonce: [u8; 32]) -> (Vec<u8>, Vec<u8>) {
    write_frame(stream, &WorkerRequest::Prove { nonce })
        .await
        .unwrap();
    match read_frame(stream).await.unwrap() {
        WorkerResponse::Evidence { document, preimage } => (document, preimage),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn evidence_is_bound_to_the_asking_session() {
    let ended = against(async |mut stream, exporter| {
        let nonce = [3; 32];
        let (document, preimage) = prove(&mut stream, nonce).await;
        let document = Document::parse(&document).unwrap();
        let binding = WorkerBinding::parse(&preimage).unwrap();
        let bound = NonceInput::Session {
            client_nonce: &nonce,
            exporter: &exporter,
        };
        assert_eq!(document.nonce.unwrap(), bound.hash().0);
        assert_eq!(document.user_data.unwrap(), user_data(&preimage));
        assert_eq!(document.public_key.unwrap(), binding.tls_spki);
        let (_, session) = stream.get_ref();
        let group = session.negotiated_key_exchange_group().unwrap().name();
        assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);
        stream.shutdown().await.unwrap();
    });
    ended.await.unwrap();
}

#[tokio::test]
async fn a_job_before_the_proof_ends_the_session() {
    let ended = against(async |mut stream, _| {
        write_frame(&mut stream, &job(1)).await.unwrap();
        assert!(read_frame::<WorkerResponse, _>(&mut stream).await.is_err());
    });
    assert!(matches!(ended.await, Err(SessionError::Unproven)));
}

#[tokio::test]
async fn jobs_beyond_the_queue_are_refused_as_busy() {
    let ended = against(async |mut stream, _| {
        prove(&mut stream, [0; 32]).await;
        for number in 0..=JOBS_IN_FLIGHT as u8 {
            write_frame(&mut stream, &job(number)).await.unwrap();
        }
        let refused = WorkerResponse::Face {
            job: JobId::from_bytes([JOBS_IN_FLIGHT as u8; 16]),
            outcome: Err(SampleRefusal::Busy),
        };
        let answer: WorkerResponse = read_frame(&mut stream).await.unwrap();
        assert_eq!(answer, refused);
        stream.shutdown().await.unwrap();
    });
    ended.await.unwrap();
}

#[tokio::test]
async fn a_peer_that_speaks_no_tls_ends_the_session_with_an_error() {
    let (mut ours, theirs) = duplex(4096);
    let (identity, queue) = (identity(), Arc::default());
    let client = async {
        ours.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        drop(ours);
    };
    let (ended, ()) = tokio::join!(serve(theirs, &identity, &queue), client);
    assert!(matches!(ended, Err(SessionError::Stream(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn any_bytes_are_one_canonical_request_or_refused(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(request) = decode::<WorkerRequest>(&body) {
            prop_assert_eq!(&encode(&request).unwrap()[4..], &body[..]);
        }
    }

    #[test]
    fn a_request_with_a_byte_changed_never_reads_as_the_same(at in 0usize..120, change in 1u8..) {
        let mut frame = encode(&job(9)).unwrap().split_off(4);
        let at = at % frame.len();
        frame[at] ^= change;
        prop_assert_ne!(decode::<WorkerRequest>(&frame).ok(), Some(job(9)));
    }
}

#[test]
fn whatever_a_peer_sends_inside_the_session_ends_it_without_a_crash() {
    let reactor = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let strategy = proptest::collection::vec(any::<u8>(), 1..300);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(40));
    let outcome = runner.run(&strategy, |bytes| {
        let ended = reactor.block_on(against(async |mut stream, _| {
            prove(&mut stream, [0; 32]).await;
            stream.write_all(&bytes).await.unwrap();
            let _ = stream.shutdown().await;
        }));
        // No frame, or one cut short; random bytes are no whole request.
        prop_assert!(matches!(ended, Ok(()) | Err(SessionError::Frame(_))));
        Ok(())
    });
    outcome.unwrap();
}
