//! Challenges before a camera, with a face that moves made of a photograph: done right
//! they pass, and each way to answer without doing them is refused by its own word.

use anyhow::{Context, Result, ensure};
use redoubt_bank::api::BankError;
use redoubt_bank::media::Media;
use redoubt_bank::moving::{Camera, Portrait, Stance, recoded};
use redoubt_bank::receipts::claims;
use redoubt_bank::speech::{BASS, wav};
use redoubt_bank::{Bank, random_name};
use redoubt_e2e::customer::expect_code;
use redoubt_e2e::{Appliance, Needs, Options, alone};
use serde_json::{Value, json};

/// The next boot's policy.
fn set(appliance: &mut Appliance, counter: u64, mode: &str) -> Result<()> {
    appliance.set_policy(counter, |policy| {
        policy["active_liveness"] = json!({ "mode": mode })
    })
}

/// A bank with two faces before a camera that is set up anew for every film.
struct Studio {
    bank: Bank,
    person: Portrait,
    other: Portrait,
    sittings: u64,
}

struct Asked {
    id: String,
    moves: Vec<String>,
}

impl Studio {
    fn new(appliance: &Appliance, media: &Media, sittings: u64) -> Result<Self> {
        Ok(Self {
            bank: appliance.bank(&appliance.banks.a)?,
            person: Portrait::person(&media.person_third)?,
            other: Portrait::other(&media.other)?,
            sittings,
        })
    }

    fn camera(&mut self) -> Camera {
        self.sittings += 1;
        Camera::new(self.sittings)
    }

    async fn ask(&self, user: &str) -> Result<Asked> {
        let drawn = self.bank.liveness_challenge(user).await?;
        let text = |value: &Value| Some(value.as_str()?.to_owned());
        let moves = drawn["actions"].as_array().context("no actions")?;
        Ok(Asked {
            id: text(&drawn["challenge_id"]).context("no id")?,
            moves: moves.iter().filter_map(text).collect(),
        })
    }

    fn film(&mut self, asked: &Asked) -> Result<Vec<Vec<u8>>> {
        let moves: Vec<&str> = asked.moves.iter().map(String::as_str).collect();
        self.camera().film(&self.person, &moves)
    }

    async fn answer(&self, user: &str, id: &str, frames: &[Vec<u8>]) -> Result<Value, BankError> {
        self.bank.verify_live(user, id, frames).await
    }

    /// Refused like a wrong face, for this reason.
    async fn rejected(&self, user: &str, id: &str, frames: &[Vec<u8>]) -> Result<String> {
        let seen = self.answer(user, id, frames).await?;
        ensure!(seen["result"] == "rejected", "{seen}");
        ensure!(
            seen["confidence_score"] == 0.0,
            "it says that it matched: {seen}"
        );
        let active = &seen["active_liveness"];
        ensure!(
            active["passed"] == false && active["told"].is_string(),
            "{seen}"
        );
        let lapse = active["lapse"].as_str().context("no reason")?.to_owned();
        let claim = claims(&seen["receipt"])?;
        ensure!(claim["active_liveness"] == "failed", "{claim}");
        ensure!(claim["active_liveness_lapse"] == lapse.as_str(), "{claim}");
        Ok(lapse)
    }
}

#[test]
fn a_challenge_is_answered_by_doing_it_and_by_nothing_else() {
    let name = "a_challenge_is_answered_by_doing_it_and_by_nothing_else";
    alone(
        name,
        Needs::Photographs,
        Options::default(),
        async |appliance| {
            let media = appliance.environment().media()?;
            let users: Vec<String> = (0..9).map(|_| random_name("customer")).collect();
            off(appliance, &media, &users).await?;
            set(appliance, 2, "require")?;
            let mut studio = Studio::new(appliance, &media, 1)?;
            missing(&studio, &media, &users[0]).await?;
            genuine_and_again(&mut studio, &users[0]).await?;
            with_a_voice(&mut studio, &media, &users[0]).await?;
            attacks(&mut studio, &users[1..]).await?;
            strangers_and_enrolments(&mut studio, &media).await?;
            set(appliance, 3, "report")?;
            let mut studio = Studio::new(appliance, &media, 900)?;
            reported(&mut studio, &media, &users[0]).await
        },
    );
}

/// Nobody is challenged unless policy says so.
async fn off(appliance: &Appliance, media: &Media, users: &[String]) -> Result<()> {
    let studio = Studio::new(appliance, media, 0)?;
    for user in users {
        studio.bank.enroll(user, &media.person_third).await?;
    }
    let asked = studio.bank.liveness_challenge(&users[0]).await;
    expect_code(asked, "challenges_off")?;
    let frames = vec![b"frame".to_vec(); 8];
    let answer = studio.answer(&users[0], &"0".repeat(32), &frames).await;
    expect_code(answer, "challenges_off")
}

