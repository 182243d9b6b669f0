//! Opus packets out of WebM (Matroska, RFC 9559, on EBML, RFC 8794): one track, of
//! sound alone. A browser that records does not know lengths beforehand, so segment and
//! clusters may leave theirs open; nothing else may, and no more nests than is told here.

use redoubt_shared::worker::SampleRefusal;

use super::head::Head;
use super::packets::Packets;
use super::{RATE, Stream};

/// How every EBML file begins.
pub(in crate::voice) const MARK: &[u8] = &[0x1a, 0x45, 0xdf, 0xa3];

const EBML: u32 = 0x1a45_dfa3;
const DOC_TYPE: u32 = 0x4282;
const SEGMENT: u32 = 0x1853_8067;
const TRACKS: u32 = 0x1654_ae6b;
const TRACK: u32 = 0xae;
const TRACK_NUMBER: u32 = 0xd7;
const TRACK_TYPE: u32 = 0x83;
const CODEC: u32 = 0x86;
const CODEC_PRIVATE: u32 = 0x63a2;
const ENCODINGS: u32 = 0x6d80;
const CLUSTER: u32 = 0x1f43_b675;
const SIMPLE_BLOCK: u32 = 0xa3;
const BLOCK_GROUP: u32 = 0xa0;
const BLOCK: u32 = 0xa1;
const DISCARD: u32 = 0x75a2;
/// The type of a track of sound.
const SOUND: u64 = 2;
/// Of a block's flags: several packets in one.
const LACED: u8 = 0x06;

/// Reads the only track of a file.
pub(super) fn read(bytes: &[u8]) -> Result<Stream, SampleRefusal> {
    let mut file = Elements(bytes);
    let kind = file.expect(EBML)?.closed()?;
    match Elements(kind).find(DOC_TYPE)?.map(text) {
        Some(b"webm" | b"matroska") => {}
        _ => return Err(SampleRefusal::AudioNotSupported),
    }
    let segment = file.expect(SEGMENT)?;
    if segment.open {
        file.0 = &[];
    }
    let mut reader = Reader::default();
    reader.segment(segment.body)?;
    match file.0 {
        [] => reader.end(),
        // Two recordings, one behind the other.
        more if more.starts_with(MARK) => Err(SampleRefusal::AudioNotSupported),
        _ => Err(SampleRefusal::NotAudio),
    }
}

#[derive(Default)]
struct Reader {
    track: Option<Track>,
    packets: Packets,
    /// Samples at the end that do not count; nothing may follow them.
    discarded: u64,
}

struct Track {
    number: u64,
    head: Head,
}

impl Reader {
    /// What stands in a segment, and in clusters that leave their length open.
    fn segment(&mut self, bytes: &[u8]) -> Result<(), SampleRefusal> {
        let mut elements = Elements(bytes);
        while let Some(element) = elements.next()? {
            match element.id {
                TRACKS if self.track.is_some() => return Err(SampleRefusal::NotAudio),
                TRACKS => self.track = Some(Track::only(element.closed()?)?),
                // Its blocks follow as if they were the segment's.
                CLUSTER if element.open => elements.0 = element.body,
                CLUSTER => self.cluster(element.body)?,
                EBML => return Err(SampleRefusal::AudioNotSupported),
                _ => self.block(&element)?,
            }
        }
        Ok(())
    }

    fn cluster(&mut self, bytes: &[u8]) -> Result<(), SampleRefusal> {
        let mut elements = Elements(bytes);
        while let Some(element) = elements.next()? {
            self.block(&element)?;
        }
        Ok(())
    }

