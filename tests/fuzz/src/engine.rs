//! Runs one target for a time: seeds first, then bent ones; what takes new edges
//! is kept and bent further.
//!
//! Finds panics (each is written to a file) and inputs that take long. A run that
//! never ends is found by a second thread, which writes its input and ends the
//! program. Seed and target give the same inputs again where nothing is counted.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::coverage::Coverage;
use crate::mutate::mutate;
use crate::rng::Rng;
use crate::targets::{Read, Target};

/// An input that takes longer never ends, as far as this program waits.
const HANG: Duration = Duration::from_secs(20);
/// Exit status of a program that found one.
const HANG_STATUS: i32 = 3;
/// Most inputs kept.
const CORPUS_MAX: usize = 20_000;
/// Most panics told apart.
const PANICS_MAX: usize = 20;

/// What a run found.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    pub(crate) target: &'static str,
    pub(crate) seconds: f64,
    pub(crate) executions: u64,
    pub(crate) per_second: u64,
    /// Edges taken and edges of the program; null where it does not count.
    pub(crate) edges: Option<(usize, usize)>,
    pub(crate) seeds: usize,
    pub(crate) corpus: usize,
    /// Longest time of one input, milliseconds.
    pub(crate) longest_ms: u64,
    pub(crate) panics: Vec<Panic>,
}

/// A panic and the input that made it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Panic {
    pub(crate) place: String,
    pub(crate) file: PathBuf,
}

/// What the watching thread must know.
#[derive(Default)]
struct Watched {
    since: Option<Instant>,
    input: Vec<u8>,
}

/// Where and how long.
pub(crate) struct Run<'a> {
    pub(crate) target: &'a Target,
    pub(crate) time: Duration,
    pub(crate) seed: u64,
    /// Folder for kept inputs (`corpus/`) and for those that panic (`crashes/`).
    pub(crate) folder: &'a Path,
}

struct Engine<'a> {
    run: &'a Run<'a>,
    target: Read,
    corpus: Vec<Vec<u8>>,
    coverage: Coverage,
    watched: Arc<Mutex<Watched>>,
    places: BTreeSet<String>,
    report: Report,
}

/// Runs a target.
pub(crate) fn run(run: &Run<'_>) -> Result<Report> {
    let place = quiet_panics();
    let (target, seeds) = (run.target.prepare)();
    let mut engine = Engine {
        run,
        target,
        corpus: Vec::new(),
        coverage: Coverage::default(),
        watched: watch(run.folder.join("crashes"), run.target.name),
        places: BTreeSet::new(),
        report: Report {
            target: run.target.name,
            seconds: 0.0,
            executions: 0,
            per_second: 0,
            edges: None,
            seeds: seeds.len(),
            corpus: 0,
            longest_ms: 0,
            panics: Vec::new(),
        },
    };
    let begin = Instant::now();
    for input in seeds.into_iter().chain(kept(run.folder)?) {
        engine.once(&input, &place)?;
        engine.corpus.push(input);
    }
    engine.bend(begin, &place)?;
    Ok(engine.finish(begin))
}

