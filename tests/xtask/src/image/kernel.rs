//! The kernel: pinned sources, our configuration, the same bytes every time.
//!
//! Protects against a kernel that only this machine can build: time, user, host
//! and build number are fixed, the build runs inside its own source folder so
//! that no path enters, and a line of the configuration that the sources do not
//! know stops the build.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::sources::{Sources, Tool};
use crate::apt::{self, Given};
use crate::repo::{self, Repo};
use crate::work::{Scratch, Work};
use crate::{digest, fetch, process, say};

/// What the build is told about itself. A change makes a new cache entry.
const FIXED: &[(&str, &str)] = &[
    ("KBUILD_BUILD_TIMESTAMP", "1970-01-01 00:00:00 UTC"),
    ("KBUILD_BUILD_USER", "redoubt"),
    ("KBUILD_BUILD_HOST", "redoubt"),
    ("KBUILD_BUILD_VERSION", "1"),
    ("SOURCE_DATE_EPOCH", "0"),
    ("LC_ALL", "C"),
    ("TZ", "UTC"),
];

/// A kernel in the cache.
#[derive(Debug)]
pub(crate) struct Kernel {
    folder: PathBuf,
    /// Whether it was there before.
    pub(crate) from_cache: bool,
}

impl Kernel {
    /// The kernel's file.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.join("bzImage")
    }

    /// Its version, as it says it itself.
    pub(crate) fn version(&self) -> Result<String> {
        let text = fs::read_to_string(self.folder.join("kernel.release"))?;
        Ok(text.trim().to_owned())
    }
}

/// The configuration's file.
pub(crate) fn configuration(repo: &Repo) -> PathBuf {
    repo.root.join("images/kernel.config")
}

/// Builds it, or takes it from the cache unless it is to be built `anew`.
pub(crate) fn build(
    repo: &Repo,
    sources: &Sources,
    toolchain: &BTreeMap<String, String>,
    given: &Given,
    anew: bool,
) -> Result<Kernel> {
    let configuration = fs::read(configuration(repo))?;
    let key = cache_key(&sources.kernel.pin.sha256, &configuration, toolchain)?;
    let folder = repo::cache_dir()?.join(&key);
    fs::create_dir_all(repo::cache_dir()?)?;
    let _alone = fetch::lock(&folder.with_extension("lock"))?;
    if folder.join("bzImage").exists() && !anew {
        say(&format!("kernel: from the cache, {}", folder.display()));
        return Ok(Kernel {
            folder,
            from_cache: true,
        });
    }
    say("kernel: building (about 6 minutes of processor time)");
    let start = Instant::now();
    let scratch = Scratch::new(folder.with_extension("partial"))?;
    let made = compile(&scratch.0, sources, &configuration, given)?;
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::rename(&made, &folder)?;
    say(&format!("  done in {:.0} s", start.elapsed().as_secs_f64()));
    Ok(Kernel {
        folder,
        from_cache: false,
    })
}

/// Everything that a kernel's bytes depend on.
fn cache_key(
    source: &str,
    configuration: &[u8],
    toolchain: &BTreeMap<String, String>,
) -> Result<String> {
    let mut inputs = vec![source.to_owned(), digest::sha256_hex(configuration)];
    inputs.extend(FIXED.iter().map(|(name, value)| format!("{name}={value}")));
    for tool in ["gcc", "binutils", "gzip"] {
        let version = toolchain.get(tool).context("an unknown tool")?;
        inputs.push(format!("{tool}={version}"));
    }
    Ok(digest::sha256_hex(inputs.join("\n").as_bytes()))
}

/// The folder with the finished files.
fn compile(
    scratch: &Path,
    sources: &Sources,
    configuration: &[u8],
    given: &Given,
) -> Result<PathBuf> {
    let tools = needed(&sources.tools);
    let pins = [&sources.kernel.pin].into_iter();
    let pins: Vec<_> = pins.chain(tools.iter().map(|tool| &tool.pin)).collect();
    let files = apt::fetch(&pins, given)?;
    let (package, tool_files) = files.split_first().context("no kernel's package")?;
    let tree = unpack(scratch, sources, package)?;
    let tools = unpack_tools(tool_files, scratch.join("tools"))?;
    let wanted = scratch.join("wanted.config");
    fs::write(&wanted, configuration)?;
    let mut configure = make(&tree, tools.as_deref());
    configure.arg("allnoconfig");
    configure.env("KCONFIG_ALLCONFIG", &wanted);
    process::output_of(&mut configure)?;
    let lost = lost_lines(
        &String::from_utf8_lossy(configuration),
        &fs::read_to_string(tree.join(".config"))?,
    );
    ensure!(
        lost.is_empty(),
        "these lines of images/kernel.config have no effect in these sources \
         (a dependency is not set, or the name is gone):\n  {}",
        lost.join("\n  ")
    );
    let mut make = make(&tree, tools.as_deref());
    make.arg(format!("-j{}", jobs())).arg("bzImage");
    Work::new(scratch.join("work"))?.run("building the kernel", &mut make)?;
    let made = scratch.join("made");
    fs::create_dir(&made)?;
    fs::copy(tree.join("arch/x86/boot/bzImage"), made.join("bzImage"))?;
    let release = tree.join("include/config/kernel.release");
    fs::copy(release, made.join("kernel.release"))?;
    Ok(made)
}

