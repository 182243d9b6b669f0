//! RFC 9162 section 2.1 Merkle trees: root, inclusion and consistency proofs.
//!
//! Protects against silent change of history: moving, dropping or rewriting one
//! leaf changes every later root.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::entry::Hash;

/// `HASH(0x00 || data)`, RFC 9162 section 2.1.1.
pub fn leaf_hash(data: &[u8]) -> Hash {
    Sha256::new()
        .chain_update([0])
        .chain_update(data)
        .finalize()
        .into()
}

/// `HASH(0x01 || left || right)`, RFC 9162 section 2.1.1.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new()
        .chain_update([1])
        .chain_update(left)
        .chain_update(right)
        .finalize()
        .into()
}

/// The root of no leaves: `HASH()`.
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// Leaves of one chunk of a [`Tree`], as a power of two.
const CHUNK_LEVEL: u32 = 12;
/// Leaves of one chunk of a [`Tree`].
pub const CHUNK_LEAVES: usize = 1 << CHUNK_LEVEL;

/// An append-only tree. Chunks of [`CHUNK_LEAVES`] leaves may be away, kept by
/// somebody else under their root, and are checked when they come back; so what
/// is here follows what is used, and proofs cost a logarithm.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// Full chunks, in order.
    chunks: Vec<Chunk>,
    /// The chunk that is filling.
    tail: Levels,
    /// The tree over the roots of full chunks.
    upper: Levels,
}

#[derive(Debug, Clone)]
enum Chunk {
    Here(Arc<Levels>),
    Away,
}

/// `self.0[k][i]` is the hash of nodes `i << k .. (i + 1) << k`.
#[derive(Debug, Clone, Default)]
struct Levels(Vec<Vec<Hash>>);

impl Levels {
    fn push(&mut self, node: Hash) {
        let mut hash = node;
        for level in 0.. {
            if self.0.len() == level {
                self.0.push(Vec::new());
            }
            let row = &mut self.0[level];
            row.push(hash);
            if row.len() % 2 == 1 {
                return;
            }
            hash = node_hash(&row[row.len() - 2], &row[row.len() - 1]);
        }
    }

    fn get(&self, level: u32, index: u64) -> Option<Hash> {
        self.0.get(level as usize)?.get(index as usize).copied()
    }

    fn bottom(&self) -> &[Hash] {
        self.0.first().map_or(&[], Vec::as_slice)
    }

    fn over(nodes: impl IntoIterator<Item = Hash>) -> Self {
        let mut levels = Self::default();
        nodes.into_iter().for_each(|node| levels.push(node));
        levels
    }
}

impl Tree {
    /// A tree of no leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// A tree over these leaf hashes, in order.
    pub fn from_leaves(leaves: impl IntoIterator<Item = Hash>) -> Self {
        let mut tree = Self::new();
        for leaf in leaves {
            tree.push(leaf);
        }
        tree
    }

    /// A tree whose full chunks, of these roots, are all away. `None` when
    /// `tail` is no part of a chunk.
    pub fn from_chunks(roots: Vec<Hash>, tail: Vec<Hash>) -> Option<Self> {
        (tail.len() < CHUNK_LEAVES).then(|| Self {
            upper: Levels::over(roots.iter().copied()),
            chunks: roots.iter().map(|_| Chunk::Away).collect(),
            tail: Levels::over(tail),
        })
    }

    /// Leaves so far.
    pub fn size(&self) -> u64 {
        (self.chunks.len() * CHUNK_LEAVES + self.tail.bottom().len()) as u64
    }

    /// Appends a leaf hash (see [`leaf_hash`]).
    pub fn push(&mut self, leaf: Hash) {
        self.tail.push(leaf);
        if let Some(root) = self.tail.get(CHUNK_LEVEL, 0) {
            let chunk = std::mem::take(&mut self.tail);
            self.chunks.push(Chunk::Here(Arc::new(chunk)));
            self.upper.push(root);
        }
    }

    /// The leaf hash at `index`, if there is one and it is here.
    pub fn leaf(&self, index: u64) -> Option<Hash> {
        self.node(0, index)
    }

