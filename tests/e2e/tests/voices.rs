//! Enrolment and verification of voices: speakers made by a formula, and people of
//! REDOUBT_DATA (`librispeech`: a folder of FLAC files for each) where it is set.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use redoubt_bank::api::{Verification, verify_body};
use redoubt_bank::speech::{BASS, CHILD, wav, wav_of_floats};
use redoubt_bank::{Bank, BankError, random_name};
use redoubt_e2e::customer::{Customer, expect_code, payment};
use redoubt_e2e::{Appliance, Needs, Options, Shared, alone, shared};
use serde_json::{Value, json};

static APPLIANCE: Shared = Shared::new();

/// Recordings of one speaker, and one of another.
struct Voices {
    person: Vec<Vec<u8>>,
    other: Vec<u8>,
}

impl Voices {
    fn made() -> Self {
        let says = |seed| wav(&BASS.says(seed), 16_000, 1);
        Self {
            person: (1..=5).map(says).collect(),
            other: wav(&CHILD.says(9), 16_000, 1),
        }
    }

    /// Of people, where there are any.
    fn recorded() -> Result<Option<Self>> {
        let Some(data) = std::env::var_os("REDOUBT_DATA") else {
            println!("skipped for people's recordings: REDOUBT_DATA is not set");
            return Ok(None);
        };
        let root = PathBuf::from(data).join("librispeech");
        let mut speakers: Vec<_> = std::fs::read_dir(&root)
            .with_context(|| root.display().to_string())?
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<_>>()?;
        speakers.sort();
        let read = |speaker: &PathBuf| -> Result<Vec<Vec<u8>>> {
            let entries = std::fs::read_dir(speaker)?;
            let mut files: Vec<_> = entries.map(|e| Ok(e?.path())).collect::<Result<_>>()?;
            files.sort();
            let five = files.iter().take(5);
            five.map(|file| Ok(std::fs::read(file)?)).collect()
        };
        let [one, another, ..] = &speakers[..] else {
            anyhow::bail!("{}: fewer than two speakers", root.display())
        };
        Ok(Some(Self {
            person: read(one)?,
            other: read(another)?.swap_remove(0),
        }))
    }

    fn three(&self) -> [&[u8]; 3] {
        [&self.person[0], &self.person[1], &self.person[2]]
    }
}

fn on_appliance(test: &str, behaviour: impl AsyncFnOnce(&Appliance) -> Result<()>) {
    shared(&APPLIANCE, test, Needs::Programs, behaviour);
}

/// Deletes with the path's own answer.
async fn delete(bank: &Bank, path: &str) -> Result<Value, BankError> {
    bank.delete(path).await?.read()
}

async fn stats(bank: &Bank, user: &str) -> Result<Value, BankError> {
    bank.get(&format!("/api/v1/stats/{user}")).await?.read()
}

#[test]
fn the_same_speaker_is_verified_and_another_is_rejected() {
    let test = "the_same_speaker_is_verified_and_another_is_rejected";
    on_appliance(test, async |appliance| {
        let bank = appliance.bank(&appliance.banks.a)?;
        for voices in [Some(Voices::made()), Voices::recorded()?]
            .into_iter()
            .flatten()
        {
            let user = random_name("customer");
            let enrolled = bank.enroll_voice(&user, &voices.three()).await?;
            ensure!(enrolled.modality == "voice" && enrolled.status == "completed");
            ensure!(enrolled.embedding_version == "campplus-zh-en-common-of-3");
            ensure!((0.5..=1.0).contains(&enrolled.quality_score));
            for (sample, expected, score) in [
                (&voices.person[3], "verified", 0.6),
                (&voices.other, "rejected", 0.0),
                (&voices.person[4], "verified", 0.6),
                // Nothing here knows a recording that was played before.
                (&voices.person[4], "verified", 0.6),
            ] {
                let verification = bank.verify_voice(&user, sample).await?;
                ensure!(verification.result == expected, "{verification:?}");
                ensure!(verification.modality == "voice");
                ensure!((verification.confidence_score - score).abs() < 1e-6);
                let claims = verification.receipt["claims"].as_str().context("claims")?;
                let claims: Value = serde_json::from_str(claims)?;
                ensure!(claims["modality"] == "voice" && claims["liveness"] == "not_evaluated");
                ensure!(claims["model"] == "campplus-zh-en-common-of-3");
            }
            listed_and_erased(&bank, &user, &voices).await?;
        }
        Ok(())
    });
}

