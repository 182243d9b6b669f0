//! The window of a convolution.

use crate::onnx::Operation;

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
    pub(super) fn numbers(&self) -> (i32, i32, i32) {
        let count = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
        (count(self.side), count(self.stride), count(self.pad))
    }
}
