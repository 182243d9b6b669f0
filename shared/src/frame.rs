//! Typed frames: 4-byte big-endian length, version byte, postcard body.
//!
//! Protects against a peer that lies about lengths (checked before anything is
//! allocated), appends bytes, or encodes one value two ways (postcard accepts
//! both: we decode, encode again and compare).

use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::limits::FRAME_MAX;

/// The only version spoken so far. Changing bytes means a new version.
pub const FRAME_VERSION: u8 = 1;

/// Why a frame was refused. The peer is at fault in every case but `Io`.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The stream ended cleanly before a frame began.
    #[error("peer closed the stream")]
    Closed,
    /// The declared length is zero or above the limit of this stream.
    #[error("peer declared a frame of {declared} bytes; 1 to {limit} are allowed")]
    Length {
        /// What the peer declared.
        declared: usize,
        /// What this stream allows.
        limit: usize,
    },
    /// Another version byte.
    #[error("peer speaks frame version {0}; this side speaks {FRAME_VERSION}")]
    Version(u8),
    /// The body is no value of the expected type.
    #[error("peer sent a malformed frame body: {0}")]
    Malformed(#[source] postcard::Error),
    /// The body decodes, but these are not the bytes its value encodes to.
    #[error("peer sent a non-canonical frame body")]
    NotCanonical,
    /// Reading or writing failed.
    #[error("stream failed: {0}")]
    Io(#[from] std::io::Error),
}

/// Encodes a message as one frame, length included.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let mut out = vec![0, 0, 0, 0, FRAME_VERSION];
    out = postcard::to_extend(message, out).map_err(FrameError::Malformed)?;
    let body = out.len() - 4;
    if body > FRAME_MAX {
        return Err(FrameError::Length {
            declared: body,
            limit: FRAME_MAX,
        });
    }
    out[..4].copy_from_slice(&(body as u32).to_be_bytes());
    Ok(out)
}

/// Decodes what follows the length: version byte and postcard body.
pub fn decode<T: Serialize + DeserializeOwned>(versioned: &[u8]) -> Result<T, FrameError> {
    let (&version, body) = versioned.split_first().ok_or(FrameError::Length {
        declared: 0,
        limit: FRAME_MAX,
    })?;
    if version != FRAME_VERSION {
        return Err(FrameError::Version(version));
    }
    decode_canonical(body)
}

/// Decodes a bare postcard value, refusing trailing bytes and other encodings of it.
pub fn decode_canonical<T: Serialize + DeserializeOwned>(body: &[u8]) -> Result<T, FrameError> {
    let (value, rest) = postcard::take_from_bytes::<T>(body).map_err(FrameError::Malformed)?;
    if !rest.is_empty() {
        return Err(FrameError::NotCanonical);
    }
    let again = postcard::to_stdvec(&value).map_err(FrameError::Malformed)?;
    if again != body {
        return Err(FrameError::NotCanonical);
    }
    Ok(value)
}

/// Checks a declared length before anything is allocated for it.
fn checked_length(prefix: [u8; 4], limit: usize) -> Result<usize, FrameError> {
    let declared = u32::from_be_bytes(prefix) as usize;
    if declared == 0 || declared > limit {
        return Err(FrameError::Length { declared, limit });
    }
    Ok(declared)
}

/// Reads one frame; whatever follows it stays in the stream. Memory grows with the
/// bytes that arrive, not with the length declared.
pub async fn read_frame<T, S>(stream: &mut S) -> Result<T, FrameError>
where
    T: Serialize + DeserializeOwned,
    S: AsyncRead + Unpin,
{
    read_frame_of(stream, FRAME_MAX).await
}

/// The same where no frame is longer than `limit`.
pub async fn read_frame_of<T, S>(stream: &mut S, limit: usize) -> Result<T, FrameError>
where
    T: Serialize + DeserializeOwned,
    S: AsyncRead + Unpin,
{
    let mut prefix = [0u8; 4];
    let mut have = 0;
    while have < 4 {
        match stream.read(&mut prefix[have..]).await? {
            0 if have == 0 => return Err(FrameError::Closed),
            0 => return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into()),
            n => have += n,
        }
    }
    let length = checked_length(prefix, limit)?;
    let mut body = Vec::with_capacity(length.min(64 * 1024));
    stream.take(length as u64).read_to_end(&mut body).await?;
    if body.len() != length {
        return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
    }
    decode(&body)
}

/// Writes one frame and flushes it.
pub async fn write_frame<T, S>(stream: &mut S, message: &T) -> Result<(), FrameError>
where
    T: Serialize,
    S: AsyncWrite + Unpin,
{
    stream.write_all(&encode(message)?).await?;
    stream.flush().await?;
    Ok(())
}
