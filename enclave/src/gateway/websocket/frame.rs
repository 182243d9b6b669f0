//! Frames of a WebSocket (RFC 6455 section 5), as a server that only tells needs them.
//!
//! Protects against a client that sends more than it may: of data nothing is taken, so
//! there is nothing to put together, and what is read fits in a control frame.

/// Bytes that a control frame carries at most (section 5.5).
const CONTROL_MAX: usize = 125;
/// Bytes of the longest frame that is taken: head, mask, content.
pub(super) const FRAME_MAX: usize = 2 + 4 + CONTROL_MAX;

const FINAL: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;
const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// What a client may send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// It wants to know whether we live; a pong repeats this.
    Ping(Vec<u8>),
    /// It lives.
    Pong,
    /// It ends.
    Close,
}

/// Why a connection ends before its feed, as the status codes of section 7.4.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// There is nothing more to tell.
    Normal = 1000,
    /// The connection has an age, and this one reached it.
    GoingAway = 1001,
    /// Not as the protocol has it.
    Protocol = 1002,
    /// Data, where nothing is asked.
    Unacceptable = 1003,
}

/// The first frame of what came and its length in bytes; `None` until it is whole.
pub fn read(bytes: &[u8]) -> Result<Option<(Received, usize)>, Ending> {
    let [first, second, rest @ ..] = bytes else {
        return Ok(None);
    };
    let kind = first & 0x0f;
    if first & RESERVED != 0 || second & MASKED == 0 {
        return Err(Ending::Protocol);
    }
    match kind {
        0..=2 => return Err(Ending::Unacceptable),
        CLOSE..=PONG => {}
        _ => return Err(Ending::Protocol),
    }
    let length = usize::from(second & !MASKED);
    if first & FINAL == 0 || length > CONTROL_MAX {
        return Err(Ending::Protocol);
    }
    let (Some(mask), Some(masked)) = (rest.get(..4), rest.get(4..4 + length)) else {
        return Ok(None);
    };
    let content = masked.iter().zip(mask.iter().cycle());
    let content: Vec<u8> = content.map(|(byte, mask)| byte ^ mask).collect();
    let received = match kind {
        PING => Received::Ping(content),
        PONG => Received::Pong,
        _ => closes(&content)?,
    };
    Ok(Some((received, 2 + 4 + length)))
}

/// A close is empty, or a status and a reason (section 5.5.1).
fn closes(content: &[u8]) -> Result<Received, Ending> {
    let sound = match content {
        [] => true,
        [high, low, reason @ ..] => {
            let status = u16::from_be_bytes([*high, *low]);
            let known = matches!(status, 1000..=1003 | 1007..=1014 | 3000..=4999);
            known && std::str::from_utf8(reason).is_ok()
        }
        [_] => false,
    };
    sound.then_some(Received::Close).ok_or(Ending::Protocol)
}

/// A frame from a server, which masks nothing.
fn frame(kind: u8, content: &[u8]) -> Vec<u8> {
    let mut frame = vec![FINAL | kind];
    match content.len() {
        length @ 0..=CONTROL_MAX => frame.push(length as u8),
        length @ 126..=0xffff => {
            frame.push(126);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(content);
    frame
}

/// A message.
pub(super) fn text(message: &str) -> Vec<u8> {
    frame(TEXT, message.as_bytes())
}

/// A question whether somebody listens.
pub(super) fn ping() -> Vec<u8> {
    frame(PING, &[])
}

/// The answer to one, which repeats it. What is longer than any question is cut.
pub(super) fn pong(content: &[u8]) -> Vec<u8> {
    frame(PONG, &content[..content.len().min(CONTROL_MAX)])
}

/// The end.
pub(super) fn close(ending: Ending) -> Vec<u8> {
    frame(CLOSE, &(ending as u16).to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a client sends it.
    fn masked(first: u8, content: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 0xfe];
        let hidden = content.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m);
        let head = [first, MASKED | content.len() as u8];
        head.into_iter().chain(mask).chain(hidden).collect()
    }

    #[test]
    fn control_frames_are_read_once_they_are_whole() {
        let status = [&1000u16.to_be_bytes()[..], "Ende".as_bytes()].concat();
        let cases = [
            (masked(0x89, b"hello"), Received::Ping(b"hello".to_vec())),
            (masked(0x89, &[7; 125]), Received::Ping(vec![7; 125])),
            (masked(0x8a, b""), Received::Pong),
            (masked(0x88, b""), Received::Close),
            (masked(0x88, &status), Received::Close),
        ];
        for (bytes, expected) in cases {
            for end in 0..bytes.len() {
                assert_eq!(read(&bytes[..end]), Ok(None), "{expected:?} at {end}");
            }
            assert!(bytes.len() <= FRAME_MAX);
            let more = [&bytes[..], b"more"].concat();
            assert_eq!(read(&more), Ok(Some((expected, bytes.len()))));
        }
    }

    #[test]
    fn everything_else_ends_the_connection_with_its_own_status() {
        let unmasked = frame(PING, b"x");
        let long = [0x89, MASKED | 126, 0, 126];
        let cases: Vec<(Vec<u8>, Ending)> = vec![
            (masked(0x81, b"text"), Ending::Unacceptable),
            (masked(0x82, b"data"), Ending::Unacceptable),
            (masked(0x01, b"begun"), Ending::Unacceptable),
            (masked(0x80, b"continued"), Ending::Unacceptable),
            (masked(0x83, b""), Ending::Protocol),
            (masked(0x8b, b""), Ending::Protocol),
            (masked(0xc9, b""), Ending::Protocol),
            (masked(0x09, b"a ping in two"), Ending::Protocol),
            (masked(0x88, &[3]), Ending::Protocol),
            (masked(0x88, &[3, 0xed]), Ending::Protocol),
            (masked(0x88, &[3, 0xe8, 0xff]), Ending::Protocol),
            (unmasked, Ending::Protocol),
            (long.to_vec(), Ending::Protocol),
        ];
        for (bytes, expected) in cases {
            assert_eq!(read(&bytes), Err(expected), "{bytes:?}");
        }
    }

    /// The lengths of section 5.2, where the next form begins.
    #[test]
    fn what_is_told_has_the_length_that_it_says() {
        for (length, head) in [
            (0, vec![0x81, 0]),
            (125, vec![0x81, 125]),
            (126, vec![0x81, 126, 0, 126]),
            (0xffff, vec![0x81, 126, 0xff, 0xff]),
            (0x1_0000, vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let told = text(&"x".repeat(length));
            assert_eq!(told[..head.len()], head);
            assert_eq!(told.len(), head.len() + length);
        }
        assert_eq!(close(Ending::GoingAway), [0x88, 2, 3, 0xe9]);
        assert_eq!(pong(&[1; 300]).len(), 127);
    }
}
