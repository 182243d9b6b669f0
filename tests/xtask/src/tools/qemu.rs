//! QEMU with the one machine that is needed, from source.
//!
//! Libraries and firmware that came out of packages are kept beside the program,
//! which finds them there: the result runs whether they are installed or not.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::jobs;
use super::pins::{Pins, Qemu};
use crate::apt::{Apt, Given, Wanted};
use crate::work::{Work, copy_into};
use crate::{digest, registry};

const MULTIARCH: &str = "usr/lib/x86_64-linux-gnu";
const PROGRAM: &str = "qemu-system-x86_64";
const DEVICES: &str = "CONFIG_NITRO_ENCLAVE=y\nCONFIG_MICROVM=y\n";
/// What the machine loads at start, below the folder it is in.
const FIRMWARE: &[(&str, &str)] = &[("usr/share/qemu", "qboot.rom")];
const OPTIONS: &[&str] = &[
    "--target-list=x86_64-softmmu",
    "--without-default-features",
    "--without-default-devices",
    "--with-devices-x86_64=nitro",
    "--enable-system",
    "--enable-tcg",
    "--enable-gnutls",
    "--enable-libcbor",
    "--enable-fdt=system",
    "--enable-vhost-user",
    "--disable-tools",
    "--disable-docs",
    "--disable-install-blobs",
];

/// Builds into `out`; returns the packages that were unpacked for it.
pub(super) fn build(work: &Work, pins: &Pins, given: &Given, out: &Path) -> Result<Vec<String>> {
    let tarball = match given.file(&pins.qemu.sha256) {
        Some(file) => file.to_path_buf(),
        None => tarball(work, &pins.qemu).with_context(|| given.said())?,
    };
    let sysroot = work.folder("sysroot")?;
    let apt = Apt::new(work, "apt", Wanted::Binaries)?;
    let unpacked = apt.unpack_missing(&pins.debs, &sysroot)?;
    mend_sysroot(&sysroot)?;
    let source = unpack_source(work, &tarball, &pins.qemu.folder)?;
    let python = python_with_meson(work, pins)?;
    let tree = work.folder("qemu")?;
    let mut configure = Command::new(source.join("configure"));
    configure.arg(format!("--python={}", python.display()));
    configure
        .args(OPTIONS)
        .args(flags(&sysroot))
        .current_dir(&tree);
    work.run("configuring QEMU", with_sysroot(&mut configure, &sysroot))?;
    let mut ninja = Command::new("ninja");
    ninja.arg(format!("-j{}", jobs())).arg(PROGRAM);
    ninja.current_dir(&tree);
    work.run("building QEMU", with_sysroot(&mut ninja, &sysroot))?;
    keep(work, &tree, &sysroot, out)?;
    Ok(unpacked)
}

/// From the archive, as pinned.
fn tarball(work: &Work, pin: &Qemu) -> Result<PathBuf> {
    let gone = format!(
        "the archive's suite {} does not serve {} {}. Whoever has {} (sha256 {}) gives it with \
         --source-archive FILE. Otherwise pin another version in images/tools.toml",
        pin.suite, pin.source, pin.version, pin.tarball, pin.sha256
    );
    let apt = Apt::new(work, "apt-source", Wanted::Sources(&pin.suite))?;
    let into = work.folder("tarball")?;
    apt.tarball(&format!("{}={}", pin.source, pin.version), &into, gone)?;
    let file = into.join(&pin.tarball);
    digest::require(&file, &pin.sha256, &pin.tarball)?;
    Ok(file)
}

fn unpack_source(work: &Work, tarball: &Path, folder: &str) -> Result<PathBuf> {
    let into = work.folder("unpacked")?;
    let mut tar = Command::new("tar");
    tar.arg("-xf").arg(tarball).arg("-C").arg(&into);
    work.run("unpacking QEMU", &mut tar)?;
    let source = into.join(folder);
    let devices = source.join("configs/devices/x86_64-softmmu/nitro.mak");
    fs::write(&devices, DEVICES).with_context(|| devices.display().to_string())?;
    without_edk2(&source.join("meson.build"))?;
    Ok(source)
}

/// Debian's tarball lacks the firmware images that the build would unpack.
fn without_edk2(meson_build: &Path) -> Result<()> {
    let text = fs::read_to_string(meson_build)?;
    let asked = "unpack_edk2_blobs = bzip2.found()";
    ensure!(
        text.contains(asked),
        "{}: has no line {asked:?}; another version needs another recipe",
        meson_build.display()
    );
    fs::write(
        meson_build,
        text.replace(asked, "unpack_edk2_blobs = false"),
    )?;
    Ok(())
}

/// A Python of its own with QEMU's build system in it.
fn python_with_meson(work: &Work, pins: &Pins) -> Result<PathBuf> {
    let venv = work.folder("venv")?;
    let mut make = Command::new("python3");
    make.args(["-m", "venv"]).arg(&venv);
    work.run("making a Python environment", &mut make)?;
    let python = venv.join("bin/python3");
    for package in &pins.packages {
        let folder = work.folder(&format!("wheel-{}", package.id))?;
        let wheel = registry::download(package, &folder)?;
        digest::require(&wheel, &package.sha256, &package.name)?;
        let mut install = Command::new(&python);
        install.args(["-m", "pip", "install", "--no-index", "--no-deps"]);
        install.arg("--disable-pip-version-check").arg(&wheel);
        work.run(&format!("unpacking {}", package.name), &mut install)?;
    }
    Ok(python)
}

