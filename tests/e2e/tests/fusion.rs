//! A face and a voice in one verification, and a voice as a factor of an approval: photographs
//! of the sample media, speakers made by a formula.

use anyhow::{Context, Result, ensure};
use redoubt_bank::api::{Verification, both_body, verify_body, with_user};
use redoubt_bank::media::Media;
use redoubt_bank::receipts::claims;
use redoubt_bank::speech::{BASS, CHILD, wav};
use redoubt_bank::{Bank, BankError, random_name};
use redoubt_e2e::customer::{Customer, expect_code, payment};
use redoubt_e2e::{Appliance, Needs, Options, Shared, alone, shared};
use serde_json::{Value, json};

static APPLIANCE: Shared = Shared::new();

/// Recordings of a customer's voice, and of a stranger's.
struct Voices {
    own: Vec<Vec<u8>>,
    other: Vec<u8>,
}

impl Voices {
    fn made() -> Self {
        let says = |seed| wav(&BASS.says(seed), 16_000, 1);
        Self {
            own: (1..=5).map(says).collect(),
            other: wav(&CHILD.says(9), 16_000, 1),
        }
    }

    fn three(&self) -> [&[u8]; 3] {
        [&self.own[0], &self.own[1], &self.own[2]]
    }
}

fn with_both(test: &str, behaviour: impl AsyncFnOnce(&Appliance, Media, Voices) -> Result<()>) {
    shared(&APPLIANCE, test, Needs::Photographs, async |appliance| {
        let media = appliance.environment().media()?;
        behaviour(appliance, media, Voices::made()).await
    });
}

/// Somebody with a face and a voice here.
async fn enrolled(bank: &Bank, media: &Media, voices: &Voices) -> Result<String> {
    let user = random_name("customer");
    bank.enroll(&user, &media.person).await?;
    bank.enroll_voice(&user, &voices.three()).await?;
    Ok(user)
}

async fn failures(bank: &Bank, user: &str) -> Result<Value> {
    let stats: Value = bank.get(&format!("/api/v1/stats/{user}")).await?.read()?;
    Ok(stats["failures"].clone())
}

#[test]
fn a_customer_is_verified_by_face_and_voice_together() {
    let test = "a_customer_is_verified_by_face_and_voice_together";
    with_both(test, async |appliance, media, voices| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let user = enrolled(&bank, &media, &voices).await?;
        let both = bank.verify_both(&user, &media.person_again, &voices.own[3]);
        let both = both.await?;
        ensure!(
            both.result == "verified" && both.modality == "multimodal",
            "{both:?}"
        );
        ensure!(both.confidence_score >= 0.8, "{both:?}");
        let claims = claims(&both.receipt)?;
        ensure!(claims["type"] == "verification" && claims["model"] == "face-voice-1");
        ensure!(claims["modality"] == "multimodal" && claims["worker_tier"] == "process");
        let models = ["sface-dlib-1", "campplus-zh-en-common-of-3"];
        let modalities = ["facial", "voice"];
        for (at, (model, modality)) in models.into_iter().zip(modalities).enumerate() {
            let part = &claims["parts"][at];
            ensure!(
                part["model"] == model && part["modality"] == modality,
                "{claims}"
            );
            ensure!(part["template_tier"] == "process", "{claims}");
        }
        let auditor = appliance.auditor();
        let audit = auditor.verify_value(
            &bank
                .receipt(claims["receipt_id"].as_str().context("id")?)
                .await?,
        )?;
        ensure!(audit.accepted(), "{audit:?}");
        let mut bent = both.receipt.clone();
        let told = bent["claims"].as_str().context("claims")?;
        bent["claims"] = json!(told.replacen("face-voice-1", "face-voice-2", 1));
        ensure!(auditor.verify_value(&bent)?.refused(), "another fusion");
        // Told as what it is, and no face of introspection.
        let path = format!("/api/v1/verify/history/{user}");
        let history: Value = bank.get(&path).await?.read()?;
        ensure!(
            history["attempts"][0]["modality"] == "multimodal",
            "{history}"
        );
        let stats: Value = bank.get(&format!("/api/v1/stats/{user}")).await?.read()?;
        ensure!(
            stats["verifications"] == 1 && stats["failures"] == 0,
            "{stats}"
        );
        ensure!(
            stats["enrolled"].as_array().map(Vec::len) == Some(2),
            "{stats}"
        );
        Ok(())
    });
}

