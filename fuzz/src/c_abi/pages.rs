//! Memory of one caller: a page for everything, so that all of it ends, or begins, where memory does.

use crate::memory::Page;
use std::cell::RefCell;

/// Pages that are taken one after the other.
pub struct Pages {
    pages: Vec<Page>,
    taken: usize,
}

thread_local! {
    /// Of this thread, so that tests run side by side.
    pub static PAGES: RefCell<Pages> = const { RefCell::new(Pages { pages: Vec::new(), taken: 0 }) };
}

impl Pages {
    /// Bytes of the largest piece.
    pub const LARGEST: usize = Page::LEN;

    /// Gives everything back.
    pub fn reset(&mut self) {
        self.taken = 0;
    }

    /// `bytes` at the end of a page, or at its beginning.
    pub fn take(&mut self, bytes: usize, last: bool) -> *mut u8 {
        if self.taken == self.pages.len() {
            self.pages.push(Page::new());
        }
        self.taken += 1;
        self.pages[self.taken - 1].piece(bytes, last)
    }

    /// The same, with a copy of `bytes`.
    pub fn copy(&mut self, bytes: &[u8], last: bool) -> *const u8 {
        let to = self.take(bytes.len(), last);
        // SAFETY: a page has room for them, and is not where they are.
        unsafe { to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        to
    }
}