async fn missing(studio: &Studio, media: &Media, user: &str) -> Result<()> {
    for name in [user, "nobody-we-know"] {
        let plain = studio.bank.verify(name, &media.person_again).await;
        expect_code(plain, "challenge_required")?;
        let asked = studio.ask(name).await?;
        for count in [7, 31] {
            let frames = vec![media.person.clone(); count];
            let frames: Vec<Vec<u8>> = frames.into_iter().map(|one| one[..200].to_vec()).collect();
            expect_code(studio.answer(name, &asked.id, &frames).await, "frame_count")?;
        }
        let unknown = studio
            .answer(name, &"0".repeat(32), &vec![vec![1]; 8])
            .await;
        expect_code(unknown, "unknown_challenge")?;
        ensure!(studio.ask(name).await?.id == asked.id, "it is still open");
    }
    Ok(())
}

async fn genuine_and_again(studio: &mut Studio, user: &str) -> Result<()> {
    let asked = studio.ask(user).await?;
    let frames = studio.film(&asked)?;
    let began = std::time::Instant::now();
    let seen = studio.answer(user, &asked.id, &frames).await?;
    println!(
        "{} frames in {:?}: {}",
        frames.len(),
        began.elapsed(),
        seen["active_liveness"]
    );
    ensure!(seen["result"] == "verified", "{:?}: {seen}", asked.moves);
    ensure!(seen["active_liveness"]["passed"] == true, "{seen}");
    ensure!(claims(&seen["receipt"])?["active_liveness"] == "passed");
    let used = studio.answer(user, &asked.id, &frames).await;
    expect_code(used, "unknown_challenge")?;
    // The same frames for another challenge, and coded anew.
    let next = studio.ask(user).await?;
    ensure!(next.id != asked.id);
    ensure!(studio.rejected(user, &next.id, &frames).await? == "seen_before");
    let next = studio.ask(user).await?;
    let again = frames.iter().map(|frame| recoded(frame, 75));
    let again = again.collect::<Result<Vec<_>>>()?;
    ensure!(studio.rejected(user, &next.id, &again).await? == "seen_before");
    // Another sitting is another one.
    let asked = studio.ask(user).await?;
    let frames = studio.film(&asked)?;
    let seen = studio.answer(user, &asked.id, &frames).await?;
    ensure!(seen["result"] == "verified", "{:?}: {seen}", asked.moves);
    Ok(())
}

/// A voice beside it spares nobody the challenge.
async fn with_a_voice(studio: &mut Studio, media: &Media, user: &str) -> Result<()> {
    let says = |seed| wav(&BASS.says(seed), 16_000, 1);
    let voices: Vec<Vec<u8>> = (1..=4).map(says).collect();
    let three: Vec<&[u8]> = voices[..3].iter().map(Vec::as_slice).collect();
    studio.bank.enroll_voice(user, &three).await?;
    let picture = &media.person_again;
    let plain = studio.bank.verify_both(user, picture, &voices[3]).await;
    expect_code(plain, "challenge_required")?;
    let asked = studio.ask(user).await?;
    let frames = studio.film(&asked)?;
    let answer = (asked.id.as_str(), &*frames);
    let answered = studio.bank.verify_both_live(user, answer, &voices[3]);
    let seen = answered.await?;
    ensure!(seen["result"] == "verified", "{:?}: {seen}", asked.moves);
    ensure!(seen["modality"] == "multimodal", "{seen}");
    ensure!(seen["active_liveness"]["passed"] == true, "{seen}");
    ensure!(claims(&seen["receipt"])?["active_liveness"] == "passed");
    // A voice alone judges no challenge: it draws no other moves.
    let asked = studio.ask(user).await?;
    let broken = vec![b"no picture".to_vec(); 8];
    let unjudged = studio.answer(user, &asked.id, &broken).await;
    expect_code(unjudged, "not_an_image")?;
    for seed in 5..8 {
        studio.bank.verify_voice(user, &says(seed)).await?;
        let again = studio.ask(user).await?;
        ensure!(again.moves == asked.moves, "{:?}", again.moves);
    }
    // The right face and voice, and the moves in another order.
    let asked = studio.ask(user).await?;
    let other: Vec<&str> = asked.moves.iter().rev().map(String::as_str).collect();
    let frames = studio.camera().film(&studio.person, &other)?;
    let answer = (asked.id.as_str(), &*frames);
    let answered = studio.bank.verify_both_live(user, answer, &voices[3]);
    let seen = answered.await?;
    ensure!(seen["result"] == "rejected", "{seen}");
    ensure!(seen["confidence_score"] == 0.0, "{seen}");
    let lapse = &seen["active_liveness"]["lapse"];
    ensure!(lapse == "not_done" || lapse == "other_move", "{seen}");
    Ok(())
}