async fn listed_and_erased(bank: &Bank, user: &str, voices: &Voices) -> Result<()> {
    let shown = stats(bank, user).await?;
    ensure!(shown["enrolled"][0]["modality"] == "voice", "{shown}");
    ensure!(shown["verifications"] == 3 && shown["verifications_rejected"] == 1);
    let path = format!("/api/v1/verify/history/{user}");
    let history: Value = bank.get(&path).await?.read()?;
    ensure!(history["attempts"][0]["modality"] == "voice", "{history}");
    let face = format!("/api/v1/enroll/{user}/facial");
    expect_code(delete(bank, &face).await, "not_enrolled")?;
    let erased = delete(bank, &format!("/api/v1/enroll/{user}/voice")).await?;
    ensure!(erased["status"] == "pending-epoch", "{erased}");
    let again = bank.verify_voice(user, &voices.person[3]).await?;
    ensure!(again.result == "rejected", "{again:?}");
    ensure!(stats(bank, user).await?["enrolled"] == json!([]));
    Ok(())
}

#[test]
fn a_template_needs_three_recordings_that_sound_like_one_person() {
    let test = "a_template_needs_three_recordings_that_sound_like_one_person";
    on_appliance(test, async |appliance| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let user = random_name("customer");
        let voices = Voices::made();
        let [one, two, three] = voices.three();
        // The same samples in another file are the same recording.
        let twice = |sample| [sample, sample];
        let both: Vec<f32> = BASS.says(1).into_iter().flat_map(twice).collect();
        let copied = wav(&both, 16_000, 2);
        for (recordings, code) in [
            (vec![one, two, &voices.other[..]], "recordings_differ"),
            (vec![one, two, one], "recording_repeated"),
            (vec![one, two, &copied[..]], "recording_repeated"),
            (vec![one], "sample_count"),
            (vec![one, two], "sample_count"),
        ] {
            expect_code(bank.enroll_voice(&user, &recordings).await, code)?;
        }
        let unwilling = bank.enroll_initiate_with(&user, "voice", false).await;
        expect_code(unwilling, "consent_required")?;
        ensure!(bank.verify_voice(&user, one).await?.result == "rejected");
        let face = bank.enroll_initiate(&user, true).await?;
        let heard = bank.enroll_submit_all(&face, &[one, two, three]).await;
        expect_code(heard, "sample_count")?;
        let heard = bank.enroll_submit_all(&face, &[one]).await;
        expect_code(heard, "not_an_image")?;
        // An enrolment that was refused takes the next recordings.
        let enrolment = bank.enroll_initiate_with(&user, "voice", true).await?;
        let noisy = bank
            .enroll_submit_all(&enrolment, &[one, b"no", three])
            .await;
        let Err(BankError::Refused { problem, .. }) = noisy else {
            anyhow::bail!("a letter was enrolled: {noisy:?}")
        };
        ensure!(problem.code == "not_audio", "{problem:?}");
        let told = problem.detail.as_ref().and_then(Value::as_str);
        ensure!(
            told.is_some_and(|told| told.starts_with("Recording 2: ")),
            "{problem:?}"
        );
        bank.enroll_submit_all(&enrolment, &[one, two, three])
            .await?;
        Ok(())
    });
}

/// A recording for each refusal of the worker.
fn spoiled() -> Vec<(&'static str, Vec<u8>)> {
    let good = BASS.says(7);
    let scaled = |by: f32| good.iter().map(|sample| sample * by).collect::<Vec<_>>();
    let hiss = |at: usize| {
        let mixed = (at as u32).wrapping_mul(2_654_435_761) >> 16;
        0.2 * (mixed as f32 / 32_768.0 - 1.0)
    };
    let noisy = good
        .iter()
        .enumerate()
        .map(|(at, sample)| sample + hiss(at));
    let syllable = [vec![0.0; 8000], good[..2600].to_vec(), vec![0.0; 8000]].concat();
    vec![
        ("not_audio", b"This is a letter to the bank.".repeat(40)),
        ("audio_not_supported", wav(&good[..30_000], 16_000, 3)),
        ("recording_too_long", wav(&vec![0.1; 8000 * 61], 8000, 1)),
        (
            "recording_broken",
            wav_of_floats(&[f32::NAN; 16_000], 16_000),
        ),
        ("recording_silent", wav(&[0.0; 32_000], 16_000, 1)),
        ("recording_clipped", wav(&scaled(40.0), 16_000, 1)),
        ("too_little_speech", wav(&syllable, 16_000, 1)),
        ("too_quiet", wav_of_floats(&scaled(0.003), 16_000)),
        ("too_noisy", wav(&noisy.collect::<Vec<_>>(), 16_000, 1)),
    ]
}

