//! Faces as rows of int8, one behind the other, and one sample compared with all of them.
//!
//! Protects the time a search takes: rows lie together, so that memory is read once and in
//! order, and a search has a copy that shares everything with its original. What leaves is
//! wiped at its place.

use std::sync::Arc;

use crate::core::SubjectHandle;

/// Rows that share a block: a change while a search goes on copies one.
pub(super) const BLOCK: usize = 1024;
/// The largest component of a row, in steps.
const MOST: f32 = 127.0;
/// Products that fit 32 bits when summed, whatever they are: 127 × 32 767 × 512 < 2³¹.
const SUMMED: usize = 512;

/// One face: int8 with one step for all components.
pub(super) struct Row {
    values: Vec<i8>,
    /// With which it is of length 1: component × scale.
    scale: f32,
}

impl Row {
    /// A vector of any length; `None` if it is zero, or no number.
    pub(super) fn of(vector: &[f32]) -> Option<Self> {
        let most = largest(vector)?;
        let step = |value: &f32| (value / most * MOST).round() as i8;
        let values: Vec<i8> = vector.iter().map(step).collect();
        let square: f32 = values.iter().map(|one| f32::from(*one).powi(2)).sum();
        let scale = square.sqrt().recip();
        Some(Self { values, scale })
    }
}

fn largest(vector: &[f32]) -> Option<f32> {
    let most = vector
        .iter()
        .fold(0f32, |most, value| most.max(value.abs()));
    let sound = vector.iter().all(|value| value.is_finite());
    (sound && most > 0.0).then_some(most)
}

/// What rows are compared with: int16, which costs no precision.
pub(super) struct Sample {
    values: Vec<i16>,
    scale: f32,
}

impl Sample {
    /// A vector under the transform that the rows are under; `None` as of [`Row::of`].
    pub(super) fn of(vector: &[f32]) -> Option<Self> {
        let unit = largest(vector)? / f32::from(i16::MAX);
        let norm = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
        let step = |value: &f32| (value / unit).round() as i16;
        let values = vector.iter().map(step).collect();
        let scale = unit / norm;
        let sound = scale.is_finite() && scale > 0.0;
        sound.then_some(Self { values, scale })
    }

    /// Components.
    pub(super) fn length(&self) -> usize {
        self.values.len()
    }
}

/// Rows of one length. A clone shares everything with its original.
#[derive(Clone)]
pub(super) struct Rows {
    length: usize,
    /// All full but the last.
    blocks: Vec<Arc<Block>>,
}

#[derive(Clone)]
struct Block {
    people: Vec<SubjectHandle>,
    scales: Vec<f32>,
    values: Vec<i8>,
}

impl Rows {
    pub(super) fn new(length: usize) -> Self {
        let blocks = Vec::new();
        Self { length, blocks }
    }

