//! Memory is wiped when it is freed.
//!
//! Protects what a job leaves behind (sample bytes, decoded pixels, tensors we
//! make, TLS plaintext) from being read later out of this process: the global
//! allocator overwrites every block before giving it back, whichever crate
//! allocated it. It does not reach stacks, registers, nor what ONNX Runtime
//! allocates for itself (see the crate's head).

#![allow(
    unsafe_code,
    reason = "GlobalAlloc is an unsafe trait; this wraps the system allocator"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{Ordering, compiler_fence};

/// The system allocator, wiping on free.
#[derive(Debug)]
pub struct WipeOnFree;

// SAFETY: every call is handed to `System` with the caller's own layout, so its
// contract is met whenever the caller meets ours. `realloc` is left to the
// default, which allocates, copies and frees through these very functions.
unsafe impl GlobalAlloc for WipeOnFree {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller upholds `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller upholds `alloc_zeroed`'s contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block is live and `layout.size()` bytes long until freed below.
        unsafe { std::ptr::write_bytes(block, 0, layout.size()) };
        // The block's address reaches `free`, an opaque call that might read it;
        // with the fence the write is not dropped as dead.
        std::hint::black_box(block);
        compiler_fence(Ordering::SeqCst);
        // SAFETY: the caller upholds `dealloc`'s contract.
        unsafe { System.dealloc(block, layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freed_block_no_longer_holds_its_bytes() {
        let layout = Layout::from_size_align(1 << 16, 16).unwrap();
        // SAFETY: a fresh block is written within its bounds, then freed. It is
        // read once afterwards: of this size the block stays mapped in malloc's
        // free list, which is exactly what is being looked at.
        unsafe {
            let block = WipeOnFree.alloc(layout);
            std::ptr::write_bytes(block, 0xa5, layout.size());
            WipeOnFree.dealloc(block, layout);
            let again = WipeOnFree.alloc(layout);
            let left = std::slice::from_raw_parts(again, layout.size());
            assert!(!left.contains(&0xa5));
            WipeOnFree.dealloc(again, layout);
        }
    }
}
