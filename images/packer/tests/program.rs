//! The program from outside: pack, describe, refuse.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use redoubt_image::{Description, Eif};

fn program(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_redoubt-image"))
        .args(arguments)
        .output()
        .unwrap()
}

fn pack(dir: &Path, out: &str) -> Output {
    let at = |name: &str| dir.join(name).display().to_string();
    let first = format!("run:init={},dir:dev", at("init"));
    let second = format!("run:bin/enclave={}", at("enclave"));
    program(&[
        "pack",
        "--name=test",
        &format!("--kernel={}", at("kernel")),
        "--kernel-version=6.12",
        "--command-line=quiet",
        &format!("--ramdisk={first}"),
        &format!("--ramdisk={second}"),
        &format!("--out={}", at(out)),
    ])
}

#[test]
fn two_folders_give_one_image_and_it_says_what_it_holds() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for dir in [one.path(), two.path()] {
        for name in ["enclave", "kernel", "init"] {
            fs::write(dir.join(name), name).unwrap();
        }
        let out = pack(dir, "x.eif");
        assert!(out.status.success(), "{out:?}");
    }
    let file = fs::read(one.path().join("x.eif")).unwrap();
    assert_eq!(file, fs::read(two.path().join("x.eif")).unwrap());

    let said = program(&["describe", &one.path().join("x.eif").display().to_string()]);
    let said: Description = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!(said, Description::of(&Eif::read(&file).unwrap()).unwrap());
    let paths = said.ramdisks.iter().flat_map(|disk| &disk.files);
    let paths: Vec<_> = paths.map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["init", "bin/enclave"]);
}

#[test]
fn an_image_comes_apart_into_what_it_was_packed_from() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["enclave", "kernel", "init"] {
        fs::write(dir.path().join(name), name).unwrap();
    }
    assert!(pack(dir.path(), "x.eif").status.success());
    let at = |name: &str| dir.path().join(name);
    let out = format!("--out={}", at("parts").display());
    let split = program(&["split", &at("x.eif").display().to_string(), &out]);
    assert!(split.status.success(), "{split:?}");
    let eif = Eif::read(&fs::read(at("x.eif")).unwrap()).unwrap();
    let part = |name: &str| fs::read(at("parts").join(name)).unwrap();
    assert_eq!(part("kernel"), b"kernel");
    assert_eq!(part("command-line"), b"quiet");
    assert_eq!(part("metadata"), eif.metadata);
    assert_eq!(part("ramdisk-1"), eif.ramdisks[0]);
    assert_eq!(part("ramdisk-2"), eif.ramdisks[1]);
}

#[test]
fn a_part_that_is_missing_and_a_file_that_is_no_image_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let out = pack(dir.path(), "x.eif");
    assert!(!out.status.success());
    assert!(
        String::from_utf8_lossy(&out.stderr).contains("kernel"),
        "{out:?}"
    );
    assert!(!dir.path().join("x.eif").exists());
    let other = dir.path().join("other");
    fs::write(&other, "no image").unwrap();
    let out = program(&["describe", &other.display().to_string()]);
    let text = String::from_utf8_lossy(&out.stderr);
    assert!(text.contains("other: no enclave image"), "{text}");
}
