//! The device: an NVIDIA GPU through its driver.

use std::sync::Arc;

use cudarc::driver::sys::CUctx_flags;
use cudarc::driver::{
    CudaContext, CudaFunction, CudaSlice, CudaStream, DeviceRepr, DriverError, LaunchConfig,
    PinnedHostSlice, PushKernelArg,
};
use cudarc::nvrtc::Ptx;

use super::CudaError;
use super::compiler::Compiler;
use super::engine::{Buffers, Device};
use super::plan::{Kernel, Shape};

/// Numbers that pass through page-locked memory at a time.
const STAGING: usize = 1 << 22;

#[expect(unsafe_code, reason = "the trait cannot check what it promises")]
// SAFETY: `Shape` is `repr(C)`, of ten 32-bit integers, as in the source.
unsafe impl DeviceRepr for Shape {}

/// The first GPU. All its work is in one stream.
pub(super) struct Gpu {
    stream: Arc<CudaStream>,
    /// In the order of [`Kernel::ALL`].
    functions: Vec<CudaFunction>,
    staging: PinnedHostSlice<f32>,
}

/// The first device's name and compute capability.
pub(super) fn describe(context: &CudaContext) -> Result<(String, (i32, i32)), DriverError> {
    Ok((context.name()?, context.compute_capability()?))
}

/// Opens the first device. Waiting for it spins: nothing is asked of the kernel.
pub(super) fn open() -> Result<Arc<CudaContext>, CudaError> {
    #[expect(unsafe_code, reason = "cudarc marks the probe unsafe")]
    // SAFETY: only tries to open the driver library by name; without it, creating
    // a context panics.
    let driver = unsafe { cudarc::driver::sys::is_culib_present() };
    if !driver {
        return Err(CudaError::NoDriver);
    }
    let context = CudaContext::new(0)?;
    context.set_flags(CUctx_flags::CU_CTX_SCHED_SPIN)?;
    Ok(context)
}

impl Gpu {
    /// Compiles the kernels for the device and loads them.
    pub(super) fn new(context: &Arc<CudaContext>, compiler: &Compiler) -> Result<Self, CudaError> {
        let code = compiler.kernels(context.compute_capability()?)?;
        let module = context.load_module(Ptx::from_binary(code))?;
        let load = |kernel: Kernel| {
            let function = module.load_function(kernel.name())?;
            match function.local_size_bytes()? {
                0 => Ok(function),
                _ => Err(CudaError::Spills(kernel.name())),
            }
        };
        let functions = Kernel::ALL.into_iter().map(load);
        let functions = functions.collect::<Result<_, CudaError>>()?;
        #[expect(unsafe_code, reason = "the memory is not initialised")]
        // SAFETY: it is overwritten with zeros on the next line.
        let mut staging = unsafe { context.alloc_pinned_with_flags::<f32>(STAGING, 0) }?;
        staging.as_mut_slice()?.fill(0.0);
        Ok(Self {
            stream: context.default_stream(),
            functions,
            staging,
        })
    }
}

impl Device for Gpu {
    type Buffer = CudaSlice<f32>;
    type Error = CudaError;

    fn zeros(&mut self, length: usize) -> Result<Self::Buffer, CudaError> {
        Ok(self.stream.alloc_zeros(length)?)
    }

    fn write(&mut self, to: &mut Self::Buffer, numbers: &[f32]) -> Result<(), CudaError> {
        for (at, chunk) in numbers.chunks(STAGING).enumerate() {
            let staged = &mut self.staging.as_mut_slice()?[..chunk.len()];
            staged.copy_from_slice(chunk);
            let start = at * STAGING;
            let mut there = to.slice_mut(start..start + chunk.len());
            let copied = self.stream.memcpy_htod(&*staged, &mut there);
            let copied = copied.and_then(|()| self.stream.synchronize());
            staged.fill(0.0);
            copied?;
        }
        Ok(())
    }

    fn read(&mut self, from: &Self::Buffer, numbers: &mut [f32]) -> Result<(), CudaError> {
        for (at, chunk) in numbers.chunks_mut(STAGING).enumerate() {
            let staged = &mut self.staging.as_mut_slice()?[..chunk.len()];
            let start = at * STAGING;
            let there = from.slice(start..start + chunk.len());
            let copied = self.stream.memcpy_dtoh(&there, &mut *staged);
            let copied = copied.and_then(|()| self.stream.synchronize());
            chunk.copy_from_slice(staged);
            staged.fill(0.0);
            copied?;
        }
        Ok(())
    }

    fn wipe(&mut self, buffer: &mut Self::Buffer, length: usize) -> Result<(), CudaError> {
        self.stream.memset_zeros(&mut buffer.slice_mut(..length))?;
        Ok(self.stream.synchronize()?)
    }

    fn launch(
        &mut self,
        kernel: Kernel,
        shape: &Shape,
        buffers: Buffers<'_, Self::Buffer>,
    ) -> Result<(), CudaError> {
        let ([x, y], threads) = kernel.grid(shape);
        let grid = LaunchConfig {
            grid_dim: (x, y, 1),
            block_dim: (threads, 1, 1),
            shared_mem_bytes: 0,
        };
        let mut launch = self.stream.launch_builder(&self.functions[kernel as usize]);
        launch
            .arg(buffers.input)
            .arg(buffers.weights)
            .arg(buffers.affine)
            .arg(buffers.output)
            .arg(shape);
        #[expect(unsafe_code, reason = "the compiler cannot see into a kernel")]
        // SAFETY: four pointers and a shape are what every kernel of the source
        // takes; a plan's shapes fit its buffers and 32 bits for a whole batch, and the
        // kernels stay inside them (tests run them between guard pages).
        unsafe { launch.launch(grid) }?;
        Ok(())
    }
}
