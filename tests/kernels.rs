//! Every kernel of every level of this CPU against a scalar model: arguments by the contract, values special and plain,
//! nothing written outside.
#![cfg(feature = "operators")]

mod common;

use common::{Rng, Seed, emulated_levels, kernel_cases::*, kernel_i8_cases, levels, mem::Place, quickcheck};
use kolibri::{
    Level,
    kernels::{DW_SHAPES, INTERLEAVED, TAPS_PIXELS},
};
use std::collections::HashSet;

#[test]
fn every_kernel_is_its_model() {
    quickcheck(1000, |seed: Seed| {
        for kernels in levels_once() {
            every_kernel(&mut Rng::new(seed.0), kernels, Place::Heap);
        }
    });
}

/// The small kernels have more edges than cases that run every kernel.
#[test]
fn small_kernels_are_their_models() {
    quickcheck(10_000, |seed: Seed| {
        let rng = &mut Rng::new(seed.0);
        for kernels in levels_once() {
            pool(rng, kernels, kernels.pool_f32[0], false, Place::Heap);
            pool(rng, kernels, kernels.pool_f32[1], true, Place::Heap);
            for (&kernel, join) in kernels.elementwise_f32.iter().zip(JOINS) {
                elementwise(rng, kernels, kernel, join, Place::Heap);
            }
            transpose(rng, kernels, kernels.transpose_x32[0], Place::Heap);
            interleave(rng, kernels.interleave_x32, Place::Heap, 0xa5a5_a5a5u32, |any| any as u32);
            kernel_i8_cases::small_kernels(rng, kernels, Place::Heap);
        }
    });
}

/// Products of bytes that this CPU lacks, where they are emulated.
#[test]
fn emulated_kernels_are_their_models() {
    quickcheck(10, |seed: Seed| {
        for kernels in emulated_levels() {
            kernel_i8_cases::every_kernel(&mut Rng::new(seed.0), kernels, Place::Heap);
        }
    });
}

/// Says once which levels are left out.
fn levels_once() -> &'static [&'static kolibri::kernels::Kernels] {
    static LEVELS: std::sync::LazyLock<Vec<&kolibri::kernels::Kernels>> = std::sync::LazyLock::new(levels);
    &LEVELS
}

