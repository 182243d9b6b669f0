//! Workers are renewed while they serve, and doubted: with the real programs.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use redoubt_attestation::encode::sha256;
use redoubt_bank::load::{self, Kind, Plan};
use redoubt_bank::speech::{BASS, wav};
use redoubt_bank::{Bank, random_name};
use redoubt_e2e::appliance::wait_for;
use redoubt_e2e::customer::expect_code;
use redoubt_e2e::memory::copies;
use redoubt_e2e::process::signal;
use redoubt_e2e::{Appliance, Environment, Needs, Options, alone};
use redoubt_enclave::worker_link::canary::{self, Expected};
use redoubt_shared::worker::FrameSample;
use redoubt_worker::manifest::Manifest;
use redoubt_worker::pipeline::{Graphs, Pipeline, Settings};
use redoubt_worker::runtime;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until the host has heard that a counter of the enclave is so high.
fn counts(appliance: &Appliance, name: &str, least: u64) -> Result<u64> {
    wait_for(PATIENCE, name, || {
        let count = appliance.enclave_counter(name).ok()?;
        (count >= least).then_some(count)
    })
}

#[test]
fn workers_are_renewed_under_load_and_no_request_is_refused() {
    let name = "workers_are_renewed_under_load_and_no_request_is_refused";
    alone(
        name,
        Needs::Photographs,
        Options::default(),
        async |appliance| {
            appliance.set_policy(2, |policy| policy["worker_jobs_max"] = json!(20))?;
            let bank = appliance.bank(&appliance.banks.a)?;
            let plan = Plan {
                kind: Kind::Verify,
                clients: 3,
                duration: Duration::from_secs(20),
                media: appliance.environment().media_dir().cloned(),
                receipts: appliance.dir().join("load.jsonl"),
            };
            let running = tokio::spawn(async move { load::run(&bank, &plan).await });
            let (mut seen, mut most) = (BTreeSet::new(), 0);
            while !running.is_finished() {
                let now = appliance.workers()?;
                most = most.max(now.len());
                seen.extend(now);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            let measured = running.await??;
            ensure!(measured.errors.is_empty(), "{measured:?}");
            let renewals = counts(appliance, "worker_renewals", 2)?;
            println!(
                "{} verifications, {renewals} renewals, {} processes, {most} at once",
                measured.ok,
                seen.len()
            );
            ensure!(seen.len() as u64 > renewals, "{seen:?}");
            ensure!((2..=3).contains(&most), "{most} workers at once");
            ensure!(appliance.enclave_counter("worker_renewals_late")? == 0);
            wait_for(PATIENCE, "one worker left", || {
                (appliance.workers().ok()?.len() == 1).then_some(())
            })
        },
    );
}

#[test]
fn two_workers_agree_and_one_that_dies_costs_what_it_had() {
    let name = "two_workers_agree_and_one_that_dies_costs_what_it_had";
    alone(
        name,
        Needs::Photographs,
        Options::default(),
        async |appliance| {
            appliance.set_policy(2, |policy| policy["recompute_one_in"] = json!(1))?;
            let media = appliance.environment().media()?;
            let bank = appliance.bank(&appliance.banks.a)?;
            let user = random_name("customer");
            enrolled(&bank, &user, &media.person).await?;
            ensure!(bank.verify(&user, &media.person_again).await?.result == "verified");
            ensure!(bank.verify(&user, &media.other).await?.result == "rejected");
            expect_code(bank.verify(&user, b"no picture").await, "not_an_image")?;
            let speaker = random_name("customer");
            let said: Vec<_> = (1..=3)
                .map(|seed| wav(&BASS.says(seed), 16_000, 1))
                .collect();
            let said: Vec<&[u8]> = said.iter().map(Vec::as_slice).collect();
            bank.enroll_voice(&speaker, &said).await?;
            // Each was measured twice: three faces, a refusal, three recordings.
            counts(appliance, "worker_recomputed", 7)?;
            ensure!(appliance.enclave_counter("worker_disagreed")? == 0);
            let both = appliance.workers()?;
            ensure!(both.len() == 2, "{both:?}");
            signal(both[0], libc::SIGKILL)?;
            // Nobody is measured by the other alone: they wait for the new one.
            until_verified(&bank, &user, &media.person_again).await?;
            ensure!(appliance.workers()?.len() == 2);
            counts(appliance, "worker_recomputed", 8)?;
            Ok(())
        },
    );
}

/// Enrols as soon as there is a worker.
async fn enrolled(bank: &Bank, user: &str, sample: &[u8]) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        match bank.enroll(user, sample).await {
            Ok(_) => return Ok(()),
            Err(error) if error.status() == Some(503) && Instant::now() < end => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Until workers are there again, which takes a loaded machine some seconds.
async fn until_verified(bank: &Bank, user: &str, sample: &[u8]) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        match bank.verify(user, sample).await {
            Ok(verified) => {
                ensure!(verified.result == "verified", "{verified:?}");
                return Ok(());
            }
            Err(error) if error.status() == Some(503) && Instant::now() < end => {}
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[test]
fn a_worker_that_answers_otherwise_than_another_is_believed_in_nothing() {
    let name = "a_worker_that_answers_otherwise_than_another_is_believed_in_nothing";
    alone(
        name,
        Needs::Photographs,
        Options::default(),
        async |appliance| {
            let media = appliance.environment().media()?;
            let user = random_name("customer");
            let bank = appliance.bank(&appliance.banks.a)?;
            enrolled(&bank, &user, &media.person).await?;
            // The very same program, on a machine that computes otherwise after a while.
            let library = faulty_library(appliance.dir())?;
            let fault = format!("export LD_PRELOAD={}", library.display());
            let faulty = Faulty::write(appliance, &fault, "echo $((1 - n))")?;
            appliance.set_policy(2, |policy| policy["recompute_one_in"] = json!(1))?;
            let bank = appliance.bank(&appliance.banks.a)?;
            let end = Instant::now() + 2 * PATIENCE;
            while appliance.enclave_counter("worker_disagreed").unwrap_or(0) == 0 {
                ensure!(Instant::now() < end, "two workers never disagreed");
                if let Err(error) = bank.verify(&user, &media.person_again).await {
                    expect_code::<()>(Err(error), "worker_unavailable")?;
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            let events = bank
                .get(&format!("/api/v1/audit/events?user_id={user}&limit=500"))
                .await?;
            let text = String::from_utf8_lossy(&events.body).into_owned();
            ensure!(text.contains("worker_disagreed"), "{text}");
            faulty.mend(appliance)?;
            // What was refused spent no attempt: three failures would have locked.
            until_verified(&bank, &user, &media.person_again).await
        },
    );
}

#[test]
fn a_worker_that_measures_the_canaries_otherwise_serves_nobody() {
    let name = "a_worker_that_measures_the_canaries_otherwise_serves_nobody";
    alone(
        name,
        Needs::Photographs,
        Options::default(),
        async |appliance| {
            let media = appliance.environment().media()?;
            let user = random_name("customer");
            let bank = appliance.bank(&appliance.banks.a)?;
            enrolled(&bank, &user, &media.person).await?;
            // The very same program, told to embed each face with its mirror image.
            let faulty = Faulty::write(appliance, "set -- \"$@\" --mirrored", "echo 1")?;
            appliance.set_policy(2, |_| {})?;
            let bank = appliance.bank(&appliance.banks.a)?;
            for _ in 0..4 {
                let answer = bank.verify(&user, &media.person_again).await;
                expect_code(answer, "worker_unavailable")?;
            }
            counts(appliance, "worker_canaries_failed", 1)?;
            ensure!(appliance.enclave_counter("worker_sessions")? == 0);
            faulty.mend(appliance)?;
            until_verified(&bank, &user, &media.person_again).await
        },
    );
}

/// As root, whom the kernel lets read what the process itself declared private.
#[test]
fn nothing_of_a_job_is_found_in_a_worker_afterwards() {
    let name = "nothing_of_a_job_is_found_in_a_worker_afterwards";
    alone(
        name,
        Needs::Photographs,
        Options::default(),
        async |appliance| {
            let media = appliance.environment().media()?;
            let bank = appliance.bank(&appliance.banks.a)?;
            let user = random_name("customer");
            enrolled(&bank, &user, &media.person).await?;
            // Behind the picture's end: decoders look no further, memory holds it as well.
            let marker = random_name("a mark that nothing else in the world bears");
            let sample = [media.person_again.as_slice(), marker.as_bytes()].concat();
            let worker = appliance.worker_pid()?;
            let mut during = 0;
            for _ in 0..20 {
                let jobs = (0..3).map(|_| {
                    let (bank, user, sample) = (bank.clone(), user.clone(), sample.clone());
                    tokio::spawn(async move { bank.verify(&user, &sample).await })
                });
                let jobs: Vec<_> = jobs.collect();
                tokio::time::sleep(Duration::from_millis(30)).await;
                // Stopped, so that it is looked at in the middle of its work.
                signal(worker, libc::SIGSTOP)?;
                let found = copies(worker, marker.as_bytes());
                signal(worker, libc::SIGCONT)?;
                during += found?;
                for job in jobs {
                    ensure!(job.await??.result == "verified");
                }
                if during > 0 {
                    break;
                }
            }
            ensure!(
                during > 0,
                "the search finds nothing even while there is something"
            );
            tokio::time::sleep(Duration::from_millis(500)).await;
            let after = copies(worker, marker.as_bytes())?;
            println!("{during} copies during the jobs, {after} after them");
            ensure!(
                after == 0,
                "{after} copies of a sample stayed in the worker"
            );
            Ok(())
        },
    );
}

/// A script that starts the worker, with a fault where the file beside it says 1.
struct Faulty {
    turn: PathBuf,
}

impl Faulty {
    /// `fault` is done before a start where the file says 1, as it does at the first;
    /// `next` tells what it says after each.
    fn write(appliance: &mut Appliance, fault: &str, next: &str) -> Result<Self> {
        let (script, turn) = (
            appliance.dir().join("worker.sh"),
            appliance.dir().join("turn"),
        );
        let (program, at) = (appliance.program("redoubt-worker"), turn.display());
        let text = format!(
            "#!/bin/sh\n\
             if [ -e {at} ]; then\n\
               read n < {at}; {next} > {at}\n\
               if [ \"$n\" = 1 ]; then {fault}; fi\n\
             fi\n\
             exec {} \"$@\"\n",
            program.display()
        );
        std::fs::write(&turn, "1\n")?;
        std::fs::write(&script, text)?;
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
        appliance.options.worker = Some(script);
        Ok(Self { turn })
    }

    /// From here on every worker is sound, and those that run are ended.
    fn mend(self, appliance: &Appliance) -> Result<()> {
        std::fs::remove_file(&self.turn)?;
        for worker in appliance.workers()? {
            let _ = signal(worker, libc::SIGKILL);
        }
        Ok(())
    }
}

/// A library that computes exponentials wrong once its process is ten seconds old: the
/// box of a face is found elsewhere.
fn faulty_library(folder: &Path) -> Result<PathBuf> {
    let (source, library) = (folder.join("fault.c"), folder.join("fault.so"));
    let text = "#define _GNU_SOURCE\n\
        #include <dlfcn.h>\n\
        #include <time.h>\n\
        static float (*sound)(float);\n\
        static time_t begun;\n\
        static time_t now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec; }\n\
        __attribute__((constructor)) static void begin(void) {\n\
            sound = dlsym(RTLD_NEXT, \"expf\"); begun = now();\n\
        }\n\
        float expf(float x) { return sound(x) * (now() - begun > 10 ? 1.05f : 1.0f); }\n";
    std::fs::write(&source, text)?;
    let made = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .status()?;
    ensure!(made.success(), "cc did not make {}", library.display());
    Ok(library)
}

/// What the enclave expects of the samples it made is what this build's pipeline makes of
/// them. With REDOUBT_WRITE_CANARIES set it is written down instead, which is for whoever
/// changes a model, the manifest or the samples.
#[test]
fn canaries_are_answered_as_the_enclave_expects() -> Result<()> {
    let Some(environment) = Environment::with_media("canaries_are_answered") else {
        return Ok(());
    };
    let manifest = Manifest::open(&environment.manifest(), environment.models())?;
    let onnx = runtime::load(&manifest).map_err(|error| anyhow!("{error}"))?;
    // One runtime for each process.
    let load = |graphs: &Graphs| Ok(Pipeline::load(&onnx, graphs, Settings::default(), &[])?);
    let mut pipeline = load(&Graphs::read(&manifest)?)?;
    pipeline.warm_up()?;
    let measured = sung(&mut pipeline)?;
    let Expected { face, voice, .. } = &measured;
    println!("{:?} live {:?}", face.quality, face.liveness);
    println!("{:?}", voice.quality);
    for frame in measured.frames.iter().flatten() {
        let FrameSample {
            yaw, pitch, eyes, ..
        } = frame;
        println!("yaw {yaw}, pitch {pitch}, eyes {eyes:?}");
    }
    for word in measured.spoken.iter().flat_map(|spoken| &spoken.words) {
        println!("{word:?}");
    }
    if std::env::var_os("REDOUBT_WRITE_CANARIES").is_some() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../enclave");
        let text = serde_json::to_string_pretty(&measured)? + "\n";
        std::fs::write(folder.join("src/worker_link/canary/expected.json"), text)?;
        return Ok(());
    }
    let expected = Expected::built_in();
    ensure!(measured.face.quality.score >= 0.5 && measured.voice.quality.score >= 0.5);
    let both = |one: &Expected| {
        let faces = one.face.embeddings.iter();
        let all: Vec<_> = faces.chain(&one.voice.embeddings).cloned().collect();
        all
    };
    for (seen, known) in both(&measured).iter().zip(&both(expected)) {
        let squares = seen
            .vector
            .iter()
            .zip(&known.vector)
            .map(|(a, b)| (a - b).powi(2));
        let apart = squares.sum::<f32>().sqrt();
        println!("{}: {apart:e} from what is expected", seen.model);
        ensure!(seen.model == known.model && seen.vector.len() == known.vector.len());
        ensure!(apart <= 1e-3, "{}: {apart}", seen.model);
    }
    let measures = |one: &Expected| -> Result<Value> {
        let Expected { face, voice, .. } = one;
        Ok(json!([face.quality, face.liveness, voice.quality]))
    };
    let (seen, known) = (measures(&measured)?, measures(expected)?);
    println!("{seen}");
    near(&seen, &known)?;
    expected
        .is_met_by(&measured)
        .map_err(|what| anyhow!("another {what}"))?;
    broken_ones_are_found(&environment, load)
}

/// What this build's pipeline makes of all canaries.
fn sung(pipeline: &mut Pipeline) -> Result<Expected> {
    let soon = Instant::now() + 4 * PATIENCE;
    let refused = |why| anyhow!("a canary was refused: {why:?}");
    let mut began = Instant::now();
    let mut lap = |what: &str| {
        println!("{what}: {:.0?}", began.elapsed());
        began = Instant::now();
    };
    let (face, _) = pipeline.face(canary::picture(), true, soon);
    lap("face");
    let (voice, _) = pipeline.voice(canary::recording(), soon);
    lap("voice");
    let (spoken, _) = pipeline.spoken(canary::reading(), soon);
    lap("digits");
    let frames = pipeline.frames(&canary::film(), false, soon);
    lap("frames");
    let mut frames = frames.map_err(|refusal| refused(refusal.why))?;
    frames.truncate(2);
    Ok(Expected {
        face: face.map_err(refused)?,
        voice: voice.map_err(refused)?,
        frames: <[FrameSample; 2]>::try_from(frames).ok(),
        spoken: Some(spoken.map_err(refused)?),
    })
}

/// Any of the networks and the head that only moves and digits need, with numbers that are
/// not its own, is found.
fn broken_ones_are_found(
    environment: &Environment,
    load: impl Fn(&Graphs) -> Result<Pipeline>,
) -> Result<()> {
    let text = std::fs::read_to_string(environment.manifest())?;
    for (name, broken) in [
        ("faceplugin_landmark.onnx", zeroed as fn(&mut [u8])),
        ("faceplugin_eye.onnx", zeroed),
        ("faceplugin_pose.onnx", zeroed),
        ("speech_spectrogram.onnx", zeroed),
        ("speech_embedding.onnx", zeroed),
        ("spoken-digits.txt", renumbered),
    ] {
        let folder = tempfile::tempdir()?;
        for entry in std::fs::read_dir(environment.models())? {
            let entry = entry?;
            std::os::unix::fs::symlink(entry.path(), folder.path().join(entry.file_name()))?;
        }
        let file = folder.path().join(name);
        let sound = std::fs::read(&file)?;
        let mut bytes = sound.clone();
        broken(&mut bytes);
        ensure!(
            bytes != sound && bytes.len() == sound.len(),
            "{name} is whole"
        );
        std::fs::remove_file(&file)?;
        std::fs::write(&file, &bytes)?;
        // Its digest is not what is tried here.
        let digest = |bytes: &[u8]| sha256(&[bytes]).to_string();
        let bent = text.replace(&digest(&sound), &digest(&bytes));
        ensure!(bent != text, "{name} is not in the manifest");
        let manifest = folder.path().join("models.toml");
        std::fs::write(&manifest, bent)?;
        let manifest = Manifest::open(&manifest, folder.path())?;
        let mut pipeline = load(&Graphs::read(&manifest)?)?;
        match sung(&mut pipeline) {
            Ok(measured) => match Expected::built_in().is_met_by(&measured) {
                Ok(()) => bail!("{name}: nothing was found"),
                Err(measure) => println!("{name} broken: another {measure}"),
            },
            Err(refused) => println!("{name} broken: {refused}"),
        }
    }
    Ok(())
}

/// A kilobyte of weights in the middle of a file is lost.
fn zeroed(file: &mut [u8]) {
    let middle = file.len() / 2;
    file[middle - 512..middle + 512].fill(0);
}

/// Each tenth of its digits is another.
fn renumbered(file: &mut [u8]) {
    let digits = file.iter_mut().filter(|byte| byte.is_ascii_digit());
    for digit in digits.skip(300).step_by(10) {
        *digit = b'0' + (*digit - b'0' + 5) % 10;
    }
}

/// Every number within a hundredth of what is known, or of its size where that is above one.
fn near(seen: &Value, known: &Value) -> Result<()> {
    match (seen, known) {
        (Value::Array(seen), Value::Array(known)) => {
            ensure!(seen.len() == known.len());
            let mut both = seen.iter().zip(known);
            both.try_for_each(|(seen, known)| near(seen, known))
        }
        (Value::Object(seen), Value::Object(known)) => {
            ensure!(seen.keys().eq(known.keys()));
            let mut both = seen.values().zip(known.values());
            both.try_for_each(|(seen, known)| near(seen, known))
        }
        _ => {
            let both = seen.as_f64().zip(known.as_f64());
            let (seen, known) = both.with_context(|| format!("{seen} and {known}"))?;
            let size = seen.abs().max(known.abs()).max(1.0);
            ensure!(
                (seen - known).abs() <= 0.01 * size,
                "{seen} where {known} is known"
            );
            Ok(())
        }
    }
}
