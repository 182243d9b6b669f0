//! What a booted image measures: the platform configuration registers that the
//! security module reports and every attestation document carries.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha384};

use crate::Eif;

/// A register extended once, from zero, with the digest of `parts`, one after
/// the other.
pub fn pcr<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 48] {
    let mut content = Sha384::new();
    for part in parts {
        content.update(part);
    }
    let mut register = Sha384::new();
    register.update([0; 48]);
    register.update(content.finalize());
    register.finalize().into()
}

/// PCR0, PCR1 and PCR2 of an image, in lowercase hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measurements {
    /// Kernel, command line and all ramdisks.
    pub pcr0: String,
    /// Kernel, command line and the first ramdisk: what boots.
    pub pcr1: String,
    /// The other ramdisks: what is run.
    pub pcr2: String,
}

impl Measurements {
    /// Computes them; metadata measures nothing.
    pub fn of(eif: &Eif) -> Self {
        let boot = [&eif.kernel[..], eif.command_line.as_bytes()];
        let ramdisks = || eif.ramdisks.iter().map(Vec::as_slice);
        Self {
            pcr0: hex::encode(pcr(boot.into_iter().chain(ramdisks()))),
            pcr1: hex::encode(pcr(boot.into_iter().chain(ramdisks().take(1)))),
            pcr2: hex::encode(pcr(ramdisks().skip(1))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Eif {
        Eif {
            kernel: b"kernel".to_vec(),
            command_line: "quiet".into(),
            metadata: b"{}".to_vec(),
            ramdisks: vec![b"first".to_vec(), b"second".to_vec()],
        }
    }

    #[test]
    fn a_register_is_the_digest_of_zeros_and_the_contents_digest() {
        let by_hand = Sha384::digest([&[0; 48][..], &Sha384::digest(b"abc")].concat());
        assert_eq!(pcr([&b"a"[..], b"bc"]), by_hand[..]);
    }

    #[test]
    fn each_part_moves_its_own_registers_and_metadata_none() {
        let before = Measurements::of(&image());
        let moved = |change: fn(&mut Eif)| {
            let mut image = image();
            change(&mut image);
            let after = Measurements::of(&image);
            [
                after.pcr0 != before.pcr0,
                after.pcr1 != before.pcr1,
                after.pcr2 != before.pcr2,
            ]
        };
        assert_eq!(moved(|eif| eif.kernel[0] ^= 1), [true, true, false]);
        assert_eq!(moved(|eif| eif.command_line.push('x')), [true, true, false]);
        assert_eq!(moved(|eif| eif.ramdisks[0][0] ^= 1), [true, true, false]);
        assert_eq!(moved(|eif| eif.ramdisks[1][0] ^= 1), [true, false, true]);
        assert_eq!(moved(|eif| eif.metadata.push(b' ')), [false; 3]);
    }
}
