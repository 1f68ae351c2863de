//! What one would write with `pulp` or with `wide`: the same loops over either.

use pulp::bytemuck::Pod;

/// What the loops need of `pulp` and of `wide`.
pub trait Lanes: Copy {
    type V: Pod;
    const LANES: usize = size_of::<Self::V>() / size_of::<f32>();
    /// The most rows of a tile: two sums each, beside two registers of weights and one of the row.
    const ROWS: usize;

    fn splat(self, value: f32) -> Self::V;
    fn mul_add(self, a: Self::V, b: Self::V, sum: Self::V) -> Self::V;
    fn relu6(self, v: Self::V) -> Self::V;

    /// # Safety
    /// `x` has a register of values at `at`.
    #[inline(always)]
    unsafe fn load(self, x: &[f32], at: usize) -> Self::V {
        // SAFETY: the values are there, and any are a `V`.
        unsafe { x.as_ptr().add(at).cast::<Self::V>().read_unaligned() }
    }

    /// # Safety
    /// `y` has a register of values at `at`.
    #[inline(always)]
    unsafe fn store(self, v: Self::V, y: &mut [f32], at: usize) {
        // SAFETY: the place is there.
        unsafe { y.as_mut_ptr().add(at).cast::<Self::V>().write_unaligned(v) }
    }
}

#[derive(Clone, Copy)]
struct Pulp<S>(S);

impl<S: pulp::Simd> Lanes for Pulp<S> {
    type V = S::f32s;
    const ROWS: usize = if S::REGISTER_COUNT < 32 { 6 } else { 14 };

    #[inline(always)]
    fn splat(self, value: f32) -> S::f32s {
        self.0.splat_f32s(value)
    }
    #[inline(always)]
    fn mul_add(self, a: S::f32s, b: S::f32s, sum: S::f32s) -> S::f32s {
        self.0.mul_add_f32s(a, b, sum)
    }
    #[inline(always)]
    fn relu6(self, v: S::f32s) -> S::f32s {
        self.0.min_f32s(self.0.max_f32s(v, self.splat(0.0)), self.splat(6.0))
    }
}

/// The widest that is one register.
#[cfg(target_feature = "avx")]
type WideV = wide::f32x8;
#[cfg(not(target_feature = "avx"))]
type WideV = wide::f32x4;

#[derive(Clone, Copy)]
pub struct Wide;

impl Lanes for Wide {
    type V = WideV;
    const ROWS: usize = if cfg!(any(target_feature = "avx512f", target_arch = "aarch64")) { 14 } else { 6 };

    #[inline(always)]
    fn splat(self, value: f32) -> WideV {
        WideV::splat(value)
    }
    #[inline(always)]
    fn mul_add(self, a: WideV, b: WideV, sum: WideV) -> WideV {
        a.mul_add(b, sum)
    }
    #[inline(always)]
    fn relu6(self, v: WideV) -> WideV {
        v.fast_max(self.splat(0.0)).fast_min(self.splat(6.0))
    }
}

/// What a layer computes with. Its weights lie as [`panels`] has them, or as `[3][3][channels]`.
#[derive(Clone, Copy)]
pub struct Layer<'a> {
    pub x: &'a [f32],
    pub w: &'a [f32],
    pub bias: &'a [f32],
    pub depthwise: Option<Depthwise>,
}

#[derive(Clone, Copy)]
pub struct Depthwise {
    /// Pixels along a side of the input, and of the output.
    pub sides: [usize; 2],
    pub stride: usize,
    /// Pixels for which weights stay in registers.
    pub run: usize,
}

/// One tile: `M` rows of `x`, each `cin` long, and `R` registers of columns.
///
/// # Safety
/// `x` has the rows, `panel` the columns of `cin` rows, `bias` one row of them, `y` `M` rows of them `cout` apart.
#[inline(always)]
unsafe fn tile<L: Lanes, const M: usize, const R: usize>(
    l: L,
    [cin, cout]: [usize; 2],
    [x, panel, bias]: [&[f32]; 3],
    y: &mut [f32],
) {
    let mut sums = [[l.splat(0.0); R]; M];
    // SAFETY: by the caller.
    unsafe {
        for sums in &mut sums {
            sums.iter_mut().enumerate().for_each(|(r, sum)| *sum = l.load(bias, r * L::LANES));
        }
        for k in 0..cin {
            let mut b = [l.splat(0.0); R];
            for (r, b) in b.iter_mut().enumerate() {
                *b = l.load(panel, (k * R + r) * L::LANES);
            }
            for (i, sums) in sums.iter_mut().enumerate() {
                let a = l.splat(*x.get_unchecked(i * cin + k));
                for (sum, b) in sums.iter_mut().zip(b) {
                    *sum = l.mul_add(a, b, *sum);
                }
            }
        }
        for (i, sums) in sums.into_iter().enumerate() {
            for (r, sum) in sums.into_iter().enumerate() {
                l.store(l.relu6(sum), y, i * cout + r * L::LANES);
            }
        }
    }
}

