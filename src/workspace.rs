//! Memory that `run` works in, so that it allocates nothing.

use alloc::vec::Vec;

/// Memory for `run`. One workspace serves any number of operators in turn, if it is as large as the largest asks for.
#[derive(Clone, Debug, Default)]
pub struct Workspace {
    memory: Vec<u64>,
}

impl Workspace {
    /// At least `bytes` bytes.
    pub fn new(bytes: usize) -> Self {
        let mut workspace = Workspace::default();
        workspace.grow(bytes);
        workspace
    }

    /// Makes it at least `bytes` bytes large.
    pub fn grow(&mut self, bytes: usize) {
        let words = bytes.div_ceil(size_of::<u64>());
        if words > self.memory.len() {
            self.memory.resize(words, 0);
        }
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        self.memory.len() * size_of::<u64>()
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.memory.is_empty()
    }

    pub(crate) fn as_mut_ptr(&mut self) -> *mut u64 {
        self.memory.as_mut_ptr()
    }
}
