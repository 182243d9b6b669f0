//! What the decoders say of whole, broken and hostile recordings.

mod common;

use common::audio::{FLOAT, Flac, PCM, Wav, buzz, flac, flac_frame, riff, verbatim};
use redoubt_shared::worker::SampleRefusal;
use redoubt_worker::voice::{CHANNELS_MAX, RATE, RATES, SECONDS_MAX, decoded};

use SampleRefusal::{AudioNotSupported, NotAudio, NotFinite, TooLong};

/// Largest difference between a second of samples and the buzz that they should be.
fn off(samples: &[f32]) -> f32 {
    let expected = buzz(RATE as u32, 1.0);
    assert_eq!(samples.len(), RATE);
    let inner = samples.iter().zip(&expected).skip(200).take(RATE - 400);
    inner.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn whole_recordings_of_every_kind_rate_and_width_are_the_same_sound() {
    for rate in RATES {
        let samples = buzz(rate, 1.0);
        for file in [Wav::of(&samples, rate, 1).file(), flac(&samples, rate)] {
            let error = off(&decoded(&file).unwrap());
            assert!(error < 0.01, "{rate}: {error}");
        }
    }
    let samples = buzz(16_000, 1.0);
    let wide = |bits: u16, bytes: usize, from: usize, offset: u8| Wav {
        bits,
        data: samples
            .iter()
            .flat_map(|s| {
                let all = ((f64::from(*s) * 2147483647.0) as i32).to_le_bytes();
                let mut kept = all[from..from + bytes].to_vec();
                kept[bytes - 1] = kept[bytes - 1].wrapping_add(offset);
                kept
            })
            .collect(),
        ..Wav::of(&[], 16_000, 1)
    };
    let widths = [
        (wide(8, 1, 3, 128), 0.01),
        (wide(24, 3, 1, 0), 1e-5),
        (wide(32, 4, 0, 0), 1e-5),
        (Wav::floats(&samples, 16_000), 1e-6),
    ];
    for (wav, tolerance) in widths {
        let error = off(&decoded(&wav.file()).unwrap());
        assert!(error < tolerance, "{} bits: {error}", wav.bits);
    }
}

#[test]
fn two_channels_are_mixed_to_one() {
    let samples = buzz(16_000, 1.0);
    let left: Vec<f32> = samples.iter().flat_map(|s| [2.0 * s, 0.0]).collect();
    assert!(off(&decoded(&Wav::of(&left, 16_000, 2).file()).unwrap()) < 1e-3);
    let part = &samples[..4096];
    let doubled: Vec<f32> = part.iter().map(|s| 2.0 * s).collect();
    let head = Flac {
        rate: 16_000,
        channels: 2,
        total: 4096,
    };
    let bodies = [verbatim(&doubled), verbatim(&vec![0.0; 4096])].concat();
    let file = [head.head(), flac_frame(0, 4096, 2, &bodies)].concat();
    let mixed = decoded(&file).unwrap();
    let apart = mixed.iter().zip(part).map(|(a, b)| (a - b).abs());
    assert!(apart.fold(0.0, f32::max) < 1e-3);
    assert_eq!(mixed.len(), part.len());
}

#[test]
fn bytes_behind_a_whole_wav_are_ignored_and_floats_beyond_full_scale_are_cut() {
    let wav = Wav::floats(&[2.0, -3.0, 0.5], 16_000).file();
    let polyglot = [wav, b"PK\x03\x04<script>".to_vec()].concat();
    assert_eq!(decoded(&polyglot).unwrap(), [1.0, -1.0, 0.5]);
}

type Case = (String, Vec<u8>, SampleRefusal);

fn case(name: impl Into<String>, file: Vec<u8>, refusal: SampleRefusal) -> Case {
    (name.into(), file, refusal)
}

/// Not a recording at all.
fn other_files(whole: &[u8]) -> Vec<Case> {
    let files: [(&str, &[u8]); 17] = [
        ("nothing", b""),
        ("one byte", b"R"),
        ("text", b"hello, it is me"),
        ("a mark alone", b"RIFF"),
        ("a frame alone", b"RIFF\x04\0\0\0WAVE"),
        ("a FLAC mark alone", b"fLaC"),
        ("big-endian", b"RIFX\x04\0\0\0WAVE"),
        ("64-bit lengths", b"RF64\xff\xff\xff\xffWAVE"),
        ("a film", b"RIFF\x04\0\0\0AVI LIST"),
        ("Ogg", b"OggS\0\x02\0\0\0\0\0\0\0\0OpusHead"),
        ("MP3", b"ID3\x04\0\0\0\0\0\0\xff\xfb\x90"),
        ("MP4", b"\0\0\0\x20ftypM4A \0\0\0\0"),
        ("AIFF", b"FORM\0\0\0\x04AIFF"),
        ("a picture", b"\xff\xd8\xff\xe0\0\x10JFIF\0"),
        ("zeros", &[0; 4096]),
        ("ones", &[0xff; 4096]),
        ("a script", b"#!/bin/sh\nrm -rf /"),
    ];
    let mut cases: Vec<Case> = Vec::new();
    cases.extend(files.map(|(name, file)| case(name, file.to_vec(), NotAudio)));
    let inside = [b"%PDF-1.7\n", whole].concat();
    cases.push(case("a document with a recording inside", inside, NotAudio));
    cases
}

/// Recordings that end somewhere in the middle.
fn cut(whole: &[u8], flac: &[u8]) -> Vec<Case> {
    let part = |kind: &str, file: &[u8], n: usize| {
        let end = file.len() * n / 16;
        case(
            format!("{kind} cut at {end}"),
            file[..end].to_vec(),
            NotAudio,
        )
    };
    let parts = (1..16).flat_map(|n| [part("WAV", whole, n), part("FLAC", flac, n)]);
    parts.collect()
}

/// WAV files whose parts are wrong.
fn bent_wav(good: &Wav) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut bent = |name: String, refusal, bend: &dyn Fn(&mut Wav)| {
        let mut wav = good.clone();
        bend(&mut wav);
        cases.push(case(name, wav.file(), refusal));
    };
    bent("no channels".into(), NotAudio, &|w| w.channels = 0);
    for channels in [CHANNELS_MAX as u16 + 1, 8, 255] {
        bent(format!("{channels} channels"), AudioNotSupported, &|w| {
            w.channels = channels;
            w.data
                .truncate(w.data.len() / usize::from(channels) / 2 * usize::from(channels) * 2);
        });
    }
    for rate in [0, 1, 7999, 16_001, 192_000] {
        bent(format!("{rate} Hz"), AudioNotSupported, &|w| w.rate = rate);
    }
    // More bytes a second than the header can say.
    bent("4 GHz".into(), NotAudio, &|w| w.rate = u32::MAX);
    for tag in [0, 2, 6, 7, 0x55, 0xffff] {
        bent(format!("codec {tag}"), AudioNotSupported, &|w| w.tag = tag);
    }
    bent("1 GiB claimed".into(), TooLong, &|w| {
        w.claimed = Some(1 << 30)
    });
    bent("half a sample".into(), NotAudio, &|w| w.data.truncate(1001));
    bent("more claimed than there is".into(), NotAudio, &|w| {
        w.claimed = Some(w.data.len() as u32 + 2);
    });
    bent("a minute and a bit".into(), TooLong, &|w| {
        (w.rate, w.bits) = (8000, 8);
        w.data = vec![128; 8000 * SECONDS_MAX as usize + 1];
    });
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -9.0] {
        bent(format!("{bad} in it"), NotFinite, &|w| {
            (w.tag, w.bits) = (FLOAT, 32);
            w.data = [0.1, bad].map(f32::to_le_bytes).concat();
        });
    }
    let widths = [
        (PCM, 64, AudioNotSupported),
        (PCM, 0, NotAudio),
        (PCM, 12, NotAudio),
        (FLOAT, 16, NotAudio),
        (FLOAT, 64, NotAudio),
    ];
    for (tag, bits, refusal) in widths {
        bent(format!("{bits} bits as {tag}"), refusal, &|w| {
            (w.tag, w.bits) = (tag, bits);
            w.data.truncate(4096);
        });
    }
    let (format, data) = (good.format(), good.data());
    let chunks: [(&str, &[&[u8]]); 4] = [
        ("no format", &[&data]),
        ("no data", &[&format]),
        ("the data first", &[&data, &format]),
        (
            "a chunk beyond the end",
            &[b"LIST\xff\xff\xff\x7f", &format, &data],
        ),
    ];
    cases.extend(chunks.map(|(name, chunks)| case(name, riff(chunks), NotAudio)));
    cases
}