impl Engine<'_> {
    fn bend(&mut self, begin: Instant, place: &Mutex<String>) -> Result<()> {
        let mut rng = Rng::new(self.run.seed);
        while begin.elapsed() < self.run.time && self.report.panics.len() < PANICS_MAX {
            // Half of the time what was found last: there is more behind it.
            let recent = self.corpus.len().min(8);
            let at = match rng.below(2) {
                0 => self.corpus.len() - 1 - rng.below(recent),
                _ => rng.below(self.corpus.len()),
            };
            let mut input = self.corpus.get(at).cloned().unwrap_or_default();
            mutate(&mut input, &self.corpus, &mut rng);
            if self.once(&input, place)? && self.corpus.len() < CORPUS_MAX {
                write(
                    &self.run.folder.join("corpus"),
                    self.run.target.name,
                    &input,
                )?;
                self.corpus.push(input);
            }
        }
        Ok(())
    }

    /// Runs one input; whether it took a new way.
    fn once(&mut self, input: &[u8], place: &Mutex<String>) -> Result<bool> {
        let begin = Instant::now();
        {
            let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
            watched.input.clear();
            watched.input.extend_from_slice(input);
            watched.since = Some(begin);
        }
        self.coverage.begin();
        let ended = catch_unwind(AssertUnwindSafe(|| (self.target)(input)));
        let new = self.coverage.end();
        self.watched
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .since = None;
        self.report.executions += 1;
        let took = begin.elapsed().as_millis() as u64;
        self.report.longest_ms = self.report.longest_ms.max(took);
        if ended.is_err() {
            self.panicked(input, place)?;
            return Ok(false);
        }
        Ok(new)
    }

    fn panicked(&mut self, input: &[u8], place: &Mutex<String>) -> Result<()> {
        let place = place.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if self.places.insert(place.clone()) {
            let folder = self.run.folder.join("crashes");
            let file = write(&folder, self.run.target.name, input)?;
            self.report.panics.push(Panic { place, file });
        }
        Ok(())
    }

    fn finish(mut self, begin: Instant) -> Report {
        let seconds = begin.elapsed().as_secs_f64();
        self.report.seconds = seconds;
        self.report.per_second = (self.report.executions as f64 / seconds.max(0.001)) as u64;
        self.report.corpus = self.corpus.len();
        let total = self.coverage.total();
        self.report.edges = total.map(|total| (self.coverage.taken(), total));
        self.report
    }
}

/// Inputs that earlier runs of this folder kept, in the order of their names.
fn kept(folder: &Path) -> Result<Vec<Vec<u8>>> {
    let Ok(entries) = std::fs::read_dir(folder.join("corpus")) else {
        return Ok(Vec::new());
    };
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry?.path());
    }
    paths.sort();
    let read = |path: &PathBuf| std::fs::read(path).with_context(|| path.display().to_string());
    paths.iter().map(read).collect()
}

/// Writes an input under a name made of its content.
fn write(folder: &Path, target: &str, input: &[u8]) -> Result<PathBuf> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let digest = redoubt_attestation::encode::sha256(&[input]).to_string();
    let path = folder.join(format!("{target}-{}", &digest[..16]));
    std::fs::write(&path, input).with_context(|| path.display().to_string())?;
    Ok(path)
}

/// Panics write where they happened and print nothing: there may be many.
fn quiet_panics() -> Arc<Mutex<String>> {
    let place = Arc::new(Mutex::new(String::new()));
    let writer = Arc::clone(&place);
    std::panic::set_hook(Box::new(move |info| {
        let text = info.location().map(ToString::to_string);
        let text = text.unwrap_or_else(|| "somewhere".into());
        *writer.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }));
    place
}

/// Ends the program when one input takes too long, leaving that input behind.
fn watch(folder: PathBuf, target: &'static str) -> Arc<Mutex<Watched>> {
    let watched = Arc::new(Mutex::new(Watched::default()));
    let weak = Arc::downgrade(&watched);
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_secs(1));
            let Some(watched) = weak.upgrade() else {
                return;
            };
            let watched = watched.lock().unwrap_or_else(PoisonError::into_inner);
            if watched.since.is_some_and(|since| since.elapsed() > HANG) {
                let file = write(&folder, target, &watched.input);
                eprintln!("redoubt-fuzz: {target}: an input does not end: {file:?}");
                std::process::exit(HANG_STATUS);
            }
        }
    });
    watched
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets::Prepared;

    fn odd() -> Prepared {
        let fails = |input: &[u8]| assert!(!input.starts_with(b"\xff"), "a planted panic");
        (Box::new(fails), vec![vec![1, 2, 3]])
    }

    #[test]
    fn a_planted_panic_is_found_and_its_input_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let target = Target {
            name: "planted",
            prepare: odd,
        };
        let report = run(&Run {
            target: &target,
            time: Duration::from_millis(500),
            seed: 1,
            folder: folder.path(),
        })
        .unwrap();
        let _ = std::panic::take_hook();
        assert!(report.executions > 100);
        let [panic] = &report.panics[..] else {
            panic!("one place panics: {:?}", report.panics);
        };
        assert!(panic.place.contains("engine.rs"));
        assert_eq!(std::fs::read(&panic.file).unwrap()[0], 0xff);
    }
}
