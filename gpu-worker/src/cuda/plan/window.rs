//! The window of a convolution.

use super::chain::count;
use crate::onnx::Operation;

/// The largest window, step and border, in pixels.
const LARGEST: usize = 1024;

/// A convolution's window: square, with the same zeros on all sides.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    /// Rows and columns.
    pub(super) side: usize,
    /// Step.
    pub(super) stride: usize,
    /// Zeros on each side.
    pub(super) pad: usize,
}

impl Window {
    pub(super) fn read(operation: &Operation<'_>) -> Result<Self, &'static str> {
        let same = |name: &str, absent: i64| {
            let numbers = operation.integers(name);
            let first = numbers.first().copied().unwrap_or(absent);
            let even = numbers.iter().all(|number| *number == first);
            usize::try_from(first).ok().filter(|_| even)
        };
        let uneven = "its window, step or zeros differ between sides";
        let window = Self {
            side: same("kernel_shape", 0).ok_or(uneven)?,
            stride: same("strides", 1).ok_or(uneven)?,
            pad: same("pads", 0).ok_or(uneven)?,
        };
        let largest = window.side.max(window.stride).max(window.pad);
        if largest > LARGEST || !["", "NOTSET"].contains(&operation.text("auto_pad")) {
            return Err("its window is too large, or its zeros are not given");
        }
        if window.side == 0 || window.stride == 0 || same("dilations", 1) != Some(1) {
            return Err("its window is dilated or not given");
        }
        Ok(window)
    }

    /// Places along `length` pixels.
    pub(super) fn along(&self, length: usize) -> Result<usize, &'static str> {
        let room = (length + 2 * self.pad).checked_sub(self.side);
        Ok(room.ok_or("its window is larger than the image")? / self.stride + 1)
    }

    /// Side, step, zeros.
    pub(super) fn numbers(&self) -> Result<(i32, i32, i32), &'static str> {
        Ok((count(self.side)?, count(self.stride)?, count(self.pad)?))
    }
}
