//! Passive liveness: told by default, and decisive where policy requires it.

use anyhow::{Result, ensure};
use redoubt_bank::media::Media;
use redoubt_bank::random_name;
use redoubt_bank::receipts::claims;
use redoubt_e2e::customer::expect_code;
use redoubt_e2e::{Appliance, Needs, Options, alone};
use serde_json::json;

/// The next boot's policy.
fn set(appliance: &mut Appliance, counter: u64, mode: &str, percent: u32) -> Result<()> {
    let asked = json!({ "mode": mode, "percent": percent });
    appliance.set_policy(counter, |policy| policy["passive_liveness"] = asked)
}

#[test]
fn liveness_is_told_and_where_it_is_required_it_decides() {
    let name = "liveness_is_told_and_where_it_is_required_it_decides";
    alone(
        name,
        Needs::Photographs,
        Options::default(),
        async |appliance| {
            let media = appliance.environment().media()?;
            let user = random_name("customer");
            told(appliance, &media, &user).await?;
            // The second portrait looks live to 96 percent, the others to more than 99.
            set(appliance, 2, "require", 99)?;
            required(appliance, &media, &user).await?;
            set(appliance, 3, "off", 99)?;
            let bank = appliance.bank(&appliance.banks.a)?;
            let unseen = random_name("customer");
            let enrolled = bank.enroll(&unseen, &media.person).await?;
            ensure!(enrolled.liveness_result == "not_evaluated", "{enrolled:?}");
            let seen = bank.verify(&unseen, &media.person_again).await?;
            ensure!(seen.result == "verified" && seen.liveness_passed.is_none());
            ensure!(claims(&seen.receipt)?["liveness"] == "not_evaluated");
            Ok(())
        },
    );
}

async fn told(appliance: &Appliance, media: &Media, user: &str) -> Result<()> {
    let bank = appliance.bank(&appliance.banks.a)?;
    let enrolled = bank.enroll(user, &media.person).await?;
    ensure!(enrolled.liveness_result == "passed", "{enrolled:?}");
    let confidence = enrolled.liveness_confidence.unwrap_or_default() * 20.0;
    ensure!(confidence >= 18.0 && (confidence - confidence.round()).abs() < 1e-3);
    ensure!(claims(&enrolled.receipt)?["liveness"] == "passed");
    for (sample, result) in [
        (&media.person_again, "verified"),
        (&media.other, "rejected"),
    ] {
        let seen = bank.verify(user, sample).await?;
        ensure!(
            seen.result == result && seen.liveness_passed == Some(true),
            "{seen:?}"
        );
        ensure!(claims(&seen.receipt)?["liveness"] == "passed");
    }
    Ok(())
}

/// What matches and does not look live enough is refused like a stranger, and spends an
/// attempt.
async fn required(appliance: &Appliance, media: &Media, user: &str) -> Result<()> {
    let bank = appliance.bank(&appliance.banks.a)?;
    let refused = bank.verify(user, &media.person_again).await?;
    ensure!(refused.result == "rejected", "{refused:?}");
    ensure!(refused.confidence_score == 0.0, "it says that it matched");
    ensure!(claims(&refused.receipt)?["liveness"] == "failed");
    let stranger = random_name("customer");
    let enrolment = bank.enroll(&stranger, &media.person_again).await;
    expect_code(enrolment, "not_live")?;
    let accepted = bank.verify(user, &media.person_third).await?;
    ensure!(accepted.result == "verified", "{accepted:?}");
    for _ in 0..3 {
        bank.verify(user, &media.person_again).await?;
    }
    expect_code(bank.verify(user, &media.person).await, "account_locked")?;
    Ok(())
}
