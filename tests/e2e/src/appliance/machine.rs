//! The enclave as a guest: its real image in QEMU's emulated Nitro machine.
//!
//! Everything else of an appliance stays as it is: the host, the ceremony, the
//! clients. Only the enclave is no process here but a booted image, and what it
//! attests comes from the machine's security module.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::Result;

use super::sign::Sign;
use super::wait::wait_for;
use crate::process::Part;

/// The guest's context id; any but 0 to 2 will do, since each guest has a back end
/// of its own.
const GUEST_CID: u32 = 4;
/// Ports of the image's streams, as its init fixes them.
const PORTS: [(&str, u32); 5] = [
    ("ingress", 5000),
    ("supervise", 5001),
    ("store", 5002),
    ("worker", 5003),
    ("peers", 5004),
];
/// Where the image's init sends its sign of life.
const HEARTBEAT: u32 = 9000;
/// What the guest's own clock says at its start.
const GUEST_CLOCK: &str = "2001-02-03T04:05:06";
const PATIENCE: Duration = Duration::from_secs(10);

/// Whom the officers say the image runs under.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Founded {
    /// An emulated machine: unsigned documents are accepted.
    #[default]
    Emulated,
    /// Hardware, which this machine is not.
    Hardware,
}

/// An emulated Nitro machine.
#[derive(Debug, Clone)]
pub struct Emulator {
    /// The emulator.
    pub qemu: PathBuf,
    /// The back end of its vsock device.
    pub vsock_backend: PathBuf,
    /// What the emulator loads at start.
    pub firmware: PathBuf,
}

/// An enclave that is an image, and the machine it boots in.
#[derive(Debug, Clone)]
pub struct Machine {
    /// What boots it.
    pub emulator: Emulator,
    /// The enclave's image.
    pub image: PathBuf,
    /// The measurements the officers sign, `{"PCR0": hex, …}`.
    pub measurements: PathBuf,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// What the genesis says of it.
    pub founded: Founded,
    /// A worker in a machine of its own.
    pub worker: Option<WorkerElsewhere>,
}

/// A worker of tier `enclave` that somebody else boots.
#[derive(Debug, Clone)]
pub struct WorkerElsewhere {
    /// The measurements the officers sign.
    pub measurements: PathBuf,
    /// Where the host reaches it.
    pub endpoint: String,
}

/// A booted image; its vsock back end ends with it.
pub struct Guest {
    emulator: Part,
    sign: Sign,
    _backend: Part,
}

impl Guest {
    /// How the machine ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.emulator.ended()
    }

    /// The sign of life that its init sent.
    pub fn sign_of_life(&self) -> Option<u8> {
        self.sign.heard()
    }
}

/// A running enclave.
pub(super) enum Enclave {
    /// A process of this machine.
    Process(Part),
    /// A booted image.
    Guest(Guest),
}

impl Enclave {
    fn part(&mut self) -> &mut Part {
        match self {
            Self::Process(part) => part,
            Self::Guest(guest) => &mut guest.emulator,
        }
    }

    pub(super) fn pid(&self) -> u32 {
        match self {
            Self::Process(part) => part.pid(),
            Self::Guest(guest) => guest.emulator.pid(),
        }
    }

    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.part().ended()
    }

    /// The sign of life of a booted image, once it came.
    pub(super) fn sign(&self) -> Option<u8> {
        match self {
            Self::Process(_) => None,
            Self::Guest(guest) => guest.sign_of_life(),
        }
    }

    pub(super) fn terminate(&mut self, patience: Duration) -> Result<ExitStatus> {
        self.part().terminate(patience)
    }
}

/// The Unix socket that stands for the guest's vsock.
pub(super) fn socket(folder: &Path) -> PathBuf {
    folder.join("v")
}

/// Where the back end connects when the guest calls a port.
fn forwarded(folder: &Path, port: u32) -> PathBuf {
    let mut path = socket(folder).into_os_string();
    path.push(format!("_{port}"));
    path.into()
}

/// The host's address of one of the guest's streams.
pub fn endpoint(folder: &Path, stream: &str) -> String {
    let named = PORTS.iter().find(|(name, _)| *name == stream);
    let port = named.map_or(0, |(_, port)| *port);
    format!("unix:{}:{port}", socket(folder).display())
}

impl Emulator {
    /// Boots an image; its vsock is in `folder`, its console goes to `NAME.log`.
    pub fn boot(
        &self,
        image: &Path,
        memory_mib: u32,
        folder: &Path,
        logs: &Path,
        name: &'static str,
    ) -> Result<Guest> {
        let inside = folder.join("guest");
        let (device, door) = (inside.join("vhost"), socket(folder));
        let _ = std::fs::remove_dir_all(&inside);
        let _ = std::fs::remove_file(&door);
        std::fs::create_dir(&inside)?;
        for (_, port) in PORTS {
            symlink(forwarded(folder, port), forwarded(&inside, port))?;
        }
        // A stream that arrives before the guest's driver runs can wedge the back end
        // for good, so the host finds the door only after the sign of life.
        let behind = socket(&inside);
        let opened = move || drop(symlink(behind, door));
        let sign = Sign::listen(&forwarded(&inside, HEARTBEAT), opened)?;
        let mut backend = Command::new(&self.vsock_backend);
        backend.arg("--vm").arg(format!(
            "guest-cid={GUEST_CID},socket={},uds-path={}",
            device.display(),
            socket(&inside).display()
        ));
        let log = logs.join(format!("{name}-vsock.log"));
        let backend = Part::start("vsock back end", backend, &log)?;
        wait_for(PATIENCE, "the vsock back end", || {
            device.exists().then_some(())
        })?;
        let log = logs.join(format!("{name}.log"));
        let emulator = Part::start(name, self.qemu(image, memory_mib, &device), &log)?;
        Ok(Guest {
            emulator,
            sign,
            _backend: backend,
        })
    }

    fn qemu(&self, image: &Path, memory_mib: u32, device: &Path) -> Command {
        let mut qemu = Command::new(&self.qemu);
        qemu.arg("-L").arg(&self.firmware);
        qemu.args(["-M", "nitro-enclave,vsock=c,id=redoubt"]);
        qemu.args(["-accel", "tcg", "-cpu", "max"]);
        qemu.arg("-m").arg(format!("{memory_mib}M"));
        qemu.args(["-nographic", "-monitor", "none", "-no-reboot"]);
        // A clock that is far off: whoever reads it gets caught.
        qemu.args(["-rtc", &format!("base={GUEST_CLOCK}")]);
        qemu.arg("-kernel").arg(image);
        qemu.arg("-chardev");
        qemu.arg(format!("socket,id=c,path={}", device.display()));
        qemu
    }
}

impl Machine {
    pub(super) fn boot(&self, folder: &Path, logs: &Path) -> Result<Enclave> {
        let (emulator, memory_mib) = (&self.emulator, self.memory_mib);
        let guest = emulator.boot(&self.image, memory_mib, folder, logs, "enclave")?;
        Ok(Enclave::Guest(guest))
    }

    /// What `redoubt genesis init` is told of this machine.
    pub(super) fn ceremony(&self) -> Vec<std::ffi::OsString> {
        let mut arguments = vec!["--enclave-pcrs".into(), self.measurements.clone().into()];
        if self.founded == Founded::Emulated {
            arguments.push("--emulated-machine".into());
        }
        if let Some(worker) = &self.worker {
            arguments.push("--worker-pcrs".into());
            arguments.push(worker.measurements.clone().into());
        }
        arguments
    }
}
