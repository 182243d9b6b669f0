//! A device that is the processor: the kernels' source, built by the C compiler.

use std::path::Path;
use std::process::Command;

use libloading::os::unix::{Library, Symbol};
use redoubt_worker::cuda::CudaError;
use redoubt_worker::cuda::engine::{Buffers, Device};
use redoubt_worker::cuda::plan::{Kernel, Shape, Step};

type Launch = unsafe extern "C" fn(
    i32,
    i32,
    i32,
    i32,
    *const f32,
    *const f32,
    *const f32,
    *mut f32,
    Shape,
) -> i32;

pub(crate) struct Processor {
    library: Library,
}

impl Processor {
    /// Builds and loads the source.
    pub(crate) fn compile() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("kernels.so");
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let built = Command::new("gcc")
            .args([
                "-O2",
                "-march=native",
                "-shared",
                "-fPIC",
                "-Wall",
                "-Werror",
            ])
            .args(["-Wno-unknown-pragmas", "-x", "c"])
            .arg(here.join("tests/cuda/shim.c"))
            .arg("-I")
            .arg(here.join("src/cuda"))
            .arg("-o")
            .arg(&library)
            .status()
            .unwrap();
        assert!(built.success(), "gcc does not build the kernels");
        #[expect(unsafe_code, reason = "loading a library runs its initialisers")]
        // SAFETY: it was built from our own source just now and has none.
        let library = unsafe { Library::new(&library) }.unwrap();
        Self { library }
    }
}

/// Numbers that end where a page begins that nobody may touch: a kernel that reads or
/// writes behind them dies. Before them is another such page.
pub(crate) struct Guarded {
    mapped: *mut u8,
    bytes: usize,
    start: *mut f32,
    length: usize,
}

const PAGE: usize = 4096;

impl Guarded {
    fn new(length: usize) -> Self {
        let data = (length * 4).next_multiple_of(PAGE);
        let bytes = data + 2 * PAGE;
        #[expect(unsafe_code, reason = "guard pages need the kernel")]
        // SAFETY: a fresh mapping of our own; everything stays inside it, and 4 divides
        // where the numbers start.
        unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let mapped = libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_NONE, flags, -1, 0);
            assert_ne!(mapped, libc::MAP_FAILED);
            let mapped = mapped.cast::<u8>();
            let rights = libc::PROT_READ | libc::PROT_WRITE;
            assert_eq!(libc::mprotect(mapped.add(PAGE).cast(), data, rights), 0);
            Self {
                mapped,
                bytes,
                start: mapped.add(PAGE + data - length * 4).cast(),
                length,
            }
        }
    }

    fn numbers(&self) -> &[f32] {
        #[expect(unsafe_code, reason = "the mapping is no Vec")]
        // SAFETY: `length` numbers start there, zeros at first, and live as long as this.
        unsafe {
            std::slice::from_raw_parts(self.start, self.length)
        }
    }

    fn numbers_mut(&mut self) -> &mut [f32] {
        #[expect(unsafe_code, reason = "the mapping is no Vec")]
        // SAFETY: as above, and nobody else has them.
        unsafe {
            std::slice::from_raw_parts_mut(self.start, self.length)
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "guard pages need the kernel")]
        // SAFETY: mapped by `new`, and nothing points there any more.
        unsafe {
            libc::munmap(self.mapped.cast(), self.bytes);
        }
    }
}

impl Device for Processor {
    type Buffer = Guarded;
    type Error = CudaError;

    fn zeros(&mut self, length: usize) -> Result<Guarded, CudaError> {
        Ok(Guarded::new(length))
    }

    fn write(&mut self, to: &mut Guarded, numbers: &[f32]) -> Result<(), CudaError> {
        to.numbers_mut()[..numbers.len()].copy_from_slice(numbers);
        Ok(())
    }