fn unpack(scratch: &Path, sources: &Sources, package: &Path) -> Result<PathBuf> {
    say("  unpacking");
    let (outer, tree) = (scratch.join("package"), scratch.join("tree"));
    apt::unpack(package, &outer)?;
    fs::create_dir(&tree)?;
    let mut tar = Command::new("tar");
    tar.arg("-xf").arg(outer.join(&sources.kernel.archive));
    tar.arg("--strip-components=1").arg("-C").arg(&tree);
    process::output_of(&mut tar)?;
    fs::remove_dir_all(&outer)?;
    Ok(tree)
}

/// All of the tools, or none where all are installed.
fn needed(tools: &[Tool]) -> &[Tool] {
    match tools.iter().all(is_installed) {
        true => &[],
        false => tools,
    }
}

fn is_installed(tool: &Tool) -> bool {
    let Some((program, arguments)) = tool.probe.split_first() else {
        return false;
    };
    let out = Command::new(program).args(arguments).output();
    out.is_ok_and(|out| out.status.success())
}

/// A folder with the tools' files, or none where none are needed.
fn unpack_tools(packages: &[PathBuf], into: PathBuf) -> Result<Option<PathBuf>> {
    for package in packages {
        apt::unpack(package, &into)?;
    }
    Ok((!packages.is_empty()).then_some(into))
}

/// `make` that sees nothing of this machine but its programs.
fn make(tree: &Path, tools: Option<&Path>) -> Command {
    let mut make = Command::new("make");
    make.current_dir(tree).arg("ARCH=x86_64").env_clear();
    make.envs(FIXED.iter().copied());
    let path = std::env::var_os("PATH").unwrap_or_default();
    let Some(tools) = tools else {
        make.env("PATH", path);
        return make;
    };
    let at = |name: &str| tools.join(name).display().to_string();
    let library = at("usr/lib/x86_64-linux-gnu");
    make.env("PATH", format!("{}:{}", at("usr/bin"), path.display()))
        .env("M4", at("usr/bin/m4"))
        .env("BISON_PKGDATADIR", at("usr/share/bison"))
        .env("LD_LIBRARY_PATH", &library)
        .arg(format!("HOSTCFLAGS=-I{}", at("usr/include")))
        .arg(format!("HOSTLDFLAGS=-L{library}"));
    make
}

/// As many as cargo would run, which `CARGO_BUILD_JOBS` limits.
fn jobs() -> usize {
    let asked = std::env::var("CARGO_BUILD_JOBS").ok();
    let asked = asked.and_then(|text| text.parse().ok());
    asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// Lines of the wanted configuration that did not survive. "Not set" also counts
/// as kept where the sources leave the name out altogether.
fn lost_lines(wanted: &str, made: &str) -> Vec<String> {
    let made: std::collections::BTreeSet<_> = made.lines().collect();
    let kept = |line: &&str| match off(line) {
        Some(name) => !made.iter().any(|other| sets(other, name)),
        None => made.contains(line),
    };
    let meant = |line: &&str| line.starts_with("CONFIG_") || off(line).is_some();
    let lines = wanted.lines().map(str::trim).filter(meant);
    lines.filter(|line| !kept(line)).map(Into::into).collect()
}

/// The name in `# NAME is not set`.
fn off(line: &str) -> Option<&str> {
    let name = line.strip_prefix("# ")?.strip_suffix(" is not set")?;
    name.starts_with("CONFIG_").then_some(name)
}

fn sets(line: &str, name: &str) -> bool {
    line.strip_prefix(name)
        .is_some_and(|rest| rest.starts_with('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_effect_is_named() {
        let wanted =
            "# about\nCONFIG_A=y\nCONFIG_B=3\n# CONFIG_C is not set\n# CONFIG_D is not set";
        let made = "CONFIG_A=y\nCONFIG_C=y\nCONFIG_CC=y";
        let lost = lost_lines(wanted, made);
        assert_eq!(lost, ["CONFIG_B=3", "# CONFIG_C is not set"]);
        assert!(lost_lines(wanted, "CONFIG_A=y\nCONFIG_B=3").is_empty());
    }

    #[test]
    fn tools_are_fetched_all_together_or_not_at_all() {
        let tool = |program: &str| Tool {
            pin: apt::Pin {
                package: program.into(),
                version: "1".into(),
                sha256: "0".repeat(64),
            },
            probe: vec![program.into()],
        };
        assert!(needed(&[tool("true")]).is_empty());
        assert_eq!(needed(&[tool("true"), tool("/no/such/program")]).len(), 2);
    }

    #[test]
    fn every_input_makes_its_own_kernel() {
        let tools = |gcc: &str| {
            let names = [
                ("gcc", gcc),
                ("binutils", "2"),
                ("gzip", "1"),
                ("rustc", "1"),
            ];
            let pair = |(name, version): (&str, &str)| (name.to_owned(), version.to_owned());
            names.into_iter().map(pair).collect::<BTreeMap<_, _>>()
        };
        let key = cache_key("a", b"b", &tools("12")).unwrap();
        assert_ne!(key, cache_key("x", b"b", &tools("12")).unwrap());
        assert_ne!(key, cache_key("a", b"x", &tools("12")).unwrap());
        assert_ne!(key, cache_key("a", b"b", &tools("13")).unwrap());
        let mut other = tools("12");
        other.insert("rustc".into(), "2".into());
        assert_eq!(key, cache_key("a", b"b", &other).unwrap());
    }
}
