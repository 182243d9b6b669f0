//! Opus recordings in Ogg and WebM: what is heard of whole ones, and what is said of
//! broken and hostile ones.

mod common;

use common::audio::buzz;
use common::opus::{
    BLOCK, CLUSTER, FRAME, Head, Page, SEGMENT, Sound, TRACK, TRACKS, Webm, block, element, ogg,
    open_element,
};
use redoubt_shared::worker::SampleRefusal;
use redoubt_worker::voice::{RATE, SECONDS_MAX, decoded};

use SampleRefusal::{AudioNotSupported, NotAudio, NotFinite, TooLong};

/// How like the buzz at 16 kHz a recording is, 1 for the same: their correlation at the
/// beginning that fits best within a millisecond.
fn likeness(samples: &[f32]) -> f32 {
    let buzz = buzz(RATE as u32, 1.0);
    let inner = 400..RATE - 400;
    let at = |late: isize| {
        let pairs = inner
            .clone()
            .map(|n| (samples[n.saturating_add_signed(late)], buzz[n]));
        let (mut product, mut own, mut other) = (0.0, 0.0, 0.0);
        for (a, b) in pairs {
            product += a * b;
            own += a * a;
            other += b * b;
        }
        product / (own * other).sqrt()
    };
    (-16..=16).map(at).fold(-1.0, f32::max)
}

fn sound(seconds: f32) -> Sound {
    Sound::of(&buzz(48_000, seconds), 1, FRAME, 32)
}

#[test]
fn whole_recordings_of_every_length_of_frame_and_rate_are_the_same_sound() {
    let samples = buzz(48_000, 1.0);
    let both: Vec<f32> = samples
        .iter()
        .flat_map(|sample| [1.5 * sample, 0.5 * sample])
        .collect();
    // Speech codec, both together, and sound codec; 2.5 to 120 ms.
    let frames = [120, 240, 480, 960, 1920, 2880, 5760];
    for (kbit, least) in [(12, 0.9), (24, 0.95), (32, 0.95), (64, 0.97), (128, 0.99)] {
        for frame in frames {
            // The shortest frames have no speech codec, and need more for as much.
            if frame < 480 && kbit < 64 {
                continue;
            }
            for (samples, channels) in [(&samples, 1), (&both, 2)] {
                let sound = Sound::of(samples, channels, frame, kbit);
                for file in [sound.ogg(), sound.webm(), Webm::of(&sound).closed()] {
                    let heard = decoded(&file).unwrap();
                    assert_eq!(heard.len(), RATE, "{frame} samples, {kbit} kbit/s");
                    let alike = likeness(&heard);
                    assert!(
                        alike > least,
                        "{frame} of {channels}, {kbit} kbit/s: {alike}"
                    );
                }
            }
        }
    }
}

/// Made by libopus 1.6.1 in FFmpeg's containers (PyAV 18.1.0) from the same buzz, one
/// channel, 24 kbit/s: Ogg, and WebM as it is written live, the segment's length left open.
const OGG: &[u8] = include_bytes!("opus/buzz.ogg");
const WEBM: &[u8] = include_bytes!("opus/buzz.webm");

#[test]
fn files_of_other_makers_are_read() {
    for (file, length) in [(OGG, RATE), (WEBM, RATE)] {
        let heard = decoded(file).unwrap();
        assert_eq!(heard.len(), length);
        assert!(likeness(&heard) > 0.95, "{}", likeness(&heard));
    }
}

#[test]
fn text_may_end_in_zeros() {
    let mut webm = Webm::of(&sound(1.0));
    (webm.kind, webm.codec) = (b"webm\0", b"A_OPUS\0\0");
    assert_eq!(decoded(&webm.file()).unwrap().len(), RATE);
}

