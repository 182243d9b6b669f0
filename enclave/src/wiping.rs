//! The heap of the enclave's program: what is freed is wiped.
//!
//! Protects what libraries, growing vectors and finished tasks leave behind: without
//! this a key that was wiped where it was kept would stand on in a copy of it.
//!
//! Not covered: stacks, and what C code allocates (AWS-LC wipes what it frees).

use std::alloc::{GlobalAlloc, Layout, System};

/// The system's allocator, with memory overwritten before it is given back. Growing
/// in place is not asked for: the default `realloc` copies, and frees the old place.
#[derive(Debug)]
pub struct Wiping;

#[expect(unsafe_code, reason = "an allocator is an unsafe trait")]
// SAFETY: every call is the system allocator's own; wiping writes only within the
// block that the caller gives back.
unsafe impl GlobalAlloc for Wiping {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block has this size and is not used by anybody else any more.
        unsafe { block.write_bytes(0, layout.size()) };
        // So that the compiler does not leave out a write that nothing reads.
        std::hint::black_box(block);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(block, layout) }
    }
}
