//! A face that moves, made of one photograph: no videos of people are at hand.
//!
//! The photograph is laid over a head of a simple shape, which is turned and raised; lids
//! are painted over the eyes. Networks follow that (docs/liveness.md); how people really
//! move it does not show.

use std::io::Cursor;

use anyhow::{Context, Result};
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};

/// Columns and rows of a frame.
const SIDE: u32 = 400;
/// How deep head and nose are, as parts of the distance between the eyes.
const HEAD: f32 = 0.9;
const NOSE: f32 = 0.25;
/// How wide and high the head is, likewise.
const WIDE: f32 = 0.95;
const HIGH: f32 = 1.35;
/// How far it is turned and raised, in degrees.
const TURN: f32 = 28.0;
const RAISE: f32 = 24.0;

/// One person, as one photograph shows them.
#[derive(Debug, Clone)]
pub struct Portrait {
    picture: RgbImage,
    /// The middle of the face, and the distance between its eyes, in pixels.
    middle: [f32; 2],
    apart: f32,
    /// Middle and width of each eye.
    eyes: [[f32; 3]; 2],
}

/// How a face stands.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stance {
    /// Degrees to the person's own left.
    pub yaw: f32,
    /// Degrees up.
    pub pitch: f32,
    /// Both eyes.
    pub shut: bool,
}

impl Portrait {
    /// Of the bytes of `obama3.jpg`.
    pub fn person(photograph: &[u8]) -> Result<Self> {
        Ok(Self {
            picture: cropped(photograph, [398, 67, 757])?,
            middle: [209.4, 197.5],
            apart: 61.0,
            eyes: [[179.0, 168.0, 25.0], [241.0, 177.0, 23.0]],
        })
    }

    /// Of the bytes of `biden.jpg`.
    pub fn other(photograph: &[u8]) -> Result<Self> {
        Ok(Self {
            picture: cropped(photograph, [127, 0, 819])?,
            middle: [219.7, 188.9],
            apart: 62.6,
            eyes: [[199.0, 159.0, 24.0], [253.0, 171.0, 21.0]],
        })
    }

    /// One picture.
    pub fn shown(&self, stance: Stance) -> RgbImage {
        let picture = match stance.shut {
            true => self.with_lids(),
            false => self.picture.clone(),
        };
        let (yaw, pitch) = (stance.yaw.to_radians(), stance.pitch.to_radians());
        let unit = WIDE * self.apart;
        RgbImage::from_fn(SIDE, SIDE, |column, row| {
            let x = (column as f32 - self.middle[0]) / unit;
            let y = (row as f32 - self.middle[1]) / unit;
            let [x, y] = behind([x, y], yaw, pitch);
            let (x, y) = (x * unit + self.middle[0], y * unit + self.middle[1]);
            sampled(&picture, x, y)
        })
    }

    /// Skin from below each eye over it, with a line of lashes.
    fn with_lids(&self) -> RgbImage {
        let mut picture = self.picture.clone();
        for [x, y, wide] in self.eyes {
            let skin = mean(
                &self.picture,
                [x - 0.3 * wide, y + 0.45 * wide],
                [x + 0.3 * wide, y + 0.6 * wide],
            );
            for (column, row, pixel) in picture.enumerate_pixels_mut() {
                let (across, down) = (column as f32 - x, row as f32 - y);
                let far = (across / (0.62 * wide)).powi(2) + (down / (0.36 * wide)).powi(2);
                let covered = ((1.25 - far) * 4.0).clamp(0.0, 1.0);
                if covered == 0.0 {
                    continue;
                }
                let line = down - 0.12 * wide + 0.25 * wide * (across / wide).powi(2);
                let lashes = (-(line / (0.05 * wide)).powi(2)).exp();
                let inside = (across / (0.62 * wide)).abs() < 0.9;
                let shade = 1.0 - 0.6 * lashes * f32::from(u8::from(inside));
                for (value, skin) in pixel.0.iter_mut().zip(skin) {
                    let lid = skin * shade;
                    *value = (f32::from(*value) * (1.0 - covered) + lid * covered) as u8;
                }
            }
        }
        picture
    }
}

/// Where on the flat photograph that lies which is seen at a point of the turned head.
fn behind([x, y]: [f32; 2], yaw: f32, pitch: f32) -> [f32; 2] {
    let depth = |x: f32, y: f32| {
        let far = (x * x + (y * WIDE / HIGH).powi(2)).sqrt() / 1.6;
        let head = match far < 1.0 {
            true => 0.5 + 0.5 * (std::f32::consts::PI * far).cos(),
            false => 0.0,
        };
        let nose = (-((x / 0.18).powi(2) + ((y - 0.12) / 0.28).powi(2))).exp();
        HEAD * head + NOSE * nose
    };
    let (mut at_x, mut at_y) = (x, y);
    for _ in 0..25 {
        let depth = depth(at_x, at_y);
        let next_x = (x - depth * yaw.sin()) / yaw.cos();
        let turned = depth * yaw.cos() - next_x * yaw.sin();
        let next_y = (y + turned * pitch.sin()) / pitch.cos();
        at_x = 0.5 * (at_x + next_x);
        at_y = 0.5 * (at_y + next_y);
    }
    [at_x, at_y]
}

