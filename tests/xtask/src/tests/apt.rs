//! Pins against files that stand in for the archive's.

use super::*;

fn pin(sha256: &str) -> Pin {
    Pin {
        package: "seabios".into(),
        version: "1.16.2-1".into(),
        sha256: sha256.into(),
    }
}

#[test]
fn a_downloaded_file_tells_its_package_and_version() {
    assert_eq!(
        shown("qemu-system-data_1%3a7.2+dfsg-7_all.deb"),
        "qemu-system-data 1:7.2+dfsg-7"
    );
}

#[test]
fn a_pinned_version_with_other_bytes_is_refused_and_another_version_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a");
    fs::write(&path, b"package").unwrap();
    let pins = [pin(&digest::sha256_hex(b"another"))];
    let judge = |file: &str| compare_with_pin(&path, file, &pins);
    assert!(judge("seabios_1.16.2-1_all.deb").is_err());
    judge("seabios_1.16.3-1_all.deb").unwrap();
    judge("seabios-tools_1.16.2-1_all.deb").unwrap();
}

#[test]
fn a_file_that_was_given_counts_by_its_digest_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("whatever.deb");
    fs::write(&file, "package").unwrap();
    let given = Given::read(std::slice::from_ref(&file)).unwrap();
    let right = digest::sha256_hex(b"package");
    assert_eq!(fetch(&[&pin(&right)], &given).unwrap(), [file]);
    assert_eq!(given.file(&digest::sha256_hex(b"other")), None);
    assert!(given.said().contains(&right), "{}", given.said());
    assert!(Given::read(&[dir.path().join("absent")]).is_err());
}

#[test]
fn a_pin_that_the_archive_dropped_is_known_from_a_network_that_is_down() {
    for gone in [
        "E: Version '1' for 'libc6' was not found",
        "E: Unable to locate package x",
    ] {
        assert!(is_unknown(gone), "{gone}");
    }
    assert!(!is_unknown("E: Failed to fetch x  Could not connect"));
    let error = anyhow::Error::new(NotHere(gone(&pin("d1")))).context("where");
    let why = error.downcast_ref::<NotHere>().unwrap().to_string();
    for part in ["seabios 1.16.2-1", "d1", "--source-archive FILE"] {
        assert!(why.contains(part), "{why}");
    }
}
