//! The commands of `docs/integrators-guide.md`, taken out so that they can be run.
//!
//! Protects against a guide that was right once: each block in `sh` and `ts` is run as it
//! stands, in order, and a block in anything else but `json` and `text` is refused.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};

/// Where the blocks were written.
pub(super) struct Guide {
    pub(super) shell: PathBuf,
    /// After the compiler.
    pub(super) typescript: PathBuf,
}

/// Writes the blocks below the assembled TypeScript client.
pub(super) fn write(document: &Path, client: &Path) -> Result<Guide> {
    let text = fs::read_to_string(document)?;
    let (shell, typescript) = (blocks(&text, "sh")?, blocks(&text, "ts")?);
    ensure!(
        !shell.is_empty() && !typescript.is_empty(),
        "the guide shows nothing to run"
    );
    let folder = client.join("guide");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("guide.sh"), format!("set -x\n{shell}"))?;
    fs::write(folder.join("guide.ts"), typescript)?;
    Ok(Guide {
        shell: folder.join("guide.sh"),
        typescript: client.join("dist/guide/guide.js"),
    })
}

/// All blocks of a language, in order.
fn blocks(text: &str, language: &str) -> Result<String> {
    let mut out = String::new();
    let mut inside: Option<&str> = None;
    for line in text.lines() {
        match (inside, line.strip_prefix("```")) {
            (None, Some(opened)) => {
                if !["sh", "ts", "json", "text"].contains(&opened) {
                    bail!("a block in {opened:?} would not be run");
                }
                inside = Some(opened);
            }
            (Some(_), Some("")) => inside = None,
            (Some(now), None) if now == language => out += &format!("{line}\n"),
            _ => {}
        }
    }
    ensure!(inside.is_none(), "a block does not end");
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_taken_as_they_stand_and_none_is_left_out() {
        let text = "a\n```sh\none\n  two\n```\nb\n```json\n{}\n```\n```sh\nthree\n```\n";
        assert_eq!(blocks(text, "sh").unwrap(), "one\n  two\nthree\n");
        assert!(blocks("```bash\nx\n```\n", "sh").is_err());
        assert!(blocks("```sh\nx\n", "sh").is_err());
    }
}
