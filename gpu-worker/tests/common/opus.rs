//! Opus in Ogg and WebM, made by hand around packets of a real encoder, so that every
//! part of them can be wrong.

use ropus::{Application, Bitrate, Channels, Encoder};

/// Samples per second that containers count in.
pub(crate) const RATE: u32 = 48_000;
/// Samples of a frame of 20 ms.
pub(crate) const FRAME: usize = 960;

/// Packets of so many samples each, and how many samples the encoder is late.
pub(crate) fn encoded(
    samples: &[f32],
    channels: u8,
    frame: usize,
    kbit: u32,
) -> (Vec<Vec<u8>>, u16) {
    let layout = match channels {
        1 => Channels::Mono,
        _ => Channels::Stereo,
    };
    let builder = Encoder::builder(RATE, layout, Application::Audio);
    let mut encoder = builder.bitrate(Bitrate::Bits(kbit * 1000)).build().unwrap();
    let late = encoder.lookahead() as u16;
    // What is late comes out of silence behind the end.
    let channels = usize::from(channels);
    let mut all = samples.to_vec();
    let parts = (samples.len() / channels + usize::from(late)).div_ceil(frame);
    all.resize(parts * frame * channels, 0.0);
    let mut room = vec![0; 8000];
    let packets = all.chunks(frame * channels).map(|part| {
        let length = encoder.encode_float(part, &mut room).unwrap();
        room[..length].to_vec()
    });
    (packets.collect(), late)
}

/// The identification header of both containers.
#[derive(Clone)]
pub(crate) struct Head {
    pub(crate) version: u8,
    pub(crate) channels: u8,
    pub(crate) pre_skip: u16,
    /// Decibels of 1/256.
    pub(crate) gain: i16,
    pub(crate) family: u8,
}

impl Head {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        [
            b"OpusHead".as_slice(),
            &[self.version, self.channels],
            &self.pre_skip.to_le_bytes(),
            &16_000u32.to_le_bytes(),
            &self.gain.to_le_bytes(),
            &[self.family],
        ]
        .concat()
    }
}

/// One stream, to be put in either container.
#[derive(Clone)]
pub(crate) struct Sound {
    pub(crate) head: Head,
    pub(crate) packets: Vec<Vec<u8>>,
    /// Samples of each channel in a packet.
    pub(crate) frame: usize,
    /// Samples at the end that do not count.
    pub(crate) discarded: usize,
}

impl Sound {
    /// Samples of each channel at 48 kHz, in both channels where there are two.
    pub(crate) fn of(samples: &[f32], channels: u8, frame: usize, kbit: u32) -> Self {
        let (packets, late) = encoded(samples, channels, frame, kbit);
        let counted = samples.len() / usize::from(channels) + usize::from(late);
        Self {
            head: Head {
                version: 1,
                channels,
                pre_skip: late,
                gain: 0,
                family: 0,
            },
            discarded: packets.len() * frame - counted,
            packets,
            frame,
        }
    }

    /// Pages of one second at most, as the serial number 7.
    pub(crate) fn pages(&self) -> Vec<Page> {
        let first = Page {
            flags: 2,
            packets: vec![self.head.bytes()],
            ..Page::default()
        };
        let tags = Page {
            number: 1,
            packets: vec![b"OpusTags\x04\0\0\0test\0\0\0\0".to_vec()],
            ..Page::default()
        };
        let mut pages = vec![first, tags];
        let a_second = (RATE as usize / self.frame).min(50);
        let mut place = 0;
        for packets in self.packets.chunks(a_second) {
            place += (packets.len() * self.frame) as u64;
            pages.push(Page {
                number: pages.len() as u32,
                place,
                packets: packets.to_vec(),
                ..Page::default()
            });
        }
        let last = pages.last_mut().unwrap();
        last.flags |= 4;
        last.place = last.place.saturating_sub(self.discarded as u64);
        pages
    }

    pub(crate) fn ogg(&self) -> Vec<u8> {
        ogg(&self.pages())
    }

    pub(crate) fn webm(&self) -> Vec<u8> {
        Webm::of(self).file()
    }
}

/// One page of Ogg.
#[derive(Clone)]
pub(crate) struct Page {
    /// 1 goes on with a packet, 2 first, 4 last.
    pub(crate) flags: u8,
    pub(crate) place: u64,
    pub(crate) serial: u32,
    pub(crate) number: u32,
    pub(crate) packets: Vec<Vec<u8>>,
    /// The last packet goes on in the next page.
    pub(crate) open: bool,
}

impl Default for Page {
    fn default() -> Self {
        Self {
            flags: 0,
            place: 0,
            serial: 7,
            number: 0,
            packets: Vec::new(),
            open: false,
        }
    }
}

