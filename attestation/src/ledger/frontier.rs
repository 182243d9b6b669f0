//! The edge of a tree: what is needed to append leaves and to know each root.
//!
//! Protects an auditor's memory: a history of any length is checked with one
//! hash per bit of its size. The hashes before a point may be unknown; then no
//! root after it is known either, and none is made up.

use super::entry::Hash;
use super::merkle::{empty_root, node_hash};

/// The complete subtrees that the leaves so far fall into, largest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Option<Hash>>,
}

impl Frontier {
    /// Of no leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// Behind `size` leaves whose subtrees have these hashes; `None` when that
    /// is another number of subtrees than `size` has.
    pub fn from_peaks(size: u64, peaks: Vec<Hash>) -> Option<Self> {
        (peaks.len() == size.count_ones() as usize).then(|| Self {
            size,
            peaks: peaks.into_iter().map(Some).collect(),
        })
    }

    /// Behind `size` leaves of which only the root is known: it tells something
    /// only where they are one complete subtree.
    pub fn from_root(size: u64, root: Hash) -> Self {
        let peaks = match size.count_ones() {
            1 => vec![Some(root)],
            unknown => vec![None; unknown as usize],
        };
        Self { size, peaks }
    }

    /// Leaves so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf hash.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = Some(leaf);
        for _ in 0..self.size.trailing_ones() {
            let left = self.peaks.pop().flatten();
            hash = left.zip(hash).map(|(left, right)| node_hash(&left, &right));
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// The root so far, unless hashes it is made of are unknown.
    pub fn root(&self) -> Option<Hash> {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else {
            return Some(empty_root());
        };
        let mut root = (*last)?;
        for left in peaks {
            root = node_hash(&(*left)?, &root);
        }
        Some(root)
    }
}

#[cfg(test)]
mod tests {
    use super::super::merkle::{Tree, leaf_hash};
    use super::*;

    #[test]
    fn roots_are_those_of_the_whole_tree_from_any_beginning() {
        let leaves: Vec<Hash> = (0..70u64).map(|i| leaf_hash(&i.to_be_bytes())).collect();
        let tree = Tree::from_leaves(leaves.iter().copied());
        for begin in 0..=70u64 {
            let peaks = tree.peaks(begin).unwrap();
            assert!(Frontier::from_peaks(begin ^ 1, peaks.clone()).is_none());
            let mut frontier = Frontier::from_peaks(begin, peaks).unwrap();
            let mut blind = Frontier::from_root(begin, tree.root_at(begin).unwrap());
            for size in begin..=70 {
                assert_eq!(frontier.size(), size);
                assert_eq!(frontier.root(), tree.root_at(size), "{begin} {size}");
                match begin.count_ones() {
                    0 | 1 => assert_eq!(blind.root(), tree.root_at(size)),
                    _ => assert_eq!(blind.root(), None),
                }
                if let Some(leaf) = leaves.get(size as usize) {
                    frontier.push(*leaf);
                    blind.push(*leaf);
                }
            }
        }
    }
}
