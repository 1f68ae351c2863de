//! When to run in strips, how high they are, and how wide blocks of channels.
//!
//! Measured by `cargo bench -p kolibri --bench chain -- avx2 avx512vnni f32 u8 --strips`, all in one run, on one thread of
//! a Zen 4 core (L2 of 1 MB, L3 of 32 MB that others shared): how many times as fast as a chain that runs one by one is
//! one in strips, by the height of its strips. Runs agree within 2 %, but for the first row: it was 1.0 to 1.5, as L3
//! was busy or not.
//!
//! ```text
//!                           between, MB     rows:  1     2     4     7    14
//! f32  112 16>96>96>24 s2           6.0          1.02  1.04  1.04  1.04  1.02   avx512
//!                                                1.05  1.09  1.07  1.06  1.03   avx2
//!       56 24>144>144>24 s1         3.6          0.99  1.01  1.02  1.02  1.01   avx512
//!                                                1.02  1.04  1.05  1.06  1.02   avx2
//!       56 24>144>144>32 s2         2.3          1.00  1.01  1.02  1.02  1.01   avx512
//!       56 128>128>128 s1           1.6          0.99  1.00  0.99  1.00  1.00   avx512
//!       28 32>192>192>32 s1         1.2          0.98  1.01  1.02  1.01  1.02   avx512
//!                                                0.98  0.99  1.02  1.03  1.01   avx2
//!       14 96>576>576>96 s1         0.9          0.98  0.99  1.00  1.00  1.00   avx512
//!       14 512>512>512 s1           0.4          0.97  0.99  0.99  1.00  1.00   avx512, weights of 1 MB
//!                                                0.90  0.97  0.98  1.00  0.99   avx2
//! u8   112 16>96>96>24 s2           1.5          0.95  0.99  1.00  1.01  1.01   avx512vnni
//!       56 24>144>144>24 s1         0.9          0.86  0.96  0.98  0.98  1.00   avx512vnni
//!       28 32>192>192>32 s1         0.3          0.84  0.94  0.97  0.98  1.00   avx512vnni
//!       14 512>512>512 s1           0.2          0.96  0.99  0.99  0.99  1.00   avx512vnni
//! ```
//! So strips pay where what lies between leaves L2, change nothing where it does not, and cost where they are of one
//! row of few bytes. The kernels are bound by arithmetic on this core, and L3 keeps up unless it is shared.

use super::plan;
use crate::{Conv2d, ConvGeometry, Element, geometry::Placed};

/// Bytes of L2 of a core, of most that are sold.
const L2: usize = 1 << 20;
/// Bytes of the rows under a window that a block of channels may take: they are read again and again from L2.
const BLOCK: usize = 64 << 10;

/// Rows of the output to compute at a time, where that is faster than one convolution after the other: where what lies
/// between leaves L2, and weights, which every strip reads, stay there. A single image may be twice as large: in
/// MobileNetV1 on Zen 4 `112 64>64>128 s2`, with 0.8 MB, takes in strips 0.97 to 1.17 times as long on one thread and 1.01
/// to 1.26 times on two, of five comparisons each; in the bench of chains there is no difference.
pub(super) fn strip<T: Element>(convs: &[Conv2d<T>], placed: &[Placed]) -> Option<usize> {
    let weights = convs.iter().fold(0usize, |sum, conv| {
        let g = conv.geometry();
        sum.saturating_add(g.cout * g.group_cin() * g.taps() * size_of::<T>())
    });
    let whole = between::<T>(convs, placed, placed.iter().map(|placed| placed.oh));
    let stays = if convs.len() == 2 { L2 } else { L2 / 2 };
    (whole > stays && weights <= L2).then(|| strip_rows::<T>(convs, placed))
}

/// Rows of the output to compute at a time: as many as leave what lies between in a quarter of L2, beside the weights
/// and what comes in and goes out.
pub(super) fn strip_rows<T: Element>(convs: &[Conv2d<T>], placed: &[Placed]) -> usize {
    let (mut fits, mut most) = (1, placed[placed.len() - 1].oh);
    let bytes = |strip: usize| between::<T>(convs, placed, plan::rows(convs, placed, strip));
    while fits < most {
        let rows = most - (most - fits) / 2;
        if bytes(rows) <= L2 / 4 { fits = rows } else { most = rows - 1 }
    }
    fits
}

/// Bytes of so many rows of each output but the last.
fn between<T: Element>(convs: &[Conv2d<T>], placed: &[Placed], rows: impl IntoIterator<Item = usize>) -> usize {
    let images = convs.iter().zip(placed).zip(rows).take(convs.len() - 1);
    images.fold(0usize, |sum, ((conv, placed), rows)| {
        let pixels = rows.saturating_mul(placed.ow);
        sum.saturating_add(pixels.saturating_mul(conv.geometry().cout * size_of::<T>()))
    })
}

/// Channels of a block of what `next` reads, multiples of `unit`.
pub(super) fn block_channels<T: Element>(next: &ConvGeometry, width: usize, unit: usize) -> usize {
    let row = next.window.kernel[0].saturating_mul(width).saturating_mul(size_of::<T>()).max(1);
    (BLOCK / row / unit * unit).max(unit)
}