#[test]
fn a_stolen_recording_or_picture_brings_no_stranger_in() {
    let test = "a_stolen_recording_or_picture_brings_no_stranger_in";
    with_both(test, async |appliance, media, voices| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let user = enrolled(&bank, &media, &voices).await?;
        // The very recording that was enrolled is the best there is.
        for (face, voice) in [
            (&media.other, &voices.own[0]),
            (&media.person, &voices.other),
        ] {
            let stolen = bank.verify_both(&user, face, voice).await?;
            ensure!(stolen.result == "rejected", "{stolen:?}");
            ensure!(
                stolen.confidence_score == 0.0,
                "tells which of both: {stolen:?}"
            );
        }
        ensure!(failures(&bank, &user).await? == 2);
        // And buys no further face: each alone gives back nothing that both failed.
        bank.verify_voice(&user, &voices.own[3]).await?;
        bank.verify(&user, &media.person_again).await?;
        ensure!(failures(&bank, &user).await? == 2);
        let last = bank
            .verify_both(&user, &media.other, &voices.own[1])
            .await?;
        ensure!(last.action_taken == "account_locked", "{last:?}");
        let right = bank.verify_both(&user, &media.person_again, &voices.own[3]);
        expect_code(right.await, "account_locked")?;
        expect_code(bank.verify(&user, &media.person).await, "account_locked")
    });
}

#[test]
fn face_and_voice_that_match_give_back_no_attempt_of_a_face() {
    let test = "face_and_voice_that_match_give_back_no_attempt_of_a_face";
    with_both(test, async |appliance, media, voices| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let user = enrolled(&bank, &media, &voices).await?;
        bank.verify(&user, &media.other).await?;
        bank.verify_both(&user, &media.other, &voices.own[4])
            .await?;
        ensure!(failures(&bank, &user).await? == 2);
        let both = bank.verify_both(&user, &media.person_again, &voices.own[3]);
        ensure!(both.await?.result == "verified");
        ensure!(failures(&bank, &user).await? == 1, "the face's");
        bank.verify(&user, &media.person_again).await?;
        ensure!(failures(&bank, &user).await? == 0);
        Ok(())
    });
}

#[test]
fn a_bad_sample_of_either_kind_is_refused_by_its_name_and_costs_nothing() {
    let test = "a_bad_sample_of_either_kind_is_refused_by_its_name_and_costs_nothing";
    with_both(test, async |appliance, media, voices| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let user = enrolled(&bank, &media, &voices).await?;
        let silent = wav(&[0.0; 32_000], 16_000, 1);
        let cases: [(&[u8], &[u8], &str, &str); 6] = [
            (
                &media.no_face,
                &voices.own[3],
                "no_face",
                "biometric_data: ",
            ),
            (
                &media.two_faces,
                &voices.own[3],
                "multiple_faces",
                "biometric_data: ",
            ),
            (
                &voices.own[3],
                &media.person,
                "not_an_image",
                "biometric_data: ",
            ),
            (&media.person, &silent, "recording_silent", "voice_data: "),
            (&media.person, &media.person, "not_audio", "voice_data: "),
            (&media.no_face, &silent, "no_face", "biometric_data: "),
        ];
        for (face, voice, code, names) in cases {
            let refused = bank.verify_both(&user, face, voice).await;
            let Err(BankError::Refused { problem, .. }) = refused else {
                anyhow::bail!("{code}: {refused:?}")
            };
            ensure!(problem.code == code, "{problem:?}");
            let told = problem.detail.as_ref().and_then(Value::as_str);
            ensure!(
                told.is_some_and(|told| told.starts_with(names)),
                "{problem:?}"
            );
        }
        ensure!(failures(&bank, &user).await? == 0);
        // Two samples go with both, and one with one.
        let mut lacks = verify_body(&user, &media.person_again);
        lacks["modality"] = json!("multimodal");
        let mut surplus = both_body(&user, &media.person_again, &voices.own[3]);
        surplus["modality"] = json!("facial");
        let mut of_voice = surplus.clone();
        of_voice["modality"] = json!("voice");
        for body in [lacks, surplus, of_voice] {
            let refused: Result<Value, _> = bank.post("/api/v1/verify", &body).await?.read();
            expect_code(refused, "modality_mismatch")?;
        }
        let right = bank.verify_both(&user, &media.person_again, &voices.own[3]);
        ensure!(right.await?.result == "verified");
        Ok(())
    });
}

