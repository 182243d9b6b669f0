//! After the kill: nothing acknowledged is lost, nothing spent has come back.

use anyhow::{Result, bail, ensure};

use super::part_one::{all_good, audit, refused};
use super::state::ARTEFACT_FILE;
use super::{Report, Setting, State};
use crate::api::BankError;
use crate::authenticator::SoftwareAuthenticator;
use crate::client::Bank;
use crate::media::Media;
use crate::origins::Origins;

pub(super) async fn tell(setting: &Setting, media: &Media, report: &mut Report) -> Result<()> {
    let folder = setting.folder();
    let mut state = State::read(&folder)?;
    let bank = setting.bank()?;
    let mut key = SoftwareAuthenticator::import(&state.passkeys)?;
    let origins = Origins::discover(&bank).await?;
    let user = state.customer.clone();

    let receipt = report
        .step("after the restart the customer logs in again", async {
            let options = bank.login_options(&user).await?;
            let signed = key.get(&origins.login, &options).await?;
            Ok(bank.login_verify(&user, &signed).await?.receipt)
        })
        .await?;
    state.receipts.push(receipt);
    report
        .step("an assertion used before the restart is refused", async {
            let outcome = bank.login_verify(&user, &state.used_assertion).await;
            refused(outcome, "authentication_failed")
        })
        .await?;
    let receipt = report
        .step("after the restart the customer verifies", async {
            let verification = bank.verify(&user, &media.person_again).await?;
            ensure!(verification.result == "verified", "{verification:?}");
            Ok(verification.receipt)
        })
        .await?;
    state.receipts.push(receipt);
    report
        .step("the lockout holds", async {
            still_locked(&bank, &state.locked, media, Some(&state.locked_until)).await
        })
        .await?;
    report
        .step("no spent attempt came back", async {
            still_locked(&bank, &state.raced, media, None).await
        })
        .await?;
    let artefact = serde_json::from_slice(&std::fs::read(folder.join(ARTEFACT_FILE))?)?;
    report
        .step("the artefact of before the restart verifies", async {
            audit(setting, &artefact, true)
        })
        .await?;
    let checked = report
        .step("every acknowledged receipt still verifies", async {
            all_good(&bank, setting, &state.receipts).await
        })
        .await?;
    println!("         {checked} receipts");
    state.passkeys = key.export()?;
    state.write(&folder)
}

/// Even the right face is not compared, and the lock ends when it was said to.
async fn still_locked(bank: &Bank, user: &str, media: &Media, until: Option<&str>) -> Result<()> {
    match bank.verify(user, &media.person).await {
        Err(BankError::Refused {
            status: 423,
            problem,
            ..
        }) => {
            let says = problem.more.get("locked_until").and_then(|v| v.as_str());
            ensure!(
                until.is_none() || says == until,
                "the lock ends at {says:?}, before the restart {until:?}"
            );
            Ok(())
        }
        other => bail!("expected 423 account_locked, got {other:?}"),
    }
}
