//! The emulated instructions against models of them. On a CPU that has them, the models against the CPU.
#![cfg(all(target_os = "linux", target_arch = "x86_64", feature = "operators"))]

mod common;

use common::{
    Rng, Seed, emulate,
    mem::{Mem, Place},
    quickcheck, runner,
};
use std::{
    arch::{asm, x86_64::*},
    os::unix::process::ExitStatusExt,
    sync::Barrier,
};

/// Whether there are vector registers, and a kernel that shows them to a handler: QEMU does not.
fn ready() -> bool {
    let ready = runner().is_none() && is_x86_feature_detected!("avx2");
    if ready {
        emulate::install();
        has_amx();
    } else {
        println!("SKIPPED");
    }
    ready
}

/// Whether AMX is this CPU's. Asks to be allowed it.
fn has_amx() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    // SAFETY: a question without arguments in memory.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, 18) == 0 }
}

/// Runs `property` if it can be.
fn check(tests: u64, property: fn(Seed)) {
    if ready() {
        quickcheck(tests, property);
    }
}

fn bytes(rng: &mut Rng, len: usize) -> Vec<u8> {
    (0..len).map(|_| if rng.one_in(4) { rng.pick(&[0, 0x7f, 0x80, 0xff]) } else { rng.next() as u8 }).collect()
}

/// `sum` gains the products of the four bytes of `a` and `b`.
fn dot(sum: &mut [u8], a: &[u8], b: &[u8], signed: [bool; 2]) {
    let value = |byte: u8, signed| if signed { i64::from(byte as i8) } else { i64::from(byte) };
    add(sum, (0..4).map(|i| value(a[i], signed[0]) * value(b[i], signed[1])).sum());
}

/// `sum` gains the products of the two words of `a` and `b`.
fn dot_words(sum: &mut [u8], a: &[u8], b: &[u8]) {
    let value = |words: &[u8], i: usize| i64::from(i16::from_le_bytes([words[i], words[i + 1]]));
    add(sum, [0, 2].map(|i| value(a, i) * value(b, i)).iter().sum());
}

fn add(sum: &mut [u8], to_add: i64) {
    let old = i64::from(i32::from_le_bytes(sum.try_into().unwrap()));
    sum.copy_from_slice(&((old + to_add) as i32).to_le_bytes());
}

type Registers = [[u8; 64]; 16];

fn random_registers(rng: &mut Rng) -> Registers {
    let len = if is_x86_feature_detected!("avx512f") { 64 } else { 32 };
    let mut registers = [[0; 64]; 16];
    registers.iter_mut().for_each(|register| register[..len].copy_from_slice(&bytes(rng, len)));
    registers
}

/// Fills the vector registers, which have 32 bytes without AVX-512, executes an instruction that may use `base` in rsi,
/// r12 and r13, and `index` in rcx and r9, and gets the registers back.
macro_rules! execute {
    ($insn:expr, $registers:expr, $base:expr, $index:expr $(, $($operand:tt)*)?) => {
        if is_x86_feature_detected!("avx512f") {
            execute!(@ "vmovdqu64", "zmm", $insn, $registers, $base, $index, $($($operand)*)?)
        } else {
            execute!(@ "vmovdqu", "ymm", $insn, $registers, $base, $index, $($($operand)*)?)
        }
    };
    (@ $move:literal, $kind:literal, $insn:expr, $registers:expr, $base:expr, $index:expr, $($operand:tt)*) => {
        // SAFETY: accesses the registers' copy, and what `base` and `index` are chosen for.
        unsafe {
            asm!(
                ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
                concat!($move, " ", $kind, "\\n, [rax + 64*\\n]"),
                ".endr",
                "mov r12, rsi", "mov r13, rsi", "mov r9, rcx",
                $insn,
                ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
                concat!($move, " [rax + 64*\\n], ", $kind, "\\n"),
                ".endr",
                "vzeroupper",
                in("rax") &mut $registers, in("rsi") $base as isize, in("rcx") $index as isize,
                out("r9") _, out("r12") _, out("r13") _, clobber_abi("sysv64"), $($operand)*
            )
        }
    };
}

