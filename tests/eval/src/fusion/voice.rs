//! Templates of voices as the enclave makes them, and recordings beside them.

use redoubt_enclave::biometrics::VoiceSpaces;
use redoubt_shared::worker::{Embedding, VoiceQuality, VoiceSample};

use crate::stats::SplitMix;
use crate::templates::{kept, transforms};
use crate::voices::Run;
use crate::voices::cache::Outcome;

/// Templates made of each speaker's recordings at most.
const TEMPLATES_MAX: usize = 60;
/// Recordings that agree are accepted by what the voices' calibration reaches.
const PER_MILLION: u32 = 1000;

/// One of three recordings of one speaker.
struct Template {
    /// Of unit length, as int8 keeps it.
    vector: Vec<f32>,
    /// Which of the speaker's recordings it is made of.
    of: Vec<usize>,
}

struct Speaker {
    /// Embeddings in the order of recordings; none of one that was refused.
    recordings: Vec<Option<Vec<f32>>>,
    templates: Vec<Template>,
}

/// Speakers who can be enrolled and verified.
pub(super) struct Voices {
    speakers: Vec<Speaker>,
    /// Those with too few recordings that agree.
    pub(super) left_out: usize,
}

impl Voices {
    pub(super) fn new(run: &Run, spaces: &VoiceSpaces, seed: u64) -> Self {
        let mut found: Vec<Vec<Option<Vec<f32>>>> = vec![Vec::new(); run.speakers() as usize];
        for (recording, outcome) in run.recordings.iter().zip(&run.outcomes) {
            found[recording.speaker as usize].push(match outcome {
                Outcome::Embedded(vector) => Some(vector.clone()),
                Outcome::Refused(_) => None,
            });
        }
        let all = found.len();
        let enrolled = found
            .into_iter()
            .enumerate()
            .filter_map(|(at, recordings)| {
                let templates = templates(&recordings, spaces, seed ^ (at as u64).rotate_left(32));
                let more = recordings.len() > spaces.recordings;
                (more && !templates.is_empty()).then_some(Speaker {
                    recordings,
                    templates,
                })
            });
        let speakers: Vec<Speaker> = enrolled.collect();
        Self {
            left_out: all - speakers.len(),
            speakers,
        }
    }

    pub(super) fn speakers(&self) -> usize {
        self.speakers.len()
    }

    /// Templates of all of them.
    pub(super) fn templates(&self) -> usize {
        self.speakers.iter().map(|one| one.templates.len()).sum()
    }

    /// A drawn template of one and a drawn recording of the other, which it is not made of:
    /// their cosine; minus infinity if the recording was refused.
    pub(super) fn score(&self, one: usize, other: usize, random: &mut SplitMix) -> f32 {
        let templates = &self.speakers[one].templates;
        let template = &templates[random.below(templates.len())];
        let recordings = &self.speakers[other].recordings;
        let mut at = random.below(recordings.len());
        while one == other && template.of.contains(&at) {
            at = (at + 1) % recordings.len();
        }
        match &recordings[at] {
            Some(heard) => dot(&template.vector, heard),
            None => f32::NEG_INFINITY,
        }
    }

    /// Another speaker than this one.
    pub(super) fn another(&self, than: usize, random: &mut SplitMix) -> usize {
        (than + 1 + random.below(self.speakers.len() - 1)) % self.speakers.len()
    }
}

