//! What the test files share: seeds, data with special values, levels, comparison, threads.
#![allow(dead_code)] // each file uses its part

pub mod chain_cases;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod emulate;
pub mod int8_cases;
pub mod kernel_cases;
pub mod kernel_i8_cases;
pub mod mem;
pub mod operator_cases;
pub mod squeeze_excite_cases;

use kolibri::{Level, Parallel, kernels::Kernels};
use quickcheck::{Arbitrary, Gen, QuickCheck};
use std::process::Command;

/// What a case is made of. One that panics says which it was.
#[derive(Clone, Debug)]
pub struct Seed(pub u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("KOLIBRI_SEED={} repeats this case", self.0);
        }
    }
}

impl Arbitrary for Seed {
    fn arbitrary(g: &mut Gen) -> Self {
        Seed(u64::arbitrary(g) ^ u64::arbitrary(g).rotate_left(32)) // one alone is often 0, 1 or the largest
    }
}

/// Runs `property` on `tests` seeds, a twentieth under emulation, or on as many as `QUICKCHECK_TESTS` says.
/// `KOLIBRI_SEED` repeats one case.
pub fn quickcheck(tests: u64, property: fn(Seed)) {
    if let Ok(seed) = std::env::var("KOLIBRI_SEED") {
        return property(Seed(seed.parse().expect("a number")));
    }
    let tests = if runner().is_some() { tests.div_ceil(20) } else { tests };
    let wanted = std::env::var("QUICKCHECK_TESTS").ok().map(|tests| tests.parse().expect("a number"));
    QuickCheck::new().tests(wanted.unwrap_or(tests)).quickcheck(property);
}

/// The emulator that cargo was told to run tests under, and its arguments.
pub fn runner() -> Option<Vec<String>> {
    let target = format!("{}_UNKNOWN_LINUX_GNU", std::env::consts::ARCH.to_uppercase());
    let runner = std::env::var(format!("CARGO_TARGET_{target}_RUNNER")).ok()?;
    Some(runner.split_whitespace().map(String::from).collect())
}

/// A process that runs the ignored test of that name in this file.
pub fn this_test(name: &str) -> Command {
    let exe = std::env::current_exe().expect("a test knows its file");
    let mut words = runner().unwrap_or_default();
    words.push(exe.into_os_string().into_string().expect("UTF-8"));
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).args(["--ignored", "--exact", name, "--nocapture"]);
    command
}

/// The kernels of every level of this CPU; a level of this architecture that it lacks is named: `.ci/run` compares.
pub fn levels() -> Vec<&'static Kernels> {
    for level in Level::ALL {
        let emulated = emulated_levels().iter().any(|kernels| kernels.level == *level);
        if level.arch() == std::env::consts::ARCH && level.kernels().is_none() {
            println!("{} level {}", if emulated { "EMULATED" } else { "SKIPPED" }, level.name());
        }
    }
    Level::available().filter_map(Level::kernels).collect()
}

/// The kernels of levels that this CPU lacks, where the instructions that are missing are emulated; that is slow.
pub fn emulated_levels() -> Vec<&'static Kernels> {
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    if runner().is_none() {
        let emulated = [(Level::AvxVnni, Level::Avx2), (Level::Amx, Level::Avx512Vnni)];
        let missing = emulated.iter().filter(|(level, rest)| level.kernels().is_none() && rest.kernels().is_some());
        emulate::install();
        // SAFETY: the CPU has the rest of the level's instructions, and the others are emulated.
        return missing.filter_map(|(level, _)| unsafe { level.kernels_unchecked() }).collect();
    }
    Vec::new()
}

/// A generator (splitmix64): the same seed, the same case, on every machine.
pub struct Rng(u64);

/// Kinds of values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Data {
    /// Between -2 and 2, and zeros of both signs.
    Plain,
    /// Exponents from -20 to 20.
    Wide,
    /// Rarely, so that not every sum is NaN: NaN, an infinity, a denormal, or a value near the largest. Without FMA there is no answer to compare
    /// with.
    Special,
}

