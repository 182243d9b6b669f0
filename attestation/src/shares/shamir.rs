//! Shamir's secret sharing over GF(2^8), byte by byte, polynomial 0x11b.
//!
//! Protects against timing: no table is indexed and no branch taken by a secret
//! byte. (The shares' indices are public.) The crate `blahaj` would do the same
//! with logarithm tables indexed by secret bytes.

use zeroize::Zeroizing;

use crate::entropy::{Entropy, EntropyError};

pub(super) type Value = Box<Zeroizing<[u8; 32]>>;

/// Product in GF(2^8): eight masked steps whatever the operands are.
fn multiply(mut a: u8, mut b: u8) -> u8 {
    let mut product = 0;
    for _ in 0..8 {
        product ^= a & (b & 1).wrapping_neg();
        let reduce = (a >> 7).wrapping_neg() & 0x1b;
        a = (a << 1) ^ reduce;
        b >>= 1;
    }
    product
}

/// Inverse as a^254; zero has none and yields zero.
fn invert(a: u8) -> u8 {
    let mut power = a;
    let mut inverse = 1;
    // 254 = 0b1111_1110: every power but the first.
    for _ in 0..7 {
        power = multiply(power, power);
        inverse = multiply(inverse, power);
    }
    inverse
}

/// Evaluates one random polynomial of degree k - 1 per byte at x = 1..=n.
pub(super) fn split(
    secret: &[u8; 32],
    k: u8,
    n: u8,
    entropy: &dyn Entropy,
) -> Result<Vec<Value>, EntropyError> {
    let mut coefficients = Vec::new();
    for _ in 1..k {
        let mut coefficient: Value = Box::new(Zeroizing::new([0; 32]));
        entropy.fill(&mut coefficient[..])?;
        coefficients.push(coefficient);
    }
    let evaluate = |x: u8| {
        let mut value: Value = Box::new(Zeroizing::new([0; 32]));
        for (at, byte) in value.iter_mut().enumerate() {
            let high = coefficients.iter().rev();
            *byte = high.fold(0, |sum, c| multiply(sum ^ c[at], x)) ^ secret[at];
        }
        value
    };
    Ok((1..=n).map(evaluate).collect())
}

/// Lagrange interpolation at zero. Indices are distinct and not zero: the
/// caller checked.
pub(super) fn combine(points: &[(u8, &Zeroizing<[u8; 32]>)]) -> Value {
    let mut secret: Value = Box::new(Zeroizing::new([0; 32]));
    for (index, value) in points {
        let weight = points
            .iter()
            .filter(|(other, _)| other != index)
            .fold(1, |product, (other, _)| {
                multiply(product, multiply(*other, invert(other ^ index)))
            });
        for (byte, share) in secret.iter_mut().zip(value.iter()) {
            *byte ^= multiply(weight, *share);
        }
    }
    secret
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_is_that_of_aes() {
        // FIPS 197 §4.2: {57} · {83} = {c1}, {57} · {13} = {fe}.
        assert_eq!(multiply(0x57, 0x83), 0xc1);
        assert_eq!(multiply(0x57, 0x13), 0xfe);
        for a in 1..=255 {
            assert_eq!(multiply(a, invert(a)), 1, "{a}");
        }
        assert_eq!(invert(0), 0);
    }

    #[test]
    fn a_known_polynomial_evaluates_as_by_hand() {
        struct Ones;
        impl Entropy for Ones {
            fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
                out.fill(1);
                Ok(())
            }
        }
        // secret + x: over GF(2^8) that is secret XOR x.
        let shares = split(&[0xa0; 32], 2, 3, &Ones).unwrap();
        let values: Vec<u8> = shares.iter().map(|share| share[0]).collect();
        assert_eq!(values, [0xa1, 0xa2, 0xa3]);
    }
}
