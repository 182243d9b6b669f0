//! The linear head: what turns the numbers of a word into a probability of each digit.
//!
//! A text, so that it can be read and compared: a line with its kind and format, one with
//! how many inputs it takes, one with ten biases, then one with ten weights for each input.
//! Protects against a file that says anything else.

use super::FEATURES;

/// First line.
const KIND: &str = "redoubt-spoken-digits 1";
/// No weight or bias is larger: logits stay far from where a float ends.
const MOST: f32 = 1e4;

/// What is wrong with a head's file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// Another kind of file, or of another format.
    #[error("head of spoken digits: the first line is not {KIND:?}")]
    Kind,
    /// For other features.
    #[error("head of spoken digits: the second line is not \"inputs {FEATURES}\"")]
    Inputs,
    /// A line that is not ten numbers.
    #[error("head of spoken digits: line {0} is not ten numbers between -10000 and 10000")]
    Line(usize),
    /// Too few lines, or too many.
    #[error("head of spoken digits: {0} lines of ten numbers, {expected} belong", expected = FEATURES + 1)]
    Lines(usize),
}

/// Biases and weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    biases: [f32; 10],
    weights: Vec<[f32; 10]>,
}

impl Head {
    /// Reads the text.
    pub fn read(bytes: &[u8]) -> Result<Self, HeadError> {
        let text = std::str::from_utf8(bytes).map_err(|_| HeadError::Kind)?;
        let mut lines = text.lines();
        if lines.next() != Some(KIND) {
            return Err(HeadError::Kind);
        }
        if lines.next() != Some(&*format!("inputs {FEATURES}")) {
            return Err(HeadError::Inputs);
        }
        let rows = lines
            .zip(3..)
            .map(|(line, number)| ten(line).ok_or(HeadError::Line(number)));
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        match rows.split_first() {
            Some((biases, weights)) if weights.len() == FEATURES => Ok(Self {
                biases: *biases,
                weights: weights.to_vec(),
            }),
            _ => Err(HeadError::Lines(rows.len())),
        }
    }

    /// Natural logarithms of the probabilities of 0 to 9: each at most 0, together at most 1.
    pub fn logs(&self, features: &[f32]) -> [f32; 10] {
        let mut logits = self.biases.map(f64::from);
        for (feature, weights) in features.iter().zip(&self.weights) {
            for (logit, weight) in logits.iter_mut().zip(weights) {
                *logit += f64::from(*feature) * f64::from(*weight);
            }
        }
        let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = logits.iter().map(|logit| (logit - most).exp()).sum();
        logits.map(|logit| ((logit - most - sum.ln()) as f32).clamp(f32::MIN, 0.0))
    }
}

fn ten(line: &str) -> Option<[f32; 10]> {
    let numbers = line.split(' ').map(|word| word.parse().ok());
    let numbers: Vec<f32> = numbers.collect::<Option<_>>()?;
    let within = |number: &f32| number.abs() <= MOST;
    let numbers = <[f32; 10]>::try_from(numbers).ok()?;
    numbers.iter().all(within).then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(inputs: usize) -> String {
        let row = "0.5 -1 2e-3 0 0 0 0 0 0 0\n";
        format!("{KIND}\ninputs {FEATURES}\n{}", row.repeat(inputs + 1))
    }

    #[test]
    fn what_is_no_head_is_refused_by_name() {
        let good = text(FEATURES);
        assert!(Head::read(good.as_bytes()).is_ok());
        let refused = |text: String| Head::read(text.as_bytes()).unwrap_err();
        assert_eq!(
            refused(good.replace("digits 1", "digits 2")),
            HeadError::Kind
        );
        assert_eq!(
            refused(good.replace("inputs 288", "inputs 96")),
            HeadError::Inputs
        );
        assert_eq!(refused(text(FEATURES - 1)), HeadError::Lines(FEATURES));
        assert_eq!(refused(text(FEATURES + 1)), HeadError::Lines(FEATURES + 2));
        for wrong in ["nan", "inf", "1e5", "x", "", "0 0"] {
            let bent = good.replacen("0.5", wrong, 1);
            assert_eq!(refused(bent), HeadError::Line(3), "{wrong}");
        }
        assert_eq!(Head::read(b"\xff"), Err(HeadError::Kind));
        assert_eq!(Head::read(b""), Err(HeadError::Kind));
    }

    #[test]
    fn the_head_of_this_repository_is_one() {
        let bytes = include_bytes!("../../../../images/models/spoken-digits.txt");
        assert!(Head::read(bytes).is_ok());
    }

    proptest! {
        #[test]
        fn bent_bytes_are_read_or_refused(at in 0usize..7000, byte in any::<u8>(), cut in any::<bool>()) {
            let mut bytes = text(FEATURES).into_bytes();
            let at = at % bytes.len();
            bytes[at] = byte;
            bytes.truncate(if cut { at } else { usize::MAX });
            let _ = Head::read(&bytes);
        }

        #[test]
        fn logarithms_are_of_probabilities(features in proptest::collection::vec(-1e6f32..1e6, FEATURES)) {
            let head = Head::read(text(FEATURES).as_bytes()).unwrap();
            let logs = head.logs(&features);
            assert!(logs.iter().all(|log| (f32::MIN..=0.0).contains(log)));
            let sum: f32 = logs.iter().map(|log| log.exp()).sum();
            assert!((sum - 1.0).abs() < 1e-4);
        }
    }
}