/// `{vex} vpdpbusd` of these operands, that is of `len` bytes of these registers and of bytes in memory.
macro_rules! vpdpbusd {
    ($before:expr, $operands:literal, $len:literal, $to:literal, $a:literal, $b:expr,
        $base:expr, $index:expr $(, $($operand:tt)*)?) => {
        let (mut got, mut expected): (Registers, Registers) = ($before, $before);
        execute!(concat!("{{vex}} vpdpbusd ", $operands), got, $base, $index $(, $($operand)*)?);
        let (a, b) = (expected[$a], &$b);
        expected[$to][$len..].fill(0);
        for i in (0..$len).step_by(4) {
            dot(&mut expected[$to][i..i + 4], &a[i..i + 4], &b[i..i + 4], [false, true]);
        }
        assert_eq!(got, expected, "{}", $operands);
    };
}

#[test]
fn vpdpbusd_of_registers() {
    check(100, |seed| {
        let before = random_registers(&mut Rng::new(seed.0));
        vpdpbusd!(before, "ymm0, ymm1, ymm2", 32, 0, 1, before[2], 0, 0);
        vpdpbusd!(before, "ymm15, ymm14, ymm13", 32, 15, 14, before[13], 0, 0);
        vpdpbusd!(before, "ymm3, ymm12, ymm5", 32, 3, 12, before[5], 0, 0);
        vpdpbusd!(before, "ymm9, ymm4, ymm8", 32, 9, 4, before[8], 0, 0);
        vpdpbusd!(before, "ymm6, ymm6, ymm10", 32, 6, 6, before[10], 0, 0);
        vpdpbusd!(before, "ymm7, ymm11, ymm7", 32, 7, 11, before[7], 0, 0);
        vpdpbusd!(before, "ymm2, ymm2, ymm2", 32, 2, 2, before[2], 0, 0);
        vpdpbusd!(before, "xmm1, xmm2, xmm3", 16, 1, 2, before[3], 0, 0);
        vpdpbusd!(before, "xmm8, xmm15, xmm8", 16, 8, 15, before[8], 0, 0);
    });
}

#[test]
fn vpdpbusd_of_memory() {
    static DATA: [u8; 32] = *b"\x7f\x80\xff\x00 where the code is, likewise";
    check(100, |seed| {
        let rng = &mut Rng::new(seed.0);
        let before = random_registers(rng);
        let memory = Mem::new(Place::End, &bytes(rng, 32), 0);
        let at = memory.as_ptr() as isize;
        let i = rng.range(0, 2000) as isize - 1000;
        vpdpbusd!(before, "ymm1, ymm2, [rsi]", 32, 1, 2, memory, at, i);
        vpdpbusd!(before, "ymm8, ymm3, [r12]", 32, 8, 3, memory, at, i);
        vpdpbusd!(before, "ymm4, ymm11, [r13]", 32, 4, 11, memory, at, i);
        vpdpbusd!(before, "ymm5, ymm6, [rsi + 8*rcx + 24]", 32, 5, 6, memory, at - 8 * i - 24, i);
        vpdpbusd!(before, "ymm7, ymm12, [r13 + 4*r9 - 128]", 32, 7, 12, memory, at - 4 * i + 128, i);
        vpdpbusd!(before, "ymm9, ymm9, [r12 + 2*rcx + 0x12345]", 32, 9, 9, memory, at - 2 * i - 0x12345, i);
        vpdpbusd!(before, "ymm10, ymm0, [rsi - 0x1000]", 32, 10, 0, memory, at + 0x1000, i);
        vpdpbusd!(before, "ymm13, ymm14, [rcx + r12]", 32, 13, 14, memory, at - i, i);
        vpdpbusd!(before, "ymm15, ymm1, [8*r9 - 0x120]", 32, 15, 1, memory, 0, (at + 0x120) / 8);
        vpdpbusd!(before, "ymm0, ymm15, [rip + {data}]", 32, 0, 15, DATA, at, i, data = sym DATA);
        let memory = Mem::new(Place::End, &memory[..16], 0);
        let at = memory.as_ptr() as isize;
        vpdpbusd!(before, "xmm3, xmm10, [rsi + rcx]", 16, 3, 10, memory, at - i, i);
    });
}