    /// A block; anything else is of no use here.
    fn block(&mut self, element: &Element<'_>) -> Result<(), SampleRefusal> {
        let body = element.closed()?;
        match element.id {
            SIMPLE_BLOCK => self.packet(body),
            BLOCK_GROUP => {
                let block = Elements(body).find(BLOCK)?;
                self.packet(block.ok_or(SampleRefusal::NotAudio)?)?;
                match Elements(body).find(DISCARD)? {
                    Some(nanoseconds) => self.discard(nanoseconds),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// The packet of a block behind its track, time and flags.
    fn packet(&mut self, block: &[u8]) -> Result<(), SampleRefusal> {
        let broken = SampleRefusal::NotAudio;
        let track = self.track.as_ref().ok_or(broken)?;
        let (number, _, rest) = length(block).ok_or(broken)?;
        let [_, _, flags, packet @ ..] = rest else {
            return Err(broken);
        };
        if number != track.number {
            return Err(broken);
        }
        if self.discarded > 0 {
            return Err(SampleRefusal::AudioNotSupported);
        }
        match flags & LACED {
            0 => self.packets.push(packet),
            _ => Err(SampleRefusal::AudioNotSupported),
        }
    }

    /// The end of the last block, given in nanoseconds, does not count.
    fn discard(&mut self, bytes: &[u8]) -> Result<(), SampleRefusal> {
        let nanoseconds = number(bytes)?;
        // The highest bit is the sign: time at the beginning of a block.
        if bytes.first().is_some_and(|first| first >> 7 == 1) {
            return Err(SampleRefusal::AudioNotSupported);
        }
        let samples = u128::from(nanoseconds) * u128::from(RATE) / 1_000_000_000;
        self.discarded = u64::try_from(samples).map_err(|_| SampleRefusal::NotAudio)?;
        Ok(())
    }

    fn end(self) -> Result<Stream, SampleRefusal> {
        let track = self.track.ok_or(SampleRefusal::NotAudio)?;
        Ok(Stream {
            head: track.head,
            length: self.packets.samples().saturating_sub(self.discarded),
            packets: self.packets,
        })
    }
}

impl Track {
    /// A film, or several languages, are not taken; nor is what is packed once more.
    fn only(tracks: &[u8]) -> Result<Self, SampleRefusal> {
        let broken = SampleRefusal::NotAudio;
        let mut elements = Elements(tracks);
        let mut only = None;
        while let Some(element) = elements.next()? {
            if element.id == TRACK && only.replace(element.closed()?).is_some() {
                return Err(SampleRefusal::AudioNotSupported);
            }
        }
        let track = only.ok_or(broken)?;
        let find = |id| Elements(track).find(id);
        let kind = number(find(TRACK_TYPE)?.ok_or(broken)?)?;
        let codec = text(find(CODEC)?.ok_or(broken)?);
        if kind != SOUND || codec != b"A_OPUS" || find(ENCODINGS)?.is_some() {
            return Err(SampleRefusal::AudioNotSupported);
        }
        Ok(Self {
            number: number(find(TRACK_NUMBER)?.ok_or(broken)?)?,
            head: Head::read(find(CODEC_PRIVATE)?.ok_or(broken)?)?,
        })
    }
}

/// One element of EBML.
struct Element<'a> {
    id: u32,
    /// To the end of what it stands in, if it leaves its length open.
    body: &'a [u8],
    open: bool,
}

impl<'a> Element<'a> {
    /// Its body, if it says how long it is.
    fn closed(&self) -> Result<&'a [u8], SampleRefusal> {
        match self.open {
            true => Err(SampleRefusal::NotAudio),
            false => Ok(self.body),
        }
    }
}

/// Elements side by side.
struct Elements<'a>(&'a [u8]);

impl<'a> Elements<'a> {
    /// The next one; none at the end. What is longer than what it stands in is broken.
    fn next(&mut self) -> Result<Option<Element<'a>>, SampleRefusal> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let broken = SampleRefusal::NotAudio;
        let (id, rest) = id(self.0).ok_or(broken)?;
        let (length, open, rest) = length(rest).ok_or(broken)?;
        let length = match open {
            true => rest.len(),
            false => usize::try_from(length).map_err(|_| broken)?,
        };
        let (body, rest) = rest.split_at_checked(length).ok_or(broken)?;
        self.0 = rest;
        Ok(Some(Element { id, body, open }))
    }

    /// The next one, which must be this.
    fn expect(&mut self, id: u32) -> Result<Element<'a>, SampleRefusal> {
        let element = self.next()?.filter(|element| element.id == id);
        element.ok_or(SampleRefusal::NotAudio)
    }

    /// The first of this kind.
    fn find(mut self, id: u32) -> Result<Option<&'a [u8]>, SampleRefusal> {
        while let Some(element) = self.next()? {
            let body = element.closed()?;
            if element.id == id {
                return Ok(Some(body));
            }
        }
        Ok(None)
    }
}

/// An element's name of one to four bytes, its mark of length kept.
fn id(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let width = bytes.first()?.leading_zeros() as usize + 1;
    if width > 4 {
        return None;
    }
    let (name, rest) = bytes.split_at_checked(width)?;
    let id = name.iter().fold(0, |id, byte| id << 8 | u32::from(*byte));
    Some((id, rest))
}

/// A length of one to eight bytes, its mark taken away, and whether it is left open.
fn length(bytes: &[u8]) -> Option<(u64, bool, &[u8])> {
    let width = bytes.first()?.leading_zeros() as usize + 1;
    if width > 8 {
        return None;
    }
    let (digits, rest) = bytes.split_at_checked(width)?;
    let all = digits
        .iter()
        .fold(0, |all, byte| all << 8 | u64::from(*byte));
    let most = (1u64 << (7 * width)) - 1;
    Some((all & most, all & most == most, rest))
}

/// Text, without the zeros that may stand behind it (RFC 8794, section 13).
fn text(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|byte| *byte == 0);
    &bytes[..end.unwrap_or(bytes.len())]
}

/// A whole number without sign of up to eight bytes.
fn number(bytes: &[u8]) -> Result<u64, SampleRefusal> {
    match bytes.len() {
        0..=8 => Ok(bytes
            .iter()
            .fold(0, |all, byte| all << 8 | u64::from(*byte))),
        _ => Err(SampleRefusal::NotAudio),
    }
}
