//! Bank bytes to pixels. Protects against files built to hurt a decoder: the
//! kind is read from the bytes, the size is checked before a pixel is decoded,
//! half a picture is no picture. Runs inside the sandbox only, on decoders in
//! memory-safe Rust.

use std::io::Cursor;
use std::panic::catch_unwind;

use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};
use redoubt_shared::worker::SampleRefusal;

use super::pixels::Pixels;

/// Most pixels decoded; a phone's 24-megapixel photograph fits.
pub const PIXELS_MAX: u64 = 25_000_000;
/// Longest side decoded, in pixels.
pub const SIDE_MAX: u32 = 12_000;
/// Most memory a decoder may take for itself, in bytes.
const DECODER_MEMORY: u64 = 512 * 1024 * 1024;

/// Decodes one still JPEG, PNG or WebP, turned upright by its EXIF orientation. What a
/// decoder panics on is none: one does on a palette of a part of a colour.
pub(super) fn decode(bytes: &[u8]) -> Result<Pixels, SampleRefusal> {
    decode_within(bytes, PIXELS_MAX)
}

/// The same of at most so many pixels, which is looked at before one is decoded.
pub(super) fn decode_within(bytes: &[u8], pixels_max: u64) -> Result<Pixels, SampleRefusal> {
    catch_unwind(|| still(bytes, pixels_max)).unwrap_or(Err(SampleRefusal::NotAnImage))
}

fn still(bytes: &[u8], pixels_max: u64) -> Result<Pixels, SampleRefusal> {
    let format = image::guess_format(bytes).map_err(|_| SampleRefusal::NotAnImage)?;
    match format {
        ImageFormat::Png if !png_is_animated(bytes)? => {}
        ImageFormat::Jpeg if jpeg_is_whole(bytes) => {}
        ImageFormat::WebP if !webp_is_animated(bytes)? => {}
        _ => return Err(SampleRefusal::NotAnImage),
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(DECODER_MEMORY);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(refusal)?;
    check_size(decoder.dimensions())?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > pixels_max {
        return Err(SampleRefusal::TooManyPixels);
    }
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder).map_err(refusal)?;
    image.apply_orientation(orientation);
    let rgb = image.into_rgb8();
    Ok(Pixels {
        width: rgb.width() as usize,
        height: rgb.height() as usize,
        rgb: rgb.into_raw(),
    })
}

fn check_size((width, height): (u32, u32)) -> Result<(), SampleRefusal> {
    if width == 0 || height == 0 {
        return Err(SampleRefusal::NotAnImage);
    }
    let pixels = u64::from(width) * u64::from(height);
    if pixels > PIXELS_MAX || width > SIDE_MAX || height > SIDE_MAX {
        return Err(SampleRefusal::TooManyPixels);
    }
    Ok(())
}

fn refusal(error: ImageError) -> SampleRefusal {
    match error {
        ImageError::Limits(_) => SampleRefusal::TooManyPixels,
        _ => SampleRefusal::NotAnImage,
    }
}

/// A film whose first picture other programs would show instead.
fn png_is_animated(bytes: &[u8]) -> Result<bool, SampleRefusal> {
    let mut limits = Limits::default();
    limits.max_alloc = Some(DECODER_MEMORY);
    let decoder = PngDecoder::with_limits(Cursor::new(bytes), limits).map_err(refusal)?;
    check_size(decoder.dimensions())?;
    decoder.is_apng().map_err(refusal)
}

/// The header is read without limits on its size; it allocates a few tables only.
fn webp_is_animated(bytes: &[u8]) -> Result<bool, SampleRefusal> {
    let decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(refusal)?;
    check_size(decoder.dimensions())?;
    Ok(decoder.has_animation())
}