#[test]
fn avx_vnni_as_with_avx512() {
    check(100, |seed| {
        if !is_x86_feature_detected!("avx512vnni") || !is_x86_feature_detected!("avx512vl") {
            return;
        }
        let before = random_registers(&mut Rng::new(seed.0));
        let (mut got, mut expected) = (before, before);
        macro_rules! both {
            ($insn:literal) => {
                execute!(concat!("{{vex}} ", $insn), got, 0, 0);
                execute!(concat!("{{evex}} ", $insn), expected, 0, 0);
            };
        }
        both!("vpdpbusd ymm3, ymm4, ymm5");
        both!("vpdpbusd xmm6, xmm7, xmm8");
        both!("vpdpwssd ymm9, ymm10, ymm11");
        both!("vpdpwssd xmm12, xmm13, xmm14");
        assert_eq!(got, expected);
    });
}

#[test]
fn intrinsics() {
    #[target_feature(enable = "avx2,avxvnni")]
    fn both(words: bool, sum: &mut [u8], a: &[u8], b: &[u8]) {
        assert_eq!((sum.len(), a.len(), b.len()), (32, 32, 32));
        // SAFETY: as long as a vector.
        let [old, a, b] = [&*sum, a, b].map(|bytes| unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) });
        let new = if words {
            _mm256_add_epi32(old, _mm256_madd_epi16(a, b)) // VPDPWSSD
        } else {
            _mm256_dpbusd_avx_epi32(old, a, b)
        };
        // SAFETY: as above.
        unsafe { _mm256_storeu_si256(sum.as_mut_ptr().cast(), new) };
    }
    check(100, |seed| {
        let rng = &mut Rng::new(seed.0);
        for words in [false, true] {
            let [mut got, a, b] = [(); 3].map(|()| bytes(rng, 32));
            let mut expected = got.clone();
            for i in (0..32).step_by(4) {
                let (sum, a, b) = (&mut expected[i..i + 4], &a[i..i + 4], &b[i..i + 4]);
                if words { dot_words(sum, a, b) } else { dot(sum, a, b, [false, true]) }
            }
            // SAFETY: the CPU has these features, or it traps.
            unsafe { both(words, &mut got, &a, &b) };
            assert_eq!(got, expected, "{words}");
        }
    });
}

/// A configuration of these tiles, rows, and bytes of a row.
fn config(tiles: &[(usize, usize, usize)]) -> [u8; 64] {
    let mut config = [0; 64];
    config[0] = 1;
    for &(tile, rows, row_bytes) in tiles {
        config[16 + 2 * tile] = row_bytes as u8;
        config[48 + tile] = rows as u8;
    }
    config
}

/// Bytes for so many rows, the last one ending where memory ends, and what the rows are apart.
fn matrix(rng: &mut Rng, rows: usize, row_bytes: usize) -> (Mem<u8>, usize) {
    let stride = row_bytes + 2 * rng.below(20);
    (Mem::new(Place::End, &bytes(rng, (rows - 1) * stride + row_bytes), 0), stride)
}

