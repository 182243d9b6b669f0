//! Compiles the kernels at start with NVRTC, as pinned in `images/cuda.toml`.
//!
//! Protects against a compiler swapped between check and load, as
//! [`crate::runtime`] does for the inference library. It needs no GPU.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;
use std::ptr;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW, Symbol};

use crate::manifest::{Manifest, ManifestError};
use crate::runtime::{path_of, sealed_file};

/// What is compiled.
pub const SOURCE: &str = include_str!("kernels.cu");
/// The compiler's pins, part of this program and so of its measurement.
pub const PINS: &[u8] = include_bytes!("../../../images/cuda.toml");

/// Why there is no machine code.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The compiler is not the pinned one, or absent.
    #[error(transparent)]
    Pins(#[from] ManifestError),
    /// It cannot be loaded.
    #[error("the CUDA compiler: {0}")]
    Load(String),
    /// It refused.
    #[error("the CUDA compiler: {call} failed with {code}: {log}")]
    Refused {
        /// Function.
        call: &'static str,
        /// `nvrtcResult`
        code: c_int,
        /// What it said.
        log: String,
    },
}

/// `nvrtcProgram`
type Program = *mut c_void;
type Create = unsafe extern "C" fn(
    *mut Program,
    *const c_char,
    *const c_char,
    c_int,
    *const *const c_char,
    *const *const c_char,
) -> c_int;
type Compile = unsafe extern "C" fn(Program, c_int, *const *const c_char) -> c_int;
type Size = unsafe extern "C" fn(Program, *mut usize) -> c_int;
type Get = unsafe extern "C" fn(Program, *mut c_char) -> c_int;
type Destroy = unsafe extern "C" fn(*mut Program) -> c_int;

/// The loaded compiler.
#[derive(Debug)]
pub struct Compiler {
    library: Library,
    // Found by the compiler under its own name, since it is loaded already.
    _builtins: Library,
}

impl Compiler {
    /// Loads the libraries that lie in `folder`.
    pub fn load(folder: &Path) -> Result<Self, CompileError> {
        let pins = Manifest::parse(PINS, folder)?;
        Ok(Self {
            _builtins: open(&pins.file("libnvrtc-builtins")?)?,
            library: open(&pins.file("libnvrtc")?)?,
        })
    }

    /// Machine code (a cubin) of the kernels for a compute capability, such as `(9, 0)`.
    pub fn kernels(&self, (major, minor): (i32, i32)) -> Result<Vec<u8>, CompileError> {
        self.compile(SOURCE, &format!("sm_{major}{minor}"))
    }

    fn compile(&self, source: &str, target: &str) -> Result<Vec<u8>, CompileError> {
        let text = |text: &str| CString::new(text).map_err(|_| CompileError::Load("NUL".into()));
        let (source, name) = (text(source)?, text("kernels.cu")?);
        let options = [
            text(&format!("--gpu-architecture={target}"))?,
            text("--std=c++17")?,
        ];
        let options = options.each_ref().map(|option| option.as_ptr());
        let create: Symbol<Create> = self.symbol(c"nvrtcCreateProgram")?;
        let compile: Symbol<Compile> = self.symbol(c"nvrtcCompileProgram")?;
        let destroy: Symbol<Destroy> = self.symbol(c"nvrtcDestroyProgram")?;
        let mut program: Program = ptr::null_mut();
        let none = ptr::null();
        #[expect(unsafe_code, reason = "calling the compiler's C interface")]
        // SAFETY: signatures as in nvrtc.h 12; source, name and options are C strings
        // that outlive the program, which is destroyed on every path below.
        let outcome = unsafe {
            let code = create(
                &raw mut program,
                source.as_ptr(),
                name.as_ptr(),
                0,
                none,
                none,
            );
            self.refused("nvrtcCreateProgram", code, ptr::null_mut())?;
            let code = compile(program, 2, options.as_ptr());
            let compiled = self.refused("nvrtcCompileProgram", code, program);
            let code =
                compiled.and_then(|()| self.bytes(program, c"nvrtcGetCUBINSize", c"nvrtcGetCUBIN"));
            destroy(&raw mut program);
            code
        };
        outcome
    }

    fn refused(
        &self,
        call: &'static str,
        code: c_int,
        program: Program,
    ) -> Result<(), CompileError> {
        if code == 0 {
            return Ok(());
        }
        let log = match program.is_null() {
            true => Vec::new(),
            false => self
                .bytes(program, c"nvrtcGetProgramLogSize", c"nvrtcGetProgramLog")
                .unwrap_or_default(),
        };
        let log = String::from_utf8_lossy(&log)
            .trim_end_matches('\0')
            .to_owned();
        Err(CompileError::Refused { call, code, log })
    }

    fn bytes(&self, program: Program, size: &CStr, get: &CStr) -> Result<Vec<u8>, CompileError> {
        let size: Symbol<Size> = self.symbol(size)?;
        let get: Symbol<Get> = self.symbol(get)?;
        let mut length = 0;
        #[expect(unsafe_code, reason = "calling the compiler's C interface")]
        // SAFETY: `program` is alive, and the second call writes `length` bytes,
        // as the first announced.
        unsafe {
            self.refused("a size", size(program, &raw mut length), ptr::null_mut())?;
            let mut bytes = vec![0u8; length];
            let code = get(program, bytes.as_mut_ptr().cast());
            self.refused("a result", code, ptr::null_mut())?;
            Ok(bytes)
        }
    }

    fn symbol<T>(&self, name: &CStr) -> Result<Symbol<T>, CompileError> {
        #[expect(unsafe_code, reason = "the loader cannot know a symbol's type")]
        // SAFETY: each caller names the type of nvrtc.h.
        unsafe { self.library.get(name.to_bytes_with_nul()) }
            .map_err(|error| CompileError::Load(error.to_string()))
    }
}

fn open(bytes: &[u8]) -> Result<Library, CompileError> {
    let load = |error: &dyn std::fmt::Display| CompileError::Load(error.to_string());
    let file = sealed_file(bytes).map_err(|error| load(&error))?;
    #[expect(unsafe_code, reason = "loading a library runs its initialisers")]
    // SAFETY: the bytes are the pinned ones.
    unsafe { Library::open(Some(path_of(&file)), RTLD_NOW | RTLD_GLOBAL) }
        .map_err(|error| load(&error))
}