    fn read(&mut self, from: &Guarded, numbers: &mut [f32]) -> Result<(), CudaError> {
        numbers.copy_from_slice(&from.numbers()[..numbers.len()]);
        Ok(())
    }

    fn wipe(&mut self, buffer: &mut Guarded, length: usize) -> Result<(), CudaError> {
        buffer.numbers_mut()[..length].fill(0.0);
        Ok(())
    }

    fn launch(
        &mut self,
        kernel: Kernel,
        shape: &Shape,
        buffers: Buffers<'_, Guarded>,
    ) -> Result<(), CudaError> {
        let ([x, y], threads) = kernel.grid(shape);
        #[expect(unsafe_code, reason = "calling C")]
        // SAFETY: `launch` of shim.c takes these; the buffers are as large as the plan says.
        let code = unsafe {
            let launch: Symbol<Launch> = self.library.get(b"launch\0").unwrap();
            launch(
                kernel as i32,
                x.cast_signed(),
                y.cast_signed(),
                threads.cast_signed(),
                buffers.input.numbers().as_ptr(),
                buffers.weights.numbers().as_ptr(),
                buffers.affine.numbers().as_ptr(),
                buffers.output.numbers_mut().as_mut_ptr(),
                *shape,
            )
        };
        assert_eq!(code, 0, "the shim refused");
        Ok(())
    }
}

/// What a step means, in f64 and without a thought for speed.
pub(crate) fn plainly(step: &Step, images: &[f32], count: usize) -> Vec<f32> {
    let s = step.shape;
    let mut out = Vec::new();
    let length = images.len() / count;
    for image in images.chunks(length) {
        for o in 0..s.out_channels {
            for y in 0..s.out_height {
                for x in 0..s.out_width {
                    out.push(one(step, image, o, y, x));
                }
            }
        }
    }
    out
}

fn one(step: &Step, image: &[f32], o: i32, y: i32, x: i32) -> f32 {
    let s = step.shape;
    let index = |number: i32| usize::try_from(number).unwrap();
    let pixel = |c: i32, y: i32, x: i32| {
        let inside = (0..s.in_height).contains(&y) && (0..s.in_width).contains(&x);
        let at = (c * s.in_height + y) * s.in_width + x;
        if inside {
            f64::from(image[index(at)])
        } else {
            0.0
        }
    };
    let weight = |at: i32| f64::from(step.weights[index(at)]);
    let [bias, slope] = [0, 1].map(|at| f64::from(step.affine[index(2 * o + at)]));
    let taps = || (0..s.kernel).flat_map(move |row| (0..s.kernel).map(move |column| (row, column)));
    let (top, left) = (y * s.stride - s.pad, x * s.stride - s.pad);
    let sum: f64 = match step.kernel {
        Kernel::Scale => {
            let [a, b] = [0, 1].map(|at| f64::from(step.affine[at]));
            return ((pixel(o, y, x) - a) * b) as f32;
        }
        Kernel::Dense => (0..s.in_channels)
            .flat_map(|c| taps().map(move |tap| (c, tap)))
            .map(|(c, (row, column))| {
                let at = ((o * s.in_channels + c) * s.kernel + row) * s.kernel + column;
                pixel(c, top + row, left + column) * weight(at)
            })
            .sum(),
        Kernel::Depthwise => taps()
            .map(|(row, column)| {
                let at = (o * s.kernel + row) * s.kernel + column;
                pixel(o, top + row, left + column) * weight(at)
            })
            .sum(),
        Kernel::Pointwise => (0..s.in_channels)
            .map(|c| pixel(c, y, x) * weight(c * s.out_channels + o))
            .sum(),
        Kernel::Join => {
            let length = i32::try_from(image.len()).unwrap();
            let numbers =
                (0..length).map(|at| f64::from(image[index(at)]) * weight(o * length + at));
            numbers.sum()
        }
    };
    let value = sum + bias;
    (if value > 0.0 { value } else { value * slope }) as f32
}
