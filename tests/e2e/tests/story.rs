//! The whole story of one customer, with a kill in the middle.

use anyhow::Result;
use redoubt_bank::Dev;
use redoubt_bank::story::{self, Part, Setting};
use redoubt_e2e::{Appliance, Needs, Options, alone};

fn setting(appliance: &Appliance) -> Result<Setting> {
    let banks = &appliance.banks;
    Ok(Setting {
        dev: Dev {
            url: appliance.url(),
            ca: appliance.trust_dir().join("ca.pem"),
            policy: appliance.policy(),
            bank: appliance.identity(&banks.a),
            bank2: appliance.identity(&banks.b),
            pids: Default::default(),
            trust_dir: Some(appliance.trust_dir()),
            metrics_url: None,
        },
        media: appliance
            .environment()
            .media_dir()
            .cloned()
            .unwrap_or_default(),
        audit_bin: appliance.program("redoubt-audit"),
        bank_bin: appliance.program("redoubt-bank"),
        report: appliance.dir().join("story/report.json"),
    })
}

#[test]
fn the_story_holds_over_a_kill() {
    let name = "the_story_holds_over_a_kill";
    alone(
        name,
        Needs::Photographs,
        Options::default(),
        async |appliance| {
            story::tell(&setting(appliance)?, Some(Part::One)).await?;
            appliance.kill_all()?;
            appliance.bring_up()?;
            story::tell(&setting(appliance)?, Some(Part::Two)).await
        },
    );
}
