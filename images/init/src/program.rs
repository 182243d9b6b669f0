//! The one program of the image, started with arguments that are part of the
//! measured init. Which one it is, the image's second ramdisk says by holding it.

use std::ffi::OsStr;
use std::os::unix::fs::chown;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use crate::{Failure, nsm};

/// Where programs stand in an image.
const FOLDER: &str = "/bin";
/// Not root: the program needs its sockets and the security module, nothing else.
const USER: u32 = 1000;

/// What an image may be for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    Enclave,
    Worker,
}

/// Where the enclave listens and which ports it calls at the parent. The host is
/// started with the same numbers; nothing is trusted because of them.
const LISTENS: [(&str, u32); 2] = [("--ingress", 5000), ("--supervise", 5001)];
const CALLS: [(&str, u32); 3] = [("--store", 5002), ("--worker", 5003), ("--peers", 5004)];
/// Where a worker in an image of its own listens.
const WORKER_LISTENS: u32 = 5003;

/// Starts it and waits for its end; returns how it ended. It starts no others, so
/// there is nobody else to wait for.
pub(crate) fn run(parent: u32) -> Result<ExitStatus, Failure> {
    let program = Program::of_image(Path::new(FOLDER))?;
    chown(nsm::DEVICE, Some(USER), Some(USER))
        .map_err(|error| Failure::because(nsm::DEVICE, error))?;
    loop {
        let ended = program.start(parent)?;
        if !program.goes_on_after(ended) {
            return Ok(ended);
        }
        eprintln!("redoubt-init: the program ended ({ended}) and is started again");
    }
}

impl Program {
    /// The one that the folder holds: none, two, or a stranger is an error.
    fn of_image(folder: &Path) -> Result<Self, Failure> {
        let what = || format!("{}: one program is to be here", folder.display());
        let entries =
            std::fs::read_dir(folder).map_err(|error| Failure::because(&what(), error))?;
        let names: Result<Vec<_>, _> = entries
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect();
        let names = names.map_err(|error| Failure::because(&what(), error))?;
        let known = |name: &OsStr| {
            let all = [Self::Enclave, Self::Worker];
            all.into_iter().find(|program| name == program.name())
        };
        match &names[..] {
            [name] => known(name),
            _ => None,
        }
        .ok_or_else(|| Failure(format!("{}, not {names:?}", what())))
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Enclave => "redoubt-enclave",
            Self::Worker => "redoubt-worker",
        }
    }

    fn start(self, parent: u32) -> Result<ExitStatus, Failure> {
        let path = Path::new(FOLDER).join(self.name());
        let mut child = Command::new(&path)
            .args(self.arguments(parent))
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null())
            .uid(USER)
            .gid(USER)
            .spawn()
            .map_err(|error| Failure::because(&path.display().to_string(), error))?;
        child
            .wait()
            .map_err(|error| Failure::because("waiting for the program", error))
    }

    fn arguments(self, parent: u32) -> Vec<String> {
        match self {
            Self::Enclave => enclave(parent),
            Self::Worker => worker(),
        }
    }

    /// A worker serves one session per process and keeps nothing: after a session,
    /// and after a crash in one, the next begins anew. One that says that it cannot
    /// start would say so again. An enclave's end is the machine's.
    fn goes_on_after(self, ended: ExitStatus) -> bool {
        self == Self::Worker && (ended.success() || ended.signal().is_some())
    }
}

fn enclave(parent: u32) -> Vec<String> {
    let mut arguments = vec!["--nsm".to_owned()];
    for (flag, port) in LISTENS {
        arguments.extend([flag.to_owned(), format!("vsock:any:{port}")]);
    }
    for (flag, port) in CALLS {
        arguments.extend([flag.to_owned(), format!("vsock:{parent}:{port}")]);
    }
    arguments
}

fn worker() -> Vec<String> {
    let listen = format!("vsock:any:{WORKER_LISTENS}");
    let arguments = [
        "--nsm",
        "--tier",
        "enclave",
        "--models",
        "/models",
        "--manifest",
        "/models/models.toml",
        "--listen",
        &listen,
    ];
    arguments.map(str::to_owned).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_enclave_gets_the_hardware_attester_and_vsock_alone() {
        let arguments = Program::Enclave.arguments(3).join(" ");
        assert_eq!(
            arguments,
            "--nsm --ingress vsock:any:5000 --supervise vsock:any:5001 \
             --store vsock:3:5002 --worker vsock:3:5003 --peers vsock:3:5004"
        );
    }

    #[test]
    fn a_worker_gets_the_hardware_attester_its_own_weights_and_one_port() {
        let arguments = Program::Worker.arguments(3).join(" ");
        assert_eq!(
            arguments,
            "--nsm --tier enclave --models /models --manifest /models/models.toml \
             --listen vsock:any:5003"
        );
    }

    #[test]
    fn the_image_says_which_program_runs_and_holds_no_other() {
        let folder = std::env::temp_dir().join(format!("redoubt-init-{}", std::process::id()));
        let of = |names: &[&str]| {
            let _ = std::fs::remove_dir_all(&folder);
            std::fs::create_dir(&folder).unwrap();
            for name in names {
                std::fs::write(folder.join(name), "").unwrap();
            }
            let found = Program::of_image(&folder);
            std::fs::remove_dir_all(&folder).unwrap();
            found
        };
        assert_eq!(of(&["redoubt-enclave"]).unwrap(), Program::Enclave);
        assert_eq!(of(&["redoubt-worker"]).unwrap(), Program::Worker);
        for wrong in [
            &[][..],
            &["sh"],
            &["redoubt-enclave", "redoubt-worker"],
            &["redoubt-worker", "sh"],
        ] {
            let Failure(text) = of(wrong).unwrap_err();
            assert!(text.contains("one program is to be here"), "{text}");
        }
        assert!(Program::of_image(&folder).is_err());
    }

    #[test]
    fn only_a_worker_that_served_or_crashed_is_started_again() {
        let (well, failed, killed) = (0, 1 << 8, libc::SIGSEGV);
        for (program, ended, again) in [
            (Program::Worker, well, true),
            (Program::Worker, killed, true),
            (Program::Worker, failed, false),
            (Program::Enclave, well, false),
            (Program::Enclave, killed, false),
            (Program::Enclave, failed, false),
        ] {
            let status = ExitStatus::from_raw(ended);
            assert_eq!(program.goes_on_after(status), again, "{program:?} {status}");
        }
    }
}
