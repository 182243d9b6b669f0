//! Pictures made by hand, so that every part of them can be wrong.

use std::io::Cursor;

use image::{ImageFormat, Rgb, RgbImage};

/// Of 64 by 48 pixels.
pub(crate) fn encoded(format: ImageFormat) -> Vec<u8> {
    let picture = RgbImage::from_fn(64, 48, |x, y| {
        Rgb([(x * 7) as u8, (y * 5) as u8, ((x ^ y) * 3) as u8])
    });
    let mut out = Cursor::new(Vec::new());
    picture.write_to(&mut out, format).unwrap();
    out.into_inner()
}

/// A PNG file (ISO/IEC 15948): its chunks, with true checksums.
#[derive(Clone)]
pub(crate) struct Png(pub(crate) Vec<([u8; 4], Vec<u8>)>);

impl Png {
    /// Of `width` by `height` pixels of this depth and colour type, all alike, each line
    /// of `line` bytes behind its filter.
    pub(crate) fn of([width, height]: [u32; 2], depth: u8, colour: u8, line: usize) -> Self {
        let size = [width.to_be_bytes(), height.to_be_bytes()].concat();
        let head = [&size[..], &[depth, colour, 0, 0, 0]].concat();
        let one = [vec![0], vec![0x55; line]].concat();
        let pixels = zlib(&one.repeat(height as usize));
        Self(vec![
            (*b"IHDR", head),
            (*b"IDAT", pixels),
            (*b"IEND", Vec::new()),
        ])
    }

    /// Eight pixels wide and high, in colour.
    pub(crate) fn small() -> Self {
        Self::of([8, 8], 8, 2, 24)
    }

    /// With one byte of the header changed.
    pub(crate) fn headed(at: usize, value: u8) -> Self {
        let mut png = Self::small();
        png.0[0].1[at] = value;
        png
    }

    /// With a chunk in front of that one.
    pub(crate) fn with(mut self, at: usize, kind: &[u8; 4], data: &[u8]) -> Self {
        self.0.insert(at, (*kind, data.to_vec()));
        self
    }

    /// Without that chunk.
    pub(crate) fn without(mut self, at: usize) -> Self {
        self.0.remove(at);
        self
    }

    /// With other pixels.
    pub(crate) fn holding(mut self, data: Vec<u8>) -> Self {
        self.0[1].1 = data;
        self
    }

    pub(crate) fn file(&self) -> Vec<u8> {
        let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
        for (kind, data) in &self.0 {
            let named = [&kind[..], data].concat();
            file.extend((data.len() as u32).to_be_bytes());
            file.extend(&named);
            file.extend(crc(&named).to_be_bytes());
        }
        file
    }
}

/// Bytes in a zlib stream (RFC 1950) of blocks that are not compressed.
pub(crate) fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x78, 0x01];
    let mut blocks = bytes.chunks(0xffff).peekable();
    if blocks.peek().is_none() {
        out.extend([1, 0, 0, 0xff, 0xff]);
    }
    while let Some(block) = blocks.next() {
        let length = block.len() as u16;
        out.push(u8::from(blocks.peek().is_none()));
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(block);
    }
    let (mut a, mut b) = (1u32, 0u32);
    for byte in bytes {
        a = (a + u32::from(*byte)) % 65521;
        b = (b + a) % 65521;
    }
    out.extend((b << 16 | a).to_be_bytes());
    out
}

/// Annex D of ISO/IEC 15948.
fn crc(bytes: &[u8]) -> u32 {
    let step = |c: u32| {
        if c & 1 == 1 {
            0xedb8_8320 ^ (c >> 1)
        } else {
            c >> 1
        }
    };
    let fold = |c: u32, byte: &u8| (0..8).fold(c ^ u32::from(*byte), |c, _| step(c));
    !bytes.iter().fold(!0, fold)
}

/// A JPEG file (ITU-T T.81): its segments, and what follows the last one.
#[derive(Clone)]
pub(crate) struct Jpeg {
    pub(crate) segments: Vec<(u8, Vec<u8>)>,
    pub(crate) scan: Vec<u8>,
}

impl Jpeg {
    pub(crate) fn whole() -> Self {
        let file = encoded(ImageFormat::Jpeg);
        let (mut segments, mut at) = (Vec::new(), 2);
        loop {
            let marker = file[at + 1];
            let length = usize::from(u16::from_be_bytes([file[at + 2], file[at + 3]]));
            segments.push((marker, file[at + 4..at + 2 + length].to_vec()));
            at += 2 + length;
            if marker == 0xda {
                let scan = file[at..].to_vec();
                return Self { segments, scan };
            }
        }
    }

    /// The payload of the first segment of that kind.
    pub(crate) fn of(&mut self, marker: u8) -> &mut Vec<u8> {
        let mut all = self.segments.iter_mut();
        &mut all.find(|(kind, _)| *kind == marker).unwrap().1
    }

    /// With bytes of a segment changed from a place on.
    pub(crate) fn with(mut self, marker: u8, at: usize, bytes: &[u8]) -> Self {
        self.of(marker)[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// Without the segments of that kind.
    pub(crate) fn without(mut self, marker: u8) -> Self {
        self.segments.retain(|(kind, _)| *kind != marker);
        self
    }

    /// With the frame header under another marker.
    pub(crate) fn framed(mut self, marker: u8) -> Self {
        let mut all = self.segments.iter_mut();
        all.find(|(kind, _)| *kind == 0xc0).unwrap().0 = marker;
        self
    }

    /// With a segment in front of all others.
    pub(crate) fn led(mut self, marker: u8, payload: &[u8]) -> Self {
        self.segments.insert(0, (marker, payload.to_vec()));
        self
    }

    pub(crate) fn file(&self) -> Vec<u8> {
        let mut file = vec![0xff, 0xd8];
        for (marker, payload) in &self.segments {
            file.extend([0xff, *marker]);
            file.extend((payload.len() as u16 + 2).to_be_bytes());
            file.extend(payload);
        }
        [file, self.scan.clone()].concat()
    }
}

/// A RIFF file of these chunks.
pub(crate) fn riff(form: &[u8; 4], chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut body = form.to_vec();
    for (kind, data) in chunks {
        body.extend(*kind);
        body.extend((data.len() as u32).to_le_bytes());
        body.extend(*data);
        body.extend(vec![0; data.len() % 2]);
    }
    let length = (body.len() as u32).to_le_bytes();
    [b"RIFF", &length[..], &body].concat()
}

/// The one chunk of a WebP file without loss.
pub(crate) fn vp8l() -> Vec<u8> {
    let file = encoded(ImageFormat::WebP);
    assert_eq!(&file[12..16], b"VP8L");
    let length = u32::from_le_bytes(file[16..20].try_into().unwrap());
    file[20..20 + length as usize].to_vec()
}
