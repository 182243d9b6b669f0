//! A face of nobody, drawn of soft ellipses, as PNG: once as it looks into the camera, and
//! once turned aside with its eyes shut.

use std::sync::OnceLock;

/// Columns and rows.
const SIDE: usize = 192;
const BACKGROUND: [f64; 3] = [130.0, 140.0, 150.0];

/// Colour laid over an ellipse with a soft edge; one beside the middle has a twin at
/// the other side.
struct Patch {
    /// Middle, as a part of the side.
    at: [f64; 2],
    /// Half-axes, as a part of the side.
    axes: [f64; 2],
    rgb: [f64; 3],
    /// How much of what is below it hides.
    hides: f64,
}

const fn patch(at: [f64; 2], axes: [f64; 2], rgb: [f64; 3], hides: f64) -> Patch {
    Patch {
        at,
        axes,
        rgb,
        hides,
    }
}

/// Hair, shirt, neck, face, forehead; whites of the eyes, irises, brows, lids; bridge,
/// tip and wings of the nose; lips and what is between; cheeks, chin.
const PATCHES: [Patch; 16] = [
    patch([0.5, 0.47], [0.3, 0.4], [50.0, 38.0, 30.0], 1.0),
    patch([0.5, 1.02], [0.4, 0.2], [60.0, 70.0, 110.0], 1.0),
    patch([0.5, 0.83], [0.12, 0.18], [180.0, 130.0, 105.0], 1.0),
    patch([0.5, 0.53], [0.235, 0.315], [215.0, 165.0, 140.0], 1.0),
    patch([0.5, 0.33], [0.18, 0.08], [228.0, 182.0, 155.0], 0.6),
    patch([0.385, 0.445], [0.055, 0.022], [240.0, 235.0, 230.0], 0.95),
    patch([0.385, 0.445], [0.022, 0.024], [40.0, 28.0, 22.0], 1.0),
    patch([0.385, 0.4], [0.07, 0.013], [55.0, 40.0, 32.0], 0.9),
    patch([0.385, 0.425], [0.06, 0.01], [70.0, 45.0, 38.0], 0.8),
    patch([0.5, 0.52], [0.02, 0.1], [235.0, 195.0, 170.0], 0.6),
    patch([0.5, 0.595], [0.05, 0.03], [200.0, 145.0, 120.0], 0.6),
    patch([0.47, 0.615], [0.013, 0.01], [90.0, 50.0, 42.0], 0.9),
    patch([0.5, 0.7], [0.085, 0.028], [165.0, 75.0, 75.0], 0.95),
    patch([0.5, 0.7], [0.075, 0.006], [95.0, 40.0, 42.0], 0.9),
    patch([0.36, 0.6], [0.06, 0.06], [222.0, 150.0, 130.0], 0.5),
    patch([0.5, 0.785], [0.07, 0.03], [200.0, 150.0, 125.0], 0.5),
];

/// The first and last patch of the open eyes, brows and lids not among them.
const EYES: std::ops::RangeInclusive<usize> = 5..=6;
/// The first patch of what lies before the rest of the face, and moves as it turns.
const BEFORE: usize = 4;

/// How the face looks.
#[derive(Debug, Clone, Copy)]
struct Stance {
    /// By how much of the side its middle is moved as it turns.
    turned: f64,
    shut: bool,
}

/// The picture: 192 by 192 pixels, PNG. Made of sums, products and quotients alone,
/// which are the same on every processor.
pub fn picture() -> &'static [u8] {
    static PICTURE: OnceLock<Vec<u8>> = OnceLock::new();
    PICTURE.get_or_init(|| {
        drawn(Stance {
            turned: 0.0,
            shut: false,
        })
    })
}

/// The same face turned aside, its eyes shut.
pub fn turned() -> &'static [u8] {
    static PICTURE: OnceLock<Vec<u8>> = OnceLock::new();
    PICTURE.get_or_init(|| {
        drawn(Stance {
            turned: 0.04,
            shut: true,
        })
    })
}

fn drawn(stance: Stance) -> Vec<u8> {
    let mut rows = Vec::with_capacity(SIDE * (3 * SIDE + 1));
    for y in 0..SIDE {
        // No filter.
        rows.push(0);
        for x in 0..SIDE {
            let colour = colour(stance, part(x), part(y));
            rows.extend(colour.map(|value| (value + 0.5) as u8));
        }
    }
    png(&rows)
}

fn part(pixel: usize) -> f64 {
    (pixel as f64 + 0.5) / SIDE as f64
}

fn colour(stance: Stance, x: f64, y: f64) -> [f64; 3] {
    let mut colour = BACKGROUND;
    for (number, patch) in PATCHES.iter().enumerate() {
        if stance.shut && EYES.contains(&number) {
            continue;
        }
        let moved = if number < BEFORE { 0.0 } else { stance.turned };
        let twin = (patch.at[0] != 0.5).then_some(1.0 - patch.at[0]);
        for middle in [Some(patch.at[0]), twin].into_iter().flatten() {
            let across = (x - moved - middle) / patch.axes[0];
            let down = (y - patch.at[1]) / patch.axes[1];
            let away = across * across + down * down;
            let over = patch.hides / (1.0 + away * away * away);
            for (value, laid) in colour.iter_mut().zip(patch.rgb) {
                *value += (laid - *value) * over;
            }
        }
    }
    colour
}

/// ISO/IEC 15948 with deflate's stored blocks (RFC 1950, 1951): nothing is compressed.
fn png(rows: &[u8]) -> Vec<u8> {
    let side = (SIDE as u32).to_be_bytes();
    let mut data = vec![0x78, 0x01];
    let mut blocks = rows.chunks(0xffff).peekable();
    while let Some(block) = blocks.next() {
        let length = block.len() as u16;
        data.push(u8::from(blocks.peek().is_none()));
        data.extend(length.to_le_bytes());
        data.extend((!length).to_le_bytes());
        data.extend(block);
    }
    data.extend(adler32(rows).to_be_bytes());
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    // 8 bits of red, green and blue.
    chunk(
        &mut file,
        b"IHDR",
        &[&side[..], &side, &[8, 2, 0, 0, 0]].concat(),
    );
    chunk(&mut file, b"IDAT", &data);
    chunk(&mut file, b"IEND", &[]);
    file
}

fn chunk(file: &mut Vec<u8>, name: &[u8; 4], data: &[u8]) {
    file.extend((data.len() as u32).to_be_bytes());
    let from = file.len();
    file.extend(name);
    file.extend(data);
    let sum = crc32(&file[from..]);
    file.extend(sum.to_be_bytes());
}

fn adler32(bytes: &[u8]) -> u32 {
    let (mut one, mut two) = (1u32, 0u32);
    for byte in bytes {
        one = (one + u32::from(*byte)) % 65_521;
        two = (two + one) % 65_521;
    }
    two << 16 | one
}

/// The polynomial of ISO 3309, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg());
        }
    }
    !sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_standards() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(adler32(b"Wikipedia"), 0x11e6_0398);
    }
}
