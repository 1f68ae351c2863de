//! One row per instruction set: what the generator must know and cannot compute. The only list of levels.

/// An instruction set for which kernels are emitted. The vocabulary of the same name is `src/isa/<name>.rs`.
#[derive(Clone, Copy)]
pub struct Level {
    /// Named by the last feature it requires.
    pub name: &'static str,
    /// The spelling of its variant of `kolibri::Level`; empty where it is none, see `HALVES`.
    pub variant: &'static str,
    /// `target_arch`, or "any".
    pub arch: &'static str,
    /// The Cargo feature without which it is not emitted; empty where it always is.
    pub feature: &'static str,
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
    /// Steps in a turn of a product's innermost loop, where `a_step` is 1.
    pub unroll: usize,
    /// `gemm[c - 1]`: the largest MR of panels that are `c` registers wide. Every MR up to it is emitted, so
    /// that rows can be split evenly.
    pub gemm: &'static [usize],
    /// Panels that the one-row product walks side by side, to have enough independent chains.
    pub gemv_panels: usize,
    /// Whether products prefetch weights, and those in f32 what they will write: where they multiply faster than lines
    /// come from beyond L2.
    pub prefetch: bool,
    /// Output pixels that one depthwise step computes, widest first; ends with 1.
    pub dw_pixels: &'static [usize],
    /// The most output rows that one depthwise step computes.
    pub dw_rows: usize,
    /// Whether the depthwise kernel for any taps takes two registers of channels at a time where there are as many: one
    /// pointer then serves both.
    pub taps_pairs: bool,
    /// The level whose kernels it shares where it has none of its own: everything but the int8 products. Of what is in
    /// `HALVES`, the level that it is half of.
    pub base: Option<&'static str>,
    /// Whether it has products on tile registers, and of its own nothing else.
    pub tiles: bool,
    pub int8: Int8,
}

/// How a level multiplies bytes.
#[derive(Clone, Copy)]
pub struct Int8 {
    /// Bytes that a value takes in a product: 2 where bytes are widened first.
    pub element: usize,
    /// Bytes of each operand that a product adds up into one i32 lane: `unit / element` values of k.
    pub unit: usize,
    /// Rows of A in one register: 2 where a product is one of small matrices.
    pub rows: usize,
    /// Units that one register of A feeds: 1 where a unit is splat, as many as it holds where `dot` takes a lane.
    pub a_step: usize,
    /// Whether activations are multiplied as i8 rather than u8.
    pub signed: bool,
    /// Registers that a product needs besides its operands.
    pub spare: usize,
    /// As `Level::gemm`.
    pub gemm: &'static [usize],
    /// i32 registers of a depthwise block of channels: as many as the channels of one `load_row` fill.
    pub dw_registers: usize,
    /// As `Level::dw_pixels`.
    pub dw_pixels: &'static [usize],
    /// Levels whose depthwise kernels serve as few channels as their blocks hold, widest first; any number, where it has
    /// none of its own.
    pub dw_narrower: &'static [&'static str],
}

/// Whether results are held to the bits of the reference.
#[derive(Clone, Copy)]
pub enum Fma {
    Always,
    /// Where the compiler may use it for baseline code.
    IfTarget,
}

const PORTABLE: Level = Level {
    name: "portable",
    variant: "Portable",
    arch: "any",
    feature: "portable",
    features: &[],
    fma: Fma::IfTarget,
    lanes: 4,
    registers: 16,
    a_step: 1,
    unroll: 1,
    gemm: &[8, 6],
    gemv_panels: 4,
    prefetch: false,
    dw_pixels: &[7, 4, 1],
    dw_rows: 1,
    taps_pairs: false,
    base: None,
    tiles: false,
    int8: Int8 {
        element: 2,
        unit: 4,
        rows: 1,
        a_step: 1,
        signed: false,
        spare: 1,
        gemm: &[8, 6],
        dw_registers: 2,
        dw_pixels: &[4, 1],
        dw_narrower: &[],
    },
};

const AVX2: Level = Level {
    name: "avx2",
    variant: "Avx2",
    arch: "x86_64",
    feature: "avx2",
    features: &["avx2", "fma"],
    fma: Fma::Always,
    lanes: 8,
    unroll: 2,
    prefetch: true,
    ..PORTABLE
};

const AVXVNNI: Level = Level {
    name: "avxvnni",
    variant: "AvxVnni",
    feature: "avxvnni",
    features: &["avx2", "fma", "avxvnni"],
    base: Some("avx2"),
    int8: Int8 { element: 1, spare: 0, dw_registers: 4, dw_narrower: &["avx2"], ..AVX2.int8 },
    ..AVX2
};