/// Rows in blocks that leave room in L2; of each one panel after the other, in tiles that differ by one row at most.
#[inline(always)]
pub fn pointwise<L: Lanes>(l: L, layer: Layer<'_>, y: &mut [f32]) {
    let cout = layer.bias.len();
    let cin = layer.w.len() / cout;
    let pixels = layer.x.len() / cin;
    assert!(y.len() == pixels * cout && cout.is_multiple_of(L::LANES));
    let tiles = pixels.div_ceil(L::ROWS);
    let block = ((1 << 15) / (L::ROWS * cin)).max(1);
    let panels = (0..cout).step_by(2 * L::LANES);
    let turns = (0..tiles).step_by(block).flat_map(|first| panels.clone().map(move |column| (first, column)));
    for (first, column) in turns {
        for i in first..tiles.min(first + block) {
            let [row, end] = [i, i + 1].map(|i| i * pixels / tiles);
            let operands = [&layer.x[row * cin..], &layer.w[column * cin..], &layer.bias[column..]];
            let y = &mut y[row * cout + column..];
            macro_rules! tiles {
                ($($rows:literal)*) => {
                    match (end - row, cout - column >= 2 * L::LANES) {
                        // SAFETY: there are as many rows and columns, by the assertion.
                        $(($rows, true) => unsafe { tile::<L, $rows, 2>(l, [cin, cout], operands, y) },
                        // SAFETY: as above.
                        ($rows, false) => unsafe { tile::<L, $rows, 1>(l, [cin, cout], operands, y) },)*
                        _ => unreachable!("no shape of the table has such a tile"),
                    }
                };
            }
            tiles!(5 6 12 13 14);
        }
    }
}

/// 3x3: some pixels of a row after the other, of each one register of channels after the other.
#[inline(always)]
pub fn depthwise<L: Lanes>(l: L, layer: Layer<'_>, Depthwise { sides, stride, run }: Depthwise, y: &mut [f32]) {
    let (channels, [side, out]) = (layer.bias.len(), sides);
    assert!(
        layer.x.len() == side * side * channels && layer.w.len() == 9 * channels && channels.is_multiple_of(L::LANES)
    );
    assert!(y.len() == out * out * channels && (out - 1) * stride + 3 <= side);
    for (row, start) in (0..out).flat_map(|row| (0..out).step_by(run).map(move |start| (row, start))) {
        for c in (0..channels).step_by(L::LANES) {
            let mut w = [l.splat(0.0); 9];
            // SAFETY: `channels` biases, nine times as many weights, and windows within the image, by the assertions.
            unsafe {
                w.iter_mut().enumerate().for_each(|(i, w)| *w = l.load(layer.w, i * channels + c));
                let bias = l.load(layer.bias, c);
                for column in start..out.min(start + run) {
                    let (mut sum, first) = (bias, row * stride * side + column * stride);
                    for (i, w) in w.into_iter().enumerate() {
                        sum = l.mul_add(l.load(layer.x, (first + i / 3 * side + i % 3) * channels + c), w, sum);
                    }
                    l.store(l.relu6(sum), y, (row * out + column) * channels + c);
                }
            }
        }
    }
}

/// A layer on what `pulp` finds.
pub struct Dispatch<'a>(pub Layer<'a>, pub &'a mut [f32]);

impl pulp::WithSimd for Dispatch<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, simd: S) {
        match self.0.depthwise {
            Some(shape) => depthwise(Pulp(simd), self.0, shape, self.1),
            None => pointwise(Pulp(simd), self.0, self.1),
        }
    }
}

/// How many lanes `pulp` has.
pub struct PulpLanes;

impl pulp::WithSimd for PulpLanes {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> usize {
        S::F32_LANES
    }
}

/// `w[cin][cout]` in panels of `columns`, the last of what is left.
pub fn panels(w: &[f32], cout: usize, columns: usize) -> Vec<f32> {
    let panel = |from: usize| w.chunks(cout).flat_map(move |row| &row[from..cout.min(from + columns)]);
    (0..cout).step_by(columns).flat_map(panel).copied().collect()
}
