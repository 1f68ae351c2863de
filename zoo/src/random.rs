//! Random numbers that are the same everywhere.

/// Xorshift.
pub struct Random(u64);

impl Default for Random {
    fn default() -> Self {
        Random(0x2545_f491_4f6c_dd1d)
    }
}

impl Random {
    /// 24 bits.
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as u32
    }

    /// From -1 to 1.
    pub fn values(&mut self, len: usize) -> Vec<f32> {
        std::iter::repeat_with(|| self.next() as f32 / (1 << 23) as f32 - 1.0).take(len).collect()
    }

    /// Any byte.
    pub fn bytes(&mut self, len: usize) -> impl Iterator<Item = u8> {
        std::iter::repeat_with(|| (self.next() >> 16) as u8).take(len)
    }

    /// From `first` to `last`, which are below 2^24 apart.
    pub fn between(&mut self, first: u32, last: u32) -> u32 {
        first + ((u64::from(self.next()) * u64::from(last - first + 1)) >> 24) as u32
    }
}
