//! Recordings, good and hostile, through the real process.

use std::time::Instant;

use redoubt_shared::worker::SampleRefusal;
use tokio::io::AsyncWriteExt;

use super::common::audio::Wav;
use super::common::folder;
use super::common::opus::{FRAME, Sound};
use super::{assert_sealed, proven, ready, start};

#[tokio::test]
async fn a_sealed_process_embeds_voices_and_outlives_hostile_recordings() {
    let test = "a_sealed_process_embeds_voices_and_outlives_hostile_recordings";
    let Some((models, media)) = ready(test) else {
        return;
    };
    let Some(data) = folder("REDOUBT_DATA", test) else {
        return;
    };
    let mut worker = start(&models);
    let mut session = proven(&mut worker).await;
    let spoken = data.join("librispeech/1688/1688-142285-0000.flac");
    let spoken = std::fs::read(spoken).unwrap();
    let before = session.voice(spoken.clone()).await.unwrap();
    assert_eq!(before.embeddings[0].vector.len(), 192);
    let sent = opus(&spoken);
    let compressed = session.voice(sent.ogg()).await.unwrap();
    assert_eq!(session.voice(sent.webm()).await.unwrap(), compressed);
    let pairs = before.embeddings[0]
        .vector
        .iter()
        .zip(&compressed.embeddings[0].vector);
    let cosine: f32 = pairs.map(|(a, b)| a * b).sum();
    println!("FLAC and Opus at 24 kbit/s: cosine {cosine}");
    assert!(cosine > 0.85, "{cosine}");
    let mut bomb = Wav::of(&[0.0; 100], 16_000, 1);
    bomb.claimed = Some(1 << 30);
    let mut minutes = sent.clone();
    minutes.frame = 2880;
    minutes.packets = vec![vec![0x18]; 2000];
    let portrait = std::fs::read(media.join("obama.jpg")).unwrap();
    let hostile = [
        (Vec::new(), SampleRefusal::NotAudio),
        (spoken[..spoken.len() / 2].to_vec(), SampleRefusal::NotAudio),
        (portrait.clone(), SampleRefusal::NotAudio),
        (bomb.file(), SampleRefusal::TooLong),
        (minutes.ogg(), SampleRefusal::TooLong),
        (minutes.webm(), SampleRefusal::TooLong),
        (sent.ogg()[..9000].to_vec(), SampleRefusal::NotAudio),
        (
            Wav::floats(&[f32::NAN; 16_000], 16_000).file(),
            SampleRefusal::NotFinite,
        ),
        (
            Wav::of(&[0.0; 16_000], 16_000, 1).file(),
            SampleRefusal::Silent,
        ),
    ];
    for (audio, expected) in hostile {
        assert_eq!(session.voice(audio).await.err(), Some(expected));
    }
    let seen = session.face(spoken.clone(), 10_000).await;
    assert_eq!(seen.err(), Some(SampleRefusal::NotAnImage));
    session.face(portrait, 10_000).await.unwrap();
    let began = Instant::now();
    let after = session.voice(spoken).await.unwrap();
    println!("one job over the session: {:?}", began.elapsed());
    assert_eq!(before, after, "nothing of the jobs between may be left");
    assert_sealed(worker.child.id());
    session.stream.shutdown().await.unwrap();
    drop(session);
    assert!(worker.child.wait().unwrap().success());
}

/// A recording at 16 kHz as a browser would send it: Opus of 24 kbit/s.
fn opus(recording: &[u8]) -> Sound {
    let samples = redoubt_worker::voice::decoded(recording).unwrap();
    // Three samples for one; what that adds above 8 kHz the worker takes away again.
    let samples: Vec<f32> = samples.into_iter().flat_map(|sample| [sample; 3]).collect();
    Sound::of(&samples, 1, FRAME, 24)
}
