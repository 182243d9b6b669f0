//! The enclave image format, version 4: a header, then sections one behind the
//! other, all numbers big-endian, a CRC-32 over everything but itself.
//!
//! Protects against two readings of one file: what is read back is exactly what
//! this program writes, and every other form is refused under a name of its own.

use crc32fast::Hasher;

/// Length of the file's header.
pub const HEADER_BYTES: usize = 548;
/// The most sections a header has room for.
pub const MAX_SECTIONS: usize = 32;

const MAGIC: &[u8; 4] = b".eif";
const VERSION: u16 = 4;
const X86_64: u16 = 0;
/// Defaults for whoever starts the image without saying so.
const MEMORY: u64 = 1 << 30;
const PROCESSORS: u64 = 2;
const SECTION_HEADER: usize = 12;
const CRC_AT: usize = HEADER_BYTES - 4;

/// An image, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Eif {
    /// bzImage.
    pub kernel: Vec<u8>,
    /// The kernel's measured command line.
    pub command_line: String,
    /// JSON about the build; measures nothing.
    pub metadata: Vec<u8>,
    /// Ramdisks, in the order the kernel unpacks them.
    pub ramdisks: Vec<Vec<u8>>,
}

/// What is wrong with an image file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EifError {
    /// Shorter than a header.
    #[error("{0} bytes: shorter than the header of an enclave image")]
    TooShort(usize),
    /// Some other file.
    #[error("no enclave image: it does not begin with `.eif`")]
    Magic,
    /// A version this program does not write.
    #[error("format version {0}; this program reads version {VERSION}")]
    Version(u16),
    /// Another processor, or flags nobody defined.
    #[error("header flags {0:#06x}; images for x86-64 have none")]
    Flags(u16),
    /// Memory, processors or reserved fields that this program does not write.
    #[error("the header's defaults or reserved fields are not this program's")]
    Header,
    /// No room for so many sections, or none at all.
    #[error("{0} sections; a kernel, a command line, metadata and 1 to 29 ramdisks are due")]
    SectionCount(usize),
    /// A section that does not begin where the one before it ended.
    #[error("section {0} does not begin where the one before it ends")]
    SectionPlace(usize),
    /// Header and section say different sizes.
    #[error("section {0} has another size in the header than at its place")]
    SectionSize(usize),
    /// The file ends within a section.
    #[error("the file ends within section {0}")]
    CutShort(usize),
    /// A kind of section that does not belong there.
    #[error("section {index} is of kind {kind} where {wanted} is due")]
    SectionKind {
        /// Which section.
        index: usize,
        /// The kind found.
        kind: u16,
        /// The kind that belongs there.
        wanted: u16,
    },
    /// Flags of a section, which has none.
    #[error("section {0} has flags; no flag is defined")]
    SectionFlags(usize),
    /// Bytes behind the last section.
    #[error("{0} bytes follow the last section")]
    Trailing(usize),
    /// A command line that is no printable ASCII.
    #[error("the command line is not printable ASCII")]
    CommandLine,
    /// Damaged.
    #[error("CRC-32 is {found:08x} but the header says {written:08x}: the file is damaged")]
    Crc {
        /// Over what is there.
        found: u32,
        /// What the header says.
        written: u32,
    },
}

/// Kinds of sections. Signatures (kind 4) are not written: a release is signed by
/// its officers' manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
enum Kind {
    Kernel = 1,
    CommandLine = 2,
    Ramdisk = 3,
    Metadata = 5,
}

/// Which kind stands at which place.
fn kind_at(index: usize) -> Kind {
    match index {
        0 => Kind::Kernel,
        1 => Kind::CommandLine,
        2 => Kind::Metadata,
        _ => Kind::Ramdisk,
    }
}

impl Eif {
    /// Writes the file.
    pub fn write(&self) -> Result<Vec<u8>, EifError> {
        check_count(3 + self.ramdisks.len())?;
        check_command_line(self.command_line.as_bytes())?;
        let sections = self.sections();
        let mut file = header(&sections);
        for (index, section) in sections.iter().enumerate() {
            file.extend_from_slice(&section_header(index, section.len()));
            file.extend_from_slice(section);
        }
        let crc = crc(&file);
        file[CRC_AT..HEADER_BYTES].copy_from_slice(&crc.to_be_bytes());
        Ok(file)
    }

    fn sections(&self) -> Vec<&[u8]> {
        let first = [&self.kernel, self.command_line.as_bytes(), &self.metadata];
        let ramdisks = self.ramdisks.iter().map(Vec::as_slice);
        first.into_iter().chain(ramdisks).collect()
    }

