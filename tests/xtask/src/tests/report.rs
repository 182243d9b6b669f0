//! Differences between what was committed and what was built.

use super::*;

fn part(sha256: &str) -> Part {
    Part {
        bytes: 1,
        sha256: sha256.into(),
    }
}

fn measured() -> Measured {
    let map = |pairs: &[(&str, &str)]| {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(pair).collect()
    };
    let file = |path: &str| File {
        path: path.into(),
        content: part("f1"),
    };
    let disk = |path: &str| Ramdisk {
        packed: part("d1"),
        files: vec![file(path)],
    };
    let image = |program: &str| Description {
        measurements: map(&[("pcr0", "00"), ("pcr1", "11")]),
        kernel: part("k1"),
        command_line: "quiet".into(),
        ramdisks: vec![disk("init"), disk(program)],
    };
    Measured {
        image: image("bin/enclave"),
        worker: image("bin/worker"),
        inputs: Inputs {
            kernel_source: "linux 6 abc".into(),
            kernel_configuration_sha256: "c1".into(),
            toolchain: map(&[("rustc", "1.95"), ("gcc", "12")]),
            crates: map(&[("init", "i1")]),
            libraries: map(&[("libc6", "2.36")]),
            models_sha256: "m1".into(),
        },
    }
}

fn image_difference(change: fn(&mut Description)) -> Vec<String> {
    let mut here = measured();
    change(&mut here.image);
    here.image.differences(&measured().image)
}

#[test]
fn equal_images_have_no_difference() {
    assert!(image_difference(|_| {}).is_empty());
    let inputs = measured().inputs;
    assert!(inputs.differences(&inputs).is_empty());
}

#[test]
fn a_difference_is_named_with_its_place() {
    let kernel = image_difference(|image| image.kernel = part("k2"));
    assert_eq!(kernel, ["kernel: committed k1, here k2"]);
    let line = image_difference(|image| image.command_line = "loud".into());
    assert_eq!(line, ["command line: committed quiet, here loud"]);
    let file = image_difference(|image| {
        image.ramdisks[1].packed = part("d2");
        image.ramdisks[1].files[0].content = part("f2");
    });
    assert_eq!(file, ["ramdisk 2, file bin/enclave: committed f1, here f2"]);
    let packed = image_difference(|image| image.ramdisks[0].packed = part("d2"));
    assert_eq!(packed, ["ramdisk 1: the same files, packed otherwise"]);
    let gone = image_difference(|image| drop(image.ramdisks.pop()));
    assert_eq!(gone, ["ramdisk 2: missing"]);
    let moved = image_difference(|image| {
        image.measurements.insert("pcr0".into(), "01".into());
    });
    assert_eq!(moved, ["measurement pcr0: committed 00, here 01"]);
}

#[test]
fn a_file_that_came_or_went_is_named() {
    let lines = image_difference(|image| {
        image.ramdisks[0].packed = part("d2");
        image.ramdisks[0].files[0].path = "shell".into();
    });
    let wanted = [
        "ramdisk 1, file init: committed f1, here none",
        "ramdisk 1, file shell: committed none, here f1",
    ];
    assert_eq!(lines, wanted);
}

#[test]
fn another_toolchain_is_named_by_tool_and_version() {
    let mut here = measured().inputs;
    here.toolchain.insert("gcc".into(), "13".into());
    assert_eq!(here.other_tools(&measured().inputs).len(), 1);
    here.crates.insert("init".into(), "i2".into());
    here.libraries.insert("libc6".into(), "2.37".into());
    here.models_sha256 = "m2".into();
    let wanted = [
        "toolchain gcc: committed 12, here 13",
        "models.toml: committed m1, here m2",
        "crates below init: committed i1, here i2",
        "package libc6: committed 2.36, here 2.37",
    ];
    assert_eq!(here.differences(&measured().inputs), wanted);
    // Only tools excuse other bytes.
    assert_eq!(here.other_tools(&measured().inputs), wanted[..1]);
}

#[test]
fn what_is_written_reads_back_and_what_is_absent_says_how_to_make_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("measurements.json");
    let error = format!("{:#}", Measured::read(&path).unwrap_err());
    assert!(error.contains("cargo xtask image --update"), "{error}");
    measured().write(&path).unwrap();
    assert_eq!(Measured::read(&path).unwrap(), measured());
}
