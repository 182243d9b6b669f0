//! Images on the command line of a ceremony: what they measure, which are allowed
//! from then on and which no longer.

use std::path::{Path, PathBuf};

use anyhow::ensure;
use redoubt_attestation::genesis::{Environment, Genesis, MeasuredRole, Measurement, Tier};

use super::{measure, pcrs};

/// Images and programs that a successor allows beside those of before, or no longer.
#[derive(Debug, clap::Args)]
pub(super) struct ImageChanges {
    /// Allow one more enclave image: images/measurements.json, or JSON {"PCR0": hex, ...};
    /// repeat for more
    #[arg(long, value_name = "FILE")]
    enclave_pcrs: Vec<PathBuf>,
    /// Allow one more worker image (tier `enclave`)
    #[arg(long, value_name = "FILE")]
    worker_pcrs: Vec<PathBuf>,
    /// Allow one more program as the enclave: emulated appliances only
    #[arg(long, value_name = "FILE")]
    enclave_bin: Vec<PathBuf>,
    /// Allow one more program as the worker (tier `process`)
    #[arg(long, value_name = "FILE")]
    worker_bin: Vec<PathBuf>,
    /// Allow the image or program with this PCR0 no longer; repeat for more
    #[arg(long, value_name = "PCR0")]
    withdraw: Vec<String>,
}

impl ImageChanges {
    /// Changes the list of a manifest that is not signed yet.
    pub(super) fn put_into(&self, manifest: &mut Genesis) -> anyhow::Result<()> {
        for pcr0 in &self.withdraw {
            let before = manifest.measurements.len();
            let other = |image: &Measurement| image.pcrs.get(&0) != Some(pcr0);
            manifest.measurements.retain(other);
            ensure!(
                manifest.measurements.len() < before,
                "--withdraw {pcr0}: the present manifest lists no image with this PCR0"
            );
        }
        ensure!(
            self.enclave_bin.is_empty() || manifest.environment == Environment::Emulated,
            "--enclave-bin: a program is no enclave under a manifest of hardware; give \
             --enclave-pcrs"
        );
        for image in self.added()? {
            let known = manifest.measurements.iter();
            let mut known = known.filter(|known| known.role == image.role);
            ensure!(
                !known.any(|known| known.pcrs.get(&0) == image.pcrs.get(&0)),
                "the image with PCR0 {} is allowed already",
                image.pcrs.get(&0).map_or("", String::as_str)
            );
            manifest.measurements.push(image);
        }
        Ok(())
    }

    fn added(&self) -> anyhow::Result<Vec<Measurement>> {
        let (enclave, worker) = (MeasuredRole::Enclave, MeasuredRole::Worker);
        let images = self.enclave_pcrs.iter().map(|file| image(enclave, file));
        let images = images.chain(self.worker_pcrs.iter().map(|file| image(worker, file)));
        let programs = self.enclave_bin.iter().map(|file| program(enclave, file));
        let programs = programs.chain(self.worker_bin.iter().map(|file| program(worker, file)));
        images.chain(programs).collect()
    }
}

/// An image by its measurements.
pub(super) fn image(role: MeasuredRole, measurements: &Path) -> anyhow::Result<Measurement> {
    Ok(Measurement {
        role,
        tier: Tier::Enclave,
        pcrs: pcrs::of_image(measurements, role)?,
    })
}

/// A program as an emulated appliance runs it; a worker is a process then.
pub(super) fn program(role: MeasuredRole, file: &Path) -> anyhow::Result<Measurement> {
    Ok(Measurement {
        role,
        tier: match role {
            MeasuredRole::Enclave => Tier::Enclave,
            MeasuredRole::Worker => Tier::Process,
        },
        pcrs: measure::registers(file)?.into_iter().collect(),
    })
}