#[test]
fn beginning_end_and_gain_are_what_the_file_says() {
    let whole = sound(1.0);
    let length = |bend: &dyn Fn(&mut Sound)| {
        let mut sound = whole.clone();
        bend(&mut sound);
        let lengths = [sound.ogg(), sound.webm()].map(|file| decoded(&file).unwrap().len());
        assert_eq!(lengths[0], lengths[1]);
        lengths[0]
    };
    assert_eq!(length(&|_| ()), RATE);
    assert_eq!(
        length(&|sound| sound.head.pre_skip += 4800),
        RATE - RATE / 10
    );
    assert_eq!(length(&|sound| sound.head.pre_skip = u16::MAX), 0);
    assert_eq!(length(&|sound| sound.discarded += 240), RATE - RATE / 200);
    let louder = Head {
        gain: 1541, // 6.02 dB
        ..whole.head.clone()
    };
    let twice = Sound {
        head: louder,
        ..whole.clone()
    };
    let loudest = |file: &[u8]| decoded(file).unwrap().into_iter().fold(0.0, f32::max);
    let ratio = loudest(&twice.ogg()) / loudest(&whole.ogg());
    assert!((ratio - 2.0).abs() < 0.02, "{ratio}");
    // Cut out of something longer: places count from the first page's.
    let mut later = whole.pages();
    later
        .iter_mut()
        .skip(2)
        .for_each(|page| page.place += 123_456);
    assert_eq!(decoded(&ogg(&later)), decoded(&whole.ogg()));
}

#[test]
fn what_was_not_sent_is_bridged_and_a_packet_may_go_over_pages() {
    let mut still = sound(1.0);
    // Packets of one byte: nothing was sent for a while.
    still.packets[20..25]
        .iter_mut()
        .for_each(|packet| packet.truncate(1));
    assert_eq!(decoded(&still.ogg()).unwrap().len(), RATE);
    let pages = sound(1.0).pages();
    let long = [vec![0u8; 0], b"OpusTags".to_vec(), vec![7; 2000]].concat();
    let mut split = vec![pages[0].clone()];
    split.push(Page {
        number: 1,
        packets: vec![long[..1020].to_vec()],
        open: true,
        place: u64::MAX,
        ..Page::default()
    });
    split.push(Page {
        flags: 1,
        number: 2,
        packets: vec![long[1020..].to_vec()],
        ..Page::default()
    });
    let rest = pages[2..].iter().map(|page| Page {
        number: page.number + 1,
        ..page.clone()
    });
    split.extend(rest);
    assert_eq!(decoded(&ogg(&split)), decoded(&ogg(&pages)));
}

type Case = (String, Vec<u8>, SampleRefusal);

fn case(name: impl Into<String>, file: Vec<u8>, refusal: SampleRefusal) -> Case {
    (name.into(), file, refusal)
}

/// What is wrong in either container.
fn bent_sound(good: &Sound) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut bent = |name: &str, refusal, bend: &dyn Fn(&mut Sound)| {
        let mut sound = good.clone();
        bend(&mut sound);
        cases.push(case(format!("{name}, Ogg"), sound.ogg(), refusal));
        cases.push(case(format!("{name}, WebM"), sound.webm(), refusal));
    };
    bent("another version", AudioNotSupported, &|s| {
        s.head.version = 16
    });
    bent("surround", AudioNotSupported, &|s| s.head.family = 1);
    bent("no mapping", AudioNotSupported, &|s| s.head.family = 255);
    bent("no channels", NotAudio, &|s| s.head.channels = 0);
    for channels in [3, 8, 255] {
        bent("many channels", AudioNotSupported, &|s| {
            s.head.channels = channels
        });
    }
    bent("128 dB louder", NotFinite, &|s| s.head.gain = i16::MAX);
    bent("an empty packet", NotAudio, &|s| s.packets[3] = Vec::new());
    bent("no frames", NotAudio, &|s| s.packets[3] = vec![0xff, 0]);
    bent("126 frames", NotAudio, &|s| s.packets[3] = vec![0xff, 0x3f]);
    bent("no count of frames", NotAudio, &|s| {
        s.packets[3] = vec![0xff]
    });
    bent("two frames of unlike lengths", NotAudio, &|s| {
        s.packets[3] = vec![0xf9; 4];
    });
    bent("a frame beyond its packet", NotAudio, &|s| {
        s.packets[3] = vec![0xfa, 0xfb, 0xff, 0];
    });
    bent("a frame of 1,276 bytes", NotAudio, &|s| {
        s.packets[3] = vec![0xf8; 1277];
    });
    bent("padding beyond its packet", NotAudio, &|s| {
        s.packets[3] = vec![0xfb, 0x41, 0xff, 0xff, 0];
    });
    // One byte stands for 60 ms: a minute in a kilobyte.
    bent("minutes in 2 KB", TooLong, &|s| {
        s.frame = 2880;
        s.packets = vec![vec![0x18]; 2000];
    });
    bent("a minute and a bit", TooLong, &|s| {
        (s.frame, s.discarded, s.head.pre_skip) = (960, 0, 0);
        s.packets = vec![vec![0x08]; SECONDS_MAX as usize * 50 + 1];
    });
    cases
}

