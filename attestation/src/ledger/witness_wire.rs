//! C2SP tlog-witness: the texts of `add-checkpoint`.
//!
//! Protects both ends against a request or an answer with two readings: every
//! text has one spelling, everything else is refused, lengths are bounded first.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::entry::Hash;

/// Content type of a conflict's answer.
pub const SIZE_CONTENT_TYPE: &str = "text/x.tlog.size";
/// Longest consistency proof.
pub const PROOF_MAX: usize = 63;
/// Longest request: the proof's lines and a whole note.
pub const REQUEST_MAX: usize = 80 * 1024;
/// Longest answer: a few signature lines.
pub const ANSWER_MAX: usize = 16 * 1024;

/// Why a text is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("tlog-witness: {0}")]
pub struct WireError(pub &'static str);

/// The request: a head, and the proof that it grew out of an older one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// Size of the head that the witness cosigned last; 0 if none.
    pub old_size: u64,
    /// Consistency proof from there.
    pub proof: Vec<Hash>,
    /// The head as a signed note.
    pub note: String,
}

impl AddCheckpoint {
    /// The request's body.
    pub fn to_text(&self) -> String {
        let mut text = format!("old {}\n", self.old_size);
        for hash in &self.proof {
            text.push_str(&STANDARD.encode(hash));
            text.push('\n');
        }
        text.push('\n');
        text.push_str(&self.note);
        text
    }

    /// Reads a request's body. The note is not looked into.
    pub fn parse(bytes: &[u8]) -> Result<Self, WireError> {
        if bytes.len() > REQUEST_MAX {
            return Err(WireError("the request is longer than 81920 bytes"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| WireError("not UTF-8"))?;
        let (head, note) = text
            .split_once("\n\n")
            .ok_or(WireError("no empty line before the checkpoint"))?;
        let mut lines = head.split('\n');
        let old_size = lines
            .next()
            .and_then(|line| line.strip_prefix("old "))
            .and_then(canonical_decimal)
            .ok_or(WireError("the first line is not `old` and a decimal size"))?;
        let proof = lines
            .map(|line| STANDARD.decode(line).ok()?.try_into().ok())
            .collect::<Option<Vec<Hash>>>()
            .ok_or(WireError("a proof line is not 32 bytes of base64"))?;
        if proof.len() > PROOF_MAX {
            return Err(WireError("more than 63 proof lines"));
        }
        if note.is_empty() {
            return Err(WireError("no checkpoint"));
        }
        Ok(Self {
            old_size,
            proof,
            note: note.to_owned(),
        })
    }
}

/// The body of a conflict: the size the witness knows.
pub fn size_text(size: u64) -> String {
    format!("{size}\n")
}

/// Reads the body of a conflict.
pub fn parse_size(bytes: &[u8]) -> Result<u64, WireError> {
    std::str::from_utf8(bytes)
        .ok()
        .and_then(|text| text.strip_suffix('\n'))
        .and_then(canonical_decimal)
        .ok_or(WireError("not a decimal size and a newline"))
}

/// Reads the body of a success: signature lines, each with its newline.
pub fn parse_lines(bytes: &[u8]) -> Result<Vec<String>, WireError> {
    if bytes.len() > ANSWER_MAX {
        return Err(WireError("the answer is longer than 16384 bytes"));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| WireError("not UTF-8"))?;
    let lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    let good = |line: &String| line.starts_with("\u{2014} ") && line.ends_with('\n');
    if lines.is_empty() || !lines.iter().all(good) {
        return Err(WireError("not signature lines"));
    }
    Ok(lines)
}

/// Digits without a leading zero, and nothing else.
fn canonical_decimal(text: &str) -> Option<u64> {
    let canonical = text.bytes().all(|b| b.is_ascii_digit())
        && !text.is_empty()
        && (text == "0" || !text.starts_with('0'));
    canonical.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request() -> AddCheckpoint {
        AddCheckpoint {
            old_size: 5,
            proof: vec![[1; 32], [2; 32]],
            note: "origin\n6\nAAAA\n\n\u{2014} name c2ln\n".into(),
        }
    }

    #[test]
    fn a_request_reads_back() {
        let text = request().to_text();
        assert!(text.starts_with("old 5\nAQEB"));
        assert_eq!(AddCheckpoint::parse(text.as_bytes()).unwrap(), request());
        let first = AddCheckpoint {
            old_size: 0,
            proof: vec![],
            ..request()
        };
        assert!(first.to_text().starts_with("old 0\n\norigin\n"));
        assert_eq!(
            AddCheckpoint::parse(first.to_text().as_bytes()).unwrap(),
            first
        );
    }

    #[test]
    fn other_spellings_of_a_request_are_refused() {
        let text = request().to_text();
        for (from, to) in [
            ("old 5", "old 05"),
            ("old 5", "old +5"),
            ("old 5", "old  5"),
            ("old 5", "old 5 "),
            ("old 5", "Old 5"),
            ("old 5", "old 18446744073709551616"),
            ("old 5\n", "old 5\r\n"),
            ("old 5\n", ""),
            ("AQEBAQE", "AQEB"),
            ("AQE=\n", "AQE\n"),
            ("AQE=\n", "AQF=\n"),
            ("AQE=\n", "AQE=\r\n"),
        ] {
            let bent = text.replacen(from, to, 1);
            assert_ne!(bent, text, "{from}");
            assert!(AddCheckpoint::parse(bent.as_bytes()).is_err(), "{to:?}");
        }
        let long = AddCheckpoint {
            proof: vec![[0; 32]; PROOF_MAX + 1],
            ..request()
        };
        assert!(AddCheckpoint::parse(long.to_text().as_bytes()).is_err());
        assert!(AddCheckpoint::parse(b"old 1\n\n").is_err());
        assert!(AddCheckpoint::parse(&vec![b'a'; REQUEST_MAX + 1]).is_err());
    }

    #[test]
    fn a_size_has_one_spelling() {
        assert_eq!(parse_size(size_text(0).as_bytes()), Ok(0));
        assert_eq!(parse_size(size_text(u64::MAX).as_bytes()), Ok(u64::MAX));
        for wrong in ["", "\n", "1", "01\n", "1\n\n", "-1\n", "1 \n"] {
            assert!(parse_size(wrong.as_bytes()).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_answer_is_signature_lines_only() {
        let lines = parse_lines("\u{2014} a b\n\u{2014} c d\n".as_bytes()).unwrap();
        assert_eq!(lines, ["\u{2014} a b\n", "\u{2014} c d\n"]);
        for wrong in ["", "\n", "\u{2014} a b", "a b\n", "\u{2014} a b\n\n"] {
            assert!(parse_lines(wrong.as_bytes()).is_err(), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_readers_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = AddCheckpoint::parse(&bytes);
            let _ = parse_size(&bytes);
            let _ = parse_lines(&bytes);
        }

        #[test]
        fn what_is_read_is_written_the_same(
            old in any::<u64>(),
            proof in proptest::collection::vec(any::<[u8; 32]>(), 0..5),
            note in "[ -~]{1,40}",
        ) {
            let request = AddCheckpoint { old_size: old, proof, note };
            prop_assert_eq!(AddCheckpoint::parse(request.to_text().as_bytes()).unwrap(), request);
        }
    }
}
