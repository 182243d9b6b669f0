//! The images: built, compared with what is committed, booted.
//!
//! Protects against a comparison that fails for the wrong reason: other tools make
//! other bytes, which is no fault of the sources, so then the comparison is skipped
//! by name. The boot compares what the machine measured with what the built file
//! says, whoever built it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use super::{Outcome, Suite, named, of_error};
use crate::image::{self, BuiltImage, Kind};
use crate::{boot, say, tools};

/// What was built, for the boot.
#[derive(Default)]
struct Eifs {
    enclave: Option<PathBuf>,
    worker: Option<PathBuf>,
}

/// From nothing, a machine needs a kernel's build and an emulator's for these stages:
/// begun later than this, they would outlast the hour that everything may take.
const LAST_START: Duration = Duration::from_secs(35 * 60);

/// The stage of [`Suite::handovers`].
const FORGET: &str = "the images' programs forget";

/// End-to-end tests that search an enclave's memory after a handover.
const HANDOVERS: [&str; 2] = ["handover_image", "handover_load"];

impl Suite<'_> {
    /// Three stages. From nothing, most of the first is the kernel and most of the
    /// last the emulator, both made once.
    pub(super) fn images(&mut self) -> Result<()> {
        let mut eifs = Eifs::default();
        if self.start.elapsed() > LAST_START {
            let why = "the other stages took too long on this machine; `cargo xtask test --images` \
                       runs these alone";
            say(&format!("skipped: the images and their boots: {why}"));
            self.total
                .add(Outcome::skipped("the images and their boots", why));
            return Ok(());
        }
        self.stage("images", 780, |suite| Ok(suite.build_images(&mut eifs)))?;
        if self.built {
            self.stage(FORGET, 90, Suite::handovers)?;
        }
        self.stage("the images boot", 480, |suite| suite.boot_images(eifs))
    }

    /// What stays on a stack is the compiler's doing, so memory is searched in what ships too.
    fn handovers(&mut self) -> Result<Outcome> {
        self.programs = match image::programs(self.repo) {
            Ok(programs) => programs,
            Err(error) => return Ok(of_error(FORGET, &error)),
        };
        let tests = HANDOVERS.map(str::to_owned).into();
        let outcome = self.cargo_test("handovers", &named(&tests));
        self.programs = self.repo.bin_dir();
        outcome
    }

    /// One by one: what keeps one image from being built need not keep the other.
    fn build_images(&mut self, eifs: &mut Eifs) -> Outcome {
        let mut outcome = Outcome::default();
        let eif_build = tools::eif_build(self.repo);
        let by_others = eif_build.is_ok();
        if let Err(error) = eif_build {
            outcome.add(of_error("the public tool packs the images too", &error));
        }
        for kind in Kind::ALL {
            if crate::signals::asked_to_stop() {
                break;
            }
            let options = image::Options {
                json: Some(self.logs.join(format!("image-{}.json", kind.name()))),
                eif_build: by_others,
                only: Some(kind),
                source_archive: self.source_archive.clone(),
                ..image::Options::default()
            };
            let name = format!("the {}'s image", kind.name());
            match image::build(self.repo, &options) {
                Ok(built) => {
                    let image = &built.images[&kind];
                    outcome.add(Outcome::single(&name, true));
                    outcome.add(compared(&name, image, &built.other_tools));
                    let eif = Some(image.eif.clone());
                    match kind {
                        Kind::Enclave => eifs.enclave = eif,
                        Kind::Worker => eifs.worker = eif,
                    }
                }
                Err(error) => outcome.add(of_error(&name, &error)),
            }
        }
        outcome
    }

    fn boot_images(&mut self, eifs: Eifs) -> Result<Outcome> {
        let name = "the images boot";
        if eifs.enclave.is_none() {
            return Ok(Outcome::skipped(name, "the enclave's was not built"));
        }
        let mut outcome = Outcome::default();
        if eifs.worker.is_none() {
            outcome.add(Outcome::skipped(
                "the worker boots",
                "its image was not built",
            ));
        }
        let mut arguments = boot::BootArgs {
            json: self.logs.join("boot.json"),
            eif: eifs.enclave,
            worker_eif: eifs.worker,
            source_archive: self.source_archive.clone(),
            tools_only: false,
            no_build: self.built,
        };
        let mut well = boot::run(self.repo, &arguments)?;
        if !well && !crate::signals::asked_to_stop() {
            // The emulator's vsock back end now and then hangs before a guest's first
            // byte. What is wrong with an image is wrong the second time, too.
            say("the boots failed: once more, with a report of its own");
            arguments.json = self.logs.join("boot-again.json");
            well = boot::run(self.repo, &arguments)?;
        }
        outcome.add(Outcome::single(name, well));
        Ok(outcome)
    }
}

fn compared(name: &str, image: &BuiltImage, other_tools: &[String]) -> Outcome {
    let title = format!("{name} beside images/measurements.json");
    match (&image.differences[..], other_tools) {
        ([], _) => Outcome::single(&title, true),
        (_, []) => Outcome::single(&title, false),
        (_, tools) => {
            let why = format!("other tools make other bytes: {}", tools.join("; "));
            Outcome::skipped(&title, &why)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apt::NotHere;

    #[test]
    fn other_bytes_are_excused_by_other_tools_alone() {
        let judge = |differences: &[&str], tools: &[&str]| {
            let owned = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
            let image = BuiltImage::differing(owned(differences));
            let outcome = compared("x", &image, &owned(tools));
            (outcome.passed, outcome.failed, outcome.skipped.len())
        };
        assert_eq!(judge(&[], &[]), (1, 0, 0));
        assert_eq!(judge(&[], &["gcc"]), (1, 0, 0));
        assert_eq!(judge(&["kernel"], &[]), (0, 1, 0));
        assert_eq!(judge(&["kernel"], &["gcc"]), (0, 0, 1));
    }

    #[test]
    fn what_a_machine_lacks_is_skipped_with_its_reason_and_all_else_fails() {
        let lacks = anyhow::Error::new(NotHere("give FILE".into())).context("the kernel");
        let outcome = of_error("images", &lacks);
        assert_eq!(outcome.skipped, ["images: give FILE"]);
        assert_eq!(of_error("images", &anyhow::anyhow!("broken")).failed, 1);
    }
}
