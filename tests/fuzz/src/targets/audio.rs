//! What the sealed worker reads of a recording or a picture, and of the weights it is
//! built from.

use redoubt_worker::pipeline;
use redoubt_worker::torch::Weights;
use redoubt_worker::voice::decoded;

use super::Prepared;

/// A WAV file of one channel at 8 kHz.
fn wav(tag: u8, bits: u8, data: &[u8]) -> Vec<u8> {
    let bytes = bits / 8;
    let speed = (8000 * u32::from(bytes)).to_le_bytes();
    [
        b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0".as_slice(),
        &[tag, 0, 1, 0, 0x40, 0x1f, 0, 0],
        &speed,
        &[bytes, 0, bits, 0],
        b"data",
        &(data.len() as u32).to_le_bytes(),
        data,
    ]
    .concat()
}

/// A FLAC file of one channel at 16 kHz: 192 samples, each of the same value.
const FLAC: &[u8] = b"fLaC\x80\0\0\x22\x10\0\x10\0\0\0\0\0\0\0\x03\xe8\0\xf0\0\0\0\xc0\
    \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xff\xf8\x10\x08\0\x80\0\0\x64\xf0\x73";

pub(super) fn recording() -> Prepared {
    let seeds = vec![
        wav(1, 16, &[0x12; 64]),
        wav(1, 24, &[0x12; 66]),
        wav(3, 32, &0.25f32.to_le_bytes().repeat(16)),
        FLAC.to_vec(),
    ];
    (Box::new(|input| drop(decoded(input))), seeds)
}

/// Packets of the speech codec, of both codecs together and of the sound codec, the last
/// with two frames: any bytes behind the first are sound.
const PACKETS: [&[u8]; 3] = [
    b"\x08\x5a\x17\x9c\x30\x44\x81\x02\x6e\x13\x90",
    b"\x7c\x83\x21\xf0\x55\x38\x1a\x77\xc4\x09\xbe\x62\x4d",
    b"\xf3\x82\x05\x91\x24\x68\x0c\xd3\x7a\x11\x3f\xe2",
];

fn opus_head(channels: u8) -> Vec<u8> {
    let rest = [1, channels, 0x38, 1, 0x80, 0xbb, 0, 0, 0, 0, 0];
    [b"OpusHead".as_slice(), &rest].concat()
}

/// An Ogg file of three pages; its sums are not yet right.
fn ogg(channels: u8) -> Vec<u8> {
    let page = |flags: u8, place: u16, number: u8, packets: &[&[u8]]| {
        let lengths: Vec<u8> = packets.iter().map(|packet| packet.len() as u8).collect();
        let [low, high] = place.to_le_bytes();
        let fixed = [0, flags, low, high, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, number];
        let rest = [&[0; 7][..], &[lengths.len() as u8], &lengths].concat();
        [b"OggS".as_slice(), &fixed, &rest, &packets.concat()].concat()
    };
    [
        page(2, 0, 0, &[&opus_head(channels)]),
        page(0, 0, 1, &[b"OpusTags\0\0\0\0\0\0\0\0"]),
        page(4, 2700, 2, &PACKETS),
    ]
    .concat()
}

/// Every page with the right sum: else no bent page gets further than that.
fn summed(mut file: Vec<u8>) -> Vec<u8> {
    let mut at = 0;
    while file
        .get(at..at + 27)
        .is_some_and(|page| page.starts_with(b"OggS"))
    {
        let pieces = usize::from(file[at + 26]);
        let lengths = file.iter().skip(at + 27).take(pieces);
        let body: usize = lengths.map(|length| usize::from(*length)).sum();
        let end = (at + 27 + pieces + body).min(file.len());
        let page = &mut file[at..end];
        page[22..26].fill(0);
        let sum = page.iter().fold(0, |sum: u32, byte| {
            let sum = sum ^ u32::from(*byte) << 24;
            (0..8).fold(sum, |sum, _| (sum << 1) ^ ((sum >> 31) * 0x04c1_1db7))
        });
        page[22..26].copy_from_slice(&sum.to_le_bytes());
        at = end;
    }
    file
}