    /// Roots of the full chunks.
    pub fn chunk_roots(&self) -> &[Hash] {
        self.upper.bottom()
    }

    /// Leaf hashes of a full chunk, if it is here.
    pub fn chunk_leaves(&self, chunk: usize) -> Option<&[Hash]> {
        match self.chunks.get(chunk)? {
            Chunk::Here(levels) => Some(levels.bottom()),
            Chunk::Away => None,
        }
    }

    /// Leaf hashes behind the last full chunk.
    pub fn tail_leaves(&self) -> &[Hash] {
        self.tail.bottom()
    }

    /// The chunks that are away and needed for proofs that touch `positions`
    /// (indices of leaves, or sizes).
    pub fn missing(&self, positions: &[u64]) -> Vec<usize> {
        let mut chunks: Vec<usize> = positions
            .iter()
            .map(|at| (at >> CHUNK_LEVEL) as usize)
            .filter(|chunk| matches!(self.chunks.get(*chunk), Some(Chunk::Away)))
            .collect();
        chunks.sort_unstable();
        chunks.dedup();
        chunks
    }

    /// Takes a chunk back. `false`, and nothing changes, when its leaves are not
    /// those the tree was built over.
    pub fn attach(&mut self, chunk: usize, leaves: impl IntoIterator<Item = Hash>) -> bool {
        let levels = Levels::over(leaves);
        let whole = levels.bottom().len() == CHUNK_LEAVES;
        let root = self.upper.get(0, chunk as u64);
        if !whole || root.is_none() || levels.get(CHUNK_LEVEL, 0) != root {
            return false;
        }
        self.chunks[chunk] = Chunk::Here(Arc::new(levels));
        true
    }

    /// Sends a chunk away: it is kept elsewhere.
    pub fn detach(&mut self, chunk: usize) {
        if let Some(chunk) = self.chunks.get_mut(chunk) {
            *chunk = Chunk::Away;
        }
    }

    /// The root over everything.
    pub fn root(&self) -> Hash {
        let all = self.subtree(0, self.size());
        all.expect("the roots of full chunks and the tail are always here")
    }

    /// The root over the first `size` leaves, if there were that many and the
    /// chunk that `size` cuts is here.
    pub fn root_at(&self, size: u64) -> Option<Hash> {
        (size <= self.size())
            .then(|| self.subtree(0, size))
            .flatten()
    }

    /// `PATH(index, D[0:size])`, RFC 9162 section 2.1.3.1.
    pub fn inclusion(&self, index: u64, size: u64) -> Option<Vec<Hash>> {
        if index >= size || size > self.size() {
            return None;
        }
        let mut path = Vec::new();
        let (mut start, mut end) = (0, size);
        while end - start > 1 {
            let middle = start + split(end - start);
            if index < middle {
                path.push(self.subtree(middle, end)?);
                end = middle;
            } else {
                path.push(self.subtree(start, middle)?);
                start = middle;
            }
        }
        path.reverse();
        Some(path)
    }

    /// `PROOF(old, D[0:new])`, RFC 9162 section 2.1.4.1. Empty when `old` is 0 or equals `new`.
    pub fn consistency(&self, old: u64, new: u64) -> Option<Vec<Hash>> {
        if old > new || new > self.size() {
            return None;
        }
        let mut path = Vec::new();
        if old == 0 || old == new {
            return Some(path);
        }
        let (mut start, mut end, mut whole) = (0, new, true);
        while old != end {
            let middle = start + split(end - start);
            if old <= middle {
                path.push(self.subtree(middle, end)?);
                end = middle;
            } else {
                path.push(self.subtree(start, middle)?);
                start = middle;
                whole = false;
            }
        }
        if !whole {
            path.push(self.subtree(start, end)?);
        }
        path.reverse();
        Some(path)
    }