#[test]
fn products_of_tiles() {
    macro_rules! product {
        ($rng:expr, $insn:literal, $sums:literal, $a:literal, $b:literal, $signed:expr) => {
            let rng: &mut Rng = $rng;
            let [m, n, k] = [(); 3].map(|()| rng.pick(&[1, 2, 3, 7, 15, 16, 16]));
            let config = config(&[($sums, m, 4 * n), ($a, m, 4 * k), ($b, k, 4 * n)]);
            let (mut got, stride) = matrix(rng, m, 4 * n);
            let ((a, a_stride), (b, b_stride)) = (matrix(rng, m, 4 * k), matrix(rng, k, 4 * n));
            let mut expected = got.to_vec();
            for (m, n, k) in (0..m * n * k).map(|i| (i / n / k, i / k % n, i % k)) {
                let (sum, a, b) = (m * stride + 4 * n, &a[m * a_stride + 4 * k..], &b[k * b_stride + 4 * n..]);
                dot(&mut expected[sum..sum + 4], &a[..4], &b[..4], $signed);
            }
            // SAFETY: the matrices have as many rows as their tiles, as long as theirs.
            unsafe {
                asm!(
                    "ldtilecfg [{config} - 0x300]",
                    concat!("tileloadd tmm", $sums, ", [{sums} + {stride}]"),
                    concat!("tileloadd tmm", $a, ", [{a} + 2*{half_stride} + 16]"),
                    concat!("tileloaddt1 tmm", $b, ", [{b} + {b_stride} - 0x1234]"),
                    concat!($insn, " tmm", $sums, ", tmm", $a, ", tmm", $b),
                    concat!("tilestored [{sums} + {stride}], tmm", $sums),
                    "tilerelease",
                    config = in(reg) config.as_ptr().wrapping_add(0x300),
                    sums = in(reg) got.as_mut_ptr(), stride = in(reg) stride,
                    a = in(reg) a.as_ptr().wrapping_sub(16), half_stride = in(reg) a_stride / 2,
                    b = in(reg) b.as_ptr().wrapping_add(0x1234), b_stride = in(reg) b_stride,
                    options(nostack),
                )
            };
            assert_eq!(got[..], expected, "{} {m} {n} {k}", $insn);
        };
    }
    check(100, |seed| {
        let rng = &mut Rng::new(seed.0);
        product!(rng, "tdpbssd", 0, 1, 2, [true, true]);
        product!(rng, "tdpbusd", 7, 3, 5, [false, true]);
        product!(rng, "tdpbsud", 2, 6, 4, [true, false]);
        product!(rng, "tdpbuud", 5, 4, 0, [false, false]);
    });
}

/// Loads eight tiles, executes instructions that may use `config` in rdx, and stores the tiles.
macro_rules! eight_tiles {
    ($insn:literal, $config:expr, $from:expr, $to:expr) => {
        // SAFETY: eight times 16 rows of 64 bytes are read and written.
        unsafe {
            asm!(
                "ldtilecfg [rdx]",
                ".irp n, 0,1,2,3,4,5,6,7", "tileloadd tmm\\n, [rsi + rcx + 1024*\\n]", ".endr",
                $insn,
                ".irp n, 0,1,2,3,4,5,6,7", "tilestored [rdi + rcx + 1024*\\n], tmm\\n", ".endr",
                "tilerelease",
                in("rdx") &$config, in("rsi") &$from, in("rdi") &mut $to, in("rcx") 64u64, options(nostack),
            )
        }
    };
}

/// The configuration of eight full tiles.
fn full() -> [u8; 64] {
    config(&[0, 1, 2, 3, 4, 5, 6, 7].map(|tile| (tile, 16, 64)))
}

#[test]
fn zeros_of_tiles() {
    check(20, |seed| {
        let from: [u8; 8192] = bytes(&mut Rng::new(seed.0), 8192).try_into().unwrap();
        let config = full();
        let (mut got, mut expected) = ([1; 8192], from);
        eight_tiles!("tilezero tmm1\ntilezero tmm6", config, from, got);
        expected[1024..2048].fill(0);
        expected[6 * 1024..7 * 1024].fill(0);
        assert!(got == expected, "some are zeroed");
        eight_tiles!("ldtilecfg [rdx]", config, from, got);
        assert!(got == [0; 8192], "a new configuration zeroes all");
    });
}

