//! Answers to the questions of a ceremony: those given before it was interrupted,
//! those in a file, and those that somebody types.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde_json::{Map, Value};

use crate::cli::ask::Person;
use crate::cli::read;
use crate::files::write_atomically;

/// One answer under the name of each question.
pub(super) struct Answers<'a> {
    /// Kept in the draft; good ones only.
    kept: Map<String, Value>,
    file: PathBuf,
    given: Map<String, Value>,
    used: Vec<String>,
    pub(super) person: &'a mut dyn Person,
}

impl<'a> Answers<'a> {
    /// Reads what is kept in `file`, if it is there, and what was `given`.
    pub(super) fn open(
        file: PathBuf,
        given: Option<&Path>,
        person: &'a mut dyn Person,
    ) -> anyhow::Result<Self> {
        let object = |path: &Path| -> anyhow::Result<Map<String, Value>> {
            let json = serde_json::from_slice(&read(path)?);
            json.with_context(|| format!("{}: no JSON object of answers", path.display()))
        };
        let kept = match file.exists() {
            true => object(&file)?,
            false => Map::new(),
        };
        Ok(Self {
            kept,
            file,
            given: given.map(object).transpose()?.unwrap_or_default(),
            used: Vec::new(),
            person,
        })
    }

    /// A good answer to a question, kept before anything else happens. Whoever sits at
    /// a terminal is asked again until it is one; a file is refused.
    pub(super) fn get<T>(
        &mut self,
        name: &str,
        question: &str,
        default: Option<&str>,
        check: impl Fn(&str) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        self.used.push(name.to_owned());
        let given = self.given.get(name).map(text);
        if let Some(kept) = self.kept.get(name).map(text) {
            ensure!(
                given.is_none_or(|given| given == kept),
                "{name}: was answered before the interruption, with {kept:?}; give the same answer, \
                 or remove the draft to begin anew"
            );
            return check(&kept).with_context(|| name.to_owned());
        }
        if let Some(given) = given {
            let good = check(&given).with_context(|| name.to_owned())?;
            self.keep(name, &given)?;
            return Ok(good);
        }
        loop {
            let shown = default.filter(|default| !default.is_empty());
            let shown = shown.map(|default| format!(" [{default}]"));
            let prompt = format!("{question}{}:", shown.unwrap_or_default());
            let typed = self.person.answer(&prompt)?;
            let asked = typed.is_some();
            let answer = typed.filter(|typed| !typed.is_empty());
            let answer = match (answer, default) {
                (Some(answer), _) => answer,
                (None, Some(default)) => default.to_owned(),
                (None, None) if asked => continue,
                (None, None) => bail!(
                    "{name}: has no answer ({question}); put it into the file for --answers, or \
                     run this on a terminal"
                ),
            };
            match check(&answer) {
                Ok(good) => {
                    self.keep(name, &answer)?;
                    return Ok(good);
                }
                Err(error) if asked => self.person.tell(&format!("{error:#}")),
                Err(error) => return Err(error.context(name.to_owned())),
            }
        }
    }

    /// An answer that was kept.
    pub(super) fn text(&self, name: &str) -> String {
        self.kept.get(name).map(text).unwrap_or_default()
    }

    /// Refuses answers that nobody asked for: a slip of the pen in a name.
    pub(super) fn none_left(&self) -> anyhow::Result<()> {
        let unknown = self.given.keys().find(|name| !self.used.contains(name));
        if let Some(name) = unknown {
            bail!("{name}: is the answer to no question of this ceremony");
        }
        Ok(())
    }

    /// All that were kept, one a line.
    pub(super) fn summary(&self) -> String {
        let lines = self.kept.iter();
        lines
            .map(|(name, value)| format!("  {name:<20} {}\n", text(value)))
            .collect()
    }

    fn keep(&mut self, name: &str, answer: &str) -> anyhow::Result<()> {
        self.kept.insert(name.to_owned(), answer.into());
        write_atomically(&self.file, &serde_json::to_vec_pretty(&self.kept)?)?;
        Ok(())
    }
}

/// Numbers and lists may be written as such in a file.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(text).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}
