//! The allocator of plugins without `std`: free lists by size, and a heap that only grows.
//!
//! Promises: never panics, so that no text of it gets into an artifact (the usual allocators carry the path of their
//! source on the author's machine in their panics); constant time.
//! Not here: giving memory back to other sizes. A plugin lives for a call, or for a job of ten thousand small ones.

use core::ptr;

/// Sizes between a power of two and the next one: at most a quarter of a block is waste.
const STEPS: usize = 4;
/// Smallest block, and the alignment of all of them.
const GRAIN: usize = 16;
/// More than the number of sizes of 32-bit addresses.
const CLASSES: usize = 32 * STEPS;
/// Largest block: what lies above cannot be had from 32-bit memory anyway.
const MAX_BYTES: usize = 1 << 30;

/// Asks for memory: address and bytes of a new region, at least as many as wanted.
pub(crate) type Grow = fn(wanted: usize) -> Option<(usize, usize)>;

/// Free blocks, and what is left of the newest region.
pub(crate) struct Heap {
    /// Address of the first free block of each size; each block holds the address of the next one.
    free: [usize; CLASSES],
    next: usize,
    end: usize,
    grow: Grow,
}

impl Heap {
    pub(crate) const fn new(grow: Grow) -> Self {
        Self { free: [0; CLASSES], next: 0, end: 0, grow }
    }

    /// A block of at least `bytes` bytes; null if there is no memory.
    pub(crate) fn alloc(&mut self, bytes: usize, align: usize) -> *mut u8 {
        let Some((class, bytes)) = class_of(bytes) else { return ptr::null_mut() };
        if align <= GRAIN
            && let Some(head) = self.free.get_mut(class)
            && *head != 0
        {
            let block: *mut usize = ptr::with_exposed_provenance_mut(*head);
            // SAFETY: the list holds blocks that `dealloc` got, which are free, aligned to 16 and at least as large.
            *head = unsafe { block.read() };
            return block.cast();
        }
        self.take_from_region(bytes, align.max(GRAIN)).map_or(ptr::null_mut(), ptr::with_exposed_provenance_mut)
    }

    fn take_from_region(&mut self, bytes: usize, align: usize) -> Option<usize> {
        let start = self.next.checked_next_multiple_of(align)?;
        if let Some(end) = start.checked_add(bytes)
            && end <= self.end
        {
            self.next = end;
            return Some(start);
        }
        let (region, length) = (self.grow)(bytes.checked_add(align)?)?;
        // A region right behind the last one makes it longer; otherwise what was left is given up.
        if region != self.end {
            self.next = region;
        }
        self.end = region.checked_add(length)?;
        let start = self.next.checked_next_multiple_of(align)?;
        self.next = start.checked_add(bytes)?;
        Some(start)
    }

    /// # Safety
    /// The block came from `alloc` or `realloc` of this heap with this size, and is not used any more.
    pub(crate) unsafe fn dealloc(&mut self, block: *mut u8, bytes: usize) {
        let Some((class, bytes)) = class_of(bytes) else { return };
        let address = block.expose_provenance();
        if address.checked_add(bytes) == Some(self.next) {
            self.next = address;
            return;
        }
        let Some(head) = self.free.get_mut(class) else { return };
        // SAFETY: the block is free, aligned to 16 and at least 16 bytes long.
        unsafe { block.cast::<usize>().write(*head) };
        *head = address;
    }

    /// The block with another size; it may have moved. Null if there is no memory: the old block is as it was.
    ///
    /// # Safety
    /// The block came from `alloc` or `realloc` of this heap with this size and alignment.
    pub(crate) unsafe fn realloc(&mut self, block: *mut u8, old: usize, align: usize, new: usize) -> *mut u8 {
        let (Some((_, old_bytes)), Some((_, new_bytes))) = (class_of(old), class_of(new)) else {
            return ptr::null_mut();
        };
        if old_bytes == new_bytes {
            return block;
        }
        let address = block.expose_provenance();
        let is_last = address.checked_add(old_bytes) == Some(self.next);
        if is_last && let Some(end) = address.checked_add(new_bytes).filter(|end| *end <= self.end) {
            self.next = end;
            return block;
        }
        let moved = self.alloc(new, align);
        if !moved.is_null() {
            // SAFETY: both blocks are that long, and they are two: the old one is not free yet.
            unsafe { ptr::copy_nonoverlapping(block, moved, old.min(new)) };
            // SAFETY: as the caller promises; nobody knows its address any more.
            unsafe { self.dealloc(block, old) };
        }
        moved
    }
}

