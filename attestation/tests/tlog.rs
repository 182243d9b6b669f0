//! Our tree and our notes in the hands of somebody else's transparency log.
//!
//! Protects against a format that only we can check: roots, inclusion and
//! consistency proofs, tiles and checkpoints are made by one side and judged by
//! the other, at random sizes, both ways.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use redoubt_attestation::entropy::SystemEntropy;
use redoubt_attestation::ledger::merkle::{leaf_hash, verify_consistency, verify_inclusion};
use redoubt_attestation::ledger::{Checkpoint, Tree, checkpoint};
use redoubt_attestation::sign::Ed25519Signer;
use redoubt_shared::LedgerId;
use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles::{
    Hash, HashReader, Tile, TileHashReader, TileReader, check_record, check_tree, prove_record,
    prove_tree, record_hash, stored_hashes, tree_hash,
};

fn data(index: u64) -> [u8; 8] {
    index.to_be_bytes()
}

/// Their log: hashes in the order they store them.
struct Theirs(Vec<Hash>);

impl HashReader for Theirs {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
        let read = |index: &u64| self.0.get(*index as usize).copied();
        let hashes: Option<Vec<Hash>> = indexes.iter().map(read).collect();
        hashes.ok_or(tlog_tiles::Error::IndexesNotInTree)
    }
}

impl Theirs {
    fn new(size: u64) -> Self {
        let mut log = Self(vec![]);
        for index in 0..size {
            let more = stored_hashes(index, &data(index), &log).unwrap();
            log.0.extend(more);
        }
        log
    }
}

fn ours(size: u64) -> Tree {
    Tree::from_leaves((0..size).map(|index| leaf_hash(&data(index))))
}

/// Tiles of 256 hashes, made of our tree alone.
struct Tiles<'a>(&'a Tree);

impl Tiles<'_> {
    /// The hash over leaves `node << level ..`, by our tree.
    fn node(&self, level: u32, node: u64) -> [u8; 32] {
        let (first, count) = (node << level, 1u64 << level);
        let leaves = (first..first + count).map(|at| self.0.leaf(at).unwrap());
        Tree::from_leaves(leaves).root()
    }
}

impl TileReader for Tiles<'_> {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        let read = |tile: &Tile| {
            let first = tile.level_index() << 8;
            let level = 8 * u32::from(tile.level());
            let nodes = first..first + u64::from(tile.width());
            nodes.flat_map(|node| self.node(level, node)).collect()
        };
        Ok(tiles.iter().map(read).collect())
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

/// `NAME+ID+KEY` as C2SP signed-note spells the key of a verifier.
fn verifier_key(name: &str, public: &[u8; 32]) -> String {
    let typed = [&[1], &public[..]].concat();
    let id = signed_note::key_id(name, &typed);
    format!("{name}+{id:08x}+{}", STANDARD.encode(typed))
}

fn plain(hashes: &[Hash]) -> Vec<[u8; 32]> {
    hashes.iter().map(|hash| hash.0).collect()
}

fn their(hashes: &[[u8; 32]]) -> Vec<Hash> {
    hashes.iter().copied().map(Hash).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn roots_and_proofs_are_equal_and_each_side_accepts_the_others(
        (size, old, index) in (1u64..3000).prop_flat_map(|size| (Just(size), 1..=size, 0..size)),
    ) {
        let (ours, theirs) = (ours(size), Theirs::new(size));
        let (root, old_root) = (ours.root(), ours.root_at(old).unwrap());
        prop_assert_eq!(tree_hash(size, &theirs).unwrap().0, root);
        prop_assert_eq!(tree_hash(old, &theirs).unwrap().0, old_root);

        let inclusion = ours.inclusion(index, size).unwrap();
        let proof = prove_record(size, index, &theirs).unwrap();
        prop_assert_eq!(plain(&proof), inclusion.clone());
        let leaf = record_hash(&data(index));
        prop_assert_eq!(leaf.0, ours.leaf(index).unwrap());
        check_record(&their(&inclusion), size, Hash(root), index, leaf).unwrap();
        prop_assert!(verify_inclusion(&leaf.0, index, size, &plain(&proof), &root));

        let consistency = ours.consistency(old, size).unwrap();
        let proof = prove_tree(size, old, &theirs).unwrap();
        prop_assert_eq!(plain(&proof), consistency.clone());
        check_tree(&their(&consistency), size, Hash(root), old, Hash(old_root)).unwrap();
        prop_assert!(verify_consistency(old, size, &old_root, &root, &plain(&proof)));

        // And both refuse the same lie.
        let mut lie = root;
        lie[7] ^= 1;
        prop_assert!(check_record(&their(&inclusion), size, Hash(lie), index, leaf).is_err());
        prop_assert!(!verify_inclusion(&leaf.0, index, size, &inclusion, &lie));
    }

    #[test]
    fn their_reader_accepts_tiles_made_of_our_tree(
        (size, index) in (1u64..3000).prop_flat_map(|size| (Just(size), 0..size)),
    ) {
        let (ours, theirs) = (ours(size), Theirs::new(size));
        let tiles = Tiles(&ours);
        for tile in Tile::new_tiles(8, 0, size) {
            let made = tiles.read_tiles(&[tile]).unwrap();
            prop_assert_eq!(&made[0], &tile.read_data(&theirs).unwrap());
        }
        // It checks every tile it loads against the root.
        let reader = TileHashReader::new(size, Hash(ours.root()), &tiles);
        let proof = prove_record(size, index, &reader).unwrap();
        prop_assert_eq!(plain(&proof), ours.inclusion(index, size).unwrap());
        let mut other = ours.root();
        other[0] ^= 1;
        let reader = TileHashReader::new(size, Hash(other), &tiles);
        if size > 1 {
            prop_assert!(prove_record(size, index, &reader).is_err());
        }
    }

    #[test]
    fn notes_are_read_and_verified_alike(size in any::<u64>(), root in any::<[u8; 32]>()) {
        let signer = Ed25519Signer::generate(&SystemEntropy).unwrap();
        let public = signer.jwk().as_bytes();
        let ledger = LedgerId::from_bytes([0xab; 16]);
        let head = Checkpoint { ledger, size, root };
        let signature = signer.sign(head.body().as_bytes()).unwrap();
        let note = head.note(&[
            head.ed25519_line(public, &signature),
            head.mldsa65_line(&[7; 1952], &[8; 3309]),
        ]);
        let name = checkpoint::origin(ledger);
        let key = verifier_key(&name, public);
        let known = VerifierList::new(vec![Box::new(StandardVerifier::new(&key).unwrap())]);

        let read = Note::from_bytes(note.as_bytes()).unwrap();
        let theirs = tlog_tiles::Checkpoint::from_bytes(read.text()).unwrap();
        prop_assert_eq!(theirs.origin(), name);
        prop_assert_eq!((theirs.size(), theirs.hash().0), (size, root));
        prop_assert_eq!(theirs.to_bytes(), head.body().into_bytes());
        let (verified, unknown) = read.verify(&known).unwrap();
        prop_assert_eq!((verified.len(), unknown.len()), (1, 1));

        // The same signature over another size is refused.
        let other = Checkpoint { size: size ^ 1, ..head };
        let bent = other.note(&[other.ed25519_line(public, &signature)]);
        prop_assert!(Note::from_bytes(bent.as_bytes()).unwrap().verify(&known).is_err());
    }
}
