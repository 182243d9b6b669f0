//! `cargo xtask clients`: the committed OpenAPI document and the clients made from it.
//!
//! Protects against clients that drift: a test of the gateway compares the document with
//! the one it serves, and [`differences`] compares the clients with the document.

mod calls;
mod rust;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::repo::Repo;
use crate::work::Scratch;
use crate::{node, process, say};

const DOCUMENT: &str = "clients/openapi.json";
const TYPESCRIPT: &str = "clients/typescript/src/schema.d.ts";
const RUST: &str = "clients/rust/src/generated.rs";

/// Writes the document as the gateway serves it, if asked to, then the clients.
pub(crate) fn write(repo: &Repo, build: bool) -> Result<()> {
    if build {
        write_document(repo)?;
    }
    for (path, text) in generate(repo)? {
        fs::write(repo.root.join(path), text)?;
        say(&format!("  {path}"));
    }
    Ok(())
}

fn write_document(repo: &Repo) -> Result<()> {
    let mut test = crate::programs::cargo(repo, "test");
    test.args(["--package", "redoubt-enclave", "--lib", "--"]);
    test.arg("the_committed_document_is_the_one_that_is_served");
    test.env("REDOUBT_WRITE_CONTRACT", "1");
    ensure!(
        process::wait_in_foreground(&mut test)?.success(),
        "the gateway wrote no document"
    );
    Ok(())
}

/// The files that are not what the document makes of them.
pub(crate) fn differences(repo: &Repo) -> Result<Vec<&'static str>> {
    let mut other = Vec::new();
    for (path, text) in generate(repo)? {
        if fs::read_to_string(repo.root.join(path)).unwrap_or_default() != text {
            other.push(path);
        }
    }
    Ok(other)
}

fn generate(repo: &Repo) -> Result<Vec<(&'static str, String)>> {
    let document = repo.root.join(DOCUMENT);
    let text = fs::read(&document).with_context(|| document.display().to_string())?;
    let parsed = serde_json::from_slice(&text)?;
    let rust = formatted(&rust::module(&parsed)?)?;
    Ok(vec![
        (TYPESCRIPT, typescript(repo, &document)?),
        (RUST, rust),
    ])
}

/// openapi-typescript's.
fn typescript(repo: &Repo, document: &Path) -> Result<String> {
    let folder = node::fetch(repo)?;
    let work = Scratch::new(repo.report_dir("clients-generated"))?;
    let out: PathBuf = work.0.join("schema.d.ts");
    let mut generator = Command::new("node");
    generator.arg(folder.join("node_modules/openapi-typescript/bin/cli.js"));
    generator.arg(document).arg("--output").arg(&out);
    generator.args(["--empty-objects-unknown", "--alphabetize"]);
    process::output_of(&mut generator)?;
    Ok(fs::read_to_string(out)?)
}

/// As `cargo fmt` leaves it.
fn formatted(text: &str) -> Result<String> {
    let mut rustfmt = Command::new("rustfmt")
        .args(["--edition", "2024"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("rustfmt")?;
    let mut input = rustfmt.stdin.take().context("rustfmt takes nothing")?;
    input.write_all(text.as_bytes())?;
    drop(input);
    let out = rustfmt.wait_with_output()?;
    ensure!(out.status.success(), "rustfmt refuses the generated module");
    Ok(String::from_utf8(out.stdout)?)
}
