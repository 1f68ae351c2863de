//! Buffers that end, or begin, where memory does.

use kolibri::Element;
use std::{cell::RefCell, ptr};

/// Memory between two pages that may not be touched, mapped once for all runs.
pub struct Page {
    start: *mut u8,
}

impl Page {
    /// Bytes.
    pub const LEN: usize = 1 << 20;

    pub fn new() -> Page {
        // SAFETY: a question without arguments in memory.
        let guard = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        // SAFETY: a new private mapping at an address of the system's choice, the inner part of which is then made
        // accessible.
        unsafe {
            let (private, nowhere) = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, ptr::null_mut());
            let all = libc::mmap(nowhere, Self::LEN + 2 * guard, libc::PROT_NONE, private, -1, 0);
            assert_ne!(all, libc::MAP_FAILED);
            let start = all.cast::<u8>().add(guard);
            assert_eq!(libc::mprotect(start.cast(), Self::LEN, libc::PROT_READ | libc::PROT_WRITE), 0);
            Page { start }
        }
    }

    /// The last or the first `bytes` bytes, which hold anything.
    pub fn piece(&mut self, bytes: usize, last: bool) -> *mut u8 {
        assert!(bytes <= Self::LEN);
        self.start.wrapping_add(if last { Self::LEN - bytes } else { 0 })
    }

    /// The last or the first `len` elements, which hold anything.
    pub fn slice<T: Element>(&mut self, len: usize, last: bool) -> &mut [T] {
        let at = self.piece(len * size_of::<T>(), last);
        // SAFETY: within the mapping, which nobody ends, and aligned as that is; elements are numbers, which any bits are;
        // borrowed as `self` is.
        unsafe { std::slice::from_raw_parts_mut(at.cast(), len) }
    }
}

/// A page for each role that an image has.
pub struct Memory {
    /// Inputs.
    pub x: [Page; 4],
    /// The output.
    pub y: Page,
}

thread_local! {
    /// Of this thread, so that tests run side by side.
    pub static MEMORY: RefCell<Memory> =
        RefCell::new(Memory { x: std::array::from_fn(|_| Page::new()), y: Page::new() });
}
