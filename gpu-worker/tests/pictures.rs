//! What the decoders say of whole, broken and hostile pictures.

mod common;

use common::picture::{Jpeg, Png, encoded, riff, vp8l, zlib};
use image::ImageFormat;
use redoubt_shared::worker::SampleRefusal::{self, NotAnImage, TooManyPixels};
use redoubt_worker::pipeline::decoded;

type Size = [usize; 2];
type Case = (String, Vec<u8>, Result<Size, SampleRefusal>);

fn case(name: impl Into<String>, file: Vec<u8>, outcome: Result<Size, SampleRefusal>) -> Case {
    (name.into(), file, outcome)
}

/// Not one of the three kinds.
fn other_files() -> Vec<Case> {
    let files: [(&str, &[u8]); 24] = [
        ("nothing", b""),
        ("one byte", b"\xff"),
        ("text", b"hello, it is me"),
        ("a script", b"#!/bin/sh\nrm -rf /"),
        ("a page", b"<!doctype html><script>alert(1)</script>"),
        (
            "a drawing",
            b"<svg xmlns='http://www.w3.org/2000/svg' onload='x()'/>",
        ),
        ("GIF", b"GIF89a\x01\x00\x01\x00\x00\x00\x00;"),
        (
            "BMP",
            b"BM\x3a\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\x18\0",
        ),
        ("TIFF", b"II\x2a\0\x08\0\0\0\0\0\0\0\0\0"),
        ("TIFF, big-endian", b"MM\0\x2a\0\0\0\x08\0\0\0\0\0\0"),
        ("an icon", b"\0\0\x01\0\x01\0\x01\x01\0\0\x01\0\x20\0"),
        ("HEIC", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"),
        ("AVIF", b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miaf"),
        ("JPEG XL", b"\xff\x0a\xfa\x1f\x41"),
        ("JPEG 2000", b"\0\0\0\x0cjP  \r\n\x87\n"),
        ("a document", b"%PDF-1.7\n1 0 obj"),
        ("an archive", b"PK\x03\x04\x14\0\0\0"),
        ("a recording", b"RIFF\x24\0\0\0WAVEfmt "),
        ("a film", b"RIFF\x24\0\0\0AVI LIST"),
        ("plain pixels", b"P6 1 1 255\n\0\0\0"),
        ("EXR", b"v/1\x01\x02\0\0\0"),
        ("QOI", b"qoif\0\0\0\x01\0\0\0\x01\x03\0"),
        ("zeros", &[0; 4096]),
        ("ones", &[0xff; 4096]),
    ];
    let mut cases: Vec<Case> = Vec::new();
    cases.extend(files.map(|(name, file)| case(name, file.to_vec(), Err(NotAnImage))));
    for kind in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
        let inside = [b"%PDF-1.7\n".as_slice(), &encoded(kind)].concat();
        let name = format!("a document with {kind:?} inside");
        cases.push(case(name, inside, Err(NotAnImage)));
    }
    cases
}

/// Pictures that end somewhere in the middle.
fn cut() -> Vec<Case> {
    let mut cases = Vec::new();
    for kind in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
        let whole = encoded(kind);
        for part in 1..16 {
            let end = (whole.len() - 13) * part / 16;
            let name = format!("{kind:?} cut at {end}");
            cases.push(case(name, whole[..end].to_vec(), Err(NotAnImage)));
        }
    }
    cases
}