#[test]
fn each_bad_recording_gets_its_own_refusal_and_costs_no_attempt() {
    let test = "each_bad_recording_gets_its_own_refusal_and_costs_no_attempt";
    on_appliance(test, async |appliance| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let (user, voices) = (random_name("customer"), Voices::made());
        bank.enroll_voice(&user, &voices.three()).await?;
        for (code, recording) in spoiled() {
            expect_code(bank.verify_voice(&user, &recording).await, code)?;
            let [one, two, _] = voices.three();
            let stranger = random_name("customer");
            let enrolled = bank.enroll_voice(&stranger, &[one, two, &recording]).await;
            expect_code(enrolled, code)?;
        }
        ensure!(stats(&bank, &user).await?["failures"] == 0);
        let verification = bank.verify_voice(&user, &voices.person[3]).await?;
        ensure!(verification.result == "verified");
        Ok(())
    });
}

#[test]
fn another_tenant_cannot_verify_against_a_voice() {
    on_appliance(
        "another_tenant_cannot_verify_against_a_voice",
        async |appliance| {
            let a = appliance.bank(&appliance.banks.a)?;
            let b = appliance.bank(&appliance.banks.b)?;
            let (user, voices) = (random_name("customer"), Voices::made());
            a.enroll_voice(&user, &voices.three()).await?;
            let sample = &voices.person[3];
            ensure!(b.verify_voice(&user, sample).await?.result == "rejected");
            let erased = delete(&b, &format!("/api/v1/enroll/{user}/voice")).await;
            expect_code(erased, "not_enrolled")?;
            let enrolment = a.enroll_initiate_with(&user, "voice", true).await?;
            let taken = b.enroll_submit_all(&enrolment, &voices.three()).await;
            expect_code(taken, "unknown_enrollment")?;
            ensure!(a.verify_voice(&user, sample).await?.result == "verified");
            Ok(())
        },
    );
}

#[test]
fn a_voice_does_not_stand_for_a_face() {
    on_appliance("a_voice_does_not_stand_for_a_face", async |appliance| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let voices = Voices::made();
        let mut customer = Customer::new(&appliance.banks.a)?;
        customer.register(&bank).await?;
        bank.enroll_voice(&customer.id, &voices.three()).await?;
        let heard = bank.verify(&customer.id, &voices.person[3]).await;
        expect_code(heard, "not_an_image")?;
        // An approval that asks for a face needs one, and takes nothing else.
        let body = json!({"user_id": customer.id, "transaction": payment("10.00"),
            "factors": ["passkey", "face"]});
        let asked: Result<Value, _> = bank.post("/api/v1/approvals", &body).await?.read();
        expect_code(asked, "not_enrolled")?;
        Ok(())
    });
}

#[test]
fn thirty_parallel_strangers_get_three_comparisons_and_lock_the_face_too() {
    let test = "thirty_parallel_strangers_get_three_comparisons_and_lock_the_face_too";
    shared(&APPLIANCE, test, Needs::Photographs, async |appliance| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let media = appliance.environment().media()?;
        let (user, voices) = (random_name("customer"), Voices::made());
        bank.enroll(&user, &media.person).await?;
        bank.enroll_voice(&user, &voices.three()).await?;
        let mut asked = tokio::task::JoinSet::new();
        for _ in 0..30 {
            let (bank, user) = (appliance.bank(&appliance.banks.a)?, user.clone());
            let other = voices.other.clone();
            asked.spawn(async move { bank.verify_voice(&user, &other).await });
        }
        let mut compared = 0;
        for outcome in asked.join_all().await {
            match outcome {
                Ok(verification) => {
                    ensure!(verification.result == "rejected", "{verification:?}");
                    compared += 1;
                }
                Err(BankError::Refused { problem, .. }) => {
                    let known = ["attempts_in_progress", "account_locked"];
                    ensure!(known.contains(&problem.code.as_str()), "{problem:?}");
                }
                Err(error) => return Err(error.into()),
            }
        }
        ensure!(compared == 3, "{compared} comparisons");
        let right = bank.verify_voice(&user, &voices.person[3]).await;
        expect_code(right, "account_locked")?;
        expect_code(bank.verify(&user, &media.person).await, "account_locked")
    });
}

