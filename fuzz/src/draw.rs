//! Values drawn from a fuzzer's bytes: mostly ones that operators take, and some that nothing should.

use arbitrary::{Arbitrary, Unstructured};

/// What is left of a fuzzer's bytes; zeros follow them.
pub struct Draw<'a> {
    bytes: Unstructured<'a>,
    /// Whether sizes and numbers may be such as none should be.
    pub hostile: bool,
}

impl<'a> Draw<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Draw { bytes: Unstructured::new(bytes), hostile: false }
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// All that is left.
    pub fn rest(self) -> &'a [u8] {
        self.bytes.take_rest()
    }

    /// Anything of a type that is not made of lists: those alone may lack bytes.
    pub fn any<T: Arbitrary<'a>>(&mut self) -> T {
        self.bytes.arbitrary().expect("zeros follow")
    }

    pub fn flip(&mut self) -> bool {
        self.any::<u8>() & 1 == 1
    }

    /// Below `n`, which is not zero.
    pub fn below(&mut self, n: usize) -> usize {
        if n <= 256 { usize::from(self.any::<u8>()) % n } else { self.any::<u32>() as usize % n }
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// From 1 to `most`.
    pub fn size(&mut self, most: usize) -> usize {
        let size = 1 + self.below(most.max(1));
        self.spoilt(size)
    }

    /// `size`; in a hostile call once in a while one that is wrong, or that nothing has.
    pub fn spoilt(&mut self, size: usize) -> usize {
        const FREE: usize = isize::MAX as usize;
        if !self.hostile {
            return size;
        }
        match self.any::<u8>() {
            0..242 => size,
            242 | 243 => 0,
            244 => 1,
            245 => size.wrapping_add(1),
            246 => size.wrapping_sub(1),
            247 => usize::MAX,
            248 => FREE,
            249 => FREE / 64, // the most that a product of sizes may be
            250 => FREE / 64 + 1,
            251 => size.wrapping_mul(1 << 32),
            252 => 1 << 16,
            // Beside a power of two.
            _ => (1usize << self.below(64)).wrapping_add(self.below(3)).wrapping_sub(1),
        }
    }

    /// `number`; in a hostile call once in a while one of `wrong`.
    pub fn or_wrong<T: Copy>(&mut self, number: T, wrong: &[T]) -> T {
        if self.hostile && self.any::<u8>() >= 240 { self.pick(wrong) } else { number }
    }
}
