//! The next manifest of the same appliance: officers leave or join, witnesses,
//! custodians and images change.
//!
//! Protects whoever pinned a manifest against one that other people wrote: the
//! next one is accepted only if the officers of the pinned one signed it too.

use super::{Genesis, GenesisError, VerifiedGenesis, require};

const FILE: &str = "successor of the genesis manifest";

impl VerifiedGenesis {
    /// Verifies a manifest that succeeds this one: valid by its own officers,
    /// naming this one as `previous`, with a higher counter, and signed by as
    /// many of this manifest's officers as this manifest asks for.
    pub fn successor(&self, bytes: &[u8]) -> Result<VerifiedGenesis, GenesisError> {
        let next = Genesis::verify(bytes)?;
        let (old, new) = (&self.manifest, &next.manifest);
        require(
            new.previous == Some(self.digest),
            FILE,
            "previous",
            format!(
                "must be the digest of the manifest before it, {}",
                self.digest
            ),
        )?;
        require(
            new.counter > old.counter,
            FILE,
            "counter",
            format!("must be higher than {}", old.counter),
        )?;
        require(
            new.environment == old.environment,
            FILE,
            "environment",
            "is fixed for the life of an appliance; make a new one instead",
        )?;
        let mut officers = old.officers.clone();
        for officer in &new.officers {
            match old.officers.iter().find(|known| known.id == officer.id) {
                None => officers.push(officer.clone()),
                Some(known) => require(
                    known.key == officer.key,
                    FILE,
                    "officers",
                    format!(
                        "{:?} has another key than before; give a new key a new id",
                        officer.id
                    ),
                )?,
            }
        }
        // Nobody signs it who is in neither manifest, and enough of both do.
        next.envelope.verify(&officers, 0)?;
        next.envelope
            .verify_among(&old.officers, old.threshold.into())?;
        Ok(next)
    }
}