/// Drawn choices of recordings that the enclave would enrol, each once.
fn templates(recordings: &[Option<Vec<f32>>], spaces: &VoiceSpaces, seed: u64) -> Vec<Template> {
    let (mut random, transforms) = (SplitMix::new(seed), transforms());
    let heard: Vec<usize> = (0..recordings.len())
        .filter(|at| recordings[*at].is_some())
        .collect();
    let mut made: Vec<Template> = Vec::new();
    for _ in 0..4 * TEMPLATES_MAX {
        let mut of: Vec<usize> = random
            .some(spaces.recordings, heard.len())
            .into_iter()
            .map(|at| heard[at])
            .collect();
        of.sort_unstable();
        if made.len() == TEMPLATES_MAX || made.iter().any(|one| one.of == of) {
            continue;
        }
        let samples: Vec<VoiceSample> = of
            .iter()
            .filter_map(|at| recordings[*at].clone())
            .map(|vector| sample(spaces, vector))
            .collect();
        if let Ok(mean) = spaces.enrolled(&samples, PER_MILLION) {
            made.push(Template {
                vector: kept(&transforms, made.len() as u32 + 1, &mean.vector),
                of,
            });
        }
    }
    made
}

/// An embedding as the worker's answer has it; how good it sounded is not looked at here.
fn sample(spaces: &VoiceSpaces, vector: Vec<f32>) -> VoiceSample {
    let model = spaces.single.parts.first().map(|part| part.model.clone());
    VoiceSample {
        embeddings: vec![Embedding {
            model: model.unwrap_or_default(),
            vector,
        }],
        quality: VoiceQuality {
            speech_seconds: 0.0,
            level_db: 0.0,
            clipped: 0.0,
            signal_to_noise_db: 0.0,
            embedding_norm: 0.0,
            score: 1.0,
        },
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::voices::tree::Recording;
    use redoubt_enclave::worker_link::manifest::Manifest;

    /// Speakers of `each` recordings around axes of their own; one recording was refused.
    pub(in crate::fusion) fn made(speakers: usize, each: usize) -> Run {
        let recording = |at: usize| Recording {
            speaker: (at / each) as u32,
            name: format!("{at}.wav"),
            path: format!("{at}.wav").into(),
        };
        let outcome = |at: usize| {
            let mut vector = vec![0.0; 192];
            let own = 0.88 + 0.01 * (at % 4) as f32;
            vector[at / each] = own;
            vector[100 + at % 90] = (1.0 - own * own).sqrt();
            match at {
                1 => Outcome::Refused("Silent".into()),
                _ => Outcome::Embedded(vector),
            }
        };
        let all = speakers * each;
        Run {
            recordings: (0..all).map(recording).collect(),
            outcomes: (0..all).map(outcome).collect(),
            times: Vec::new(),
            model: "m".into(),
            models: "d".into(),
        }
    }

    #[test]
    fn a_recording_is_compared_with_a_template_that_it_is_not_part_of() {
        let manifest = Manifest::built_in();
        let spaces = &manifest.voice_spaces()[0];
        let voices = Voices::new(&made(4, 6), spaces, 5);
        assert_eq!((voices.speakers(), voices.left_out), (4, 0));
        // Ten choices of five that were heard, twenty of six.
        assert_eq!(voices.templates(), 10 + 3 * 20);
        let (mut refused, mut random) = (0, SplitMix::new(9));
        for _ in 0..400 {
            // One that a template is made of has .93 with it, another one of the speaker .86.
            let own = voices.score(0, 0, &mut random);
            match own.is_finite() {
                true => assert!((0.83..0.9).contains(&own), "{own}"),
                false => refused += 1,
            }
            let other = voices.another(2, &mut random);
            assert_ne!(other, 2);
            assert!(voices.score(2, other, &mut random) < 0.3);
        }
        assert!((50..350).contains(&refused), "{refused}");
    }

    #[test]
    fn a_speaker_with_nothing_left_to_verify_is_left_out() {
        let manifest = Manifest::built_in();
        let spaces = &manifest.voice_spaces()[0];
        let voices = Voices::new(&made(4, 3), spaces, 5);
        assert_eq!((voices.speakers(), voices.left_out), (0, 4));
        // The first has two recordings that were heard, and no template.
        let voices = Voices::new(&made(2, 3), spaces, 5);
        assert_eq!(voices.left_out, 2);
    }
}