/// Ogg files whose pages are wrong.
fn bent_ogg(good: &Sound) -> Vec<Case> {
    let pages = good.pages();
    let mut cases = Vec::new();
    let mut bent = |name: &str, refusal, bend: &dyn Fn(&mut Vec<Page>)| {
        let mut pages = pages.clone();
        bend(&mut pages);
        cases.push(case(name, ogg(&pages), refusal));
    };
    bent("no last page", NotAudio, &|p| p[3].flags = 0);
    bent("no first page", NotAudio, &|p| p[0].flags = 0);
    bent("a page is missing", NotAudio, &|p| drop(p.remove(2)));
    bent("a page twice", NotAudio, &|p| p.insert(2, p[2].clone()));
    bent("no tags", NotAudio, &|p| {
        p.remove(1);
        p.iter_mut().skip(1).for_each(|page| page.number -= 1);
    });
    bent("no tags, their page", NotAudio, &|p| {
        p[1].packets = vec![b"OpusHead".to_vec()];
    });
    bent("the head alone", NotAudio, &|p| {
        p.truncate(1);
        p[0].flags = 6;
    });
    bent("two heads", NotAudio, &|p| {
        p[0].packets = vec![p[0].packets[0].clone(); 2];
    });
    bent("half a head", NotAudio, &|p| p[0].packets[0].truncate(18));
    bent("an empty head", AudioNotSupported, &|p| {
        p[0].packets[0].clear()
    });
    bent("a second stream beside it", AudioNotSupported, &|p| {
        p[2].serial = 8
    });
    bent("a second stream begins", AudioNotSupported, &|p| {
        p[2].flags = 2
    });
    bent("a second stream behind it", AudioNotSupported, &|p| {
        p.extend(p.clone());
    });
    bent("goes on with nothing", NotAudio, &|p| p[2].flags = 1);
    bent("does not go on", NotAudio, &|p| {
        p[2].packets.push(vec![0x18; 255]);
        p[2].open = true;
    });
    bent("ends within a packet", NotAudio, &|p| {
        p[3].packets.push(vec![0x18; 255]);
        p[3].open = true;
    });
    bent("no place in time", NotAudio, &|p| p[2].place = u64::MAX);
    bent("back in time", NotAudio, &|p| p[3].place = 1);
    bent("begins before the beginning", NotAudio, &|p| p[2].place = 1);
    for (name, head) in [
        ("Vorbis", b"\x01vorbis\0\0\0\0\x01".as_slice()),
        ("FLAC in Ogg", b"\x7fFLAC\x01\0"),
        ("Speex", b"Speex   1.2"),
        ("a film in Ogg", b"\x80theora"),
    ] {
        bent(name, AudioNotSupported, &|p| {
            p[0].packets = vec![head.to_vec()]
        });
    }
    let whole = ogg(&pages);
    for at in [
        4,
        5,
        6,
        14,
        18,
        22,
        27,
        40,
        whole.len() / 2,
        whole.len() - 1,
    ] {
        let mut swapped = whole.clone();
        swapped[at] ^= 0x40;
        cases.push(case(
            format!("a bit of byte {at} swapped"),
            swapped,
            NotAudio,
        ));
    }
    for n in 1..16 {
        let end = whole.len() * n / 16;
        cases.push(case(
            format!("Ogg cut at {end}"),
            whole[..end].to_vec(),
            NotAudio,
        ));
    }
    let behind = [&whole[..], b"PK\x03\x04"].concat();
    cases.push(case("bytes behind Ogg", behind, NotAudio));
    cases
}