    /// Reads a file that [`Self::write`] could have written; names what is not so.
    pub fn read(file: &[u8]) -> Result<Self, EifError> {
        let places = read_header(file)?;
        let mut sections = Vec::new();
        let mut end = HEADER_BYTES;
        for (index, (offset, size)) in places.into_iter().enumerate() {
            if offset != end as u64 {
                return Err(EifError::SectionPlace(index));
            }
            let section = section_at(file, index, end, size)?;
            end += SECTION_HEADER + section.len();
            sections.push(section);
        }
        if end != file.len() {
            return Err(EifError::Trailing(file.len() - end));
        }
        let (found, written) = (crc(file), u32_at(file, CRC_AT));
        if found != written {
            return Err(EifError::Crc { found, written });
        }
        check_command_line(sections[1])?;
        Ok(Self {
            kernel: sections[0].to_vec(),
            command_line: String::from_utf8_lossy(sections[1]).into_owned(),
            metadata: sections[2].to_vec(),
            ramdisks: sections[3..].iter().map(|part| part.to_vec()).collect(),
        })
    }
}

fn check_count(sections: usize) -> Result<(), EifError> {
    match (4..=MAX_SECTIONS).contains(&sections) {
        true => Ok(()),
        false => Err(EifError::SectionCount(sections)),
    }
}

fn check_command_line(bytes: &[u8]) -> Result<(), EifError> {
    let printable = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
    match bytes.iter().all(printable) {
        true => Ok(()),
        false => Err(EifError::CommandLine),
    }
}

/// The header with a CRC of zero.
fn header(sections: &[&[u8]]) -> Vec<u8> {
    let mut offsets = [0_u64; MAX_SECTIONS];
    let mut sizes = [0_u64; MAX_SECTIONS];
    let mut at = HEADER_BYTES;
    for (index, section) in sections.iter().enumerate() {
        offsets[index] = at as u64;
        sizes[index] = section.len() as u64;
        at += SECTION_HEADER + section.len();
    }
    let mut header = fixed_part();
    header.extend_from_slice(&(sections.len() as u16).to_be_bytes());
    for number in offsets.into_iter().chain(sizes) {
        header.extend_from_slice(&number.to_be_bytes());
    }
    header.resize(HEADER_BYTES, 0);
    header
}

/// Everything before the number of sections.
fn fixed_part() -> Vec<u8> {
    let mut header = MAGIC.to_vec();
    header.extend_from_slice(&VERSION.to_be_bytes());
    header.extend_from_slice(&X86_64.to_be_bytes());
    header.extend_from_slice(&MEMORY.to_be_bytes());
    header.extend_from_slice(&PROCESSORS.to_be_bytes());
    header.extend_from_slice(&[0; 2]);
    header
}

fn section_header(index: usize, size: usize) -> [u8; SECTION_HEADER] {
    let mut header = [0; SECTION_HEADER];
    header[..2].copy_from_slice(&(kind_at(index) as u16).to_be_bytes());
    header[4..].copy_from_slice(&(size as u64).to_be_bytes());
    header
}

/// Over everything but the field that holds it.
fn crc(file: &[u8]) -> u32 {
    let mut crc = Hasher::new();
    crc.update(&file[..CRC_AT]);
    crc.update(&file[HEADER_BYTES..]);
    crc.finalize()
}

/// Offset and size of every section.
fn read_header(file: &[u8]) -> Result<Vec<(u64, u64)>, EifError> {
    if !file.starts_with(MAGIC) {
        return Err(EifError::Magic);
    }
    if file.len() < HEADER_BYTES {
        return Err(EifError::TooShort(file.len()));
    }
    let (version, flags) = (u16_at(file, 4), u16_at(file, 6));
    if version != VERSION {
        return Err(EifError::Version(version));
    }
    if flags != X86_64 {
        return Err(EifError::Flags(flags));
    }
    let fixed = fixed_part();
    let count = usize::from(u16_at(file, fixed.len()));
    check_count(count)?;
    let table = fixed.len() + 2;
    let number = |index: usize| u64_at(file, table + 8 * index);
    let unused = (count..MAX_SECTIONS).any(|index| number(index) != 0)
        || (count..MAX_SECTIONS).any(|index| number(MAX_SECTIONS + index) != 0)
        || u32_at(file, CRC_AT - 4) != 0;
    if !file.starts_with(&fixed) || unused {
        return Err(EifError::Header);
    }
    let place = |index| (number(index), number(MAX_SECTIONS + index));
    Ok((0..count).map(place).collect())
}

/// The content of section `index` at `at`, which must be `size` bytes long.
fn section_at(file: &[u8], index: usize, at: usize, size: u64) -> Result<&[u8], EifError> {
    let rest = &file[at..];
    let (header, rest) = rest
        .split_at_checked(SECTION_HEADER)
        .ok_or(EifError::CutShort(index))?;
    let (kind, wanted) = (u16_at(header, 0), kind_at(index) as u16);
    if kind != wanted {
        return Err(EifError::SectionKind {
            index,
            kind,
            wanted,
        });
    }
    if u16_at(header, 2) != 0 {
        return Err(EifError::SectionFlags(index));
    }
    if u64_at(header, 4) != size {
        return Err(EifError::SectionSize(index));
    }
    let size = usize::try_from(size).map_err(|_| EifError::CutShort(index))?;
    rest.get(..size).ok_or(EifError::CutShort(index))
}

fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(bytes_at(bytes, at))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes_at(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(bytes_at(bytes, at))
}

#[cfg(test)]
#[path = "tests/eif.rs"]
mod tests;