/// Number of the size that holds `bytes`, and that size.
fn class_of(bytes: usize) -> Option<(usize, usize)> {
    if bytes > MAX_BYTES {
        return None;
    }
    // 4 sizes for each power of two, from 64 bytes on; below, every multiple of 16.
    let last = bytes.max(GRAIN).saturating_sub(1);
    let shift = (usize::BITS - last.leading_zeros()).saturating_sub(3).max(4);
    let quarter = (last >> shift).wrapping_add(1);
    let class = usize::try_from(shift).ok()?.wrapping_sub(4).wrapping_mul(STEPS).wrapping_add(quarter);
    Some((class, quarter << shift))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{vec, vec::Vec};

    /// Regions of 64 KiB or more, sometimes with a gap between them.
    fn grow(wanted: usize) -> Option<(usize, usize)> {
        let length = wanted.next_multiple_of(64 << 10);
        let memory: &'static mut [u128] = Vec::leak(vec![0; length / 16]);
        Some((memory.as_mut_ptr().expose_provenance(), length))
    }

    #[test]
    fn sizes_grow_in_steps_and_waste_little() {
        let mut seen = vec![];
        for bytes in 0..=(1 << 16) {
            let (class, size) = class_of(bytes).unwrap();
            assert!(size >= bytes && size.is_multiple_of(GRAIN) && class < CLASSES);
            assert!(bytes < 64 || size - bytes <= bytes / 4, "{bytes} bytes take {size}");
            if seen.last() != Some(&(class, size)) {
                assert!(seen.iter().all(|(other, _)| *other != class), "class {class} has two sizes");
                seen.push((class, size));
            }
        }
        assert_eq!(class_of(MAX_BYTES).map(|(class, size)| (class < CLASSES, size)), Some((true, MAX_BYTES)));
        assert_eq!(class_of(MAX_BYTES + 1), None);
        assert_eq!(class_of(usize::MAX), None);
    }

    #[test]
    fn no_memory_is_a_null() {
        let mut heap = Heap::new(|_| None);
        assert!(heap.alloc(16, 1).is_null());
        let mut heap = Heap::new(grow);
        assert!(heap.alloc(usize::MAX, 1).is_null());
    }

    #[test]
    fn what_was_freed_is_used_again_and_the_last_block_grows_in_place() {
        let mut heap = Heap::new(grow);
        let (first, second) = (heap.alloc(100, 1), heap.alloc(100, 1));
        // SAFETY: as the allocator wants it.
        unsafe {
            heap.dealloc(first, 100);
            assert_eq!(heap.alloc(98, 8), first);
            assert_eq!(heap.realloc(second, 100, 1, 4000), second);
            assert_ne!(heap.realloc(first, 98, 8, 4000), first);
        }
    }

    proptest::proptest! {
        /// Every block holds what was written to it until it is freed.
        #[test]
        fn blocks_never_overlap(steps in proptest::collection::vec((0_usize..4, 0_usize..5000, 0_u32..7, 0_usize..100), 1..300)) {
            let mut heap = Heap::new(grow);
            let mut live: Vec<(*mut u8, usize, usize, u8)> = vec![];
            // SAFETY: sizes and alignments are those of the allocation, and only live blocks are touched.
            unsafe {
                for (number, (what, bytes, align, which)) in steps.into_iter().enumerate() {
                    let mark = u8::try_from(number % 251).unwrap();
                    if what < 2 || live.is_empty() {
                        let align = 1 << align;
                        let block = heap.alloc(bytes, align);
                        proptest::prop_assert!(!block.is_null() && block.addr().is_multiple_of(align));
                        block.write_bytes(mark, bytes);
                        live.push((block, bytes, align, mark));
                        continue;
                    }
                    let (block, old, align, held) = live.swap_remove(which % live.len());
                    proptest::prop_assert!((0..old).all(|i| block.add(i).read() == held));
                    if what == 2 {
                        heap.dealloc(block, old);
                    } else {
                        let block = heap.realloc(block, old, align, bytes);
                        proptest::prop_assert!(block.addr().is_multiple_of(align));
                        proptest::prop_assert!((0..old.min(bytes)).all(|i| block.add(i).read() == held));
                        block.write_bytes(mark, bytes);
                        live.push((block, bytes, align, mark));
                    }
                }
            }
        }
    }
}
