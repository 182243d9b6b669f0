//! Layers of a saved dlib network, as far as inference needs them.
//!
//! Protects against a file that lies about its own lengths: every length is checked
//! against what is left before a number is read, and nothing is allocated by a
//! declared size alone.
//!
//! Source: dlib 19's `serialize.h` (integers and floats) and `dnn/layers.h`. An
//! integer is a byte with its length and sign, then that many bytes, lowest first;
//! a float is two of them, mantissa and exponent of two; a tensor is a version, four
//! sizes and raw f32.

use super::DlibError;

/// Most channels of any layer.
const CHANNELS_MAX: usize = 4096;

/// A convolution: `weights` are filters × channels × side × side.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Convolution {
    pub(super) filters: usize,
    pub(super) channels: usize,
    pub(super) side: usize,
    pub(super) stride: usize,
    pub(super) pad: usize,
    pub(super) weights: Vec<f32>,
    pub(super) biases: Vec<f32>,
}

/// The last layer: `weights` are inputs × outputs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Join {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) weights: Vec<f32>,
}

/// What the network subtracts from red, green and blue, and the side of its square.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Input {
    pub(super) mean: [f32; 3],
    pub(super) side: usize,
}

/// A place in the file.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    layer: &'static str,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let (at, layer) = (0, "file");
        Self { bytes, at, layer }
    }

    /// Moves behind the next layer of this name; its own layers lie between.
    fn seek(&mut self, layer: &'static str) -> Result<(), DlibError> {
        self.layer = layer;
        // A name is saved as its length, an integer of one byte, and its letters.
        let saved = [&[1, layer.len() as u8], layer.as_bytes()].concat();
        let rest = &self.bytes[self.at..];
        let found = rest.windows(saved.len()).position(|part| part == saved);
        self.at += found.ok_or(DlibError::Missing(layer))? + saved.len();
        Ok(())
    }

    /// Whether another layer of this name follows.
    pub(super) fn is_ahead(&self, layer: &'static str) -> bool {
        let mut ahead = Self { ..*self };
        ahead.seek(layer).is_ok()
    }

    fn misfit(&self, what: &'static str) -> DlibError {
        let layer = self.layer;
        DlibError::Shape { layer, what }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], DlibError> {
        let rest = self.bytes.get(self.at..);
        let taken = rest.and_then(|rest| rest.get(..count));
        let taken = taken.ok_or(DlibError::Truncated(self.layer))?;
        self.at += count;
        Ok(taken)
    }

    fn integer(&mut self) -> Result<i64, DlibError> {
        let control = self.take(1)?[0];
        let length = usize::from(control & 0x0f);
        if !(1..=8).contains(&length) || control & 0x70 != 0 {
            return Err(self.misfit("an integer of no possible length"));
        }
        let mut wide = [0; 8];
        wide[..length].copy_from_slice(self.take(length)?);
        let size = i64::try_from(u64::from_le_bytes(wide));
        let size = size.map_err(|_| self.misfit("an integer beyond 63 bits"))?;
        Ok(if control & 0x80 == 0 { size } else { -size })
    }

    fn size(&mut self) -> Result<usize, DlibError> {
        let size = usize::try_from(self.integer()?);
        let size = size.ok().filter(|size| *size <= 1 << 24);
        size.ok_or_else(|| self.misfit("a size that none can have"))
    }

    fn sizes<const N: usize>(&mut self) -> Result<[usize; N], DlibError> {
        let mut sizes = [0; N];
        for size in &mut sizes {
            *size = self.size()?;
        }
        Ok(sizes)
    }

    fn float(&mut self) -> Result<f32, DlibError> {
        let (mantissa, exponent) = (self.integer()?, self.integer()?);
        let exponent = i32::try_from(exponent).map_err(|_| self.misfit("a float's exponent"))?;
        let value = (mantissa as f64 * f64::from(exponent).exp2()) as f32;
        match value.is_finite() {
            true => Ok(value),
            false => Err(DlibError::NotFinite(self.layer)),
        }
    }

    /// A tensor of `count` numbers, however it is laid out.
    fn tensor(&mut self, count: usize) -> Result<Vec<f32>, DlibError> {
        let [version, samples, k, rows, columns] = self.sizes()?;
        let product = [samples, k, rows, columns]
            .iter()
            .try_fold(1usize, |product, size| product.checked_mul(*size));
        if version != 2 || product != Some(count) {
            return Err(self.misfit("a tensor of another version or size than its layer"));
        }
        let bytes = count.checked_mul(4);
        let bytes = bytes.ok_or_else(|| self.misfit("a tensor without end"))?;
        let (numbers, _) = self.take(bytes)?.as_chunks::<4>();
        let numbers: Vec<f32> = numbers.iter().map(|n| f32::from_le_bytes(*n)).collect();
        match numbers.iter().all(|number| number.is_finite()) {
            true => Ok(numbers),
            false => Err(DlibError::NotFinite(self.layer)),
        }
    }

    /// How many numbers the tensor here holds; stays in front of it.
    fn tensor_length(&mut self) -> Result<usize, DlibError> {
        let before = self.at;
        let [_, samples, k, rows, columns] = self.sizes()?;
        self.at = before;
        let product = [samples, k, rows, columns]
            .iter()
            .try_fold(1usize, |product, size| product.checked_mul(*size));
        product.ok_or_else(|| self.misfit("a tensor without end"))
    }

    pub(super) fn input(&mut self) -> Result<Input, DlibError> {
        self.seek("input_rgb_image_sized")?;
        let mean = [self.float()?, self.float()?, self.float()?];
        let [rows, columns] = self.sizes()?;
        if rows != columns || !(16..=1024).contains(&rows) {
            return Err(self.misfit("an input that is no square of 16 to 1024 pixels"));
        }
        Ok(Input { mean, side: rows })
    }

    pub(super) fn convolution(&mut self) -> Result<Convolution, DlibError> {
        self.seek("con_4")?;
        let length = self.tensor_length()?;
        let mut weights = self.tensor(length)?;
        let [filters, rows, columns, down, across, pad, pad_across] = self.sizes()?;
        let [_, outs, channels, ..] = self.sizes::<5>()?;
        let plain = rows == columns && down == across && pad == pad_across && outs == filters;
        let known = matches!(rows, 1..=9) && matches!(down, 1 | 2) && pad <= 4;
        let sized = (1..=CHANNELS_MAX).contains(&filters) && channels <= CHANNELS_MAX;
        if !(plain && known && sized) || length != filters * (channels * rows * rows + 1) {
            return Err(self.misfit("a window, step or count of channels that is not known"));
        }
        let biases = weights.split_off(length - filters);
        Ok(Convolution {
            filters,
            channels,
            side: rows,
            stride: down,
            pad,
            weights,
            biases,
        })
    }

    /// Scale and shift of `channels` channels.
    pub(super) fn affine(&mut self, channels: usize) -> Result<(Vec<f32>, Vec<f32>), DlibError> {
        self.seek("affine_")?;
        let mut scale = self.tensor(channels * 2)?;
        let shift = scale.split_off(channels);
        Ok((scale, shift))
    }

    pub(super) fn join(&mut self) -> Result<Join, DlibError> {
        self.seek("fc_2")?;
        let [outputs, inputs] = self.sizes()?;
        if inputs > CHANNELS_MAX || !(1..=CHANNELS_MAX).contains(&outputs) {
            return Err(self.misfit("a count of numbers that is not known"));
        }
        let weights = self.tensor(inputs * outputs)?;
        Ok(Join {
            inputs,
            outputs,
            weights,
        })
    }
}
