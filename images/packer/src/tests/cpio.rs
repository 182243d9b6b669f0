//! Archives: one way to write, one way to read.

use proptest::prelude::*;

use super::*;

fn file(path: &str, executable: bool, bytes: &[u8]) -> Entry {
    Entry {
        path: path.into(),
        executable,
        bytes: bytes.into(),
    }
}

#[test]
fn an_archive_is_the_same_in_whatever_order_its_files_come() {
    let files = [file("init", true, b"1"), file("bin/enclave", true, b"22")];
    let turned = [files[1].clone(), files[0].clone()];
    let archive = write(&files, &["dev", "proc"]).unwrap();
    assert_eq!(archive, write(&turned, &["proc", "dev"]).unwrap());
    assert_eq!(read(&archive).unwrap(), turned);
}

#[test]
fn an_entry_is_laid_out_as_the_kernel_documents_it() {
    let archive = write(&[file("a/b", false, b"xyz")], &[]).unwrap();
    let zero = "00000000";
    let folder = format!(
        "07070100000001{:08x}{zero}{zero}00000002{zero}{zero}",
        0o040_555
    ) + &zero.repeat(4)
        + "00000002"
        + zero
        + "a\0";
    assert_eq!(&archive[..112], folder.as_bytes());
    let name = &archive[112 + HEADER..][..4];
    assert_eq!(name, b"a/b\0");
    assert_eq!(archive.len() % 4, 0);
}

#[test]
fn names_that_could_mean_another_place_are_refused() {
    for path in [
        "",
        "/init",
        "a//b",
        "a/",
        "../a",
        "./a",
        "a b",
        "ä",
        "TRAILER!!!",
    ] {
        let error = write(&[file(path, false, b"")], &[]).unwrap_err();
        assert_eq!(error, CpioError::Path(path.into()));
    }
}

#[test]
fn one_name_stands_for_one_thing() {
    let twice = [file("a", false, b"1"), file("a", true, b"2")];
    assert_eq!(
        write(&twice, &[]).unwrap_err(),
        CpioError::Twice("a".into())
    );
    let beneath = [file("a", false, b"1"), file("a/b", true, b"2")];
    assert_eq!(
        write(&beneath, &[]).unwrap_err(),
        CpioError::Twice("a".into())
    );
}

#[test]
fn what_other_tools_write_is_told_apart() {
    let archive = write(&[file("a", false, b"xyz")], &[]).unwrap();
    let with = |at: usize, byte: u8| {
        let mut archive = archive.clone();
        archive[at] = byte;
        read(&archive).unwrap_err()
    };
    assert_eq!(with(0, b'1'), CpioError::NoEntry(0));
    // Owner, time and mode.
    for at in [6 + 2 * 8, 6 + 5 * 8 + 7, 6 + 8 + 7] {
        assert!(matches!(with(at, b'1'), CpioError::Foreign(_)), "{at}");
    }
    let cut = read(&archive[..archive.len() - 4]).unwrap_err();
    assert!(matches!(cut, CpioError::CutShort(_)));
    let more = read(&[&archive[..], &[0]].concat()).unwrap_err();
    assert_eq!(more, CpioError::Trailing(archive.len()));
}

proptest! {
    #[test]
    fn every_archive_reads_back(
        names in proptest::collection::btree_set("[a-c]{1,3}x(/[a-c]{1,3}y){0,2}z", 0..8),
        bytes: Vec<u8>,
        executable: bool,
    ) {
        let files: Vec<_> = names.iter().map(|name| file(name, executable, &bytes)).collect();
        let archive = write(&files, &[]).unwrap();
        prop_assert_eq!(read(&archive).unwrap(), files);
    }

    #[test]
    fn a_flipped_bit_is_refused_or_is_in_a_name_or_content(at in 0_usize..500, bit in 0_u8..8) {
        let files = [file("a/init", true, b"some bytes"), file("b", false, b"x")];
        let mut archive = write(&files, &["dev"]).unwrap();
        let at = at % archive.len();
        archive[at] ^= 1 << bit;
        if let Ok(read) = read(&archive) {
            prop_assert!(read.len() <= 2);
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(mut bytes: Vec<u8>, magic: bool) {
        if magic {
            bytes.splice(0..0, MAGIC.iter().copied());
        }
        let _ = read(&bytes);
    }
}