impl Page {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut lengths = Vec::new();
        for (n, packet) in self.packets.iter().enumerate() {
            lengths.extend(vec![255; packet.len() / 255]);
            let goes_on = self.open && n + 1 == self.packets.len();
            assert!(!goes_on || packet.len().is_multiple_of(255));
            lengths.extend((!goes_on).then_some((packet.len() % 255) as u8));
        }
        assert!(lengths.len() < 256, "a page has 255 pieces at most");
        let mut page = [
            b"OggS\0".as_slice(),
            &[self.flags],
            &self.place.to_le_bytes(),
            &self.serial.to_le_bytes(),
            &self.number.to_le_bytes(),
            &[0; 4],
            &[lengths.len() as u8],
            &lengths,
            &self.packets.concat(),
        ]
        .concat();
        let sum = crc32(&page).to_le_bytes();
        page[22..26].copy_from_slice(&sum);
        page
    }
}

pub(crate) fn ogg(pages: &[Page]) -> Vec<u8> {
    pages.iter().flat_map(Page::bytes).collect()
}

fn crc32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |crc: u32, byte| {
        let crc = crc ^ u32::from(*byte) << 24;
        (0..8).fold(crc, |crc, _| (crc << 1) ^ ((crc >> 31) * 0x04c1_1db7))
    })
}

/// An element of EBML: its name as it is written, its length in eight bytes.
pub(crate) fn element(id: &[u8], body: &[u8]) -> Vec<u8> {
    let length = (1u64 << 56 | body.len() as u64).to_be_bytes();
    [id, &length, body].concat()
}

/// An element that does not say how long it is.
pub(crate) fn open_element(id: &[u8], body: &[u8]) -> Vec<u8> {
    [id, &[0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], body].concat()
}

pub(crate) const SEGMENT: &[u8] = &[0x18, 0x53, 0x80, 0x67];
pub(crate) const CLUSTER: &[u8] = &[0x1f, 0x43, 0xb6, 0x75];
pub(crate) const TRACKS: &[u8] = &[0x16, 0x54, 0xae, 0x6b];
pub(crate) const TRACK: &[u8] = &[0xae];
pub(crate) const BLOCK: &[u8] = &[0xa3];

/// What a WebM file says of itself and holds.
#[derive(Clone)]
pub(crate) struct Webm {
    pub(crate) kind: &'static [u8],
    pub(crate) track_type: u8,
    pub(crate) codec: &'static [u8],
    pub(crate) head: Vec<u8>,
    /// More elements of the track.
    pub(crate) more: Vec<u8>,
    /// Simple blocks and groups, one after the other.
    pub(crate) blocks: Vec<Vec<u8>>,
}

impl Webm {
    pub(crate) fn of(sound: &Sound) -> Self {
        let (last, packets) = sound.packets.split_last().unwrap();
        let mut blocks: Vec<Vec<u8>> = packets.iter().map(|packet| block(1, 0, packet)).collect();
        // Rounded up, so that no sample comes back by rounding down.
        let nanoseconds = (sound.discarded as u64 * 1_000_000_000).div_ceil(RATE.into());
        let group = [
            element(&[0xa1], &[&[0x81, 0, 0, 0], last.as_slice()].concat()),
            element(&[0x75, 0xa2], &nanoseconds.to_be_bytes()),
        ];
        blocks.push(element(&[0xa0], &group.concat()));
        Self {
            kind: b"webm",
            track_type: 2,
            codec: b"A_OPUS",
            head: sound.head.bytes(),
            more: Vec::new(),
            blocks,
        }
    }

    pub(crate) fn front(&self) -> Vec<u8> {
        element(
            &[0x1a, 0x45, 0xdf, 0xa3],
            &element(&[0x42, 0x82], self.kind),
        )
    }

    pub(crate) fn track(&self) -> Vec<u8> {
        let parts = [
            element(&[0xd7], &[1]),
            element(&[0x83], &[self.track_type]),
            element(&[0x86], self.codec),
            element(&[0x63, 0xa2], &self.head),
            self.more.clone(),
        ];
        element(TRACK, &parts.concat())
    }

    /// As a browser writes it: lengths of segment and cluster left open.
    pub(crate) fn file(&self) -> Vec<u8> {
        let clusters = self.blocks.chunks(50).map(|blocks| {
            let time = element(&[0xe7], &[0]);
            open_element(CLUSTER, &[time, blocks.concat()].concat())
        });
        let body = [
            element(TRACKS, &self.track()),
            clusters.collect::<Vec<_>>().concat(),
        ];
        [self.front(), open_element(SEGMENT, &body.concat())].concat()
    }

    /// As a finished file has it: every length told.
    pub(crate) fn closed(&self) -> Vec<u8> {
        let clusters = self
            .blocks
            .chunks(50)
            .map(|blocks| element(CLUSTER, &blocks.concat()));
        let body = [
            element(&[0xec], &[0; 20]),
            element(TRACKS, &self.track()),
            clusters.collect::<Vec<_>>().concat(),
        ];
        [self.front(), element(SEGMENT, &body.concat())].concat()
    }
}

/// A simple block of a track with flags.
pub(crate) fn block(track: u8, flags: u8, packet: &[u8]) -> Vec<u8> {
    element(BLOCK, &[&[0x80 | track, 0, 0, flags], packet].concat())
}
