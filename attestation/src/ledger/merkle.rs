//! RFC 9162 section 2.1 Merkle trees: root, inclusion and consistency proofs.
//!
//! Protects against silent change of history: moving, dropping or rewriting one
//! leaf changes every later root.

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

/// An append-only tree. Keeps every complete subtree's hash (about 64 bytes a
/// leaf), so that proofs of any age cost a logarithm.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// `levels[k][i]` is the hash of leaves `i << k .. (i + 1) << k`.
    levels: Vec<Vec<Hash>>,
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

    /// Leaves so far.
    pub fn size(&self) -> u64 {
        self.levels.first().map_or(0, |leaves| leaves.len() as u64)
    }

    /// Appends a leaf hash (see [`leaf_hash`]).
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for level in 0.. {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            let row = &mut self.levels[level];
            row.push(hash);
            if row.len() % 2 == 1 {
                return;
            }
            hash = node_hash(&row[row.len() - 2], &row[row.len() - 1]);
        }
    }

    /// The leaf hash at `index`, if there is one.
    pub fn leaf(&self, index: u64) -> Option<Hash> {
        self.levels.first()?.get(index as usize).copied()
    }

    /// The root over everything.
    pub fn root(&self) -> Hash {
        self.subtree(0, self.size())
    }

    /// The root over the first `size` leaves, if there were that many.
    pub fn root_at(&self, size: u64) -> Option<Hash> {
        (size <= self.size()).then(|| self.subtree(0, size))
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
                path.push(self.subtree(middle, end));
                end = middle;
            } else {
                path.push(self.subtree(start, middle));
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
                path.push(self.subtree(middle, end));
                end = middle;
            } else {
                path.push(self.subtree(start, middle));
                start = middle;
                whole = false;
            }
        }
        if !whole {
            path.push(self.subtree(start, end));
        }
        path.reverse();
        Some(path)
    }

    /// The hash over leaves `start..end`; `start` is aligned for every call made here.
    fn subtree(&self, start: u64, end: u64) -> Hash {
        let count = end - start;
        if count == 0 {
            return empty_root();
        }
        if count.is_power_of_two() {
            let level = count.trailing_zeros();
            return self.levels[level as usize][(start >> level) as usize];
        }
        let middle = start + split(count);
        node_hash(&self.subtree(start, middle), &self.subtree(middle, end))
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