#[test]
fn tiles_of_threads() {
    if !ready() {
        return;
    }
    let barrier = &Barrier::new(2);
    let tiles = move |id: u8, row_bytes: usize| {
        let (config, from, mut to) = (config(&[(0, 16, row_bytes)]), [id; 1024], [0; 1024]);
        // SAFETY: at most 16 rows of 64 bytes are read.
        unsafe { asm!("ldtilecfg [{}]", "tileloadd tmm0, [{} + {}]", in(reg) &config, in(reg) &from, in(reg) 64u64) };
        barrier.wait();
        // SAFETY: at most 16 rows of 64 bytes are written.
        unsafe { asm!("tilestored [{} + {}], tmm0", "tilerelease", in(reg) &mut to, in(reg) 64u64) };
        let expected: [u8; 1024] = std::array::from_fn(|i| if i % 64 < row_bytes { id } else { 0 });
        assert!(to == expected);
    };
    std::thread::scope(|scope| {
        scope.spawn(|| tiles(1, 64));
        scope.spawn(|| tiles(2, 4));
    });
}

/// A function of assembly.
macro_rules! assembly {
    ($($asm:tt)*) => {
        // SAFETY: it ends the process, or reads a configuration.
        || unsafe { asm!($($asm)*) }
    };
}

/// What ends the process, and why.
const REFUSED: [(&str, fn()); 15] = [
    ("nothing that is emulated", assembly!("ud2")),
    ("not configured", assembly!("tilezero tmm0")),
    ("not configured", assembly!("ldtilecfg [{}]", "tilerelease", "tilezero tmm0", in(reg) &full())),
    ("not configured", assembly!("ldtilecfg [{}]", "tilezero tmm1", in(reg) &config(&[(0, 1, 4)]))),
    ("no such configuration", || product_with(0, 2)),
    ("no such configuration", || product_with(2, 1)),
    ("no such configuration", || product_with(32, 1)),
    ("no such configuration", || product_with(63, 1)),
    ("no such shape", || product_with(48, 17)),
    ("no such shape", || product_with(49, 0)),
    ("no such shape", || product_with(16, 68)),
    ("four bytes", || product_with(16, 11)),
    ("do not match", || product_with(16, 8)),
    ("do not match", || product_with(48, 1)),
    ("do not match", || product_with(50, 3)),
];

/// A product, one byte of the configuration being another.
fn product_with(byte: usize, to: u8) {
    let mut config = config(&[(0, 2, 12), (1, 2, 8), (2, 2, 12)]);
    config[byte] = to;
    // SAFETY: accesses only the configuration.
    unsafe { asm!("ldtilecfg [{}]", "tdpbusd tmm0, tmm1, tmm2", "tilerelease", in(reg) &config) };
}

#[test]
fn the_illegal_ends_the_process() {
    if !ready() {
        return;
    }
    product_with(0, 1); // as it was: legal
    let has_amx = has_amx();
    for (i, (reason, _)) in REFUSED.iter().enumerate() {
        let output = common::this_test("refused").env("REFUSED", i.to_string()).output().expect("the child starts");
        let signal = output.status.signal();
        assert!(signal == Some(libc::SIGILL) || has_amx && signal == Some(libc::SIGSEGV), "{i}: {output:?}");
        let said = String::from_utf8_lossy(&output.stderr).contains(reason);
        // What is refused by a CPU with AMX is not always for us to explain; what no CPU has is.
        assert!(said || has_amx && i > 0, "{i}: {output:?} lacks {reason}");
    }
}

#[test]
#[ignore = "is killed, as another test wants"]
fn refused() {
    let i: usize = std::env::var("REFUSED").map_or(0, |i| i.parse().unwrap());
    ready();
    REFUSED[i].1();
}