impl Rng {
    pub fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// From `first` to `last`.
    pub fn range(&mut self, first: usize, last: usize) -> usize {
        first + self.below(last - first + 1)
    }

    /// Once in `n` times.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    /// A size from 1 to about `units * unit`, more often than not beside a multiple of `unit`.
    pub fn edge(&mut self, unit: usize, units: usize) -> usize {
        let size = if self.one_in(3) { self.below(unit * units) } else { unit * self.below(units + 1) + self.below(3) };
        size.saturating_sub(1).max(1)
    }

    /// For levels with or without FMA.
    pub fn data(&mut self, fma: bool) -> Data {
        if fma { self.pick(&[Data::Plain, Data::Wide, Data::Special]) } else { self.pick(&[Data::Plain, Data::Wide]) }
    }

    pub fn value(&mut self, data: Data) -> f32 {
        let plain = (self.next() >> 40) as f32 / (1 << 22) as f32 - 2.0;
        match data {
            Data::Plain if self.one_in(16) => self.pick(&[0.0, -0.0, 1.0, -1.0]),
            Data::Wide => plain * f32::exp2(self.range(0, 40) as f32 - 20.0),
            Data::Special if self.one_in(256) => {
                let denormal = f32::from_bits(self.range(1, 0x007f_ffff) as u32);
                let large = f32::MAX / (1.0 + self.below(4) as f32);
                let any = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 0.0, denormal, -denormal, large, -large];
                self.pick(&any)
            }
            _ => plain,
        }
    }

    pub fn values(&mut self, len: usize, data: Data) -> Vec<f32> {
        (0..len).map(|_| self.value(data)).collect()
    }

    /// Bounds of a clamp.
    pub fn bounds(&mut self) -> (f32, f32) {
        let infinity = f32::INFINITY;
        let all = [(-infinity, infinity), (0.0, infinity), (0.0, 6.0), (-0.5, 0.25), (-0.0, 0.0), (0.25, 0.25)];
        self.pick(&all)
    }
}

/// What output buffers hold before: no kernel computes it.
pub const CANARY: f32 = -7.25e33;

/// Bits, but any NaN is any NaN.
pub fn same(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

/// `slack` is what each value may differ by; `None` where bits must be the same.
#[track_caller]
pub fn compare(what: &dyn std::fmt::Debug, got: &[f32], expected: &[f32], slack: Option<&[f32]>) {
    assert_eq!(got.len(), expected.len(), "{what:?}");
    for (i, (&got, &expected)) in got.iter().zip(expected).enumerate() {
        let near = slack.is_some_and(|slack| (got - expected).abs() <= slack[i]);
        let (got_bits, bits) = (got.to_bits(), expected.to_bits());
        assert!(
            near || same(got, expected),
            "{what:?}: at {i} of {}: got {got:e} ({got_bits:#x}), expected {expected:e} ({bits:#x})",
            slack.map_or("bits".into(), |slack| format!("slack {:e}", slack[i])),
        );
    }
}

/// What a sum of `terms` products, `size` being the sum of their magnitudes, may differ by where each multiply-add rounds
/// twice on one side and once on the other.
pub fn slack(terms: usize, size: f32) -> f32 {
    (terms + 1) as f32 * f32::EPSILON * size
}

/// What a sigmoid may differ by where multiply-adds round twice.
pub fn sigmoid_slack(y: f32) -> f32 {
    8.0 * f32::EPSILON * y + f32::MIN_POSITIVE
}

/// As many threads, started for each run.
pub struct Threads(pub usize);

impl Parallel for Threads {
    fn threads(&self) -> usize {
        self.0
    }

    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..tasks).map(|i| scope.spawn(move || task(i))).collect();
            // By `join`, which helgrind knows, unlike how a scope waits.
            threads.into_iter().for_each(|thread| thread.join().expect("a task does not panic"));
        });
    }
}