/// WebM files whose elements are wrong.
fn bent_webm(good: &Sound) -> Vec<Case> {
    let webm = Webm::of(good);
    let mut cases = Vec::new();
    let mut bent = |name: &str, refusal, bend: &dyn Fn(&mut Webm)| {
        let mut webm = webm.clone();
        bend(&mut webm);
        cases.push(case(name, webm.file(), refusal));
    };
    bent("another kind of EBML", AudioNotSupported, &|w| {
        w.kind = b"book"
    });
    bent("Vorbis in WebM", AudioNotSupported, &|w| {
        w.codec = b"A_VORBIS"
    });
    bent("AAC in Matroska", AudioNotSupported, &|w| {
        w.codec = b"A_AAC"
    });
    bent("a film", AudioNotSupported, &|w| w.track_type = 1);
    let twice = [webm.file(), webm.file()].concat();
    bent("packed once more", AudioNotSupported, &|w| {
        w.more = element(&[0x6d, 0x80], b"");
    });
    bent("half a head", NotAudio, &|w| w.head.truncate(18));
    bent("another head", AudioNotSupported, &|w| w.head[0] = 0);
    bent("another track's block", NotAudio, &|w| {
        w.blocks[3] = block(2, 0, &[0x18])
    });
    for flags in [2, 4, 6] {
        bent("several packets in a block", AudioNotSupported, &|w| {
            w.blocks[3] = block(1, flags, &[1, 0x18, 0x18]);
        });
    }
    bent("a block of nothing", NotAudio, &|w| {
        w.blocks[3] = element(BLOCK, &[])
    });
    bent("a block without a packet", NotAudio, &|w| {
        w.blocks[3] = block(1, 0, &[])
    });
    bent("a group without a block", NotAudio, &|w| {
        w.blocks[3] = element(&[0xa0], &[])
    });
    bent("sound behind the end", AudioNotSupported, &|w| {
        w.blocks.push(block(1, 0, &[0x18]))
    });
    bent("an end before the beginning", AudioNotSupported, &|w| {
        let group = [
            element(&[0xa1], &[0x81, 0, 0, 0, 0x18]),
            element(&[0x75, 0xa2], &[0xff]),
        ];
        *w.blocks.last_mut().unwrap() = element(&[0xa0], &group.concat());
    });
    bent("an end of nine bytes", NotAudio, &|w| {
        let group = [
            element(&[0xa1], &[0x81, 0, 0, 0, 0x18]),
            element(&[0x75, 0xa2], &[1; 9]),
        ];
        *w.blocks.last_mut().unwrap() = element(&[0xa0], &group.concat());
    });
    bent("a block that is open", NotAudio, &|w| {
        w.blocks[3] = open_element(BLOCK, &[0x81, 0, 0, 0, 0x18]);
    });
    bent("a block of 2^55 bytes", NotAudio, &|w| {
        w.blocks[3] = [BLOCK, &[0x01, 0x80, 0, 0, 0, 0, 0, 0], &[0x81, 0, 0, 0]].concat();
    });
    bent("a name of no length", NotAudio, &|w| {
        w.blocks[3] = vec![0; 9]
    });
    bent("tracks twice", NotAudio, &|w| {
        w.blocks[3] = [open_element(CLUSTER, &[]), element(TRACKS, &webm.track())].concat();
    });
    let tracks = element(TRACKS, &webm.track());
    cases.push(case("two files in one", twice, AudioNotSupported));
    let cluster = element(CLUSTER, &webm.blocks.concat());
    let around = |body: &[&[u8]]| [webm.front(), element(SEGMENT, &body.concat())].concat();
    let films = element(
        TRACKS,
        &[webm.track(), element(TRACK, &element(&[0x83], &[1]))].concat(),
    );
    let nested = (0..20_000).fold(Vec::new(), |inner: Vec<u8>, _| {
        [&[0xa0, 0x81][..], &inner].concat()
    });
    let files: [(&str, Vec<u8>, SampleRefusal); 8] = [
        ("no tracks", around(&[&cluster]), NotAudio),
        (
            "tracks of none",
            around(&[&element(TRACKS, &[]), &cluster]),
            NotAudio,
        ),
        (
            "tracks of two",
            around(&[&films, &cluster]),
            AudioNotSupported,
        ),
        (
            "an empty track",
            around(&[&element(TRACKS, &element(TRACK, &[]))]),
            NotAudio,
        ),
        (
            "clusters within clusters",
            around(&[&tracks, &element(CLUSTER, &open_element(CLUSTER, &cluster))]),
            NotAudio,
        ),
        (
            "twenty thousand groups, each in another",
            around(&[&tracks, &nested]),
            NotAudio,
        ),
        (
            "bytes behind WebM",
            [webm.closed(), b"PK\x03\x04".to_vec()].concat(),
            NotAudio,
        ),
        ("no segment", webm.front(), NotAudio),
    ];
    cases.extend(files.map(|(name, file, refusal)| case(name, file, refusal)));
    let whole = webm.closed();
    for n in 1..16 {
        let end = whole.len() * n / 16;
        cases.push(case(
            format!("WebM cut at {end}"),
            whole[..end].to_vec(),
            NotAudio,
        ));
    }
    cases
}

