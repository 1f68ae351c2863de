//! Files.
/// Files.
pub fn files(_: &[u8]) {}
