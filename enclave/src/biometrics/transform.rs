//! Keyed orthogonal transforms (ISO/IEC 24745:2022: renewability, unlinkability).
//!
//! Protects against templates that can be told to be one person's, at two banks or before
//! and after a renewal, by whoever finds them without their keys. A key is derived from the
//! tenant's seeds and stored nowhere. Whoever has it undoes its transform: that
//! templates do not give embeddings away rests on sealing alone.

use aws_lc_rs::cipher::{AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use zeroize::Zeroizing;

use crate::core::{Modality, SubjectHandle, TenantKeySeeds};
use crate::keys::{Prk, expand, of_tenant};

const DOMAIN: &[u8] = b"redoubt/template-transform/v1";
/// Rounds of signs, order and Hadamard's matrix. After three, distances behave like
/// under a random rotation (Andoni et al., *Practical and Optimal LSH for Angular Distance*,
/// 2015, section 3).
const ROUNDS: usize = 3;
/// Shorter vectors are padded to this: the finer int8 is, the more components there are.
const SHORTEST: usize = 256;

/// Whose template, and what of: a purpose is a tenant's modality.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// Whose.
    pub subject: SubjectHandle,
    /// Of what.
    pub modality: Modality,
}

/// Derives the transforms of one tenant's templates.
pub struct Transforms(Prk);

impl Transforms {
    /// Of the tenant with these seeds: as lasting as they are.
    pub fn new(seeds: &TenantKeySeeds) -> Self {
        Self(of_tenant(seeds, DOMAIN))
    }

    /// The transform with this number, for vectors of `dimension` components:
    /// HKDF-Expand (RFC 5869) over handle, modality and number. `None` if the library refuses.
    pub fn of(&self, owner: &Owner, number: u32, dimension: usize) -> Option<Transform> {
        let mut key = Zeroizing::new([0u8; 32]);
        let (subject, modality) = (&owner.subject.0[..], owner.modality.name().as_bytes());
        let info = [subject, &number.to_be_bytes(), modality];
        expand(&self.0, &info, &mut key[..]).ok()?;
        Transform::new(&key, padded(dimension))
    }
}

/// Components of a transformed vector: a power of two, 256 at least.
pub fn padded(dimension: usize) -> usize {
    dimension.next_power_of_two().max(SHORTEST)
}

/// An orthogonal matrix, as the rounds it is made of.
pub struct Transform {
    rounds: Vec<Round>,
}

struct Round {
    /// 1 or -1.
    signs: Vec<f32>,
    /// Which component goes where.
    order: Vec<u32>,
}

impl Transform {
    /// Of `length` components, a power of two. The key's stream is AES-256-CTR over zeros;
    /// a key is used for this alone.
    pub(super) fn new(key: &[u8; 32], length: usize) -> Option<Self> {
        let (words, signs) = (4 * length, length / 8);
        let mut stream = Zeroizing::new(vec![0u8; ROUNDS * (words + signs)]);
        let key = UnboundCipherKey::new(&AES_256, key).ok()?;
        let key = EncryptingKey::ctr(key).ok()?;
        let start = EncryptionContext::Iv128(FixedLength::from([0; 16]));
        key.less_safe_encrypt(&mut stream, start).ok()?;
        let rounds = stream.chunks_exact(words + signs).map(|part| {
            let (words, signs) = part.split_at(words);
            Round::new(words, signs)
        });
        let rounds = rounds.collect();
        Some(Self { rounds })
    }

    /// A vector under this transform: as long as [`padded`] says, its length and every
    /// angle as before. `None` if it has more components than the transform.
    pub fn apply(&self, vector: &[f32]) -> Option<Vec<f32>> {
        let length = self.rounds.first()?.signs.len();
        let mut whole = vec![0f32; length];
        whole.get_mut(..vector.len())?.copy_from_slice(vector);
        let mut next = vec![0f32; length];
        for Round { signs, order } in &self.rounds {
            for ((next, from), sign) in next.iter_mut().zip(order).zip(signs) {
                *next = whole[*from as usize] * sign;
            }
            hadamard(&mut next);
            std::mem::swap(&mut whole, &mut next);
        }
        Some(whole)
    }

    /// What was transformed, its padding included. `None` if it is of another length.
    pub fn undo(&self, vector: &[f32]) -> Option<Vec<f32>> {
        let length = self.rounds.first()?.signs.len();
        let mut whole = (vector.len() == length).then(|| vector.to_vec())?;
        let mut before = vec![0f32; length];
        for Round { signs, order } in self.rounds.iter().rev() {
            hadamard(&mut whole);
            for ((value, from), sign) in whole.iter().zip(order).zip(signs) {
                before[*from as usize] = value * sign;
            }
            std::mem::swap(&mut whole, &mut before);
        }
        Some(whole)
    }
}

impl Round {
    /// `words`: four bytes for each component; `signs`: one bit for each.
    fn new(words: &[u8], signs: &[u8]) -> Self {
        let bit = |byte: &u8, at: u8| if byte >> at & 1 == 0 { 1.0 } else { -1.0 };
        let signs = signs
            .iter()
            .flat_map(|byte| (0..8).map(move |at| bit(byte, at)));
        let (words, _) = words.as_chunks::<4>();
        let mut order: Vec<u32> = (0..words.len() as u32).collect();
        // Fisher and Yates. Multiplied down instead of drawn again, a place is too likely by
        // one in 2^22 at most: that reveals nothing of use.
        for (at, word) in words.iter().enumerate().skip(1).rev() {
            let below = u64::from(u32::from_be_bytes(*word)) * (at as u64 + 1);
            order.swap(at, (below >> 32) as usize);
        }
        Self {
            signs: signs.collect(),
            order,
        }
    }
}

/// Hadamard's matrix times a vector of a power of two, each length as before: its own inverse.
fn hadamard(vector: &mut [f32]) {
    let mut half = 1;
    while half < vector.len() {
        for pair in vector.chunks_exact_mut(2 * half) {
            let (low, high) = pair.split_at_mut(half);
            for (a, b) in low.iter_mut().zip(high) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        half *= 2;
    }
    let scale = (vector.len() as f32).sqrt().recip();
    vector.iter_mut().for_each(|value| *value *= scale);
}
