//! What std brings elsewhere and a component without WASI has to bring itself: allocator, panic handler, and the
//! function through which the host asks for memory. std is no choice on `wasm32-wasip2`: it imports 13 WASI interfaces
//! for code that uses none of them, and the host grants none.
#![allow(unsafe_code, reason = "the allocator and the extern items below, each with its own argument")]

use alloc::alloc::{GlobalAlloc, Layout, alloc, realloc};
use core::{
    cell::RefCell,
    fmt::{self, Write as _},
    panic::PanicInfo,
};

use crate::{Level, heap::Heap, log};

/// The heap; one thread uses it.
struct Allocator(RefCell<Heap>);

// SAFETY: a component has one thread.
unsafe impl Sync for Allocator {}

#[global_allocator]
static ALLOCATOR: Allocator = Allocator(RefCell::new(Heap::new(grow)));

/// New pages of memory.
fn grow(wanted: usize) -> Option<(usize, usize)> {
    const PAGE: usize = 64 << 10;
    let pages = wanted.div_ceil(PAGE);
    match core::arch::wasm32::memory_grow::<0>(pages) {
        usize::MAX => None,
        before => Some((before.checked_mul(PAGE)?, pages.checked_mul(PAGE)?)),
    }
}

// SAFETY: the heap hands out blocks that are large enough, aligned, and nobody else's (tested in `heap`). It is never
// borrowed twice: it calls nothing that allocates.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match self.0.try_borrow_mut() {
            Ok(mut heap) => heap.alloc(layout.size(), layout.align()),
            Err(_) => core::ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Ok(mut heap) = self.0.try_borrow_mut() {
            // SAFETY: as the caller promises.
            unsafe { heap.dealloc(block, layout.size()) };
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        match self.0.try_borrow_mut() {
            // SAFETY: as the caller promises.
            Ok(mut heap) => unsafe { heap.realloc(block, layout.size(), layout.align(), new_size) },
            Err(_) => core::ptr::null_mut(),
        }
    }
}

// `memcpy`, `memcmp` and friends: compiler-builtins leaves them to libc on this target. Only these members are linked.
#[link(name = "c")]
unsafe extern "C" {}

/// Called by the host's canonical ABI for every string and list that it passes in.
///
/// # Safety
/// As the canonical ABI promises: `old` is null and `old_size` 0, or both (and `align`) are those of an earlier call.
#[unsafe(export_name = "cabi_realloc")]
unsafe extern "C" fn cabi_realloc(old: *mut u8, old_size: usize, align: usize, new_size: usize) -> *mut u8 {
    let Ok(new_layout) = Layout::from_size_align(new_size, align) else { core::arch::wasm32::unreachable() };
    if new_size == 0 {
        return core::ptr::without_provenance_mut(align);
    }
    let new = if old_size == 0 {
        // SAFETY: the size is not 0.
        unsafe { alloc(new_layout) }
    } else {
        let Ok(old_layout) = Layout::from_size_align(old_size, align) else { core::arch::wasm32::unreachable() };
        // SAFETY: `old` came from this function with this layout (contract of the ABI), the new size is not 0 and
        // makes a valid layout (checked above).
        unsafe { realloc(old, old_layout, new_size) }
    };
    if new.is_null() { core::arch::wasm32::unreachable() } else { new }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    // No allocation: the panic may be about a failed one.
    let mut text = FixedText { bytes: [0; 1000], length: 0 };
    let _ = write!(text, "{info}");
    log(Level::Error, text.as_str());
    core::arch::wasm32::unreachable()
}

/// As much of a text as fits.
struct FixedText {
    bytes: [u8; 1000],
    length: usize,
}

impl FixedText {
    fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.length).unwrap_or_default();
        // A cut may have split a character.
        match core::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => bytes.get(..error.valid_up_to()).and_then(|b| core::str::from_utf8(b).ok()).unwrap_or(""),
        }
    }
}

impl fmt::Write for FixedText {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        for byte in s.bytes() {
            let Some(free) = self.bytes.get_mut(self.length) else { return Err(fmt::Error) };
            *free = byte;
            self.length += 1;
        }
        Ok(())
    }
}
