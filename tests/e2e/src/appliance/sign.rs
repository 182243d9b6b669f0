//! The one byte that an image's init sends before it starts its program, and that
//! Nitro's tools send back.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};

const STEP: Duration = Duration::from_millis(5);
/// How often it is looked for: a minute's worth.
const LOOKS: usize = 12_000;

/// Somebody who listens for it.
pub(super) struct Sign {
    heard: Mutex<(Receiver<u8>, Option<u8>)>,
}

impl Sign {
    /// Listens, answers once, does what follows from it, and is gone.
    pub(super) fn listen(path: &Path, then: impl FnOnce() + Send + 'static) -> Result<Self> {
        let listener = UnixListener::bind(path).with_context(|| path.display().to_string())?;
        listener.set_nonblocking(true)?;
        let (sender, heard) = channel();
        std::thread::spawn(move || {
            for _ in 0..LOOKS {
                if let Ok((stream, _)) = listener.accept() {
                    if let Ok(byte) = answer(stream) {
                        then();
                        let _ = sender.send(byte);
                    }
                    return;
                }
                std::thread::sleep(STEP);
            }
        });
        Ok(Self {
            heard: Mutex::new((heard, None)),
        })
    }

    /// The byte, once it came.
    pub(super) fn heard(&self) -> Option<u8> {
        let mut slot = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let (receiver, byte) = &mut *slot;
        if let Ok(heard) = receiver.try_recv() {
            *byte = Some(heard);
        }
        *byte
    }
}

fn answer(mut stream: UnixStream) -> std::io::Result<u8> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut byte = [0];
    stream.read_exact(&mut byte)?;
    stream.write_all(&byte)?;
    Ok(byte[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_is_sent_back_and_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("v_9000");
        let (done, is_done) = channel();
        let sign = Sign::listen(&path, move || done.send(()).unwrap()).unwrap();
        assert!(is_done.try_recv().is_err());
        assert_eq!(sign.heard(), None);
        let mut guest = UnixStream::connect(&path).unwrap();
        guest.write_all(&[0xb7]).unwrap();
        let mut back = [0];
        guest.read_exact(&mut back).unwrap();
        assert_eq!(back, [0xb7]);
        let heard = (0..200).find_map(|_| {
            std::thread::sleep(STEP);
            sign.heard()
        });
        assert_eq!(heard, Some(0xb7));
        is_done.recv().unwrap();
        assert_eq!(sign.heard(), Some(0xb7));
    }
}