fn png() -> Vec<Case> {
    let no = Err(NotAnImage);
    let bent = |at: usize, value: u8| {
        let mut file = Png::small().file();
        file[at] = value;
        file
    };
    let pixels = |line: &[u8]| zlib(&line.repeat(8));
    let plain = [&[0][..], &[0x55; 24]].concat();
    let small = Png::small;
    let again = small().0[0].1.clone();
    let palette = |entries: usize| vec![7; 3 * entries];
    let indexed = || Png::of([8, 8], 8, 3, 8);
    let bomb = [b"a\0\0", &zlib(&vec![0; 8 << 20])[..]].concat();
    let profile = [b"p\0\0", &zlib(&vec![0; 4 << 20])[..]].concat();
    let frames = [2u32.to_be_bytes(), 0u32.to_be_bytes()].concat();
    let cases: Vec<(&str, Vec<u8>, Result<Size, SampleRefusal>)> = vec![
        ("whole", small().file(), Ok([8, 8])),
        (
            "one bit a pixel",
            Png::of([8, 8], 1, 0, 1).file(),
            Ok([8, 8]),
        ),
        ("grey", Png::of([8, 8], 8, 0, 8).file(), Ok([8, 8])),
        (
            "grey, 16 bits",
            Png::of([8, 8], 16, 0, 16).file(),
            Ok([8, 8]),
        ),
        (
            "colour, 16 bits",
            Png::of([8, 8], 16, 2, 48).file(),
            Ok([8, 8]),
        ),
        (
            "clear in parts",
            Png::of([8, 8], 8, 6, 32).file(),
            Ok([8, 8]),
        ),
        (
            "clear in parts, 16 bits",
            Png::of([8, 8], 16, 6, 64).file(),
            Ok([8, 8]),
        ),
        (
            "of a palette",
            indexed().with(1, b"PLTE", &palette(256)).file(),
            Ok([8, 8]),
        ),
        ("line ends changed on the way", bent(4, b'\n'), no),
        ("seven bits on the way", bent(0, 0x09), no),
        ("no width", Png::headed(3, 0).file(), no),
        ("no height", Png::headed(7, 0).file(), no),
        (
            "of 2 000 million pixels a line",
            Png::headed(0, 0x7f).file(),
            Err(TooManyPixels),
        ),
        (
            "of 2 000 million lines",
            Png::headed(4, 0x7f).file(),
            Err(TooManyPixels),
        ),
        (
            "a width beyond what is allowed",
            Png::headed(0, 0xff).file(),
            Err(TooManyPixels),
        ),
        (
            "12 001 pixels wide",
            Png::of([12_001, 1], 8, 0, 12_001).file(),
            Err(TooManyPixels),
        ),
        (
            "12 001 pixels high",
            Png::of([1, 12_001], 8, 0, 1).file(),
            Err(TooManyPixels),
        ),
        ("three bits a pixel", Png::headed(8, 3).file(), no),
        ("no bits a pixel", Png::headed(8, 0).file(), no),
        ("a colour type that is none", Png::headed(9, 5).file(), no),
        ("one bit of colour", Png::headed(8, 1).file(), no),
        ("another compression", Png::headed(10, 1).file(), no),
        ("another filter method", Png::headed(11, 1).file(), no),
        ("another order", Png::headed(12, 2).file(), no),
        (
            "ordered otherwise than it says",
            Png::headed(12, 1).file(),
            no,
        ),
        ("no header", small().without(0).file(), no),
        ("no pixels", small().without(1).file(), no),
        (
            "pixels before the header",
            small().with(0, b"IDAT", &zlib(b"")).file(),
            no,
        ),
        ("two headers", small().with(1, b"IHDR", &again).file(), no),
        ("a palette that is missing", indexed().file(), no),
        (
            "a palette of a part of a colour",
            indexed().with(1, b"PLTE", &[7; 4]).file(),
            no,
        ),
        ("a chunk with a wrong checksum", bent(29, 0x5a), no),
        ("a chunk longer than the file", bent(8, 0x7f), no),
        (
            "an unknown chunk that must be understood",
            small().with(1, b"ABCD", b"x").file(),
            no,
        ),
        (
            "an unknown chunk that need not",
            small().with(1, b"abCd", b"x").file(),
            Ok([8, 8]),
        ),
        (
            "pixels that are no zlib",
            small().holding(vec![1; 64]).file(),
            no,
        ),
        (
            "a block of no kind",
            small().holding(vec![0x78, 1, 7, 0, 0]).file(),
            no,
        ),
        (
            "too few lines",
            small().holding(zlib(&plain.repeat(7))).file(),
            no,
        ),
        ("no lines", small().holding(zlib(b"")).file(), no),
        (
            "a filter that is none",
            small()
                .holding(pixels(&[&[9][..], &[0x55; 24]].concat()))
                .file(),
            no,
        ),
        ("moving", small().with(1, b"acTL", &frames).file(), no),
        (
            "a note that unpacks to 8 MiB",
            small().with(1, b"zTXt", &bomb).file(),
            Ok([8, 8]),
        ),
        (
            "a profile of 4 MiB",
            small().with(1, b"iCCP", &profile).file(),
            Ok([8, 8]),
        ),
        (
            "with a script behind it",
            [small().file(), b"<script>".to_vec()].concat(),
            Ok([8, 8]),
        ),
    ];
    let named = |(name, file, outcome)| case(format!("PNG: {name}"), file, outcome);
    cases.into_iter().map(named).collect()
}