    /// The hashes of the complete subtrees that the first `size` leaves fall
    /// into, largest first.
    pub fn peaks(&self, size: u64) -> Option<Vec<Hash>> {
        if size > self.size() {
            return None;
        }
        let mut start = 0;
        let mut peaks = Vec::new();
        for level in (0..64).rev() {
            if size >> level & 1 == 1 {
                peaks.push(self.node(level, start >> level)?);
                start += 1 << level;
            }
        }
        Some(peaks)
    }

    fn node(&self, level: u32, index: u64) -> Option<Hash> {
        let Some(below) = CHUNK_LEVEL.checked_sub(level).filter(|below| *below > 0) else {
            return self.upper.get(level - CHUNK_LEVEL, index);
        };
        let within = index & ((1 << below) - 1);
        let chunk = (index >> below) as usize;
        match self.chunks.get(chunk) {
            Some(Chunk::Here(levels)) => levels.get(level, within),
            Some(Chunk::Away) => None,
            None if chunk == self.chunks.len() => self.tail.get(level, within),
            None => None,
        }
    }

    /// The hash over leaves `start..end`; `start` is aligned for every call made here.
    fn subtree(&self, start: u64, end: u64) -> Option<Hash> {
        let count = end - start;
        if count == 0 {
            return Some(empty_root());
        }
        if count.is_power_of_two() {
            let level = count.trailing_zeros();
            return self.node(level, start >> level);
        }
        let middle = start + split(count);
        Some(node_hash(
            &self.subtree(start, middle)?,
            &self.subtree(middle, end)?,
        ))
    }
}

/// The largest power of two smaller than `count` (which is at least 2).
fn split(count: u64) -> u64 {
    1 << (63 - (count - 1).leading_zeros())
}