/// A WebM file, the segment's and the cluster's lengths left open or told.
fn webm(channels: u8, open: bool) -> Vec<u8> {
    let element = |id: &[u8], body: &[u8]| [id, &[0x40, body.len() as u8], body].concat();
    let outer = |id: &[u8], body: &[u8]| match open {
        true => [id, &[0xff], body].concat(),
        false => element(id, body),
    };
    let track = [
        element(b"\xd7", &[1]),
        element(b"\x83", &[2]),
        element(b"\x86", b"A_OPUS"),
        element(b"\x63\xa2", &opus_head(channels)),
    ];
    let [first, middle, last] = PACKETS.map(|packet| [b"\x81\0\0\0", packet].concat());
    let group = [element(b"\xa1", &last), element(b"\x75\xa2", &[9, 0, 0])];
    let blocks = [
        element(b"\xa3", &first),
        element(b"\xa3", &middle),
        element(b"\xa0", &group.concat()),
    ];
    let tracks = element(b"\x16\x54\xae\x6b", &element(b"\xae", &track.concat()));
    let cluster = outer(b"\x1f\x43\xb6\x75", &blocks.concat());
    [
        element(b"\x1a\x45\xdf\xa3", &element(b"\x42\x82", b"webm")),
        outer(b"\x18\x53\x80\x67", &[tracks, cluster].concat()),
    ]
    .concat()
}

/// Opus in both containers.
pub(super) fn opus() -> Prepared {
    let seeds = vec![ogg(1), ogg(2), webm(1, true), webm(2, false)];
    let read = |input: &[u8]| drop(decoded(&summed(input.to_vec())));
    (Box::new(read), seeds)
}

pub(super) fn picture() -> Prepared {
    use image::ImageFormat::{Jpeg, Png, WebP};
    let square = image::RgbImage::from_fn(8, 8, |x, y| image::Rgb([x as u8 * 30, y as u8 * 30, 7]));
    let seeds = [Jpeg, Png, WebP].map(|format| {
        let mut file = std::io::Cursor::new(Vec::new());
        let written = square.write_to(&mut file, format);
        written.expect("a picture made here can be written");
        file.into_inner()
    });
    let read = |input: &[u8]| {
        let _ = pipeline::decoded(input);
    };
    (Box::new(read), seeds.to_vec())
}

/// A table of one tensor in an archive, as `torch.save` writes them.
pub(super) fn weights() -> Prepared {
    let table = b"\x80\x02}q\0(X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storage\
        ctorch\nFloatStorage\nX\x01\0\0\x007X\x03\0\0\0cpuK\x04tQK\0K\x02K\x02\x86K\x02K\x01\x86\
        \x89ccollections\nOrderedDict\n)RtRu."
        .as_slice();
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in [("a/data.pkl", table), ("a/data/7", &[0; 16])] {
        let size = (bytes.len() as u32).to_le_bytes();
        let at = (file.len() as u32).to_le_bytes();
        let sizes = [&[0; 14][..], &size, &size, &[name.len() as u8, 0, 0, 0]].concat();
        file.extend([b"PK\x03\x04", &sizes[..], name.as_bytes(), bytes].concat());
        let rest = [&[0; 10][..], &at, name.as_bytes()].concat();
        directory.extend([b"PK\x01\x02\0\0", &sizes[..], &rest].concat());
    }
    let at = (file.len() as u32).to_le_bytes();
    let end = [&b"PK\x05\x06\0\0\0\0\x02\0\x02\0\0\0\0\0"[..], &at, &[0, 0]].concat();
    let read = |input: &[u8]| {
        if let Ok(weights) = Weights::read(input) {
            let _ = weights.floats("w", &[2, 2]);
        }
    };
    (Box::new(read), vec![[file, directory, end].concat()])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is bent is whole to begin with: else only the first checks are reached.
    #[test]
    fn the_seeds_are_read() {
        for seed in recording().1 {
            assert!(decoded(&seed).is_ok(), "{seed:02x?}");
        }
        for seed in opus().1 {
            let heard = decoded(&summed(seed.clone())).map(|samples| samples.len());
            assert!(
                heard.is_ok_and(|length| length > 700),
                "{heard:?} {seed:02x?}"
            );
        }
        for seed in picture().1 {
            assert_eq!(pipeline::decoded(&seed), Ok([8, 8]));
        }
        let [seed] = &weights().1[..] else {
            panic!("one seed");
        };
        let weights = Weights::read(seed).unwrap();
        assert_eq!(weights.floats("w", &[2, 2]), Ok(vec![0.0; 4]));
    }
}
