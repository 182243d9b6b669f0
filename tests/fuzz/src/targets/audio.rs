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