/// The payload of an APP1 segment: a directory of one entry, orientation.
fn exif(orientation: u8, entries: u16, at: u32) -> Vec<u8> {
    [
        b"Exif\0\0MM\0\x2a".as_slice(),
        &at.to_be_bytes(),
        &entries.to_be_bytes(),
        &[
            0x01,
            0x12,
            0,
            3,
            0,
            0,
            0,
            1,
            0,
            orientation,
            0,
            0,
            0,
            0,
            0,
            0,
        ],
    ]
    .concat()
}

fn jpeg() -> Vec<Case> {
    const SOF: u8 = 0xc0;
    const DHT: u8 = 0xc4;
    const SOS: u8 = 0xda;
    const DQT: u8 = 0xdb;
    let no = Err(NotAnImage);
    let whole = Jpeg::whole;
    let size: Result<Size, _> = Ok([64, 48]);
    let short = |marker: u8, length: u16| {
        let mut file = whole().file();
        let at = file.windows(2).position(|w| w == [0xff, marker]).unwrap();
        file[at + 2..at + 4].copy_from_slice(&length.to_be_bytes());
        file
    };
    let lost = |keep: usize| {
        let mut jpeg = whole();
        let end = jpeg.scan.len() - 2;
        jpeg.scan.drain(end * keep / 8..end);
        jpeg.file()
    };
    let cases: Vec<(&str, Vec<u8>, Result<Size, SampleRefusal>)> = vec![
        ("whole", whole().file(), size),
        ("a start and an end", vec![0xff, 0xd8, 0xff, 0xd9], no),
        ("no width", whole().with(SOF, 3, &[0, 0]).file(), no),
        ("no height", whole().with(SOF, 1, &[0, 0]).file(), no),
        (
            "65 535 pixels wide and high",
            whole().with(SOF, 1, &[0xff; 4]).file(),
            Err(TooManyPixels),
        ),
        (
            "65 535 pixels wide",
            whole().with(SOF, 3, &[0xff; 2]).file(),
            Err(TooManyPixels),
        ),
        (
            "65 535 pixels high",
            whole().with(SOF, 1, &[0xff; 2]).file(),
            Err(TooManyPixels),
        ),
        ("12 bits", whole().with(SOF, 0, &[12]).file(), no),
        ("no parts of colour", whole().with(SOF, 5, &[0]).file(), no),
        ("two parts of colour", whole().with(SOF, 5, &[2]).file(), no),
        (
            "200 parts of colour",
            whole().with(SOF, 5, &[200]).file(),
            no,
        ),
        (
            "a part sampled not at all",
            whole().with(SOF, 7, &[0]).file(),
            no,
        ),
        (
            "a part sampled 15 times",
            whole().with(SOF, 7, &[0xff]).file(),
            no,
        ),
        (
            "a part of an absent table",
            whole().with(SOF, 8, &[9]).file(),
            no,
        ),
        ("without loss", whole().framed(0xc3).file(), no),
        ("of several sizes", whole().framed(0xc5).file(), no),
        ("arithmetic", whole().framed(0xc9).file(), no),
        ("arithmetic, in parts", whole().framed(0xca).file(), no),
        ("no frame", whole().without(SOF).file(), no),
        ("no quantisation", whole().without(DQT).file(), no),
        ("no scan", whole().without(SOS).file(), no),
        (
            "quantisation of no kind",
            whole().with(DQT, 0, &[0x77]).file(),
            no,
        ),
        ("codes of no kind", whole().with(DHT, 0, &[0x77]).file(), no),
        (
            "more codes than there are",
            whole().with(DHT, 1, &[0xff; 16]).file(),
            no,
        ),
        ("a scan of no parts", whole().with(SOS, 0, &[0]).file(), no),
        (
            "a scan of nine parts",
            whole().with(SOS, 0, &[9]).file(),
            no,
        ),
        (
            "a scan of a part that is none",
            whole().with(SOS, 1, &[99]).file(),
            no,
        ),
        ("a frame header of no length", short(SOF, 0), no),
        ("a frame header of one byte", short(SOF, 1), no),
        ("a frame header beyond the file", short(SOF, 0xffff), no),
        ("a table beyond the file", short(DQT, 0xffff), no),
        (
            "two frames",
            whole().led(SOF, &whole().of(SOF).clone()).file(),
            no,
        ),
        ("a scan that is lost but for its end, grey", lost(0), size),
        ("half of a scan, the rest grey", lost(4), size),
        (
            "turned by eight",
            whole().led(0xe1, &exif(8, 1, 8)).file(),
            Ok([48, 64]),
        ),
        (
            "turned by nothing there is",
            whole().led(0xe1, &exif(9, 1, 8)).file(),
            size,
        ),
        (
            "turned by nought",
            whole().led(0xe1, &exif(0, 1, 8)).file(),
            size,
        ),
        (
            "a directory of 65 535 entries",
            whole().led(0xe1, &exif(6, 0xffff, 8)).file(),
            Ok([48, 64]),
        ),
        (
            "a directory behind its end",
            whole().led(0xe1, &exif(6, 1, 0xffff_fff0)).file(),
            size,
        ),
        (
            "half a directory",
            whole().led(0xe1, &exif(6, 1, 8)[..17]).file(),
            size,
        ),
        (
            "a profile that is none",
            whole().led(0xe2, b"ICC_PROFILE\0\x01\x02xxxx").file(),
            size,
        ),
        (
            "a comment of 64 KiB",
            whole().led(0xfe, &[b'x'; 65_533]).file(),
            size,
        ),
        (
            "with an archive behind it",
            [whole().file(), b"PK\x03\x04".to_vec()].concat(),
            size,
        ),
    ];
    let named = |(name, file, outcome)| case(format!("JPEG: {name}"), file, outcome);
    cases.into_iter().map(named).collect()
}

