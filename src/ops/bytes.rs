//! Copies of a pixel's channels or a run of taps: mostly a few registers, for which a call would be most of the work.

/// Copies `runs` runs of `len` bytes, so many bytes from one to the next, with the bits of `flip` flipped in each byte.
///
/// # Safety
/// Each run is valid for reads at `from` and for writes at `to`, and they are apart.
pub(crate) unsafe fn copy_runs(
    (from, from_step): (*const u8, usize),
    (to, to_step): (*mut u8, usize),
    len: usize,
    runs: usize,
    flip: u8,
) {
    // Whole chunks; the last one overlaps the one before it.
    macro_rules! chunks {
        ($chunk:ty, $count:literal) => {{
            const SIZE: usize = size_of::<[$chunk; $count]>();
            let flip = <$chunk>::from_ne_bytes([flip; size_of::<$chunk>()]);
            for run in 0..runs {
                let from = from.wrapping_add(run.wrapping_mul(from_step));
                let to = to.wrapping_add(run.wrapping_mul(to_step));
                // SAFETY: as promised by the caller: `len` is no less than a chunk, and `at` leaves room for one.
                let copy = |at: usize| unsafe {
                    let chunk = from.add(at).cast::<[$chunk; $count]>().read_unaligned().map(|bytes| bytes ^ flip);
                    to.add(at).cast::<[$chunk; $count]>().write_unaligned(chunk);
                };
                (0..len - SIZE).step_by(SIZE).for_each(copy);
                copy(len - SIZE);
            }
        }};
    }
    match len {
        32.. => chunks!(u64, 4),
        16.. => chunks!(u64, 2),
        8.. => chunks!(u64, 1),
        4.. => chunks!(u32, 1),
        2.. => chunks!(u16, 1),
        1 => chunks!(u8, 1),
        0 => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn every_byte_is_copied_and_none_beside_them() {
        for len in 0..200 {
            let from: Vec<u8> = (0..=len).map(|i| i as u8).collect();
            let mut to = [0xa5; 600];
            // SAFETY: two runs of each, of different arrays.
            unsafe { copy_runs((from.as_ptr(), 1), (to.as_mut_ptr().add(1), 300), len, 2, 0x80) };
            for (run, to) in to.chunks(300).enumerate() {
                assert!(to[..1] == [0xa5] && to[1 + len..].iter().all(|&x| x == 0xa5), "{len}");
                assert!(to[1..1 + len].iter().zip(&from[run..]).all(|(to, from)| *to == from ^ 0x80), "{len}");
            }
        }
    }
}