/// Where headers and libraries are that are not installed.
fn flags(sysroot: &Path) -> [String; 2] {
    let libraries = sysroot.join(MULTIARCH).display().to_string();
    let headers = sysroot.join("usr/include").display().to_string();
    // An old-style run path, so that the libraries' own libraries are found too.
    let link = [
        format!("-L{libraries}"),
        format!("-Wl,-rpath-link,{libraries}"),
        "-Wl,--disable-new-dtags".into(),
        "-Wl,-rpath,$ORIGIN/../lib".into(),
    ];
    [
        format!("--extra-cflags=-I{headers}"),
        format!("--extra-ldflags={}", link.join(" ")),
    ]
}

fn with_sysroot<'a>(command: &'a mut Command, sysroot: &Path) -> &'a mut Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = vec![sysroot.join("usr/bin")];
    folders.extend(std::env::split_paths(&path));
    if let Ok(path) = std::env::join_paths(folders) {
        command.env("PATH", path);
    }
    command.env("PKG_CONFIG_PATH", sysroot.join(MULTIARCH).join("pkgconfig"))
}

/// Unpacked packages believe to be installed at `/usr`: their descriptions are
/// pointed at the folder, and links to libraries that the system has, at those.
fn mend_sysroot(sysroot: &Path) -> Result<()> {
    let usr = sysroot.join("usr");
    for path in files_in(&sysroot.join(MULTIARCH).join("pkgconfig")) {
        let text = fs::read_to_string(&path)?;
        fs::write(&path, text.replace("=/usr", &format!("={}", usr.display())))?;
    }
    for path in files_in(&sysroot.join(MULTIARCH)) {
        let Ok(target) = fs::read_link(&path) else {
            continue;
        };
        if path.exists() {
            continue;
        }
        let name = target.file_name().context("a link to nothing")?;
        fs::remove_file(&path)?;
        symlink(Path::new("/").join(MULTIARCH).join(name), &path)?;
    }
    Ok(())
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let listed = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<_> = listed.map(|entry| entry.path()).collect();
    paths.retain(|path| !path.is_dir());
    paths.sort();
    paths
}

/// The program, stripped, its libraries and its firmware.
fn keep(work: &Work, tree: &Path, sysroot: &Path, out: &Path) -> Result<()> {
    for folder in ["bin", "lib", "firmware"] {
        fs::create_dir_all(out.join(folder))?;
    }
    let mut strip = Command::new("strip");
    strip.arg("-o").arg(out.join("bin").join(PROGRAM));
    work.run("stripping QEMU", strip.arg(tree.join(PROGRAM)))?;
    for path in files_in(&sysroot.join(MULTIARCH)) {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name.contains(".so.") && path.starts_with(sysroot) && path.exists() {
            copy_into(&path, &out.join("lib"))?;
        }
    }
    for (folder, name) in FIRMWARE {
        let unpacked = sysroot.join(folder).join(name);
        let installed = Path::new("/").join(folder).join(name);
        let found = [unpacked, installed].into_iter().find(|path| path.exists());
        let found = found.with_context(|| format!("neither unpacked nor installed: {name}"))?;
        copy_into(&found, &out.join("firmware"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unpacked_package_is_found_where_it_lies() {
        let dir = tempfile::tempdir().unwrap();
        let libraries = dir.path().join(MULTIARCH);
        fs::create_dir_all(libraries.join("pkgconfig")).unwrap();
        let description = libraries.join("pkgconfig/a.pc");
        fs::write(&description, "prefix=/usr\nlibdir=${prefix}/lib\n").unwrap();
        symlink("libc.so.6", libraries.join("liba.so")).unwrap();
        fs::write(libraries.join("libb.so.1"), b"b").unwrap();
        symlink("libb.so.1", libraries.join("libb.so")).unwrap();
        mend_sysroot(dir.path()).unwrap();
        let text = fs::read_to_string(description).unwrap();
        let prefix = format!("prefix={}/usr\n", dir.path().display());
        assert_eq!(text, prefix + "libdir=${prefix}/lib\n");
        let pointed = |name: &str| fs::read_link(libraries.join(name)).unwrap();
        assert_eq!(
            pointed("liba.so"),
            Path::new("/").join(MULTIARCH).join("libc.so.6")
        );
        assert_eq!(pointed("libb.so"), Path::new("libb.so.1"));
    }

    #[test]
    fn another_source_than_the_recipe_knows_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("meson.build");
        fs::write(&file, "unpack_edk2_blobs = bzip2.found()\n").unwrap();
        without_edk2(&file).unwrap();
        let error = without_edk2(&file).unwrap_err().to_string();
        assert!(error.contains("another recipe"), "{error}");
    }
}