    /// Components of a row.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        let before = self.blocks.len().saturating_sub(1) * BLOCK;
        before + self.blocks.last().map_or(0, |last| last.people.len())
    }

    /// Adds a row of this length at the end; its place.
    pub(super) fn push(&mut self, of: SubjectHandle, row: &Row) -> usize {
        let place = self.count();
        if place.is_multiple_of(BLOCK) {
            self.blocks.push(Arc::new(Block {
                people: Vec::new(),
                scales: Vec::new(),
                values: Vec::new(),
            }));
        }
        if let Some(last) = self.blocks.last_mut() {
            let last = Arc::make_mut(last);
            last.people.push(of);
            last.scales.push(row.scale);
            last.values.extend_from_slice(&row.values);
        }
        place
    }

    /// Writes over the row at a place.
    pub(super) fn set(&mut self, place: usize, row: &Row) {
        let (length, at) = (self.length, place % BLOCK);
        if let Some(block) = self.blocks.get_mut(place / BLOCK) {
            let block = Arc::make_mut(block);
            block.scales[at] = row.scale;
            block.values[at * length..][..length].copy_from_slice(&row.values);
        }
    }

    /// Takes the row at a place out; whose row, the last before, is there now.
    pub(super) fn take_out(&mut self, place: usize) -> Option<SubjectHandle> {
        let last = self.count().checked_sub(1)?;
        let (person, row) = self.take_last()?;
        if place == last {
            return None;
        }
        self.set(place, &row);
        let block = Arc::make_mut(self.blocks.get_mut(place / BLOCK)?);
        block.people[place % BLOCK] = person;
        Some(person)
    }

    fn take_last(&mut self) -> Option<(SubjectHandle, Row)> {
        let last = Arc::make_mut(self.blocks.last_mut()?);
        let (person, scale) = (last.people.pop()?, last.scales.pop()?);
        let from = last.values.len().checked_sub(self.length)?;
        let values = last.values[from..].to_vec();
        // What is cut off stays in memory as it is.
        last.values[from..].fill(0);
        last.values.truncate(from);
        if last.people.is_empty() {
            self.blocks.pop();
        }
        Some((person, Row { values, scale }))
    }

    /// Every row whose cosine with the sample is `least` or more, with its cosine.
    pub(super) fn near(&self, sample: &Sample, least: f32) -> Vec<(SubjectHandle, f32)> {
        let mut found = Vec::new();
        if sample.values.len() != self.length {
            return found;
        }
        for block in &self.blocks {
            let mut note = |at: usize, cosine| found.push((block.people[at], cosine));
            scan(&block.values, &block.scales, sample, least, &mut note);
        }
        found
    }

    /// The cosine of the row at a place; `None` if there is none, or of another length.
    pub(super) fn cosine(&self, place: usize, sample: &Sample) -> Option<f32> {
        let (block, at) = (self.blocks.get(place / BLOCK)?, place % BLOCK);
        let row = block.values.get(at * self.length..)?.get(..self.length)?;
        let fits = sample.values.len() == self.length;
        fits.then(|| long(row, &sample.values) as f32 * (block.scales[at] * sample.scale))
    }
}

/// Goes through the rows of a block, with the widest instructions of this processor.
fn scan(
    values: &[i8],
    scales: &[f32],
    sample: &Sample,
    least: f32,
    note: &mut impl FnMut(usize, f32),
) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        #[expect(unsafe_code, reason = "the compiler cannot know what was just asked")]
        // SAFETY: the processor has AVX2; beyond that the function is like any other.
        return unsafe { scan_avx2(values, scales, sample, least, note) };
    }
    scan_with(values, scales, sample, least, note);
}

/// The same lines as [`scan_with`], compiled for AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn scan_avx2(
    values: &[i8],
    scales: &[f32],
    sample: &Sample,
    least: f32,
    note: &mut impl FnMut(usize, f32),
) {
    scan_with(values, scales, sample, least, note);
}

#[inline(always)]
fn scan_with(
    values: &[i8],
    scales: &[f32],
    sample: &Sample,
    least: f32,
    note: &mut impl FnMut(usize, f32),
) {
    let short = sample.values.len() <= SUMMED;
    let rows = values.chunks_exact(sample.values.len().max(1));
    for (at, (row, scale)) in rows.zip(scales).enumerate() {
        // Two calls, so that nothing is asked within the first, which is the usual one.
        let sum = match short {
            true => i64::from(product(row, &sample.values)),
            false => long(row, &sample.values),
        };
        let cosine = sum as f32 * (scale * sample.scale);
        if cosine >= least {
            note(at, cosine);
        }
    }
}

/// int8 times int16, summed in 64 bits.
fn long(row: &[i8], sample: &[i16]) -> i64 {
    let parts = row.chunks(SUMMED).zip(sample.chunks(SUMMED));
    parts.map(|(a, b)| i64::from(product(a, b))).sum()
}

