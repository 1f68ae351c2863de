//! Memory that notices who leaves it.

use std::{
    fmt::Debug,
    ops::{Deref, DerefMut},
};

/// Where a buffer lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Place {
    /// On the heap, values around it that must stay as they are.
    Heap,
    /// It ends where an unmapped page begins.
    #[cfg(unix)]
    End,
    /// It begins where an unmapped page ends.
    #[cfg(unix)]
    Start,
}

/// A buffer.
pub struct Mem<T: Copy + PartialEq + Debug> {
    /// The buffer and what is around it.
    span: *mut T,
    span_len: usize,
    start: usize,
    len: usize,
    pad: T,
    place: Place,
}

const PAD: usize = 64;

impl<T: Copy + PartialEq + Debug> Mem<T> {
    /// A copy of `values`, `pad` around it.
    pub fn new(place: Place, values: &[T], pad: T) -> Mem<T> {
        let len = values.len();
        let (span, span_len, start) = match place {
            Place::Heap => {
                let span_len = len + 2 * PAD;
                (Box::into_raw(vec![pad; span_len].into_boxed_slice()).cast::<T>(), span_len, PAD)
            }
            #[cfg(unix)]
            Place::End | Place::Start => {
                let (span, bytes) = guard::map(size_of_val(values));
                let span_len = bytes / size_of::<T>();
                (span.cast::<T>(), span_len, if place == Place::End { span_len - len } else { 0 })
            }
        };
        // SAFETY: both kinds of memory are writable for `span_len` values, and hold no value that needs dropping.
        unsafe {
            (0..span_len).for_each(|i| span.add(i).write(pad));
            span.add(start).copy_from_nonoverlapping(values.as_ptr(), len);
        }
        Mem { span, span_len, start, len, pad, place }
    }
}

impl<T: Copy + PartialEq + Debug> Deref for Mem<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: mapped and written by `new`.
        unsafe { std::slice::from_raw_parts(self.span.add(self.start), self.len) }
    }
}

impl<T: Copy + PartialEq + Debug> DerefMut for Mem<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: mapped and written by `new`, and borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.span.add(self.start), self.len) }
    }
}

impl<T: Copy + PartialEq + Debug> Drop for Mem<T> {
    fn drop(&mut self) {
        // SAFETY: mapped and written by `new`.
        let span = unsafe { std::slice::from_raw_parts_mut(self.span, self.span_len) };
        let around = |i: &usize| !(self.start..self.start + self.len).contains(i);
        let changed = (0..self.span_len).filter(around).find(|&i| span[i] != self.pad);
        let changed = changed.map(|i| i as isize - self.start as isize);
        match self.place {
            // SAFETY: the box that `new` made.
            Place::Heap => drop(unsafe { Box::from_raw(span) }),
            #[cfg(unix)]
            Place::End | Place::Start => guard::unmap(self.span.cast(), size_of_val(span)),
        }
        if !std::thread::panicking() {
            assert_eq!(changed, None, "written outside a buffer of {}", self.len);
        }
    }
}

#[cfg(unix)]
mod guard {
    use std::ptr;

    fn page() -> usize {
        // SAFETY: a question without arguments in memory.
        unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
    }

    /// At least `bytes` bytes in pages of their own between two that are not mapped.
    pub fn map(bytes: usize) -> (*mut u8, usize) {
        let page = page();
        let bytes = bytes.max(1).next_multiple_of(page);
        // SAFETY: a new private mapping at an address of the system's choice, part of which is then made accessible.
        unsafe {
            let (private, nowhere) = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, ptr::null_mut());
            let all = libc::mmap(nowhere, bytes + 2 * page, libc::PROT_NONE, private, -1, 0);
            assert_ne!(all, libc::MAP_FAILED);
            let inner = all.cast::<u8>().add(page);
            assert_eq!(libc::mprotect(inner.cast(), bytes, libc::PROT_READ | libc::PROT_WRITE), 0);
            (inner, bytes)
        }
    }

    /// Ends a mapping of `map`.
    pub fn unmap(inner: *mut u8, bytes: usize) {
        let page = page();
        // SAFETY: the mapping that `map` made, which nobody uses any more.
        let result = unsafe { libc::munmap(inner.sub(page).cast(), bytes.next_multiple_of(page) + 2 * page) };
        assert_eq!(result, 0);
    }
}