async fn attacks(studio: &mut Studio, users: &[String]) -> Result<()> {
    let [
        order,
        spliced,
        still,
        moveless,
        backwards,
        hostile,
        lent,
        owner,
    ] = users
    else {
        anyhow::bail!("eight customers are needed");
    };
    let mut asked = studio.ask(order).await?;
    asked.moves.rotate_left(1);
    let frames = studio.film(&asked)?;
    let lapse = studio.rejected(order, &asked.id, &frames).await?;
    ensure!(
        ["other_move", "not_done"].contains(&lapse.as_str()),
        "{lapse}"
    );

    let asked = studio.ask(spliced).await?;
    let mut frames = studio.film(&asked)?;
    let mut camera = studio.camera();
    frames[5] = camera.taken(&studio.other, Stance::default())?;
    let lapse = studio.rejected(spliced, &asked.id, &frames).await?;
    ensure!(
        ["several_people", "jumped"].contains(&lapse.as_str()),
        "{lapse}"
    );

    let asked = studio.ask(still).await?;
    let one = studio.camera().taken(&studio.person, Stance::default())?;
    let lapse = studio.rejected(still, &asked.id, &vec![one; 9]).await?;
    ensure!(lapse == "frame_repeated", "{lapse}");

    let asked = studio.ask(moveless).await?;
    let mut camera = studio.camera();
    let frames = (0..9).map(|_| camera.taken(&studio.person, Stance::default()));
    let frames = frames.collect::<Result<Vec<_>>>()?;
    let lapse = studio.rejected(moveless, &asked.id, &frames).await?;
    ensure!(lapse == "not_done", "{lapse}");

    let asked = studio.ask(backwards).await?;
    let mut frames = studio.film(&asked)?;
    frames.reverse();
    let lapse = studio.rejected(backwards, &asked.id, &frames).await?;
    ensure!(
        ["other_move", "not_done"].contains(&lapse.as_str()),
        "{lapse}"
    );

    let asked = studio.ask(hostile).await?;
    let mut frames = studio.film(&asked)?;
    frames[6].truncate(700);
    match studio.answer(hostile, &asked.id, &frames).await {
        Err(BankError::Refused { problem, .. }) => {
            let told = format!("{problem:?}");
            ensure!(
                told.contains("not_an_image") && told.contains("Frame 7"),
                "{told}"
            );
        }
        other => anyhow::bail!("a broken frame: {other:?}"),
    }

    // A challenge of somebody else's, with the very frames it asks for.
    let asked = studio.ask(owner).await?;
    let frames = studio.film(&asked)?;
    let other = studio.answer(lent, &asked.id, &frames).await;
    expect_code(other, "unknown_challenge")?;
    let own = studio.answer(owner, &asked.id, &frames).await?;
    ensure!(own["result"] == "verified", "{:?}: {own}", asked.moves);
    Ok(())
}

async fn strangers_and_enrolments(studio: &mut Studio, media: &Media) -> Result<()> {
    let stranger = random_name("nobody");
    let asked = studio.ask(&stranger).await?;
    let frames = studio.film(&asked)?;
    let seen = studio.answer(&stranger, &asked.id, &frames).await?;
    ensure!(seen["result"] == "rejected", "{seen}");
    ensure!(
        seen["active_liveness"]["passed"] == true,
        "{:?}: {seen}",
        asked.moves
    );
    let asked = studio.ask(&stranger).await?;
    let lapse = studio.rejected(&stranger, &asked.id, &frames).await?;
    ensure!(lapse == "seen_before", "{lapse}");

    let fresh = random_name("customer");
    let plain = studio.bank.enroll(&fresh, &media.person).await;
    expect_code(plain, "challenge_required")?;
    let asked = studio.ask(&fresh).await?;
    let wrong = studio
        .camera()
        .film(&studio.person, &["look_up", "look_up", "look_up"])?;
    let refused = studio.bank.enroll_live(&fresh, &asked.id, &wrong).await;
    expect_code(refused, "challenge_failed")?;
    let asked = studio.ask(&fresh).await?;
    let frames = studio.film(&asked)?;
    let enrolled = studio.bank.enroll_live(&fresh, &asked.id, &frames).await?;
    ensure!(claims(&enrolled.receipt)?["active_liveness"] == "passed");
    // What enrolled does not verify.
    let asked = studio.ask(&fresh).await?;
    let lapse = studio.rejected(&fresh, &asked.id, &frames).await?;
    ensure!(lapse == "seen_before", "{lapse}");
    let asked = studio.ask(&fresh).await?;
    let frames = studio.film(&asked)?;
    let seen = studio.answer(&fresh, &asked.id, &frames).await?;
    ensure!(seen["result"] == "verified", "{:?}: {seen}", asked.moves);
    Ok(())
}

/// Told and recorded, and nothing follows.
async fn reported(studio: &mut Studio, media: &Media, user: &str) -> Result<()> {
    let plain = studio.bank.verify(user, &media.person_again).await?;
    ensure!(plain.result == "verified", "{plain:?}");
    let asked = studio.ask(user).await?;
    let frames = studio
        .camera()
        .film(&studio.person, &["look_up", "look_up"])?;
    let seen = studio.answer(user, &asked.id, &frames).await?;
    ensure!(seen["result"] == "verified", "{seen}");
    ensure!(seen["active_liveness"]["passed"] == false, "{seen}");
    ensure!(claims(&seen["receipt"])?["active_liveness"] == "failed");
    Ok(())
}
