//! Values that begin on a cache line.

use std::ops::{Deref, DerefMut, Range};

/// Bytes of a cache line.
const LINE: usize = 64;

/// Values that begin on a cache line, as kernels read them fastest: a register that crosses lines is read twice.
pub struct Aligned<T> {
    values: Vec<T>,
    inside: Range<usize>,
}

impl<T: Default + Clone> Aligned<T> {
    /// So many of the default.
    pub fn new(len: usize) -> Self {
        let values = vec![T::default(); len + LINE / size_of::<T>()];
        let start = values.as_ptr().align_offset(LINE);
        Aligned { inside: start..start + len, values }
    }
}

impl<T: Default + Clone> From<&[T]> for Aligned<T> {
    fn from(values: &[T]) -> Self {
        let mut aligned = Self::new(values.len());
        aligned.clone_from_slice(values);
        aligned
    }
}

impl<T> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.values[self.inside.clone()]
    }
}

impl<T> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.values[self.inside.clone()]
    }
}