const AVX512: Level = Level {
    name: "avx512",
    variant: "Avx512",
    arch: "x86_64",
    feature: "avx512",
    features: &["avx2", "fma", "avx512f", "avx512bw", "avx512dq", "avx512vl"],
    fma: Fma::Always,
    lanes: 16,
    registers: 32,
    gemm: &[14, 14],
    prefetch: true,
    int8: Int8 { gemm: &[14, 14], dw_pixels: &[7, 4, 1], dw_narrower: &["avx2"], ..PORTABLE.int8 },
    ..PORTABLE
};

const AVX512VNNI: Level = Level {
    name: "avx512vnni",
    variant: "Avx512Vnni",
    feature: "avx512vnni",
    features: &["avx2", "fma", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vnni"],
    base: Some("avx512"),
    int8: Int8 { element: 1, spare: 0, dw_registers: 4, dw_narrower: &["avx512vnni_half"], ..AVX512.int8 },
    ..AVX512
};

const AVX512VNNI_HALF: Level = Level {
    name: "avx512vnni_half",
    variant: "",
    base: Some("avx512vnni"),
    lanes: 8,
    int8: Int8 { dw_narrower: &[], ..AVX512VNNI.int8 },
    ..AVX512VNNI
};

const AMX: Level = Level {
    name: "amx",
    variant: "Amx",
    feature: "amx",
    features: &["avx2", "fma", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vnni", "amx-tile", "amx-int8"],
    base: Some("avx512vnni"),
    tiles: true,
    ..AVX512VNNI
};

const NEON: Level = Level {
    name: "neon",
    variant: "Neon",
    arch: "aarch64",
    feature: "",
    features: &["neon"],
    fma: Fma::Always,
    lanes: 4,
    registers: 32,
    a_step: 4,
    gemm: &[8, 8, 7, 6],
    gemv_panels: 2,
    dw_rows: 2,
    taps_pairs: true,
    int8: Int8 {
        element: 2,
        unit: 2,
        rows: 1,
        a_step: 8,
        signed: true,
        spare: 0,
        gemm: &[8, 8, 7, 6],
        dw_registers: 4,
        dw_pixels: &[7, 4, 1],
        dw_narrower: &[],
    },
    ..PORTABLE
};

const NEON_DOTPROD: Level = Level {
    name: "neon_dotprod",
    variant: "NeonDotprod",
    feature: "neon_dotprod",
    features: &["neon", "dotprod"],
    base: Some("neon"),
    int8: Int8 { element: 1, unit: 4, a_step: 4, ..NEON.int8 },
    ..NEON
};

const NEON_I8MM: Level = Level {
    name: "neon_i8mm",
    variant: "NeonI8mm",
    feature: "neon_i8mm",
    features: &["neon", "dotprod", "i8mm"],
    base: Some("neon_dotprod"),
    int8: Int8 {
        unit: 8,
        rows: 2,
        a_step: 1,
        gemm: &[8, 8, 8, 6],
        dw_narrower: &["neon_dotprod"],
        ..NEON_DOTPROD.int8
    },
    ..NEON
};

/// Features that the compiler does not know; `detect::amx` asks for them.
const TILE_FEATURES: &[&str] = &["amx-tile", "amx-int8"];

/// Better levels later, within an architecture.
pub const LEVELS: &[Level] = &[PORTABLE, AVX2, AVXVNNI, AVX512, AVX512VNNI, AMX, NEON, NEON_DOTPROD, NEON_I8MM];

/// Registers of half the width: no levels of their own, but depthwise kernels for what is narrower than a block of the
/// level from which they are derived.
pub const HALVES: &[Level] = &[AVX512VNNI_HALF];

/// The levels and half levels that `arch` can hold and that are asked for.
pub fn all(arch: &str, on: super::On) -> impl Iterator<Item = &'static Level> {
    let asked = move |level: &&Level| level.feature.is_empty() || on(level.feature);
    LEVELS.iter().chain(HALVES).filter(move |level| level.is_for(arch)).filter(asked)
}

impl Level {
    /// Whether `arch` can hold this level.
    pub fn is_for(&self, arch: &str) -> bool {
        self.arch == "any" || self.arch == arch
    }

    /// The features that the compiler knows.
    pub fn known_features(&self) -> impl Iterator<Item = &'static str> {
        self.features.iter().copied().filter(|feature| !TILE_FEATURES.contains(feature))
    }

    /// Columns of a full panel of B.
    pub fn nr(&self) -> usize {
        self.gemm.len() * self.lanes
    }
}

impl Int8 {
    /// A product of small matrices is of no use there.
    pub fn has_depthwise(&self) -> bool {
        self.rows == 1
    }
}
