use super::*;
use proptest::prelude::*;

fn text(text: &str) -> Vec<u8> {
    let length = (text.len() as u32).to_le_bytes();
    [b"X".as_slice(), &length, text.as_bytes()].concat()
}

/// A table of one tensor `w` of shape `[2, 3]` in storage `7`, as `torch.save` writes it.
fn table(strides: [u8; 2], kind: &[u8]) -> Vec<u8> {
    [
        b"\x80\x02}q\x00(".as_slice(),
        &text("w"),
        b"ctorch._utils\n_rebuild_tensor_v2\n((",
        &text("storage"),
        kind,
        &text("7"),
        &text("cpu"),
        b"K\x07tQK\x01K\x02K\x03\x86",
        &[b'K', strides[0], b'K', strides[1]],
        b"\x86\x89ccollections\nOrderedDict\n)RtRu.",
    ]
    .concat()
}

const FLOATS: &[u8] = b"ctorch\nFloatStorage\n";

fn archive(members: &[(&str, &[u8])], method: u8) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in members {
        let at = (file.len() as u32).to_le_bytes();
        let (size, name_length) = (
            (bytes.len() as u32).to_le_bytes(),
            (name.len() as u16).to_le_bytes(),
        );
        let common = [
            &[20, 0, 0, 0, method, 0, 0, 0, 0, 0, 0, 0, 0, 0][..],
            &size,
            &size,
            &name_length,
            &[0, 0],
        ]
        .concat();
        file.extend([b"PK\x03\x04", common.as_slice(), name.as_bytes(), bytes].concat());
        let tail = [&[0; 10][..], &at, name.as_bytes()].concat();
        directory.extend([b"PK\x01\x02\x14\x00", common.as_slice(), &tail].concat());
    }
    let count = (members.len() as u16).to_le_bytes();
    let end = [
        b"PK\x05\x06\0\0\0\0".as_slice(),
        &count,
        &count,
        &(directory.len() as u32).to_le_bytes(),
        &(file.len() as u32).to_le_bytes(),
        &[0, 0],
    ];
    [file, directory, end.concat()].concat()
}

fn checkpoint(table: &[u8]) -> Vec<u8> {
    let numbers: Vec<u8> = (0..7u8).flat_map(|n| f32::from(n).to_le_bytes()).collect();
    archive(&[("a/data.pkl", table), ("a/data/7", &numbers)], 0)
}

#[test]
fn a_table_of_tensors_is_read_with_their_offsets_and_shapes() {
    let file = checkpoint(&table([3, 1], FLOATS));
    let weights = Weights::read(&file).unwrap();
    let numbers = weights.floats("w", &[2, 3]).unwrap();
    assert_eq!(numbers, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    for (name, dims) in [("w", &[3, 2][..]), ("w", &[6]), ("v", &[2, 3])] {
        let refused = weights.floats(name, dims);
        assert_eq!(refused, Err(TorchError::Tensor(name.into())));
    }
    assert_eq!(weights.len(), 1);
}

#[test]
fn what_calls_anything_else_or_does_not_fit_is_refused_by_name() {
    let calls = b"\x80\x02cos\nsystem\n(X\x02\0\0\0lstR.";
    let refused = |table: &[u8]| match Weights::read(&checkpoint(table)) {
        Err(TorchError::Pickle(problem)) => problem,
        other => panic!("{other:?}"),
    };
    assert!(refused(calls).contains("os.system"));
    assert!(refused(&table([1, 2], FLOATS)).contains("turned"));
    assert!(refused(&table([3, 1], b"ctorch\nHalfStorage\n")).contains("HalfStorage"));
    assert!(refused(b"\x80\x02)\x85\x85\x85\x85.").contains("deep"));
    let longs = checkpoint(&table([3, 1], b"ctorch\nLongStorage\n"));
    let longs = Weights::read(&longs).unwrap();
    assert!(longs.floats("w", &[2, 3]).is_err());
    let short = archive(
        &[
            ("a/data.pkl", &table([3, 1], FLOATS)),
            ("a/data/7", &[0; 24]),
        ],
        0,
    );
    assert!(Weights::read(&short).unwrap().floats("w", &[2, 3]).is_err());
    let compressed = archive(&[("a/data.pkl", b"")], 8);
    assert!(matches!(
        Weights::read(&compressed),
        Err(TorchError::Archive(_))
    ));
}

#[test]
fn a_checkpoint_cut_short_anywhere_is_refused() {
    let whole = checkpoint(&table([3, 1], FLOATS));
    for cut in 0..whole.len() {
        assert!(Weights::read(&whole[..cut]).is_err(), "{cut}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused_without_a_crash(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        at in 0usize..600, byte in any::<u8>(),
    ) {
        let _ = Weights::read(&bytes);
        let _ = Weights::read(&checkpoint(&bytes));
        let mut bent = checkpoint(&table([3, 1], FLOATS));
        let at = at % bent.len();
        bent[at] = byte;
        if let Ok(weights) = Weights::read(&bent) {
            let _ = weights.floats("w", &[2, 3]);
        }
    }
}
