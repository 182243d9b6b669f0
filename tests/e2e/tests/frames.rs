//! Noise, lies and half-truths on both sides of every stream.
//!
//! The parts must survive or close cleanly, and go on serving. A hostile store
//! may make the enclave halt: it would rather stop than answer from a state it
//! cannot prove; then a restart with an honest store serves again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use redoubt_e2e::appliance::wait_for;
use redoubt_e2e::mangler::{Mangler, Mischief, Noise};
use redoubt_e2e::{Appliance, Customer, Environment, Needs, Options, alone, behaviour};
use redoubt_shared::LedgerId;
use redoubt_shared::frame;
use redoubt_shared::store::{Numbered, StoreRequest, StoredRecord};
use redoubt_shared::supervise::SuperviseRequest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

const ROUNDS: usize = 150;
const PATIENCE: Duration = Duration::from_secs(20);

/// A customer registers and logs in; tried until it works, for a while.
async fn serves(appliance: &Appliance) -> Result<()> {
    let bank = appliance.bank(&appliance.banks.a)?;
    let mut last = None;
    // The store may hold one answer back for half a minute.
    for _ in 0..240 {
        let tried = async {
            let mut customer = Customer::registered(&bank, &appliance.banks.a).await?;
            customer.login(&bank).await?;
            anyhow::Ok(())
        };
        match tried.await {
            Ok(()) => return Ok(()),
            Err(error) => last = Some(error),
        }
        if appliance.phase().is_ok_and(|phase| phase == "halted") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    Err(last.context("no attempt was made")?).context("no longer serves")
}

/// Random bytes, mutations of valid frames, and lies about lengths.
fn hostile_bytes(noise: &mut Noise, valid: &[Vec<u8>]) -> Vec<u8> {
    let length = 1 + noise.below(400);
    match noise.below(6) {
        0 => noise.bytes(length),
        1 => {
            let declared = (noise.word() as u32) | 0x0100_0000;
            let mut bytes = declared.to_be_bytes().to_vec();
            bytes.extend(noise.bytes(length));
            bytes
        }
        2 => {
            let mut bytes = (length as u32).to_be_bytes().to_vec();
            bytes.extend(noise.bytes(length));
            bytes
        }
        choice => {
            let mut bytes = valid[noise.below(valid.len())].clone();
            match choice {
                3 => {
                    let at = noise.below(bytes.len());
                    bytes[at] ^= 1 << noise.below(8);
                }
                4 => bytes.truncate(1 + noise.below(bytes.len())),
                _ => {
                    let at = noise.below(bytes.len());
                    let extra = noise.bytes(1 + length / 8);
                    bytes.splice(at..at, extra);
                }
            }
            bytes
        }
    }
}

/// Says the bytes, hears the other side out for a moment, hangs up.
async fn say(stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin, bytes: &[u8]) {
    let mut stream = stream;
    let _ = stream.write_all(bytes).await;
    let mut answer = [0; 4096];
    let patience = Duration::from_millis(15);
    let _ = tokio::time::timeout(patience, stream.read(&mut answer)).await;
}

async fn assault_unix(path: &Path, seed: u64, valid: &[Vec<u8>]) -> Result<()> {
    let mut noise = Noise::new(seed);
    for _ in 0..ROUNDS {
        let bytes = hostile_bytes(&mut noise, valid);
        let stream = UnixStream::connect(path)
            .await
            .with_context(|| format!("{} takes no more streams", path.display()))?;
        say(stream, &bytes).await;
    }
    Ok(())
}

fn still_there(appliance: &mut Appliance) -> Result<()> {
    ensure!(appliance.enclave_is_alive(), "the enclave died");
    ensure!(appliance.host_is_alive(), "the host died");
    Ok(())
}

/// A TLS record that begins a handshake, to be mutated.
fn hello_like() -> Vec<u8> {
    let mut hello = vec![0x16, 3, 1, 0, 0x64, 1, 0, 0, 0x60, 3, 3];
    hello.extend_from_slice(&[7; 94]);
    hello
}

fn store_requests() -> Vec<Vec<u8>> {
    let ledger = LedgerId::from_bytes([0xee; 16]);
    let requests = [
        StoreRequest::Boot,
        StoreRequest::Heads,
        StoreRequest::Read {
            ledger,
            from: 0,
            limit: 7,
        },
        // Never the next record of any ledger.
        StoreRequest::Append {
            records: vec![StoredRecord {
                ledger,
                index: 1 << 40,
                bytes: vec![1; 200],
            }],
        },
    ];
    (1..)
        .zip(requests)
        .map(|(number, body)| frame::encode(&Numbered { number, body }).expect("requests encode"))
        .collect()
}

#[test]
fn noise_at_every_listening_socket_is_survived() {
    let name = "noise_at_every_listening_socket_is_survived";
    alone(
        name,
        Needs::Programs,
        Options::default(),
        async |appliance| {
            serves(appliance).await?;
            let status = vec![frame::encode(&SuperviseRequest::Status)?];
            let streams: [(&str, Vec<Vec<u8>>); 4] = [
                ("ingress", vec![hello_like()]),
                ("supervise", status),
                ("store", store_requests()),
                ("worker", vec![hello_like()]),
            ];
            for (seed, (stream, valid)) in streams.into_iter().enumerate() {
                println!("assault on {stream}");
                let path = appliance.stream('e', stream);
                assault_unix(&path, seed as u64 + 1, &valid).await?;
                still_there(appliance)?;
                serves(appliance)
                    .await
                    .with_context(|| format!("after {stream}"))?;
            }
            Ok(())
        },
    );
}

#[test]
fn noise_from_the_network_is_survived() {
    let name = "noise_from_the_network_is_survived";
    alone(
        name,
        Needs::Programs,
        Options::default(),
        async |appliance| {
            let mut noise = Noise::new(77);
            for _ in 0..ROUNDS {
                let bytes = hostile_bytes(&mut noise, &[hello_like()]);
                let stream = TcpStream::connect(("127.0.0.1", appliance.port())).await?;
                say(stream, &bytes).await;
            }
            still_there(appliance)?;
            serves(appliance).await
        },
    );
}

#[test]
fn a_frame_that_declares_too_much_is_closed_at_once() {
    let name = "a_frame_that_declares_too_much_is_closed_at_once";
    alone(
        name,
        Needs::Programs,
        Options::default(),
        async |appliance| {
            for stream in ["supervise", "store"] {
                for declared in [0u32, u32::MAX, 17 * 1024 * 1024] {
                    let path = appliance.stream('e', stream);
                    let mut peer = UnixStream::connect(path).await?;
                    peer.write_all(&declared.to_be_bytes()).await?;
                    let mut rest = Vec::new();
                    let closed = tokio::time::timeout(PATIENCE, peer.read_to_end(&mut rest)).await;
                    ensure!(closed.is_ok(), "{stream} waits for {declared} bytes");
                }
            }
            serves(appliance).await
        },
    );
}

/// The relays of an interposed appliance, by stream.
struct Relays(Vec<(&'static str, Mangler)>);

impl Relays {
    /// The near side of a stream is the one that connects.
    fn between(appliance: &Appliance) -> Result<Self> {
        let path = |side: char, stream: &str| -> PathBuf { appliance.stream(side, stream) };
        let relays = [
            ("ingress", 'h', 'e'),
            ("supervise", 'h', 'e'),
            ("store", 'e', 'h'),
            ("worker", 'e', 'h'),
        ];
        let relays = relays.into_iter().map(|(stream, near, far)| {
            Ok((
                stream,
                Mangler::between(&path(near, stream), &path(far, stream))?,
            ))
        });
        Ok(Self(relays.collect::<Result<_>>()?))
    }

    fn stop_all(&self) {
        for (_, relay) in &self.0 {
            relay.forth(Mischief::None);
            relay.back(Mischief::None);
        }
    }
}

#[test]
fn a_hostile_relay_in_any_stream_is_survived() {
    let name = "a_hostile_relay_in_any_stream_is_survived";
    let Some(environment) = Environment::with_media(name) else {
        return;
    };
    let outcome = behaviour::runtime().block_on(hostile_relays(&environment));
    outcome.unwrap_or_else(|error| panic!("{error:?}"));
}

async fn hostile_relays(environment: &Environment) -> Result<()> {
    let options = Options {
        interposed: true,
        ..Options::default()
    };
    let media = environment.media()?;
    let mut appliance = Appliance::prepare(environment, options)?;
    let relays = Relays::between(&appliance)?;
    appliance.keep_on_failure(|appliance| appliance.bring_up())?;
    let outcome = harm_every_stream(&mut appliance, &relays, &media.person).await;
    if outcome.is_err() {
        appliance.keep_files();
    }
    outcome
}

async fn harm_every_stream(
    appliance: &mut Appliance,
    relays: &Relays,
    sample: &[u8],
) -> Result<()> {
    for (stream, relay) in &relays.0 {
        for mischief in Mischief::HARM {
            for direction in 0..2 {
                let before = relay.harmed();
                let switch = |mischief| match direction {
                    0 => relay.forth(mischief),
                    _ => relay.back(mischief),
                };
                switch(mischief);
                disturbed_customer(appliance, sample).await?;
                // Nobody asks these two at will: a poll or a reconnection comes in its time.
                if matches!(*stream, "supervise" | "worker") {
                    wait_for(PATIENCE, "a disturbed stream", || {
                        (relay.harmed() != before).then_some(())
                    })?;
                }
                relays.stop_all();
                ensure!(relay.harmed() != before, "{stream}: nothing was disturbed");
                println!("{stream} {mischief:?} direction {direction}");
                recovers(appliance, stream)
                    .await
                    .with_context(|| format!("after {mischief:?} in {stream}, way {direction}"))?;
            }
        }
    }
    Ok(())
}

/// Uses every stream; whatever it gets for it is the relay's doing.
async fn disturbed_customer(appliance: &Appliance, sample: &[u8]) -> Result<()> {
    let bank = appliance.bank(&appliance.banks.a)?;
    let bank = bank.with_deadline(Duration::from_secs(1));
    let tenant = &appliance.banks.a;
    if let Ok(mut customer) = Customer::registered(&bank, tenant).await {
        let _ = customer.login(&bank).await;
    }
    let user = redoubt_bank::random_name("customer");
    if let Ok(enrolment) = bank.enroll_initiate(&user, true).await {
        let _ = bank.enroll_submit(&enrolment, sample).await;
    }
    Ok(())
}

/// Serves again, if need be after a restart: an enclave that a lying store made
/// halt stays halted. The lie may come out only at a later request, as when an
/// answer said twice was taken for the answer to the next question.
async fn recovers(appliance: &mut Appliance, stream: &str) -> Result<()> {
    ensure!(appliance.host_is_alive(), "the host died");
    ensure!(appliance.enclave_is_alive(), "the enclave died");
    let Err(error) = serves(appliance).await else {
        return Ok(());
    };
    ensure!(stream == "store", error);
    ensure!(appliance.enclave_is_alive(), "the enclave died");
    let phase = appliance.phase()?;
    ensure!(phase == "halted", "{phase}: {error:#}");
    println!("  halted over a lying store; restarted");
    appliance.kill_all()?;
    appliance.bring_up()?;
    serves(appliance).await
}