/// The same of [`SUMMED`] components at most, summed in 32 bits.
#[inline(always)]
fn product(row: &[i8], sample: &[i16]) -> i32 {
    let pairs = row.iter().zip(sample);
    pairs.map(|(a, b)| i32::from(*a) * i32::from(*b)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_through_the_rows_are_one_at_every_length_and_at_the_largest_components() {
        for length in [1, 2, 31, 256, 512, 513, 1024] {
            let vector: Vec<f32> = (0..length)
                .map(|at| if at % 3 == 0 { -1.0 } else { 1.0 })
                .collect();
            let other: Vec<f32> = (0..length).map(|at| at as f32 - 7.5).collect();
            let rows: Vec<Row> = [&vector, &other].map(|one| Row::of(one).unwrap()).into();
            let values: Vec<i8> = rows.iter().flat_map(|row| row.values.clone()).collect();
            let scales: Vec<f32> = rows.iter().map(|row| row.scale).collect();
            let sample = Sample::of(&vector).unwrap();
            let (mut one, mut two) = (Vec::new(), Vec::new());
            scan(&values, &scales, &sample, -2.0, &mut |at, cosine: f32| {
                one.push((at, cosine))
            });
            scan_with(&values, &scales, &sample, -2.0, &mut |at, cosine: f32| {
                two.push((at, cosine))
            });
            assert_eq!(one, two);
            assert!((one[0].1 - 1.0).abs() < 1e-3, "{one:?}");
        }
    }

    #[test]
    fn what_is_no_vector_makes_no_row() {
        for bad in [&[][..], &[0.0; 4], &[f32::NAN, 1.0], &[f32::INFINITY, 1.0]] {
            assert!(Row::of(bad).is_none() && Sample::of(bad).is_none());
        }
        // Too small to be told from zero: no row that everybody is like.
        let tiny = [f32::MIN_POSITIVE / 4.0; 4];
        let sample = Sample::of(&[1.0; 4]).unwrap();
        let mut rows = Rows::new(4);
        if let Some(row) = Row::of(&tiny) {
            rows.push(SubjectHandle([1; 16]), &row);
        }
        assert!(
            rows.near(&sample, 0.5)
                .iter()
                .all(|(_, cosine)| *cosine <= 1.001)
        );
    }

    #[test]
    fn rows_come_go_and_move_over_blocks_and_what_is_cut_off_is_wiped() {
        let person = |n: usize| {
            let mut handle = [0; 16];
            handle[..8].copy_from_slice(&(n as u64).to_be_bytes());
            SubjectHandle(handle)
        };
        let row = |n: usize| Row::of(&[n as f32 + 1.0, 1.0, -1.0, 0.5]).unwrap();
        let mut rows = Rows::new(4);
        let all = 2 * BLOCK + 3;
        for n in 0..all {
            assert_eq!(rows.push(person(n), &row(n)), n);
        }
        let shared = rows.clone();
        assert_eq!(rows.take_out(5), Some(person(all - 1)));
        assert_eq!(rows.take_out(rows.count() - 1), None);
        for _ in 0..2 {
            rows.take_out(0);
        }
        assert_eq!((rows.count(), shared.count()), (all - 4, all));
        let sample = Sample::of(&[1.0, 0.0, 0.0, 0.0]).unwrap();
        let mut left = rows.near(&sample, -2.0);
        left.sort_by_key(|(person, _)| *person);
        left.dedup_by_key(|(person, _)| *person);
        assert_eq!(left.len(), all - 4);
        assert!(
            left.iter()
                .all(|(one, _)| ![person(0), person(5), person(all - 2)].contains(one))
        );
        let last = rows.blocks.last().unwrap();
        assert_eq!(last.values.len(), last.people.len() * 4);
        // A block that nobody shares: what was cut off lies behind its end.
        let mut alone = Rows::new(4);
        for n in 0..3 {
            alone.push(person(n), &row(n));
        }
        alone.take_out(0);
        alone.take_out(1);
        let values = &mut Arc::get_mut(&mut alone.blocks[0]).unwrap().values;
        assert_eq!(values.len(), 4);
        #[expect(unsafe_code, reason = "what is behind the end is to be seen")]
        // SAFETY: 12 components were pushed, within this capacity, and none was freed.
        unsafe {
            values.set_len(12)
        };
        assert!(values[..4].iter().any(|one| *one != 0));
        assert_eq!(values[4..], [0; 8]);
        while rows.count() > 0 {
            rows.take_out(0);
        }
        assert!(rows.blocks.is_empty() && rows.take_out(0).is_none());
        assert_eq!(shared.count(), all);
    }
}