#[test]
fn who_has_one_of_two_or_neither_is_answered_like_a_wrong_one() {
    let test = "who_has_one_of_two_or_neither_is_answered_like_a_wrong_one";
    with_both(test, async |appliance, media, voices| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let [face, voice, stranger] = [0; 3].map(|_| random_name("customer"));
        bank.enroll(&face, &media.person).await?;
        bank.enroll_voice(&voice, &voices.three()).await?;
        let wrong = enrolled(&bank, &media, &voices).await?;
        for turn in 0..4 {
            let strange = (&media.other, &voices.other);
            let expected = answered(&bank, &wrong, strange).await?;
            let locked = expected["code"] == "account_locked";
            ensure!(locked == (turn == 3), "{turn}: {expected}");
            // What they have is right, and tells nothing.
            for (user, samples) in [
                (&face, (&media.person_again, &voices.other)),
                (&voice, (&media.other, &voices.own[3])),
                (&stranger, strange),
            ] {
                let said = answered(&bank, user, samples).await?;
                ensure!(said == expected, "{turn}: {said} {expected}");
            }
        }
        Ok(())
    });
}

/// Reply and claim of a verification, without what differs between any two.
async fn answered(bank: &Bank, user: &str, (face, voice): (&Vec<u8>, &Vec<u8>)) -> Result<Value> {
    let mut body = both_body(user, face, voice);
    for reported in ["device_info", "geolocation", "ip_address"] {
        body.as_object_mut().context("body")?.remove(reported);
    }
    let reply = bank.post("/api/v1/verify", &body).await?;
    let mut said: Value = serde_json::from_slice(&reply.body)?;
    let claims = said["receipt"]["claims"].as_str().unwrap_or("{}");
    let mut claims: Value = serde_json::from_str(claims)?;
    for name in [
        "user_id",
        "verification_id",
        "receipt_id",
        "timestamp",
        "time_ms",
        "receipt",
        "request_id",
        "detail",
        "locked_until",
        "locked_until_ms",
    ] {
        for told in [&mut said, &mut claims] {
            if let Some(told) = told.get_mut(name) {
                *told = Value::Null;
            }
        }
    }
    Ok(json!({"code": said["code"], "said": said, "claims": claims}))
}

/// Asks a customer for these factors; the approval's id and its options.
async fn ask(bank: &Bank, user: &str, factors: &[&str]) -> Result<Value, BankError> {
    let body = json!({"user_id": user, "transaction": payment("10.00"), "factors": factors});
    bank.post("/api/v1/approvals", &body).await?.read()
}

/// A sample for a factor of an approval.
async fn give(
    bank: &Bank,
    (asked, factor): (&Value, &str),
    (user, sample, modality): (&str, &[u8], &str),
) -> Result<Verification, BankError> {
    let id = asked["approval_id"].as_str().unwrap_or_default();
    let mut body = verify_body(user, sample);
    body["modality"] = json!(modality);
    let path = format!("/api/v1/approvals/{id}/{factor}");
    bank.post(&path, &body).await?.read()
}

async fn sign(
    appliance: &Appliance,
    bank: &Bank,
    asked: &Value,
    customer: &mut Customer,
) -> Result<Result<Value, BankError>> {
    let origin = appliance.banks.a.approval_origin;
    let signed = customer.key.get(origin, &asked["options"])?;
    let id = asked["approval_id"].as_str().context("approval_id")?;
    let path = format!("/api/v1/approvals/{id}/verify");
    let reply = bank.post(&path, &with_user(&customer.id, &signed)).await?;
    Ok(reply.read())
}

#[test]
fn an_approval_that_asks_for_a_voice_takes_the_customers_and_proves_it() {
    let test = "an_approval_that_asks_for_a_voice_takes_the_customers_and_proves_it";
    with_both(test, async |appliance, media, voices| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let mut customer = Customer::registered(&bank, &appliance.banks.a).await?;
        let user = customer.id.clone();
        expect_code(
            ask(&bank, &user, &["passkey", "voice"]).await,
            "not_enrolled",
        )?;
        bank.enroll(&user, &media.person).await?;
        bank.enroll_voice(&user, &voices.three()).await?;
        for wrong in [
            &["voice"][..],
            &["passkey", "voice", "face"],
            &["passkey", "voice", "voice"],
        ] {
            expect_code(ask(&bank, &user, wrong).await, "malformed_request")?;
        }
        let asked = ask(&bank, &user, &["passkey", "voice"]).await?;
        expect_code(
            sign(appliance, &bank, &asked, &mut customer).await?,
            "voice_required",
        )?;
        // A face stands for no voice, on its route or on the voice's; nor do both together.
        let face = (user.as_str(), &media.person_again[..], "facial");
        expect_code(
            give(&bank, (&asked, "face"), face).await,
            "already_answered",
        )?;
        expect_code(
            give(&bank, (&asked, "voice"), face).await,
            "unsupported_modality",
        )?;
        let both = (user.as_str(), &voices.own[3][..], "multimodal");
        expect_code(
            give(&bank, (&asked, "voice"), both).await,
            "unsupported_modality",
        )?;
        // Another speaker is an attempt like any other.
        let other = (user.as_str(), &voices.other[..], "voice");
        ensure!(give(&bank, (&asked, "voice"), other).await?.result == "rejected");
        ensure!(failures(&bank, &user).await? == 1);
        expect_code(
            sign(appliance, &bank, &asked, &mut customer).await?,
            "voice_required",
        )?;
        let own = (user.as_str(), &voices.own[3][..], "voice");
        ensure!(give(&bank, (&asked, "voice"), own).await?.result == "verified");
        expect_code(
            give(&bank, (&asked, "voice"), own).await,
            "already_answered",
        )?;
        let given = sign(appliance, &bank, &asked, &mut customer).await??;
        ensure!(given["status"] == "approved", "{given}");
        let auditor = appliance.auditor();
        let audit = auditor.verify_value(&given["artefact"])?;
        ensure!(audit.accepted(), "{audit:?}");
        let kept = bank
            .approval(asked["approval_id"].as_str().context("id")?)
            .await?;
        ensure!(kept["factors"] == json!(["passkey", "voice"]), "{kept}");
        let mut bent = given["artefact"].clone();
        bent["grants"] = json!([]);
        ensure!(auditor.verify_value(&bent)?.refused(), "without its voice");
        Ok(())
    });
}

