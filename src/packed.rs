//! The memory of packed weights: an operator's own, or part of what a network's operators share.

use crate::{Error, error::product};
use alloc::{sync::Arc, vec::Vec};
use core::ops::Range;

/// One cache line, so that packed rows begin on lines.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Weights that are being packed: zeros where nothing was written.
pub(crate) struct Packing(Vec<Line>);

impl Packing {
    /// Room for so many bytes.
    pub fn new(bytes: usize) -> Self {
        Self::filled(bytes, 0)
    }

    /// Room for so many f32 values.
    pub fn f32(len: usize) -> Self {
        Self::new(len * size_of::<f32>())
    }

    /// `Err` where there can be no room for `parts` of `len` values of `size` bytes.
    pub fn check(parts: usize, len: usize, size: usize) -> Result<(), Error> {
        product("packed weights", &[parts, len.div_ceil(64 / size)]).map(|_| ())
    }

    /// So many bytes of that value.
    pub fn filled(bytes: usize, value: u8) -> Self {
        Packing(alloc::vec![Line([value; 64]); bytes.div_ceil(64)])
    }

    pub fn put<const N: usize>(&mut self, at: usize, bytes: [u8; N]) {
        for (i, byte) in bytes.into_iter().enumerate() {
            self.0[(at + i) / 64].0[(at + i) % 64] = byte;
        }
    }

    pub fn put_f32(&mut self, at: usize, value: f32) {
        self.put(at * size_of::<f32>(), value.to_ne_bytes());
    }

    /// A weight in a unit.
    pub fn put_i8(&mut self, at: usize, element: usize, value: i8) {
        if element == 1 { self.put(at, value.to_ne_bytes()) } else { self.put(at, i16::from(value).to_ne_bytes()) }
    }

    pub fn done(self) -> Packed {
        Packed { range: 0..self.0.len(), lines: Arc::new(self.0), followed: false }
    }
}

impl Default for Packed {
    /// No weights.
    fn default() -> Self {
        Packing::new(0).done()
    }
}

/// Packed weights.
pub struct Packed {
    lines: Arc<Vec<Line>>,
    /// Those of `lines` that they are.
    range: Range<usize>,
    /// Whether behind them lie the weights that are read next.
    followed: bool,
}

/// Bytes of weights from which a pass over them leaves too little of the cache for the rest: then few passes matter, and
/// what comes next is worth asking for early.
const LARGE: usize = 128 << 10;
/// Rows from which a product takes longer to compute than to read.
const MANY_ROWS: usize = 9;

/// A call of a kernel: tiles of `mr` rows by panels.
pub(crate) struct Call {
    pub panels: Range<usize>,
    /// The first row.
    pub row: usize,
    pub mr: usize,
    pub tiles: usize,
    /// Whether to prefetch what lies behind the last of the panels.
    pub ahead: bool,
}

impl Packed {
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&self.lines[self.range.clone()])
    }

    pub(crate) fn as_ptr<T>(&self) -> *const T {
        self.lines[self.range.clone()].as_ptr().cast()
    }

    /// Whether a product of `m` rows should prefetch the panel behind each.
    pub(crate) fn is_fetched_ahead(&self, prefetch: bool, m: usize) -> bool {
        prefetch && self.bytes() >= LARGE && m >= MANY_ROWS
    }

    /// The calls that multiply `m` rows by as many `panels`, of which the last ends at the byte `end`. Rows are in tiles as
    /// even as can be: 49 rows in tiles of at most 6 are four of 6 and five of 5, not eight of 6 and one of 1. Where the
    /// weights are large, all rows pass a panel before the next one is read. They `prefetch` it in the call with the most
    /// tiles, as a step asks for one line at most: 49 rows in tiles of at most 14 are one of 13, then three of 12.
    pub(crate) fn calls(
        &self,
        prefetch: bool,
        panels: usize,
        end: usize,
        m: usize,
        max_mr: usize,
    ) -> impl Iterator<Item = Call> {
        let bytes = self.bytes();
        let (large, more_behind) = (prefetch && bytes >= LARGE, end < bytes || self.followed);
        let tiles = m.div_ceil(max_mr);
        let (mr, higher) = (m / tiles, m % tiles);
        let asking = if higher > tiles - higher { mr + 1 } else { mr };
        let step = if large { 1 } else { panels.max(1) };
        (0..panels).step_by(step).flat_map(move |panel| {
            let panels_of_call = panel..panel + step;
            let ahead = self.is_fetched_ahead(prefetch, m) && (panels_of_call.end < panels || more_behind);
            let heights = [(0, mr + 1, higher), (higher * (mr + 1), mr, tiles - higher)];
            heights.into_iter().filter(|&(_, _, tiles)| tiles > 0).map(move |(row, mr, tiles)| Call {
                panels: panels_of_call.clone(),
                row,
                mr,
                tiles,
                ahead: ahead && mr == asking,
            })
        })
    }
}

/// An operator that keeps packed weights, for [`join_weights`].
pub trait PackedWeights: Visit {}
impl<T: Visit> PackedWeights for T {}

/// What [`PackedWeights`] is made of.
pub trait Visit {
    /// Calls `f` with all packed weights, in the order in which `run` reads them.
    fn visit(&mut self, f: &mut dyn FnMut(&mut Packed));
}

/// Lays the packed weights of operators side by side in one allocation, in the order of `operators`, which should be the
/// one in which they run: on levels that prefetch weights each then fetches the first of the next while it computes. What they compute does
/// not change, nor that each can be dropped; the memory is freed with the last of them.
///
/// ```
/// use kolibri::{Activation, Conv2d, ConvGeometry, FullyConnected, PackedWeights, Weights};
///
/// # fn main() -> Result<(), kolibri::Error> {
/// let geometry = ConvGeometry::new(64, 128, [1, 1]);
/// let mut conv = Conv2d::f32(&geometry, Weights::oihw(&[0.1; 64 * 128]), None, Activation::Relu)?;
/// let mut classifier = FullyConnected::f32(128, 10, &[0.1; 128 * 10], None, Activation::None)?;
/// let operators: [&mut dyn PackedWeights; 2] = [&mut conv, &mut classifier];
/// kolibri::join_weights(operators);
/// # Ok(())
/// # }
/// ```
pub fn join_weights<'a>(operators: impl IntoIterator<Item = &'a mut dyn PackedWeights>) {
    let mut operators: Vec<_> = operators.into_iter().collect();
    let mut each = |f: &mut dyn FnMut(&mut Packed)| operators.iter_mut().for_each(|operator| operator.visit(f));
    let mut len = 0;
    each(&mut |packed| len += packed.range.len());
    let mut lines = Vec::with_capacity(len);
    each(&mut |packed| lines.extend_from_slice(&packed.lines[packed.range.clone()]));
    let (lines, mut start) = (Arc::new(lines), 0);
    each(&mut |packed| {
        let range = start..start + packed.range.len();
        start = range.end;
        *packed = Packed { lines: lines.clone(), followed: range.end < len, range };
    });
}