#[test]
fn every_broken_or_hostile_opus_recording_has_its_refusal() {
    let good = sound(1.5);
    let cases = [bent_sound(&good), bent_ogg(&good), bent_webm(&good)].concat();
    let mut wrong = Vec::new();
    for (name, file, expected) in &cases {
        let outcome = decoded(file).map(|samples| samples.len());
        if outcome != Err(*expected) {
            wrong.push(format!("{name}: {outcome:?} instead of {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(cases.len(), 130);
}

/// What only a reader could trip over: any bytes where packets are expected are sound or
/// refused, and never more of it than the packets' first bytes say.
#[test]
fn packets_of_anything_are_sound_or_refused() {
    let mut state = 7u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 16
    };
    let good = sound(1.0);
    let (mut heard, mut refused) = (0, 0);
    for _ in 0..400 {
        let mut bent = good.clone();
        for packet in &mut bent.packets {
            let kind = next() % 4;
            for byte in packet.iter_mut().skip(1) {
                match kind {
                    0 => *byte = next() as u8,
                    1 if next().is_multiple_of(16) => *byte ^= 1 << (next() % 8),
                    _ => {}
                }
            }
            // Any mode and bandwidth; one frame a packet, so that few are refused.
            if kind == 2 {
                packet[0] = (next() as u8) & 0xfc;
            }
        }
        match decoded(&bent.webm()) {
            Ok(samples) => {
                heard += 1;
                assert!(samples.len() <= 3 * RATE);
                assert!(samples.iter().all(|sample| sample.abs() <= 1.0));
            }
            Err(refusal) => {
                refused += 1;
                assert_eq!(refusal, NotAudio);
            }
        }
    }
    println!("{heard} heard, {refused} refused");
    assert!(heard > 0);
}
