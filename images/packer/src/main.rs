//! `redoubt-image`: packs an enclave image, or says what one holds and measures.

mod item;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use redoubt_image::{Description, Eif};
use serde_json::json;

use item::Ramdisk;

/// Packs enclave images (EIF) and says what they measure.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Pack an image from its parts
    Pack {
        /// Name in the image's metadata, which measures nothing
        #[arg(long)]
        name: String,
        /// The kernel, a bzImage
        #[arg(long, value_name = "FILE")]
        kernel: PathBuf,
        /// Its version, for the metadata
        #[arg(long, value_name = "TEXT")]
        kernel_version: String,
        /// The kernel's measured command line
        #[arg(long, value_name = "TEXT")]
        command_line: String,
        /// One ramdisk: `run:PATH=FILE`, `file:PATH=FILE` and `dir:PATH`, separated
        /// by commas; repeat in the kernel's order
        #[arg(long = "ramdisk", value_name = "ITEMS", required = true)]
        ramdisks: Vec<Ramdisk>,
        /// The image to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Take an image apart: kernel, command-line, metadata, ramdisk-1 and so on
    Split {
        /// The image
        file: PathBuf,
        /// Where the parts go
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Say as JSON what an image holds and measures
    Describe {
        /// The image
        file: PathBuf,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().action) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("redoubt-image: {text}");
            ExitCode::FAILURE
        }
    }
}

fn run(action: Action) -> Result<(), String> {
    match action {
        Action::Pack {
            name,
            kernel,
            kernel_version,
            command_line,
            ramdisks,
            out,
        } => {
            let packed = ramdisks.iter().map(Ramdisk::pack);
            let eif = Eif {
                kernel: read(&kernel)?,
                command_line,
                metadata: metadata(&name, &kernel_version),
                ramdisks: packed.collect::<Result<_, _>>()?,
            };
            let file = eif.write().map_err(|error| error.to_string())?;
            write(&out, &file)
        }
        Action::Split { file, out } => split(&image(&file)?, &out),
        Action::Describe { file } => {
            let description = Description::of(&image(&file)?)
                .map_err(|error| format!("{}: {error}", file.display()))?;
            let text = format!("{:#}\n", json!(description));
            std::io::stdout()
                .write_all(text.as_bytes())
                .map_err(|error| format!("standard output: {error}"))
        }
    }
}

/// What Nitro's tools show about an image. The build has no time: two builds of
/// the same sources are the same file.
fn metadata(name: &str, kernel_version: &str) -> Vec<u8> {
    let metadata = json!({
        "ImageName": name,
        "ImageVersion": env!("CARGO_PKG_VERSION"),
        "BuildMetadata": {
            "BuildTime": "1970-01-01T00:00:00Z",
            "BuildTool": env!("CARGO_PKG_NAME"),
            "BuildToolVersion": env!("CARGO_PKG_VERSION"),
            "OperatingSystem": "Linux",
            "KernelVersion": kernel_version,
        },
        "DockerInfo": {},
        "CustomMetadata": {},
    });
    metadata.to_string().into_bytes()
}

fn image(path: &Path) -> Result<Eif, String> {
    Eif::read(&read(path)?).map_err(|error| format!("{}: {error}", path.display()))
}

fn split(eif: &Eif, out: &Path) -> Result<(), String> {
    fs::create_dir_all(out).map_err(|error| format!("{}: {error}", out.display()))?;
    write(&out.join("kernel"), &eif.kernel)?;
    write(&out.join("command-line"), eif.command_line.as_bytes())?;
    write(&out.join("metadata"), &eif.metadata)?;
    for (number, ramdisk) in (1..).zip(&eif.ramdisks) {
        write(&out.join(format!("ramdisk-{number}")), ramdisk)?;
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}