/// FLAC files whose parts are wrong.
fn bent_flac(good: &[u8], samples: &[f32]) -> Vec<Case> {
    let head = |rate, channels, total| {
        let flac = Flac {
            rate,
            channels,
            total,
        };
        flac.head()
    };
    let frame = flac_frame(0, 4096, 1, &verbatim(&samples[..4096]));
    // A constant of two bytes stands for 65,535 samples.
    let silence: Vec<u8> = (0..127)
        .flat_map(|n| flac_frame(n, 65_535, 1, &[0, 0, 0]))
        .collect();
    let mut swapped = good.to_vec();
    let middle = swapped.len() / 2;
    swapped[middle] ^= 0x40;
    let mut endless = good.to_vec();
    endless[4..8].copy_from_slice(&[0x04, 0xff, 0xff, 0xff]);
    let no_info = [b"fLaC\x84\0\0\x04\0\0\0\0".as_slice(), &frame].concat();
    vec![
        case(
            "eight channels",
            [head(16_000, 8, 4096), frame.clone()].concat(),
            AudioNotSupported,
        ),
        case(
            "1 Hz",
            [head(1, 1, 4096), frame.clone()].concat(),
            AudioNotSupported,
        ),
        case(
            "655,350 Hz",
            [head(655_350, 1, 0), frame.clone()].concat(),
            AudioNotSupported,
        ),
        case(
            "a day claimed",
            [head(16_000, 1, (1 << 36) - 1), frame.clone()].concat(),
            TooLong,
        ),
        case(
            "minutes in 1 KB, length not told",
            [head(16_000, 1, 0), silence].concat(),
            TooLong,
        ),
        case(
            "more told than there is",
            [head(16_000, 1, 4097), frame.clone()].concat(),
            NotAudio,
        ),
        case(
            "less told than there is",
            [head(16_000, 1, 4095), frame.clone()].concat(),
            NotAudio,
        ),
        case(
            "two channels told, one there",
            [head(16_000, 2, 4096), frame.clone()].concat(),
            NotAudio,
        ),
        case("a bit of sound swapped", swapped, NotAudio),
        case("a tag of 16 MiB", endless, AudioNotSupported),
        case("no head", no_info, NotAudio),
        case("bytes behind it", [good, b"PK\x03\x04"].concat(), NotAudio),
    ]
}

#[test]
fn every_broken_or_hostile_recording_has_its_refusal() {
    let samples = buzz(16_000, 1.0);
    let wav = Wav::of(&samples, 16_000, 1);
    let (whole, good) = (wav.file(), flac(&samples, 16_000));
    let cases = [
        other_files(&whole),
        cut(&whole, &good),
        bent_wav(&wav),
        bent_flac(&good, &samples),
    ]
    .concat();
    let mut wrong = Vec::new();
    for (name, file, expected) in &cases {
        let outcome = decoded(file).map(|samples| samples.len());
        if outcome != Err(*expected) {
            wrong.push(format!("{name}: {outcome:?} instead of {expected:?}"));
        }
    }
    println!("{} files", cases.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(cases.len(), 94);
}
