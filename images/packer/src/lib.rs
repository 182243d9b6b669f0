//! Enclave images, byte for byte: archives for the kernel's ramdisk, the EIF
//! container that Nitro and QEMU boot, and the registers (PCRs) that either
//! measures into the security module.
//!
//! Protects against an image that cannot be built again: nothing here reads a
//! clock, a user, an order of files or a name of a folder.

mod cpio;
mod describe;
mod eif;
mod measure;
mod ramdisk;

pub use cpio::{CpioError, Entry};
pub use describe::{Description, File, Part, Ramdisk};
pub use eif::{Eif, EifError, HEADER_BYTES, MAX_SECTIONS};
pub use measure::{Measurements, pcr};
pub use ramdisk::{RamdiskError, pack, unpack};
