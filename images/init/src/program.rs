//! The one program of the image, started with arguments that are part of the
//! measured init.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};

use crate::{Failure, nsm};

const PROGRAM: &str = "/bin/redoubt-enclave";
/// Not root: the program needs its sockets and the security module, nothing else.
const USER: u32 = 1000;

/// Where the enclave listens and which ports it calls at the parent. The host is
/// started with the same numbers; nothing is trusted because of them.
const LISTENS: [(&str, u32); 2] = [("--ingress", 5000), ("--supervise", 5001)];
const CALLS: [(&str, u32); 3] = [("--store", 5002), ("--worker", 5003), ("--peers", 5004)];

/// Starts it and waits for its end. It starts no others, so there is nobody else to wait for.
pub(crate) fn run(parent: u32) -> Result<ExitStatus, Failure> {
    chown(nsm::DEVICE, Some(USER), Some(USER))
        .map_err(|error| Failure::because(nsm::DEVICE, error))?;
    let mut child = Command::new(PROGRAM)
        .args(arguments(parent))
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .uid(USER)
        .gid(USER)
        .spawn()
        .map_err(|error| Failure::because(PROGRAM, error))?;
    child
        .wait()
        .map_err(|error| Failure::because("waiting for the enclave", error))
}

fn arguments(parent: u32) -> Vec<String> {
    let mut arguments = vec!["--nsm".to_owned()];
    for (flag, port) in LISTENS {
        arguments.extend([flag.to_owned(), format!("vsock:any:{port}")]);
    }
    for (flag, port) in CALLS {
        arguments.extend([flag.to_owned(), format!("vsock:{parent}:{port}")]);
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_enclave_gets_the_hardware_attester_and_vsock_alone() {
        let arguments = arguments(3).join(" ");
        assert_eq!(
            arguments,
            "--nsm --ingress vsock:any:5000 --supervise vsock:any:5001 \
             --store vsock:3:5002 --worker vsock:3:5003 --peers vsock:3:5004"
        );
    }
}
