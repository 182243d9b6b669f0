//! `dev.json` for programs and `curl` lines for people.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::appliance::{Appliance, Pids};
use super::layout::Layout;
use super::setup;
use crate::say;

/// Writes `DIR/dev.json` in one step.
pub(crate) fn write(layout: &Layout, appliance: &Appliance, pids: Pids) -> Result<()> {
    let text = serde_json::to_string_pretty(&describe(layout, appliance, pids)?)?;
    write_atomically(&layout.dev_json(), text.as_bytes())
}

/// Takes it away: nothing runs here any more.
pub(crate) fn remove(layout: &Layout) {
    let _ = fs::remove_file(layout.dev_json());
}

fn describe(layout: &Layout, appliance: &Appliance, pids: Pids) -> Result<Value> {
    let identity = |name: &str| {
        let dir = layout.credentials().join(name);
        json!({"cert": dir.join("cert.pem"), "key": dir.join("key.pem")})
    };
    let mut officer = identity("officer");
    officer["share"] = json!(setup::share(layout));
    officer["signing_key"] = json!(setup::officer_key(layout));
    officer["memory"] = json!(setup::memory(layout));
    let logs = ["host", "enclave", "worker"].map(|name| layout.log(name));
    Ok(json!({
        "url": appliance.url(),
        "ca": layout.trust().join("ca.pem"),
        "genesis": layout.boot().join("genesis.json"),
        "config": layout.boot().join("config.json"),
        "policy": layout.policy(),
        "trust_dir": layout.trust(),
        "bank": identity("bank"),
        "bank_reader": identity("bank-reader"),
        "bank2": identity("bank2"),
        "auditor": identity("auditor"),
        "operator": identity("operator"),
        "officer": officer,
        "pids": pids,
        "store_dir": layout.store(),
        "log_files": logs,
        "metrics_url": appliance.admin_url("/metrics"),
        "health_url": appliance.admin_url("/healthz"),
    }))
}

/// Ready-made lines.
pub(crate) fn say_how_to_use(layout: &Layout, appliance: &Appliance) {
    let url = appliance.url();
    let ca = layout.trust().join("ca.pem");
    let bank = layout.credentials().join("bank");
    let curl = format!(
        "curl --cacert {} --cert {} --key {}",
        ca.display(),
        bank.join("cert.pem").display(),
        bank.join("key.pem").display()
    );
    let customer = r#"-H 'content-type: application/json' -d '{"user_id":"alice"}'"#;
    for line in [
        format!("{curl} {url}/openapi.json"),
        format!("{curl} {customer} {url}/api/v1/passkeys/register/options"),
        format!("{curl} '{url}/.well-known/attestation?nonce=00112233445566778899aabbccddeeff'"),
        format!("curl {}", appliance.admin_url("/healthz")),
    ] {
        say(&format!("  {line}"));
    }
}

fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = path.with_extension("json.new");
    let mut file = File::create(&temporary).with_context(|| temporary.display().to_string())?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path).with_context(|| path.display().to_string())
}