/// Checks an inclusion proof, RFC 9162 section 2.1.3.2.
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, path: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut fnode, mut snode, mut hash) = (index, size - 1, *leaf);
    for sibling in path {
        if snode == 0 {
            return false;
        }
        if fnode & 1 == 1 || fnode == snode {
            hash = node_hash(sibling, &hash);
            while fnode & 1 == 0 && fnode != 0 {
                fnode >>= 1;
                snode >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        fnode >>= 1;
        snode >>= 1;
    }
    snode == 0 && hash == *root
}

/// Checks a consistency proof, RFC 9162 section 2.1.4.2. An old size of 0 is consistent with anything.
pub fn verify_consistency(
    old: u64,
    new: u64,
    old_root: &Hash,
    new_root: &Hash,
    path: &[Hash],
) -> bool {
    if old > new {
        return false;
    }
    if old == 0 {
        return path.is_empty() && *old_root == empty_root();
    }
    if old == new {
        return path.is_empty() && old_root == new_root;
    }
    let mut path = path.iter();
    let first = if old.is_power_of_two() {
        Some(old_root)
    } else {
        path.next()
    };
    let Some(first) = first else { return false };
    let (mut fnode, mut snode) = (old - 1, new - 1);
    while fnode & 1 == 1 {
        fnode >>= 1;
        snode >>= 1;
    }
    let (mut from_old, mut from_new) = (*first, *first);
    for sibling in path {
        if snode == 0 {
            return false;
        }
        if fnode & 1 == 1 || fnode == snode {
            from_old = node_hash(sibling, &from_old);
            from_new = node_hash(sibling, &from_new);
            while fnode & 1 == 0 && fnode != 0 {
                fnode >>= 1;
                snode >>= 1;
            }
        } else {
            from_new = node_hash(&from_new, sibling);
        }
        fnode >>= 1;
        snode >>= 1;
    }
    snode == 0 && from_old == *old_root && from_new == *new_root
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9162 section 2.1.1, transcribed without regard to speed.
    fn reference_root(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => empty_root(),
            [one] => *one,
            _ => {
                let k = split(leaves.len() as u64) as usize;
                node_hash(&reference_root(&leaves[..k]), &reference_root(&leaves[k..]))
            }
        }
    }

    fn leaves(n: u64) -> Vec<Hash> {
        (0..n).map(|i| leaf_hash(&i.to_be_bytes())).collect()
    }

    #[test]
    fn roots_equal_the_definition_at_every_size() {
        let all = leaves(70);
        let tree = Tree::from_leaves(all.iter().copied());
        for n in 0..=70 {
            assert_eq!(
                tree.root_at(n as u64).unwrap(),
                reference_root(&all[..n]),
                "{n}"
            );
        }
        assert!(tree.root_at(71).is_none());
    }

    #[test]
    fn chunks_that_were_away_prove_the_same_and_a_false_one_is_refused() {
        let size = 3 * CHUNK_LEAVES as u64 + 77;
        let whole = Tree::from_leaves(leaves(size));
        let tail = whole.tail_leaves().to_vec();
        let mut sparse = Tree::from_chunks(whole.chunk_roots().to_vec(), tail).unwrap();
        assert_eq!((sparse.size(), sparse.root()), (size, whole.root()));
        sparse.push([9; 32]);
        let mut longer = whole.clone();
        longer.push([9; 32]);
        assert_eq!(sparse.root(), longer.root());
        let (index, cut) = (CHUNK_LEAVES as u64 + 5, 2 * CHUNK_LEAVES as u64 + 9);
        assert!(sparse.inclusion(index, cut).is_none() && sparse.root_at(cut).is_none());
        assert_eq!(sparse.missing(&[index, cut, size]), [1, 2]);
        for chunk in [1, 2] {
            let good = whole.chunk_leaves(chunk).unwrap().to_vec();
            let mut bad = good.clone();
            bad[7][0] ^= 1;
            assert!(!sparse.attach(chunk, bad) && !sparse.attach(chunk, good[1..].to_vec()));
            assert!(sparse.attach(chunk, good));
        }
        assert_eq!(sparse.inclusion(index, cut), whole.inclusion(index, cut));
        assert_eq!(sparse.root_at(cut), whole.root_at(cut));
        assert_eq!(sparse.consistency(cut, size), whole.consistency(cut, size));
        assert_eq!(sparse.peaks(cut), whole.peaks(cut));
        sparse.detach(1);
        assert_eq!(sparse.missing(&[index]), [1]);
        assert!(Tree::from_chunks(vec![], vec![[0; 32]; CHUNK_LEAVES]).is_none());
    }

    #[test]
    fn every_inclusion_proof_verifies_and_no_altered_one_does() {
        let tree = Tree::from_leaves(leaves(37));
        for size in 1..=37 {
            let root = tree.root_at(size).unwrap();
            for index in 0..size {
                let leaf = tree.leaf(index).unwrap();
                let path = tree.inclusion(index, size).unwrap();
                assert!(verify_inclusion(&leaf, index, size, &path, &root));
                assert!(!verify_inclusion(
                    &leaf,
                    (index + 1) % (size + 1),
                    size,
                    &path,
                    &root
                ));
                for at in 0..path.len() {
                    let mut bent = path.clone();
                    bent[at][0] ^= 1;
                    assert!(!verify_inclusion(&leaf, index, size, &bent, &root));
                }
                let mut longer = path.clone();
                longer.push(leaf);
                assert!(!verify_inclusion(&leaf, index, size, &longer, &root));
                if !path.is_empty() {
                    assert!(!verify_inclusion(&leaf, index, size, &path[1..], &root));
                }
            }
        }
    }

    #[test]
    fn every_consistency_proof_verifies_and_a_rewritten_past_does_not() {
        let tree = Tree::from_leaves(leaves(33));
        let mut other_leaves = leaves(33);
        other_leaves[0][0] ^= 1;
        let other = Tree::from_leaves(other_leaves);
        for new in 0..=33 {
            for old in 0..=new {
                let path = tree.consistency(old, new).unwrap();
                let (a, b) = (tree.root_at(old).unwrap(), tree.root_at(new).unwrap());
                assert!(verify_consistency(old, new, &a, &b, &path), "{old} {new}");
                if old > 0 {
                    assert!(!verify_consistency(
                        old,
                        new,
                        &other.root_at(old).unwrap(),
                        &b,
                        &path
                    ));
                    assert!(!verify_consistency(
                        old,
                        new,
                        &a,
                        &other.root_at(new).unwrap(),
                        &path
                    ));
                }
            }
        }
    }
}
