//! Opus packets out of Ogg pages (RFC 3533, RFC 7845). One stream from its first page
//! to its last, every page there and whole: half a recording is none.

use redoubt_shared::worker::SampleRefusal;

use super::Stream;
use super::head::Head;
use super::packets::Packets;

/// How every page begins.
pub(in crate::voice) const MARK: &[u8] = b"OggS";
/// Of a page's flags: it goes on with a packet, it is the first, it is the last.
const CONTINUES: u8 = 1;
const FIRST: u8 = 2;
const LAST: u8 = 4;

/// Reads the only stream of a file.
pub(super) fn read(mut bytes: &[u8]) -> Result<Stream, SampleRefusal> {
    let (first, rest) = Page::read(bytes)?;
    let mut reader = Reader::begin(&first)?;
    let mut last = first.flags & LAST != 0;
    bytes = rest;
    while !last {
        let (page, rest) = Page::read(bytes)?;
        reader.take(&page)?;
        last = page.flags & LAST != 0;
        bytes = rest;
    }
    match bytes {
        [] => reader.end(),
        // Another stream follows.
        _ if bytes.starts_with(MARK) => Err(SampleRefusal::AudioNotSupported),
        _ => Err(SampleRefusal::NotAudio),
    }
}

/// One page, its sum checked.
struct Page<'a> {
    flags: u8,
    /// Samples of each channel up to the last packet that ends here.
    place: u64,
    serial: u32,
    number: u32,
    lengths: &'a [u8],
    body: &'a [u8],
}

impl<'a> Page<'a> {
    /// The next page, and what is behind it.
    fn read(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), SampleRefusal> {
        let broken = SampleRefusal::NotAudio;
        let (fixed, rest) = bytes.split_first_chunk::<27>().ok_or(broken)?;
        // Version 0 is the only one.
        if !fixed.starts_with(MARK) || fixed[4] != 0 {
            return Err(broken);
        }
        let (lengths, rest) = rest.split_at_checked(fixed[26].into()).ok_or(broken)?;
        let length = lengths.iter().map(|length| usize::from(*length)).sum();
        let (body, rest) = rest.split_at_checked(length).ok_or(broken)?;
        let four = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|n| fixed[at + n]));
        let mut sum = Sum(0);
        sum.take(&fixed[..22]);
        sum.take(&[0; 4]);
        sum.take(&bytes[26..bytes.len() - rest.len()]);
        if sum.0 != four(22) {
            return Err(broken);
        }
        let page = Self {
            flags: fixed[5],
            place: u64::from(four(6)) | u64::from(four(10)) << 32,
            serial: four(14),
            number: four(18),
            lengths,
            body,
        };
        Ok((page, rest))
    }

    /// Its pieces of packets; the last may go on in the next page.
    fn pieces(&self) -> impl Iterator<Item = (&'a [u8], bool)> {
        let (mut lengths, mut body) = (self.lengths, self.body);
        std::iter::from_fn(move || {
            if lengths.is_empty() {
                return None;
            }
            let full = lengths.iter().take_while(|length| **length == 255).count();
            let ends = full < lengths.len();
            let (taken, rest) = lengths.split_at(if ends { full + 1 } else { full });
            lengths = rest;
            let length = taken.iter().map(|length| usize::from(*length)).sum();
            let (piece, rest) = body.split_at(length);
            body = rest;
            Some((piece, ends))
        })
    }
}

/// What was read of a stream so far.
struct Reader {
    head: Head,
    serial: u32,
    number: u32,
    /// Of a packet whose end was not seen yet.
    open: Option<Vec<u8>>,
    tags_seen: bool,
    packets: Packets,
    /// Place of the first page on which a packet of sound ends, less the samples in it.
    begin: Option<i64>,
    /// Place of the last.
    end: u64,
    /// Samples of that page that do not count.
    trimmed: u64,
    /// Pages on which packets of sound end.
    pages: u32,
}

