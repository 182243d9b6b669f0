//! Who is given whose voice.

use crate::stats::SplitMix;

/// Persons of one set, each with a speaker of another, as even as the numbers allow: where
/// there are fewer speakers than persons, one voice is many persons'.
pub(super) struct Customers {
    speaker: Vec<usize>,
}

impl Customers {
    /// The same for the same seed.
    pub(super) fn new(persons: usize, speakers: usize, seed: u64) -> Self {
        let mut random = SplitMix::new(seed);
        let mut speaker = vec![0; persons];
        let drawn = random.some(persons, persons);
        let order = random.some(speakers, speakers);
        for (at, person) in drawn.into_iter().enumerate() {
            speaker[person] = order[at % speakers.max(1)];
        }
        Self { speaker }
    }

    /// Whose voice a person has.
    pub(super) fn speaker(&self, person: u32) -> usize {
        self.speaker[person as usize]
    }

    /// How many there are.
    pub(super) fn persons(&self) -> usize {
        self.speaker.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_person_has_a_voice_and_every_voice_as_many_persons() {
        let customers = Customers::new(20, 6, 7);
        let mut of = [0; 6];
        (0..20).for_each(|person| of[customers.speaker(person)] += 1);
        of.sort_unstable();
        assert_eq!(of, [3, 3, 3, 3, 4, 4]);
        let all = |seed| Customers::new(20, 6, seed).speaker;
        assert_eq!(all(7), all(7));
        assert_ne!(all(7), all(8));
        let more = Customers::new(3, 50, 7);
        let mut own: Vec<_> = (0..3).map(|person| more.speaker(person)).collect();
        own.dedup();
        assert_eq!(own.len(), 3);
    }
}
