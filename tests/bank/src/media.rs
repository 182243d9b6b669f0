//! Samples for every outcome, composed at run time from a few portraits.

use std::io::Cursor;
use std::path::Path;

use anyhow::{Context, Result};
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};

/// The portraits and what is made of them, as encoded files.
#[derive(Debug, Clone)]
pub struct Media {
    /// One person, enrolled.
    pub person: Vec<u8>,
    /// Another photograph of that person.
    pub person_again: Vec<u8>,
    /// A third one.
    pub person_third: Vec<u8>,
    /// Somebody else.
    pub other: Vec<u8>,
    /// Nobody at all.
    pub no_face: Vec<u8>,
    /// Both people side by side.
    pub two_faces: Vec<u8>,
    /// The person in the dark.
    pub dark: Vec<u8>,
    /// The person far away.
    pub tiny: Vec<u8>,
    /// No image.
    pub not_an_image: Vec<u8>,
}

impl Media {
    /// Reads `obama.jpg`, `obama2.jpg`, `obama3.jpg` and `biden.jpg` from a folder.
    pub fn read(dir: &Path) -> Result<Self> {
        let file = |name: &str| {
            let path = dir.join(name);
            std::fs::read(&path)
                .with_context(|| format!("{}: fetch the sample media first", path.display()))
        };
        let (person, other) = (file("obama.jpg")?, file("biden.jpg")?);
        let (portrait, second) = (decode(&person)?, decode(&other)?);
        Ok(Self {
            person_again: file("obama2.jpg")?,
            person_third: file("obama3.jpg")?,
            no_face: encode(&scenery())?,
            two_faces: encode(&side_by_side(&portrait, &second))?,
            dark: encode(&darkened(&portrait))?,
            tiny: encode(&far_away(&portrait))?,
            not_an_image: b"This is a letter to the bank, not a photograph.".repeat(40),
            person,
            other,
        })
    }
}

/// Any file as RGB.
pub fn decode(bytes: &[u8]) -> Result<RgbImage> {
    Ok(image::load_from_memory(bytes)
        .context("a sample photograph does not decode")?
        .to_rgb8())
}

/// RGB as JPEG.
pub fn encode(image: &RgbImage) -> Result<Vec<u8>> {
    let mut out = Cursor::new(Vec::new());
    JpegEncoder::new_with_quality(&mut out, 92).encode_image(image)?;
    Ok(out.into_inner())
}

/// Scaled to a height.
pub fn scaled(image: &RgbImage, height: u32) -> RgbImage {
    let width = (image.width() * height).div_ceil(image.height()).max(1);
    imageops::resize(image, width, height, FilterType::Triangle)
}

/// Two people as far from the camera as each other: both photographs at one scale.
fn side_by_side(left: &RgbImage, right: &RgbImage) -> RgbImage {
    let height = left.height().max(right.height());
    let mut both = RgbImage::new(left.width() + right.width(), height);
    imageops::replace(&mut both, left, 0, 0);
    imageops::replace(&mut both, right, i64::from(left.width()), 0);
    scaled(&both, 1100)
}

fn darkened(image: &RgbImage) -> RgbImage {
    let mut dark = scaled(image, 600);
    for Rgb(channels) in dark.pixels_mut() {
        for value in channels {
            *value = (f32::from(*value) * 0.10) as u8;
        }
    }
    dark
}

fn far_away(image: &RgbImage) -> RgbImage {
    let mut wall = RgbImage::from_pixel(640, 480, Rgb([150, 155, 160]));
    imageops::replace(&mut wall, &scaled(image, 100), 270, 190);
    wall
}

/// Hills under a sky, by a formula.
fn scenery() -> RgbImage {
    RgbImage::from_fn(640, 480, |x, y| {
        let horizon = 260.0 + 40.0 * (x as f32 / 70.0).sin() + 15.0 * (x as f32 / 23.0).cos();
        let grain = ((x * 7 + y * 13) % 11) as u8;
        if (y as f32) < horizon {
            Rgb([120 + (y / 8) as u8, 160 + (y / 10) as u8, 225])
        } else {
            Rgb([60 + grain * 3, 110 + grain * 4, 50 + grain])
        }
    })
}