#[test]
fn tables_hold_what_their_names_say() {
    for kernels in levels_once() {
        // Where a level has a base, most kernels are that one's.
        let level = kernels.gemm_f32[0].name.rsplit('_').next().expect("a name");
        for (cols, &max) in (1..).zip(kernels.gemm_mr) {
            for mr in 1..=max {
                let kernel = kernels.gemm(mr, cols).expect("in the table");
                assert_eq!(kernel.name, format!("gemm_f32_{mr}x{}_{level}", cols * kernels.lanes));
            }
            assert!(kernels.gemm(max + 1, cols).is_none() && kernels.gemm(0, cols).is_none());
        }
        assert!(kernels.gemm(1, 0).is_none() && kernels.gemm(1, kernels.gemm_mr.len() + 1).is_none());
        assert_eq!(kernels.gemm_f32.len(), kernels.gemm_mr.iter().sum::<usize>());
        assert_eq!(kernels.gemv_f32[0].name, format!("gemv_f32_1x{}_{level}", kernels.gemv_panels * kernels.nr()));
        for (k, s) in DW_SHAPES {
            for rows in 1..=kernels.dw_rows {
                for (i, x) in kernels.dw_pixels.iter().enumerate() {
                    let kernel = kernels.dwconv(k, s, rows, i).expect("in the table");
                    assert_eq!(kernel.name, format!("dwconv_f32_k{k}s{s}_{rows}x{x}_{level}"));
                }
                assert!(kernels.dwconv(k, s, rows, kernels.dw_pixels.len()).is_none());
            }
            assert!(kernels.dwconv(k, s, 0, 0).is_none() && kernels.dwconv(k, s, kernels.dw_rows + 1, 0).is_none());
        }
        assert!(kernels.dwconv(4, 1, 1, 0).is_none() && kernels.dwconv(3, 3, 1, 0).is_none());
        assert_eq!(kernels.dwconv_f32.len(), DW_SHAPES.len() * kernels.dw_rows * kernels.dw_pixels.len());
        assert_eq!(kernels.dw_pixels.last(), Some(&1));
        for (kernel, x) in kernels.dwconv_taps_f32.iter().zip(TAPS_PIXELS) {
            assert_eq!(kernel.name, format!("dwconv_f32_tapsx{x}_{level}"));
        }
        let int8 = &kernels.int8;
        for (cols, &max) in (1..).zip(int8.mr) {
            for mr in 1..=max {
                let kernel = kernels.gemm_i8(mr, cols).expect("in the table");
                assert!(kernel.name.starts_with(&format!("gemm_i8_{mr}x{}_", cols * int8.lanes)));
            }
            assert!(kernels.gemm_i8(max + 1, cols).is_none() && kernels.gemm_i8(0, cols).is_none());
        }
        assert_eq!(kernels.gemm_i8.len(), int8.mr.iter().sum::<usize>());
        for dw in kernels.dw_i8 {
            for (k, s) in DW_SHAPES {
                for (i, x) in dw.pixels.iter().enumerate() {
                    let kernel = dw.dwconv(k, s, i).expect("in the table");
                    assert!(kernel.name.starts_with(&format!("dwconv_i8_k{k}s{s}x{x}_")));
                }
            }
            assert_eq!(dw.dwconv_i8.len(), DW_SHAPES.len() * dw.pixels.len());
            assert_eq!(dw.pixels.last(), Some(&1));
        }
        let pools = ["avgpool_f32", "maxpool_f32", "sum_i8", "maxpool_i8"].map(|family| format!("{family}_{level}"));
        assert!(kernels.pool_f32.iter().map(|kernel| kernel.name).eq(pools[..2].iter()), "{level}");
        assert!(kernels.pool_i8.iter().map(|kernel| kernel.name).eq(pools[2..].iter()), "{level}");
        let elementwise = ["add_f32", "act_f32", "mul_f32"].map(|family| format!("{family}_{level}"));
        assert!(kernels.elementwise_f32.iter().map(|kernel| kernel.name).eq(elementwise.iter()), "{level}");
        let interleave = |bits| INTERLEAVED.map(|groups| format!("interleave_x{bits}_g{groups}_{level}"));
        assert!(kernels.interleave_x32.iter().map(|kernel| kernel.name).eq(interleave(32).iter()), "{level}");
        assert!(kernels.interleave_x8.iter().map(|kernel| kernel.name).eq(interleave(8).iter()), "{level}");
        let blocks: Vec<_> = kernels.dw_i8.iter().map(|dw| dw.channels()).collect();
        assert!(blocks.is_sorted_by(|a, b| a > b), "{blocks:?}");
        let names: Vec<_> = kernels.list().map(|(name, _)| name).collect();
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len(), "{level}: a name twice");
        let registers = if kernels.lanes == 16 || level == "neon" { 32 } else { 16 };
        // Some kernels use registers of half the level's width.
        let of_a_level = |name: &str| {
            let name = name.trim_end_matches("_half");
            Level::ALL.iter().any(|level| name.ends_with(&format!("_{}", level.name())))
        };
        assert!(kernels.list().all(|(name, used)| of_a_level(name) && (1..=registers).contains(&used)), "{level}");
    }
}

#[test]
fn levels_with_fma_at_run_time_promise_bits() {
    for kernels in levels_once() {
        let baseline = cfg!(any(target_feature = "fma", target_arch = "aarch64"));
        assert_eq!(kernels.fma, kernels.level.name() != "portable" || baseline, "{}", kernels.level.name());
    }
}
