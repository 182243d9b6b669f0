//! How long the worker's stages take, from its log.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The stages of a face, in their order.
pub const STAGES: [&str; 4] = ["decode", "detect", "align", "embed"];
/// The stages of a voice, in their order.
pub const VOICE_STAGES: [&str; 4] = ["decode", "activity", "features", "embed"];

/// Microseconds of each stage of one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stages(pub [u64; 4]);

/// Those a line of the worker's log tells.
pub fn stages(line: &str) -> Option<Stages> {
    let names = if line.contains("job done, microseconds") {
        STAGES
    } else if line.contains("voice done, microseconds")
        || line.contains("spoken digits done, microseconds")
    {
        VOICE_STAGES
    } else {
        return None;
    };
    let mut found = [0; 4];
    for (stage, micros) in names.iter().zip(&mut found) {
        let (_, rest) = line.split_once(&format!(" {stage}="))?;
        *micros = rest.split_whitespace().next()?.parse().ok()?;
    }
    Some(Stages(found))
}

/// Median and 95th percentile of each stage and of a whole job, in milliseconds.
pub fn summary(times: &[Stages], names: [&str; 4]) -> Value {
    if times.is_empty() {
        return Value::Null;
    }
    let middle = |mut micros: Vec<u64>| {
        micros.sort_unstable();
        let at = |share: f64| {
            let rank = (micros.len() as f64 * share).ceil() as usize;
            micros[rank.saturating_sub(1)] as f64 / 1000.0
        };
        json!({ "median": at(0.5), "p95": at(0.95) })
    };
    let mut all = serde_json::Map::new();
    for (stage, name) in names.iter().enumerate() {
        let micros = times.iter().map(|times| times.0[stage]);
        all.insert((*name).to_owned(), middle(micros.collect()));
    }
    let jobs = times.iter().map(|times| times.0.iter().sum());
    all.insert("job".to_owned(), middle(jobs.collect()));
    all.insert("jobs".to_owned(), json!(times.len()));
    Value::Object(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_log_tells_the_stages_and_others_tell_nothing() {
        let line = "2026-11-22T18:00:00Z DEBUG redoubt_worker::session::threads: \
                    job done, microseconds decode=900 detect=3100 align=400 embed=28000";
        assert_eq!(stages(line), Some(Stages([900, 3100, 400, 28000])));
        let voice = "DEBUG redoubt_worker::session::threads: voice done, microseconds \
                     decode=900 activity=1100 features=1700 embed=28000";
        assert_eq!(stages(voice), Some(Stages([900, 1100, 1700, 28000])));
        assert_eq!(stages("sealed and ready threads=2"), None);
        assert_eq!(stages("job done, microseconds decode=900"), None);
    }

    #[test]
    fn a_summary_is_of_milliseconds() {
        let times: Vec<Stages> = (1..=100).map(|n| Stages([n * 1000, 0, 0, 1000])).collect();
        let found = summary(&times, STAGES);
        assert_eq!(found["decode"]["median"], 50.0);
        assert_eq!(found["decode"]["p95"], 95.0);
        assert_eq!(found["job"]["median"], 51.0);
        assert_eq!(summary(&[], STAGES), Value::Null);
    }
}
