//! Writes CBOR for test vectors, canonical unless the caller says otherwise.

/// An item to write.
#[derive(Clone, Debug)]
pub(super) enum Item {
    Int(i64),
    Bytes(Vec<u8>),
    Text(&'static str),
    Array(Vec<Item>),
    /// Written in the order given.
    Map(Vec<(Item, Item)>),
    /// Written as it is.
    Raw(Vec<u8>),
}

impl Item {
    pub(super) fn bytes(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec())
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Int(n) if *n >= 0 => head(out, 0, n.unsigned_abs()),
            Self::Int(n) => head(out, 1, (-1 - n).unsigned_abs()),
            Self::Bytes(bytes) => {
                head(out, 2, bytes.len() as u64);
                out.extend(bytes);
            }
            Self::Text(text) => {
                head(out, 3, text.len() as u64);
                out.extend(text.as_bytes());
            }
            Self::Array(items) => {
                head(out, 4, items.len() as u64);
                items.iter().for_each(|item| item.write(out));
            }
            Self::Map(entries) => {
                head(out, 5, entries.len() as u64);
                for (key, value) in entries {
                    key.write(out);
                    value.write(out);
                }
            }
            Self::Raw(bytes) => out.extend(bytes),
        }
    }
}

fn head(out: &mut Vec<u8>, major: u8, argument: u64) {
    let major = major << 5;
    match argument {
        0..=23 => out.push(major | argument as u8),
        24..=0xff => out.extend([major | 24, argument as u8]),
        0x100..=0xffff => {
            out.push(major | 25);
            out.extend((argument as u16).to_be_bytes());
        }
        _ => {
            out.push(major | 26);
            out.extend((argument as u32).to_be_bytes());
        }
    }
}
