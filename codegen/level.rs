//! One row per instruction set: what the generator must know and cannot compute. The only list of levels.

/// An instruction set for which kernels are emitted. The vocabulary of the same name is `src/isa/<name>.rs`.
pub struct Level {
    /// Named by the last feature it requires.
    pub name: &'static str,
    /// The spelling of its variant of `kolibri::Level`.
    pub variant: &'static str,
    /// `target_arch`, or "any".
    pub arch: &'static str,
    /// Every CPU feature that its code uses.
    pub features: &'static [&'static str],
    /// A fused multiply-add is one instruction of every CPU of this level.
    pub fma: Fma,
    /// f32 lanes of one register.
    pub lanes: usize,
    /// Vector registers.
    pub registers: usize,
    /// Values of k that one register of A feeds: 1 where a value is splat, the lane count where `fma` takes a lane.
    pub a_step: usize,
    /// `gemm[c - 1]`: the largest MR of panels that are `c` registers wide. Every MR up to it is emitted, so
    /// that rows can be split evenly.
    pub gemm: &'static [usize],
    /// Panels that the one-row product walks side by side, to have enough independent chains.
    pub gemv_panels: usize,
    /// Output pixels that one depthwise step computes, widest first; ends with 1.
    pub dw_pixels: &'static [usize],
}

/// Whether results are held to the bits of the reference.
#[derive(Clone, Copy)]
pub enum Fma {
    Always,
    /// Where the compiler may use it for baseline code.
    IfTarget,
}

pub const LEVELS: &[Level] = &[
    Level {
        name: "portable",
        variant: "Portable",
        arch: "any",
        features: &[],
        fma: Fma::IfTarget,
        lanes: 4,
        registers: 16,
        a_step: 1,
        gemm: &[8, 6],
        gemv_panels: 4,
        dw_pixels: &[7, 4, 1],
    },
    Level {
        name: "avx2",
        variant: "Avx2",
        arch: "x86_64",
        features: &["avx2", "fma"],
        fma: Fma::Always,
        lanes: 8,
        registers: 16,
        a_step: 1,
        gemm: &[12, 6],
        gemv_panels: 4,
        dw_pixels: &[7, 4, 1],
    },
    Level {
        name: "avx512",
        variant: "Avx512",
        arch: "x86_64",
        features: &["avx2", "fma", "avx512f", "avx512bw", "avx512dq", "avx512vl"],
        fma: Fma::Always,
        lanes: 16,
        registers: 32,
        a_step: 1,
        gemm: &[14, 14],
        gemv_panels: 4,
        dw_pixels: &[7, 4, 1],
    },
    Level {
        name: "neon",
        variant: "Neon",
        arch: "aarch64",
        features: &["neon"],
        fma: Fma::Always,
        lanes: 4,
        registers: 32,
        a_step: 4,
        gemm: &[8, 8, 7, 6],
        gemv_panels: 2,
        dw_pixels: &[7, 4, 1],
    },
];

impl Level {
    /// Whether `arch` can hold this level.
    pub fn is_for(&self, arch: &str) -> bool {
        self.arch == "any" || self.arch == arch
    }

    /// Columns of a full panel of B.
    pub fn nr(&self) -> usize {
        self.gemm.len() * self.lanes
    }
}
