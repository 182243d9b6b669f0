//! Receipts kept by the bank, and the auditor's program that checks them.
//!
//! Protects against an appliance that acknowledges and forgets: every receipt it
//! ever handed out must be found again and must verify with evidence, offline.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, anyhow, bail};
use futures::StreamExt;
use serde::Serialize;
use serde_json::{Value, json};

use crate::client::Bank;

/// A receipt's claims, read.
pub fn claims(receipt: &Value) -> Result<Value> {
    let text = receipt["claims"]
        .as_str()
        .ok_or_else(|| anyhow!("the receipt has no claims text"))?;
    serde_json::from_str(text).context("the receipt's claims are no JSON")
}

/// The id a receipt's claims carry.
pub fn id(receipt: &Value) -> Result<String> {
    let claims = claims(receipt)?;
    let id = claims["receipt_id"].as_str();
    Ok(id
        .ok_or_else(|| anyhow!("the claims carry no receipt_id"))?
        .to_owned())
}

/// A file of acknowledged receipts, one JSON value a line, written at once.
#[derive(Debug, Clone)]
pub struct Journal {
    file: Arc<Mutex<File>>,
}

impl Journal {
    /// Starts the file anew.
    pub fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| path.display().to_string())?;
        Ok(Self {
            file: Arc::new(Mutex::new(file)),
        })
    }

    /// Keeps one acknowledged receipt.
    pub fn keep(&self, receipt: &Value) -> Result<()> {
        let line = format!("{receipt}\n");
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(line.as_bytes())
            .context("cannot keep a receipt")
    }

    /// Reads a file back.
    pub fn read(path: &Path) -> Result<Vec<Value>> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let parsed = text.lines().map(serde_json::from_str);
        parsed.collect::<Result<_, _>>().context("receipts file")
    }
}

/// The auditor's program with what it trusts.
#[derive(Debug, Clone)]
pub struct Auditor {
    /// `redoubt-audit`
    pub program: PathBuf,
    /// Folder that `redoubt-audit trust` wrote.
    pub trust: PathBuf,
    /// `redoubt-bank`, to run the auditor without sockets; plain run if absent.
    pub without_sockets: Option<PathBuf>,
}

/// The auditor's answer.
#[derive(Debug, Clone)]
pub struct Audit {
    /// 0 yes, 1 no, 2 usage.
    pub exit: Option<i32>,
    /// What it printed.
    pub json: Value,
    /// What it complained of.
    pub stderr: String,
}

impl Audit {
    /// It said yes.
    pub fn accepted(&self) -> bool {
        self.exit == Some(0)
    }

    /// It said no, rather than failing to run.
    pub fn refused(&self) -> bool {
        self.exit == Some(1)
    }
}

impl Auditor {
    /// `redoubt-audit verify --artefact FILE`
    pub fn verify(&self, file: &Path) -> Result<Audit> {
        let mut command = match &self.without_sockets {
            Some(runner) => {
                let mut command = Command::new(runner);
                command.arg("no-sockets").arg("--").arg(&self.program);
                command
            }
            None => Command::new(&self.program),
        };
        command.arg("verify").arg("--artefact").arg(file);
        command.arg("--trust").arg(&self.trust).arg("--json");
        let output = command.output();
        Ok(read(output.with_context(|| {
            format!("cannot run {}", self.program.display())
        })?))
    }

    /// The same for a document in memory.
    pub fn verify_value(&self, document: &Value) -> Result<Audit> {
        let file = Scratch::new(document)?;
        self.verify(&file.0)
    }
}

fn read(output: Output) -> Audit {
    Audit {
        exit: output.status.code(),
        json: serde_json::from_slice(&output.stdout).unwrap_or(Value::Null),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A file that goes away with its owner.
struct Scratch(PathBuf);

impl Scratch {
    fn new(document: &Value) -> Result<Self> {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("redoubt-bank-{}-{number}.json", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, document.to_string())?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// How a file of receipts fared.
#[derive(Debug, Default, Serialize)]
pub struct Checked {
    /// Receipts checked.
    pub checked: usize,
    /// Found again, identical claims, and verified.
    pub good: usize,
    /// Ids of the others, with the reason.
    pub bad: Vec<Value>,
}

/// Fetches every acknowledged receipt again and has the auditor verify it.
pub async fn check_all(bank: &Bank, auditor: &Auditor, receipts: &[Value]) -> Result<Checked> {
    let mut outcome = Checked::default();
    let mut results = futures::stream::iter(receipts.iter().map(|receipt| async move {
        let id = id(receipt)?;
        Ok::<_, anyhow::Error>((id.clone(), check(bank, auditor, &id, receipt).await))
    }))
    .buffer_unordered(4);
    while let Some(result) = results.next().await {
        let (id, verdict) = result?;
        outcome.checked += 1;
        match verdict {
            Ok(()) => outcome.good += 1,
            Err(error) => outcome
                .bad
                .push(json!({"receipt_id": id, "reason": format!("{error:#}")})),
        }
    }
    Ok(outcome)
}

async fn check(bank: &Bank, auditor: &Auditor, id: &str, kept: &Value) -> Result<()> {
    let again = bank.receipt(id).await?;
    if again["claims"] != kept["claims"] {
        bail!("the appliance now tells other claims than it acknowledged");
    }
    let auditor = auditor.clone();
    let audit = tokio::task::spawn_blocking(move || auditor.verify_value(&again)).await??;
    if !audit.accepted() {
        bail!("the auditor refuses it: {} {}", audit.json, audit.stderr);
    }
    Ok(())
}