/// Whether a JPEG reaches its end-of-image marker. The decoder itself would
/// fill the missing rest with grey.
fn jpeg_is_whole(bytes: &[u8]) -> bool {
    const SOI: u8 = 0xd8;
    const EOI: u8 = 0xd9;
    let mut at = 0;
    loop {
        let Some(skipped) = bytes[at..].iter().position(|byte| *byte == 0xff) else {
            return false;
        };
        at += skipped;
        while bytes.get(at) == Some(&0xff) {
            at += 1;
        }
        let Some(&marker) = bytes.get(at) else {
            return false;
        };
        at += 1;
        match marker {
            EOI => return true,
            // stuffed zero, TEM, restart markers and SOI carry no length
            0x00 | 0x01 | 0xd0..=0xd7 | SOI => {}
            _ => {
                let Some(length) = bytes[at..].first_chunk::<2>() else {
                    return false;
                };
                at += usize::from(u16::from_be_bytes(*length));
            }
        }
        if at > bytes.len() {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ImageEncoder, Rgb, RgbImage};

    fn picture(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            Rgb([(x * 7) as u8, (y * 5) as u8, ((x ^ y) * 3) as u8])
        })
    }

    fn encoded(format: ImageFormat) -> Vec<u8> {
        let mut out = Cursor::new(Vec::new());
        picture(64, 48).write_to(&mut out, format).unwrap();
        out.into_inner()
    }

    const KINDS: [ImageFormat; 3] = [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP];

    #[test]
    fn whole_pictures_of_every_kind_are_decoded() {
        for kind in KINDS {
            let pixels = decode(&encoded(kind)).unwrap();
            assert_eq!((pixels.width, pixels.height), (64, 48), "{kind:?}");
            assert_eq!(pixels.rgb.len(), 64 * 48 * 3);
        }
    }

    #[test]
    fn a_picture_cut_short_anywhere_is_not_an_image() {
        for kind in KINDS {
            let whole = encoded(kind);
            for cut in (0..whole.len() - 13).step_by(whole.len() / 40) {
                let outcome = decode(&whole[..cut]).map(|_| cut);
                assert_eq!(outcome, Err(SampleRefusal::NotAnImage), "{kind:?}");
            }
        }
    }

    #[test]
    fn a_header_that_claims_huge_dimensions_is_refused_before_decoding() {
        // JPEG: height and width in the frame header
        let mut jpeg = encoded(ImageFormat::Jpeg);
        let frame = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
        jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff; 4]);
        assert_eq!(decode(&jpeg).unwrap_err(), SampleRefusal::TooManyPixels);
        // PNG: written whole with a true checksum, 20,000 by 20,000
        let mut png = Vec::new();
        let side = 20_000u32;
        image::codecs::png::PngEncoder::new(&mut png)
            .write_image(
                &vec![0; (side * side) as usize],
                side,
                side,
                image::ExtendedColorType::L8,
            )
            .unwrap();
        assert_eq!(decode(&png).unwrap_err(), SampleRefusal::TooManyPixels);
        // WebP lossless: 14 bits each of width and height, less one, after the signature byte
        let mut webp = encoded(ImageFormat::WebP);
        let at = webp.windows(4).position(|w| w == b"VP8L").unwrap() + 9;
        let claim = 15_999u32 | 15_999 << 14;
        webp[at..at + 4].copy_from_slice(&claim.to_le_bytes());
        assert_eq!(decode(&webp).unwrap_err(), SampleRefusal::TooManyPixels);
    }

    #[test]
    fn other_kinds_and_no_bytes_are_not_an_image() {
        let gif = b"GIF89a\x01\x00\x01\x00\x00\x00\x00;".as_slice();
        let pdf_with_a_jpeg = [b"%PDF-1.7\n".as_slice(), &encoded(ImageFormat::Jpeg)].concat();
        for bytes in [
            &[][..],
            b"hello",
            gif,
            &pdf_with_a_jpeg,
            &[0xff; 100],
            &[0; 100],
        ] {
            assert_eq!(decode(bytes).unwrap_err(), SampleRefusal::NotAnImage);
        }
    }

    #[test]
    fn bytes_behind_a_whole_picture_are_ignored() {
        for kind in KINDS {
            let polyglot = [encoded(kind), b"PK\x03\x04 <script>".to_vec()].concat();
            assert_eq!(decode(&polyglot).unwrap().width, 64, "{kind:?}");
        }
    }

    #[test]
    fn exif_orientation_turns_the_picture_upright() {
        // APP1 with a one-entry TIFF directory: orientation 6, a quarter turn
        let tiff = [
            b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01".as_slice(),
            &[0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0],
        ]
        .concat();
        let length = (tiff.len() as u16 + 2).to_be_bytes();
        let jpeg = encoded(ImageFormat::Jpeg);
        let turned = [&jpeg[..2], &[0xff, 0xe1], &length, &tiff, &jpeg[2..]].concat();
        let pixels = decode(&turned).unwrap();
        assert_eq!((pixels.width, pixels.height), (48, 64));
    }
}
