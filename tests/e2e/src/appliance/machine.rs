//! The enclave as a guest: its real image in QEMU's emulated Nitro machine.
//!
//! Everything else of an appliance stays as it is: the host, the ceremony, the
//! clients. Only the enclave is no process here but a booted image, and what it
//! attests comes from the machine's security module.

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

/// An emulated Nitro machine and the image it boots.
#[derive(Debug, Clone)]
pub struct Machine {
    /// The emulator.
    pub qemu: PathBuf,
    /// The back end of its vsock device.
    pub vsock_backend: PathBuf,
    /// What the emulator loads at start.
    pub firmware: PathBuf,
    /// The enclave's image.
    pub image: PathBuf,
    /// The measurements the officers sign, `{"PCR0": hex, …}`.
    pub measurements: PathBuf,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// What the genesis says of it.
    pub founded: Founded,
}

/// A running enclave.
pub(super) enum Enclave {
    /// A process of this machine.
    Process(Part),
    /// A booted image; its vsock back end ends with it.
    Guest {
        emulator: Part,
        sign: Sign,
        _backend: Part,
    },
}

impl Enclave {
    fn part(&mut self) -> &mut Part {
        match self {
            Self::Process(part) | Self::Guest { emulator: part, .. } => part,
        }
    }

    pub(super) fn pid(&self) -> u32 {
        match self {
            Self::Process(part) | Self::Guest { emulator: part, .. } => part.pid(),
        }
    }

    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.part().ended()
    }

    /// The sign of life of a booted image, once it came.
    pub(super) fn sign(&self) -> Option<u8> {
        match self {
            Self::Process(_) => None,
            Self::Guest { sign, .. } => sign.heard(),
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
pub(super) fn endpoint(folder: &Path, stream: &str) -> String {
    let named = PORTS.iter().find(|(name, _)| *name == stream);
    let port = named.map_or(0, |(_, port)| *port);
    format!("unix:{}:{port}", socket(folder).display())
}

impl Machine {
    /// Boots the image; its console goes to a log.
    pub(super) fn boot(&self, folder: &Path, logs: &Path) -> Result<Enclave> {
        let device = folder.join("vhost");
        let heartbeat = forwarded(folder, HEARTBEAT);
        for stale in [&device, &socket(folder), &heartbeat] {
            let _ = std::fs::remove_file(stale);
        }
        let sign = Sign::listen(&heartbeat)?;
        let mut backend = Command::new(&self.vsock_backend);
        backend.arg("--vm").arg(format!(
            "guest-cid={GUEST_CID},socket={},uds-path={}",
            device.display(),
            socket(folder).display()
        ));
        let backend = Part::start("vsock back end", backend, &logs.join("vsock.log"))?;
        wait_for(PATIENCE, "the vsock back end", || {
            device.exists().then_some(())
        })?;
        let emulator = Part::start("emulator", self.qemu(&device), &logs.join("enclave.log"))?;
        Ok(Enclave::Guest {
            emulator,
            sign,
            _backend: backend,
        })
    }

    fn qemu(&self, device: &Path) -> Command {
        let mut qemu = Command::new(&self.qemu);
        qemu.arg("-L").arg(&self.firmware);
        qemu.args(["-M", "nitro-enclave,vsock=c,id=redoubt"]);
        qemu.args(["-accel", "tcg", "-cpu", "max"]);
        qemu.arg("-m").arg(format!("{}M", self.memory_mib));
        qemu.args(["-nographic", "-monitor", "none", "-no-reboot"]);
        // A clock that is far off: whoever reads it gets caught.
        qemu.args(["-rtc", &format!("base={GUEST_CLOCK}")]);
        qemu.arg("-kernel").arg(&self.image);
        qemu.arg("-chardev");
        qemu.arg(format!("socket,id=c,path={}", device.display()));
        qemu
    }

    /// What `redoubt genesis init` is told of this machine.
    pub(super) fn ceremony(&self) -> Vec<std::ffi::OsString> {
        let mut arguments = vec!["--enclave-pcrs".into(), self.measurements.clone().into()];
        if self.founded == Founded::Emulated {
            arguments.push("--emulated-machine".into());
        }
        arguments
    }
}
