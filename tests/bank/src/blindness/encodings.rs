//! The forms in which bytes travel: as they are, hex, base64 at each of its
//! three alignments, URL-escaped, UTF-16; vectors as numbers of several widths.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// One form of a secret.
pub(super) struct Form {
    pub(super) encoding: String,
    pub(super) bytes: Vec<u8>,
}

/// Every distinct form of `bytes`.
pub(super) fn forms(bytes: &[u8]) -> Vec<Form> {
    let mut all = vec![
        form("raw", bytes.to_vec()),
        form("hex", hex::encode(bytes).into_bytes()),
        form("hex-upper", hex::encode_upper(bytes).into_bytes()),
        form("url", url_escaped(bytes, false, true)),
        form("url-lower", url_escaped(bytes, false, false)),
        form("url-all", url_escaped(bytes, true, true)),
        form("utf-16le", utf16(bytes, u16::to_le_bytes)),
        form("utf-16be", utf16(bytes, u16::to_be_bytes)),
    ];
    for offset in 0..3 {
        let name = |alphabet: &str| format!("{alphabet}+{offset}");
        all.push(form(
            &name("base64"),
            base64_at(bytes, offset, |b| STANDARD_NO_PAD.encode(b)),
        ));
        all.push(form(
            &name("base64url"),
            base64_at(bytes, offset, |b| URL_SAFE_NO_PAD.encode(b)),
        ));
    }
    let mut distinct: Vec<Form> = Vec::new();
    for form in all {
        if !distinct.iter().any(|other| other.bytes == form.bytes) {
            distinct.push(form);
        }
    }
    distinct
}

/// The byte strings in which a vector of reals may stand.
pub(super) fn vector_forms(values: &[f32]) -> Vec<Form> {
    let largest = values.iter().fold(f32::MIN_POSITIVE, |m, v| m.max(v.abs()));
    let int8 = |scale: f32| -> Vec<u8> {
        let byte = |v: &f32| (v * scale).round().clamp(-128.0, 127.0) as i8 as u8;
        values.iter().map(byte).collect()
    };
    let biased = |bytes: Vec<u8>| bytes.into_iter().map(|b| b ^ 0x80).collect::<Vec<u8>>();
    vec![
        form(
            "f32-le",
            values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ),
        form(
            "f32-be",
            values.iter().flat_map(|v| v.to_be_bytes()).collect(),
        ),
        form("int8", int8(127.0)),
        form("int8-max", int8(127.0 / largest)),
        form("uint8", biased(int8(127.0))),
        form("uint8-max", biased(int8(127.0 / largest))),
    ]
}

fn form(encoding: &str, bytes: Vec<u8>) -> Form {
    Form {
        encoding: encoding.to_owned(),
        bytes,
    }
}

/// The characters that the bytes determine alone when `offset` bytes go before them.
fn base64_at(bytes: &[u8], offset: usize, encode: impl Fn(&[u8]) -> String) -> Vec<u8> {
    let mut padded = vec![0; offset];
    padded.extend_from_slice(bytes);
    let text = encode(&padded).into_bytes();
    let first = (offset * 8).div_ceil(6);
    let end = padded.len() * 8 / 6;
    text[first.min(end)..end].to_vec()
}

fn url_escaped(bytes: &[u8], everything: bool, upper: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() * 3);
    for &byte in bytes {
        let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if plain && !everything {
            out.push(byte);
        } else if upper {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        } else {
            out.extend_from_slice(format!("%{byte:02x}").as_bytes());
        }
    }
    out
}

/// Text as UTF-16; bytes that are no text as one unit each.
fn utf16(bytes: &[u8], order: impl Fn(u16) -> [u8; 2]) -> Vec<u8> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.encode_utf16().flat_map(order).collect(),
        Err(_) => bytes.iter().flat_map(|b| order(u16::from(*b))).collect(),
    }
}
