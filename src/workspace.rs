//! Memory that `run` works in, so that it allocates nothing.

use crate::Error;
use alloc::vec::Vec;

/// Memory for `run`. One workspace serves any number of operators in turn, if it is as large as the largest asks for.
#[derive(Clone, Debug, Default)]
pub struct Workspace {
    memory: Vec<u64>,
}

impl Workspace {
    /// At least `bytes` bytes.
    ///
    /// # Errors
    /// More than can be allocated.
    pub fn new(bytes: usize) -> Result<Self, Error> {
        let mut workspace = Workspace::default();
        workspace.grow(bytes)?;
        Ok(workspace)
    }

    /// Makes it at least `bytes` bytes large.
    ///
    /// # Errors
    /// As [`Workspace::new`]; it is as large as before then.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Error> {
        let words = bytes.div_ceil(size_of::<u64>());
        if words > self.memory.len() {
            let more = words - self.memory.len();
            self.memory.try_reserve_exact(more).map_err(|_| Error::Memory { bytes })?;
            self.memory.resize(words, 0);
        }
        Ok(())
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        self.memory.len() * size_of::<u64>()
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.memory.is_empty()
    }

    pub(crate) fn memory(&mut self) -> &mut [u64] {
        &mut self.memory
    }
}