fn webp() -> Vec<Case> {
    let no = Err(NotAnImage);
    let image = vp8l();
    let of = |chunks: &[(&[u8; 4], &[u8])]| riff(b"WEBP", chunks);
    let bent = |at: usize, bytes: &[u8]| {
        let mut image = vp8l();
        image[at..at + bytes.len()].copy_from_slice(bytes);
        of(&[(b"VP8L", &image)])
    };
    let large = |width: u32, height: u32| ((width - 1) | (height - 1) << 14).to_le_bytes();
    // Flags, three bytes of nothing, width and height less one in 24 bits each.
    let canvas = |flags: u8, width: u32, height: u32| {
        let [w, h] = [width - 1, height - 1].map(u32::to_le_bytes);
        [&[flags, 0, 0, 0][..], &w[..3], &h[..3]].concat()
    };
    let extended = |flags: u8, width: u32, height: u32| {
        of(&[(b"VP8X", &canvas(flags, width, height)), (b"VP8L", &image)])
    };
    let lossy = |start: [u8; 3], code: [u8; 3], sides: [u16; 2]| {
        let [w, h] = sides.map(u16::to_le_bytes);
        of(&[(b"VP8 ", &[&start[..], &code, &w, &h, &[0; 32]].concat())])
    };
    let code = [0x9d, 0x01, 0x2a];
    let moving = [
        &[0; 6][..],
        &[0; 6],
        &[0; 4],
        b"VP8L",
        &(image.len() as u32).to_le_bytes(),
        &image,
    ]
    .concat();
    let mut lies = of(&[(b"VP8L", &image)]);
    lies[16..20].copy_from_slice(&u32::MAX.to_le_bytes());
    let cases: Vec<(&str, Vec<u8>, Result<Size, SampleRefusal>)> = vec![
        ("whole", of(&[(b"VP8L", &image)]), Ok([64, 48])),
        ("extended", extended(0, 64, 48), Ok([64, 48])),
        ("no chunk", of(&[]), no),
        ("an empty chunk", of(&[(b"VP8L", b"")]), no),
        ("a chunk of no kind", of(&[(b"VP9L", &image)]), no),
        ("a chunk longer than the file", lies, Ok([64, 48])),
        ("another mark", bent(0, &[0x2e]), no),
        ("another version", bent(4, &[image[4] | 0xe0]), no),
        (
            "16 000 by 16 000",
            bent(1, &large(16_000, 16_000)),
            Err(TooManyPixels),
        ),
        (
            "12 001 by 1",
            bent(1, &large(12_001, 1)),
            Err(TooManyPixels),
        ),
        ("a canvas of another size", extended(0, 640, 480), no),
        (
            "a canvas of 16 million by 16 million",
            extended(0, 1 << 24, 1 << 24),
            no,
        ),
        (
            "moving",
            of(&[
                (b"VP8X", &canvas(2, 64, 48)),
                (b"ANIM", &[0; 6]),
                (b"ANMF", &moving),
            ]),
            no,
        ),
        ("moving, without frames", extended(2, 64, 48), no),
        (
            "clear in parts, without them",
            extended(16, 64, 48),
            Ok([64, 48]),
        ),
        (
            "with loss, of nothing",
            lossy([0x10, 0, 0], code, [64, 48]),
            no,
        ),
        (
            "with loss, no key frame",
            lossy([0x11, 0, 0], code, [64, 48]),
            no,
        ),
        (
            "with loss, another mark",
            lossy([0x10, 0, 0], [0; 3], [64, 48]),
            no,
        ),
        (
            "with loss, no width",
            lossy([0x10, 0, 0], code, [0, 48]),
            no,
        ),
        (
            "with loss, no height",
            lossy([0x10, 0, 0], code, [64, 0]),
            no,
        ),
        (
            "with loss, 16 383 by 16 383",
            lossy([0x10, 0, 0], code, [0x3fff; 2]),
            Err(TooManyPixels),
        ),
        (
            "with a script behind it",
            [of(&[(b"VP8L", &image)]), b"<script>".to_vec()].concat(),
            Ok([64, 48]),
        ),
    ];
    let named = |(name, file, outcome)| case(format!("WebP: {name}"), file, outcome);
    cases.into_iter().map(named).collect()
}

#[test]
fn every_broken_or_hostile_picture_has_its_refusal() {
    let cases = [other_files(), cut(), png(), jpeg(), webp()].concat();
    let mut wrong = Vec::new();
    for (name, file, expected) in &cases {
        let found = decoded(file);
        if found != *expected {
            wrong.push(format!("{name}: {found:?} where {expected:?} was expected"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let refused = cases.iter().filter(|case| case.2.is_err()).count();
    println!("{} pictures, {refused} of them refused", cases.len());
    assert!(refused >= 110, "{refused}");
}