fn cropped(photograph: &[u8], [left, top, side]: [u32; 3]) -> Result<RgbImage> {
    let whole = image::load_from_memory(photograph);
    let whole = whole
        .context("a sample photograph does not decode")?
        .to_rgb8();
    let part = imageops::crop_imm(&whole, left, top, side, side).to_image();
    Ok(imageops::resize(&part, SIDE, SIDE, FilterType::Triangle))
}

fn sampled(picture: &RgbImage, x: f32, y: f32) -> Rgb<u8> {
    let end = (SIDE - 1) as f32 - 0.01;
    let (x, y) = (x.clamp(0.0, end), y.clamp(0.0, end));
    let (left, top) = (x as u32, y as u32);
    let (fx, fy) = (x.fract(), y.fract());
    let mut value = [0.0f32; 3];
    for (right, down, weight) in [
        (0, 0, (1.0 - fx) * (1.0 - fy)),
        (1, 0, fx * (1.0 - fy)),
        (0, 1, (1.0 - fx) * fy),
        (1, 1, fx * fy),
    ] {
        let pixel = picture.get_pixel(left + right, top + down);
        for (sum, one) in value.iter_mut().zip(pixel.0) {
            *sum += weight * f32::from(one);
        }
    }
    Rgb(value.map(|one| one.round() as u8))
}

fn mean(picture: &RgbImage, from: [f32; 2], to: [f32; 2]) -> [f32; 3] {
    let (mut sum, mut count) = ([0.0f32; 3], 0.0);
    for y in from[1] as u32..=to[1] as u32 {
        for x in from[0] as u32..=to[0] as u32 {
            let pixel = picture.get_pixel(x.min(SIDE - 1), y.min(SIDE - 1));
            for (sum, one) in sum.iter_mut().zip(pixel.0) {
                *sum += f32::from(one);
            }
            count += 1.0;
        }
    }
    sum.map(|one| one / count)
}

/// A camera: where it stands and how it is lit differs from sitting to sitting.
#[derive(Debug, Clone)]
pub struct Camera {
    /// Any number; the next one is of its stream.
    noise: u64,
    shift: [i64; 2],
    side_light: f32,
}

impl Camera {
    /// Another one for each number.
    pub fn new(sitting: u64) -> Self {
        let mut camera = Self {
            noise: sitting.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            shift: [0; 2],
            side_light: 0.0,
        };
        camera.shift = [0; 2].map(|_: i64| (camera.next() % 41) as i64 - 20);
        camera.side_light = (camera.next() % 31) as f32 / 100.0 - 0.15;
        camera
    }

    fn next(&mut self) -> u64 {
        self.noise ^= self.noise << 13;
        self.noise ^= self.noise >> 7;
        self.noise ^= self.noise << 17;
        self.noise
    }

    /// One frame as JPEG, with noise of its own.
    pub fn taken(&mut self, portrait: &Portrait, stance: Stance) -> Result<Vec<u8>> {
        let small = |camera: &mut Self| (camera.next() % 21) as f32 / 10.0 - 1.0;
        let stance = Stance {
            yaw: stance.yaw + small(self),
            pitch: stance.pitch + small(self),
            ..stance
        };
        let shown = portrait.shown(stance);
        let [across, down] = self.shift;
        let end = i64::from(SIDE) - 1;
        let mut frame = RgbImage::from_fn(SIDE, SIDE, |x, y| {
            let at = |value: u32, by: i64| (i64::from(value) + by).clamp(0, end) as u32;
            *shown.get_pixel(at(x, across), at(y, down))
        });
        for (x, _, pixel) in frame.enumerate_pixels_mut() {
            let light = 1.0 + self.side_light * (2.0 * x as f32 / SIDE as f32 - 1.0);
            let grain = (self.next() % 7) as f32 - 3.0;
            for value in &mut pixel.0 {
                *value = (f32::from(*value) * light + grain).clamp(0.0, 255.0) as u8;
            }
        }
        encoded(&frame, 90)
    }

    /// Frames of moves as challenges name them, with a look into the camera before,
    /// between and after.
    pub fn film(&mut self, portrait: &Portrait, moves: &[&str]) -> Result<Vec<Vec<u8>>> {
        let rest = Stance::default();
        let mut stances = vec![rest, rest];
        for one in moves {
            let part = |part: f32| match *one {
                "turn_left" => Stance {
                    yaw: TURN * part,
                    ..rest
                },
                "turn_right" => Stance {
                    yaw: -TURN * part,
                    ..rest
                },
                "look_up" => Stance {
                    pitch: RAISE * part,
                    ..rest
                },
                _ => Stance { shut: true, ..rest },
            };
            match *one {
                "blink" => stances.push(part(1.0)),
                _ => stances.extend([0.5, 1.0, 0.5].map(part)),
            }
            stances.push(rest);
        }
        let each = stances.into_iter();
        each.map(|stance| self.taken(portrait, stance)).collect()
    }
}

/// The same picture, coded anew.
pub fn recoded(frame: &[u8], quality: u8) -> Result<Vec<u8>> {
    encoded(&image::load_from_memory(frame)?.to_rgb8(), quality)
}

fn encoded(frame: &RgbImage, quality: u8) -> Result<Vec<u8>> {
    let mut out = Cursor::new(Vec::new());
    JpegEncoder::new_with_quality(&mut out, quality).encode_image(frame)?;
    Ok(out.into_inner())
}