impl Reader {
    /// The first page holds the head alone.
    fn begin(page: &Page<'_>) -> Result<Self, SampleRefusal> {
        let mut pieces = page.pieces();
        let (Some((head, true)), None) = (pieces.next(), pieces.next()) else {
            return Err(SampleRefusal::NotAudio);
        };
        if page.flags & (FIRST | CONTINUES) != FIRST {
            return Err(SampleRefusal::NotAudio);
        }
        Ok(Self {
            head: Head::read(head)?,
            serial: page.serial,
            number: page.number,
            open: None,
            tags_seen: false,
            packets: Packets::default(),
            begin: None,
            end: 0,
            trimmed: 0,
            pages: 0,
        })
    }

    fn take(&mut self, page: &Page<'_>) -> Result<(), SampleRefusal> {
        if page.serial != self.serial || page.flags & FIRST != 0 {
            return Err(SampleRefusal::AudioNotSupported);
        }
        self.number = self.number.wrapping_add(1);
        let continues = page.flags & CONTINUES != 0;
        if page.number != self.number || continues != self.open.is_some() {
            return Err(SampleRefusal::NotAudio);
        }
        let before = self.packets.samples();
        for (piece, ends) in page.pieces() {
            let mut packet = self.open.take().unwrap_or_default();
            packet.extend(piece);
            match ends {
                true => self.packet(&packet)?,
                false => self.open = Some(packet),
            }
        }
        match self.packets.samples() - before {
            0 => Ok(()),
            samples => self.place(page.place, samples),
        }
    }

    /// What follows the head are tags, which are of no use here, and then sound.
    fn packet(&mut self, packet: &[u8]) -> Result<(), SampleRefusal> {
        if self.tags_seen {
            return self.packets.push(packet);
        }
        self.tags_seen = packet.starts_with(b"OpusTags");
        match self.tags_seen {
            true => Ok(()),
            false => Err(SampleRefusal::NotAudio),
        }
    }

    /// A page's place in time, behind so many samples of its own.
    fn place(&mut self, place: u64, samples: u64) -> Result<(), SampleRefusal> {
        let signed = i64::try_from(place).map_err(|_| SampleRefusal::NotAudio)?;
        if place < self.end {
            return Err(SampleRefusal::NotAudio);
        }
        let begin = *self.begin.get_or_insert(signed - samples.cast_signed());
        let before = match self.pages {
            0 => begin.max(0).cast_unsigned(),
            _ => self.end,
        };
        self.trimmed = (before + samples).saturating_sub(place);
        self.end = place;
        self.pages += 1;
        Ok(())
    }

    /// The last page, and no other, says how much of its packets counts (RFC 7845,
    /// section 4).
    fn end(self) -> Result<Stream, SampleRefusal> {
        if !self.tags_seen || self.open.is_some() {
            return Err(SampleRefusal::NotAudio);
        }
        // Only where the first page is the last one, it may end before its packets do.
        if self.begin.is_some_and(|begin| begin < 0) && self.pages > 1 {
            return Err(SampleRefusal::NotAudio);
        }
        Ok(Stream {
            head: self.head,
            length: self.packets.samples().saturating_sub(self.trimmed),
            packets: self.packets,
        })
    }
}

/// A page's sum (RFC 3533, section 6): polynomial 0x04c11db7, from the highest bit on.
struct Sum(u32);

impl Sum {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut byte = 0;
        while byte < 256 {
            let mut sum = (byte as u32) << 24;
            let mut bit = 0;
            while bit < 8 {
                sum = (sum << 1) ^ ((sum >> 31) * 0x04c1_1db7);
                bit += 1;
            }
            table[byte] = sum;
            byte += 1;
        }
        table
    };

    fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let at = (self.0 >> 24) as u8 ^ byte;
            self.0 = self.0 << 8 ^ Self::TABLE[usize::from(at)];
        }
    }
}
