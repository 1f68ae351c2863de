//! Fewer bytes than a register holds, read and written in two parts that may overlap: a call to copy them, and reading
//! back what was just written in smaller parts, would cost many times as much. Shifts are of as few bits as hold them, and
//! the compiler is told that they are short: one of any u128 by any distance takes half a dozen instructions.

/// The `min(n, 16)` bytes at `p`, zeros above.
///
/// # Safety
/// They are valid for reads.
#[inline(always)]
pub unsafe fn load(p: *const u8, n: usize) -> u128 {
    // SAFETY: each part ends with the last byte or before it, by the caller's promise.
    unsafe {
        match n {
            0 => 0,
            1 => (*p).into(),
            2..4 => {
                let at = |p: *const u8| u16::from_le(p.cast::<u16>().read_unaligned());
                let (low, high) = (at(p), at(p.add(n - 2)));
                u128::from(u32::from(low) | u32::from(high) << (8 * (n - 2)))
            }
            4..8 => {
                let at = |p: *const u8| u32::from_le(p.cast::<u32>().read_unaligned());
                let (low, high) = (at(p), at(p.add(n - 4)));
                u128::from(u64::from(low) | u64::from(high) << (8 * (n - 4)))
            }
            8..16 => {
                let at = |p: *const u8| u64::from_le(p.cast::<u64>().read_unaligned());
                let (low, high) = (at(p), at(p.add(n - 8)));
                u128::from(low) | u128::from(high) << ((8 * (n - 8)) & 63)
            }
            _ => u128::from_le(p.cast::<u128>().read_unaligned()),
        }
    }
}

/// Writes the `min(n, 16)` lowest bytes of `x`.
///
/// # Safety
/// They are valid for writes.
#[inline(always)]
pub unsafe fn store(p: *mut u8, x: u128, n: usize) {
    // SAFETY: as above.
    unsafe {
        match n {
            0 => {}
            1 => *p = x as u8,
            2..4 => {
                let x = x as u32;
                p.cast::<u16>().write_unaligned((x as u16).to_le());
                p.add(n - 2).cast::<u16>().write_unaligned(((x >> (8 * (n - 2))) as u16).to_le());
            }
            4..8 => {
                let x = x as u64;
                p.cast::<u32>().write_unaligned((x as u32).to_le());
                p.add(n - 4).cast::<u32>().write_unaligned(((x >> (8 * (n - 4))) as u32).to_le());
            }
            8..16 => {
                p.cast::<u64>().write_unaligned((x as u64).to_le());
                p.add(n - 8).cast::<u64>().write_unaligned(((x >> ((8 * (n - 8)) & 63)) as u64).to_le());
            }
            _ => p.cast::<u128>().write_unaligned(x.to_le()),
        }
    }
}