#[test]
fn a_voice_that_matches_gives_back_no_attempt_of_a_face() {
    let test = "a_voice_that_matches_gives_back_no_attempt_of_a_face";
    shared(&APPLIANCE, test, Needs::Photographs, async |appliance| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let media = appliance.environment().media()?;
        let (user, voices) = (random_name("customer"), Voices::made());
        bank.enroll(&user, &media.person).await?;
        bank.enroll_voice(&user, &voices.three()).await?;
        for attempt in 1..=3 {
            let face = bank.verify(&user, &media.other).await?;
            ensure!(face.result == "rejected");
            let locked = face.action_taken == "account_locked";
            ensure!(locked == (attempt == 3), "attempt {attempt}");
            if !locked {
                let voice = bank.verify_voice(&user, &voices.person[3]).await?;
                ensure!(voice.result == "verified", "{voice:?}");
            }
        }
        Ok(())
    });
}

#[test]
fn an_approval_that_asks_for_a_face_takes_no_voice() {
    let test = "an_approval_that_asks_for_a_face_takes_no_voice";
    shared(&APPLIANCE, test, Needs::Photographs, async |appliance| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let media = appliance.environment().media()?;
        let voices = Voices::made();
        let customer = Customer::registered(&bank, &appliance.banks.a).await?;
        bank.enroll(&customer.id, &media.person).await?;
        bank.enroll_voice(&customer.id, &voices.three()).await?;
        let asked = json!({"user_id": customer.id, "transaction": payment("10.00"),
            "factors": ["passkey", "face"]});
        let asked: Value = bank.post("/api/v1/approvals", &asked).await?.read()?;
        let id = asked["approval_id"].as_str().context("approval_id")?;
        let path = format!("/api/v1/approvals/{id}/face");
        let mut body = verify_body(&customer.id, &voices.person[3]);
        body["modality"] = json!("voice");
        let heard: Result<Value, _> = bank.post(&path, &body).await?.read();
        expect_code(heard, "unsupported_modality")?;
        let body = verify_body(&customer.id, &media.person_again);
        let seen: Value = bank.post(&path, &body).await?.read()?;
        ensure!(seen["result"] == "verified", "{seen}");
        Ok(())
    });
}

/// Once a worker that was just started is there, which takes as long as the machine does.
async fn patiently(bank: &Bank, user: &str, sample: &[u8]) -> Result<Verification> {
    let until = Instant::now() + Duration::from_secs(120);
    loop {
        match bank.verify_voice(user, sample).await {
            Err(BankError::Refused { problem, .. })
                if problem.code == "worker_unavailable" && Instant::now() < until => {}
            outcome => return Ok(outcome?),
        }
    }
}

#[test]
fn voices_outlive_a_crash() {
    let options = Options::default();
    alone(
        "voices_outlive_a_crash",
        Needs::Programs,
        options,
        async |appliance| {
            let (user, voices) = (random_name("customer"), Voices::made());
            let bank = appliance.bank(&appliance.banks.a)?;
            bank.enroll_voice(&user, &voices.three()).await?;
            ensure!(bank.verify_voice(&user, &voices.other).await?.result == "rejected");
            appliance.kill_all()?;
            appliance.bring_up()?;
            let bank = appliance.bank(&appliance.banks.a)?;
            ensure!(stats(&bank, &user).await?["failures"] == 1);
            let verification = patiently(&bank, &user, &voices.person[3]).await?;
            ensure!(verification.result == "verified", "{verification:?}");
            ensure!(stats(&bank, &user).await?["failures"] == 0);
            Ok(())
        },
    );
}