#[test]
fn an_approval_may_ask_for_face_and_voice_and_an_erased_voice_takes_its_answer_back() {
    let test = "an_approval_may_ask_for_face_and_voice_and_an_erased_voice_takes_its_answer_back";
    with_both(test, async |appliance, media, voices| {
        let bank = appliance.bank(&appliance.banks.a)?;
        let mut customer = Customer::registered(&bank, &appliance.banks.a).await?;
        let user = customer.id.clone();
        bank.enroll(&user, &media.person).await?;
        bank.enroll_voice(&user, &voices.three()).await?;
        let asked = ask(&bank, &user, &["passkey", "face", "voice"]).await?;
        let own = (user.as_str(), &voices.own[3][..], "voice");
        ensure!(give(&bank, (&asked, "voice"), own).await?.result == "verified");
        expect_code(
            sign(appliance, &bank, &asked, &mut customer).await?,
            "face_required",
        )?;
        let face = (user.as_str(), &media.person_again[..], "facial");
        ensure!(give(&bank, (&asked, "face"), face).await?.result == "verified");
        let erased = bank.delete(&format!("/api/v1/enroll/{user}/voice")).await?;
        let _: Value = erased.read()?;
        // All of it, as with an erased face.
        expect_code(
            sign(appliance, &bank, &asked, &mut customer).await?,
            "face_required",
        )?;
        bank.enroll_voice(&user, &voices.three()).await?;
        ensure!(give(&bank, (&asked, "face"), face).await?.result == "verified");
        expect_code(
            sign(appliance, &bank, &asked, &mut customer).await?,
            "voice_required",
        )?;
        ensure!(give(&bank, (&asked, "voice"), own).await?.result == "verified");
        let given = sign(appliance, &bank, &asked, &mut customer).await??;
        ensure!(given["status"] == "approved", "{given}");
        ensure!(
            appliance
                .auditor()
                .verify_value(&given["artefact"])?
                .accepted()
        );
        Ok(())
    });
}

#[test]
fn what_both_failed_and_what_a_voice_answered_outlive_a_crash() {
    let test = "what_both_failed_and_what_a_voice_answered_outlive_a_crash";
    alone(
        test,
        Needs::Photographs,
        Options::default(),
        async |appliance| {
            let (media, voices) = (appliance.environment().media()?, Voices::made());
            let bank = appliance.bank(&appliance.banks.a)?;
            let mut customer = Customer::registered(&bank, &appliance.banks.a).await?;
            let user = customer.id.clone();
            bank.enroll(&user, &media.person).await?;
            bank.enroll_voice(&user, &voices.three()).await?;
            let asked = ask(&bank, &user, &["passkey", "voice"]).await?;
            let own = (user.as_str(), &voices.own[3][..], "voice");
            ensure!(give(&bank, (&asked, "voice"), own).await?.result == "verified");
            let stolen = bank
                .verify_both(&user, &media.other, &voices.own[0])
                .await?;
            ensure!(stolen.result == "rejected", "{stolen:?}");
            appliance.kill_all()?;
            appliance.bring_up()?;
            let bank = appliance.bank(&appliance.banks.a)?;
            ensure!(failures(&bank, &user).await? == 1);
            let given = sign(appliance, &bank, &asked, &mut customer).await??;
            ensure!(given["status"] == "approved", "{given}");
            Ok(())
        },
    );
}
