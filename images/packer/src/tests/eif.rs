//! Image files: what is written reads back, and each fault has its name.

use proptest::prelude::*;

use super::*;

fn image() -> Eif {
    Eif {
        kernel: b"kernel".to_vec(),
        command_line: "console=ttyS0 quiet".into(),
        metadata: br#"{"ImageName":"x"}"#.to_vec(),
        ramdisks: vec![b"first".to_vec(), b"second".to_vec()],
    }
}

/// The file with some bytes replaced and its CRC put right again.
fn with(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = image().write().unwrap();
    file[at..at + bytes.len()].copy_from_slice(bytes);
    sealed(file)
}

fn sealed(mut file: Vec<u8>) -> Vec<u8> {
    let crc = crc(&file);
    file[CRC_AT..HEADER_BYTES].copy_from_slice(&crc.to_be_bytes());
    file
}

#[test]
fn an_image_reads_back_as_it_was_written() {
    let file = image().write().unwrap();
    assert_eq!(Eif::read(&file).unwrap(), image());
    assert_eq!(&file[..8], b".eif\0\x04\0\0");
    // Kernel first: its header, its six bytes, then the command line's header.
    assert_eq!(
        file[HEADER_BYTES..][..12],
        [0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6]
    );
    assert_eq!(&file[HEADER_BYTES + 12..][..8], b"kernel\0\x02");
}

#[test]
fn each_fault_of_the_header_has_its_name() {
    let table = 28;
    let faults = [
        (with(0, b"elf."), EifError::Magic),
        (with(4, &[0, 3]), EifError::Version(3)),
        (with(6, &[0, 1]), EifError::Flags(1)),
        (with(8, &[1]), EifError::Header),
        (with(24, &[1]), EifError::Header),
        (with(26, &[0, 3]), EifError::SectionCount(3)),
        (with(26, &[0, 33]), EifError::SectionCount(33)),
        (with(26, &[0, 4]), EifError::Header),
        (with(26, &[0, 6]), EifError::SectionPlace(5)),
        (with(table + 7, &[0]), EifError::SectionPlace(0)),
        (with(table + 8 * 32 + 7, &[7]), EifError::SectionSize(0)),
        (with(CRC_AT - 4, &[1]), EifError::Header),
        (with(table + 8 * 31, &[1]), EifError::Header),
    ];
    for (number, (file, error)) in faults.into_iter().enumerate() {
        assert_eq!(Eif::read(&file).unwrap_err(), error, "fault {number}");
    }
}

#[test]
fn each_fault_of_a_section_has_its_name() {
    let kind = EifError::SectionKind {
        index: 0,
        kind: 2,
        wanted: 1,
    };
    let line = HEADER_BYTES + 12 + 6 + 12;
    let faults = [
        (with(HEADER_BYTES, &[0, 2]), kind),
        (with(HEADER_BYTES + 2, &[1]), EifError::SectionFlags(0)),
        (with(HEADER_BYTES + 11, &[7]), EifError::SectionSize(0)),
        (with(line, &[0]), EifError::CommandLine),
    ];
    for (number, (file, error)) in faults.into_iter().enumerate() {
        assert_eq!(Eif::read(&file).unwrap_err(), error, "fault {number}");
    }
}

#[test]
fn a_file_that_ends_early_goes_on_or_is_damaged_is_refused() {
    let file = image().write().unwrap();
    assert_eq!(Eif::read(b".eif").unwrap_err(), EifError::TooShort(4));
    assert_eq!(Eif::read(b"").unwrap_err(), EifError::Magic);
    let cut = &file[..file.len() - 1];
    assert_eq!(Eif::read(cut).unwrap_err(), EifError::CutShort(4));
    let longer = sealed([&file[..], b"x"].concat());
    assert_eq!(Eif::read(&longer).unwrap_err(), EifError::Trailing(1));
    let mut damaged = file.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert!(matches!(
        Eif::read(&damaged).unwrap_err(),
        EifError::Crc { .. }
    ));
}

#[test]
fn what_has_no_form_is_not_written() {
    let none = Eif {
        ramdisks: Vec::new(),
        ..image()
    };
    assert_eq!(none.write().unwrap_err(), EifError::SectionCount(3));
    let many = Eif {
        ramdisks: vec![Vec::new(); 30],
        ..image()
    };
    assert_eq!(many.write().unwrap_err(), EifError::SectionCount(33));
    let line = Eif {
        command_line: "a\nb".into(),
        ..image()
    };
    assert_eq!(line.write().unwrap_err(), EifError::CommandLine);
}

proptest! {
    #[test]
    fn every_image_reads_back(
        kernel: Vec<u8>,
        command_line in "[ -~]{0,40}",
        metadata: Vec<u8>,
        ramdisks in proptest::collection::vec(any::<Vec<u8>>(), 1..5),
    ) {
        let image = Eif { kernel, command_line, metadata, ramdisks };
        let file = image.write().unwrap();
        prop_assert_eq!(Eif::read(&file).unwrap(), image);
    }

    #[test]
    fn every_flipped_bit_is_refused(at: prop::sample::Index, bit in 0_u8..8) {
        let mut file = image().write().unwrap();
        let at = at.index(file.len());
        file[at] ^= 1 << bit;
        prop_assert!(Eif::read(&file).is_err());
    }

    /// Whatever is accepted is, byte for byte, what would be written.
    #[test]
    fn there_is_one_file_per_image(at: prop::sample::Index, byte: u8) {
        let mut file = image().write().unwrap();
        let at = at.index(file.len());
        file[at] = byte;
        let file = sealed(file);
        if let Ok(image) = Eif::read(&file) {
            prop_assert_eq!(image.write().unwrap(), file);
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes: Vec<u8>, as_header: bool) {
        let mut file = bytes;
        if as_header {
            let mut head = fixed_part();
            head.append(&mut file);
            head.resize(head.len().max(HEADER_BYTES), 0);
            file = sealed(head);
        }
        let _ = Eif::read(&file);
    }
}
