//! Bent inputs: a few small changes at a time, of the kinds that find parsers'
//! mistakes: flipped bits, numbers at their edges, pieces lost, doubled, moved in
//! from another input.

use crate::rng::Rng;

/// Longest input that is made.
pub(crate) const INPUT_MAX: usize = 96 * 1024;
/// Most bytes that one change inserts.
const PIECE_MAX: usize = 64;
const EDGES: [u64; 10] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    u64::MAX,
];

/// Changes `input` once or a few times; `others` are what pieces are taken from.
pub(crate) fn mutate(input: &mut Vec<u8>, others: &[Vec<u8>], rng: &mut Rng) {
    for _ in 0..1 << rng.below(4) {
        change(input, others, rng);
    }
    input.truncate(INPUT_MAX);
}

fn change(input: &mut Vec<u8>, others: &[Vec<u8>], rng: &mut Rng) {
    let at = rng.below(input.len());
    match rng.below(9) {
        0 => set(input, at, |byte| byte ^ (1 << rng.below(8))),
        1 => set(input, at, |_| rng.next() as u8),
        2 => set(input, at, |byte| byte.wrapping_add(1)),
        3 => edge(input, at, rng),
        4 => {
            let end = (at + 1 + rng.below(PIECE_MAX)).min(input.len());
            input.drain(at.min(end)..end);
        }
        5 => input.truncate(at),
        6 => {
            let piece: Vec<u8> = (0..1 + rng.below(8)).map(|_| rng.next() as u8).collect();
            insert(input, at, &piece);
        }
        7 => {
            let piece = piece(input, rng).to_vec();
            insert(input, at, &piece);
        }
        _ => splice(input, at, others, rng),
    }
}

fn set(input: &mut [u8], at: usize, value: impl FnOnce(u8) -> u8) {
    if let Some(byte) = input.get_mut(at) {
        *byte = value(*byte);
    }
}

/// Overwrites with a number at the edge of some width, in either order of bytes.
fn edge(input: &mut [u8], at: usize, rng: &mut Rng) {
    let value = rng.pick(&EDGES).copied().unwrap_or_default();
    let width = 1 << rng.below(4);
    let bytes = match rng.below(2) {
        0 => value.to_le_bytes()[..width].to_vec(),
        _ => value.to_be_bytes()[8 - width..].to_vec(),
    };
    for (offset, byte) in bytes.into_iter().enumerate() {
        set(input, at + offset, |_| byte);
    }
}

fn insert(input: &mut Vec<u8>, at: usize, piece: &[u8]) {
    input.splice(at..at, piece.iter().copied());
}

/// Some bytes of an input.
fn piece<'a>(of: &'a [u8], rng: &mut Rng) -> &'a [u8] {
    let start = rng.below(of.len());
    let end = (start + 1 + rng.below(PIECE_MAX)).min(of.len());
    &of[start.min(end)..end]
}

/// Puts a piece of another input over, or in front of, what stands here.
fn splice(input: &mut Vec<u8>, at: usize, others: &[Vec<u8>], rng: &mut Rng) {
    let Some(other) = rng.pick(others) else {
        return;
    };
    let piece = piece(other, rng).to_vec();
    match rng.below(2) {
        0 => insert(input, at, &piece),
        _ => {
            let end = (at + piece.len()).min(input.len());
            input.splice(at..end, piece);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_bends_the_same_way_and_any_input_can_be_bent() {
        let others = [b"another input".to_vec(), vec![]];
        for start in [&b""[..], b"x", b"{\"member\":1}"] {
            let run = |seed| {
                let (mut input, mut rng) = (start.to_vec(), Rng::new(seed));
                for _ in 0..2000 {
                    mutate(&mut input, &others, &mut rng);
                    assert!(input.len() <= INPUT_MAX);
                }
                input
            };
            assert_eq!(run(7), run(7));
            assert_ne!(run(7), run(8));
        }
    }
}
