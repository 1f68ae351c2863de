//! The levels, and the choice among them. What the compiler has no test for, the CPU is asked here.

use crate::{
    Error,
    kernels::{self, Kernels},
};

include!(concat!(env!("OUT_DIR"), "/levels.rs"));

impl Level {
    /// The level of that name.
    pub fn from_name(name: &str) -> Option<Level> {
        Level::ALL.iter().copied().find(|level| level.name() == name)
    }

    /// The kernels of this level, where its Cargo feature is on and this CPU has every feature that they use. The reference
    /// is the proof: whoever holds one may run its kernels.
    pub fn kernels(self) -> Option<&'static Kernels> {
        kernels::detect(self)
    }

    /// The kernels of this level, whether or not this CPU has its features; `None` on another architecture, and without
    /// its Cargo feature.
    ///
    /// # Safety
    /// Whoever runs them sees to it that the instructions that they use are executed: by the CPU, or by an emulation that
    /// catches them.
    pub unsafe fn kernels_unchecked(self) -> Option<&'static Kernels> {
        kernels::table(self)
    }

    /// The levels that this CPU has, the best last.
    pub fn available() -> impl DoubleEndedIterator<Item = Level> {
        Level::ALL.iter().copied().filter(|level| level.kernels().is_some())
    }

    /// The kernels that operators use where the caller asks for no level: the best that this CPU has, narrowed by the
    /// environment variable `KOLIBRI_ISA`, which is read once.
    ///
    /// `KOLIBRI_ISA` is a list of level names, separated by commas. `avx2` alone permits that level (and any other
    /// named without a sign) and nothing else; `-avx512` takes one away, `+avx512` gives it back. A level that the CPU or
    /// the crate lacks is never taken; where nothing is left, or without the feature `isa-env`, the portable level is.
    ///
    /// # Errors
    /// [`Error::Isa`] where the variable names an unknown level; [`Error::Level`] where the crate was built without the
    /// portable level, and the CPU has no other that it was built with.
    pub fn selected() -> Result<&'static Kernels, Error> {
        let best = select(variables()[0].unwrap_or(""))?;
        best.kernels().or(Level::Portable.kernels()).ok_or(Error::Level { name: best.name() })
    }
}

/// The value of `KOLIBRI_FUSE`.
pub(crate) fn fuse_variable() -> Option<&'static str> {
    variables()[1]
}

/// `KOLIBRI_ISA` and `KOLIBRI_FUSE`, read once.
fn variables() -> [Option<&'static str>; 2] {
    #[cfg(feature = "isa-env")]
    {
        static SET: std::sync::OnceLock<[Option<String>; 2]> = std::sync::OnceLock::new();
        let read = || ["KOLIBRI_ISA", "KOLIBRI_FUSE"].map(|name| std::env::var(name).ok());
        SET.get_or_init(read).each_ref().map(|value| value.as_deref())
    }
    #[cfg(not(feature = "isa-env"))]
    [None; 2]
}

/// Whether the CPU has AMX with products of bytes, and the system grants this process the state of its tiles: Linux does
/// when asked, once for the whole process. Elsewhere the level is not offered.
#[cfg(all(target_arch = "x86_64", feature = "amx"))]
pub(crate) fn amx() -> bool {
    use core::sync::atomic::{AtomicU8, Ordering::Relaxed};
    const UNKNOWN: u8 = 2;
    static KNOWN: AtomicU8 = AtomicU8::new(UNKNOWN);
    let known = KNOWN.load(Relaxed);
    if known != UNKNOWN {
        return known == 1;
    }
    let has = cpu_has_amx() && system_grants_tiles();
    KNOWN.store(has.into(), Relaxed);
    has
}

#[cfg(all(target_arch = "x86_64", feature = "amx"))]
fn cpu_has_amx() -> bool {
    use core::arch::x86_64::{__cpuid, __cpuid_count};
    const OSXSAVE: u32 = 1 << 27;
    const AMX_TILE_AND_INT8: u32 = 1 << 24 | 1 << 25;
    const TILE_STATE: u32 = 1 << 17 | 1 << 18;
    #[allow(unused_unsafe)] // safe since Rust 1.94
    // SAFETY: every x86-64 has `cpuid`; leaf 7 is read where there is one.
    let (leaves, leaf1) = unsafe { (__cpuid(0).eax, __cpuid(1)) };
    if leaves < 7 || leaf1.ecx & OSXSAVE == 0 {
        return false;
    }
    #[allow(unused_unsafe)]
    // SAFETY: as above.
    let leaf7 = unsafe { __cpuid_count(7, 0) };
    let enabled: u32;
    // SAFETY: the system enabled `xgetbv`; it reads a register.
    unsafe {
        core::arch::asm!("xgetbv", in("ecx") 0, out("eax") enabled, out("edx") _, options(nomem, nostack, preserves_flags));
    }
    leaf7.edx & AMX_TILE_AND_INT8 == AMX_TILE_AND_INT8 && enabled & TILE_STATE == TILE_STATE
}

#[cfg(all(target_arch = "x86_64", target_os = "linux", feature = "amx"))]
fn system_grants_tiles() -> bool {
    const ARCH_PRCTL: usize = 158;
    const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
    const XFEATURE_XTILEDATA: usize = 18;
    let result: isize;
    // SAFETY: the system call touches no memory of the process; the kernel overwrites rcx and r11.
    unsafe {
        core::arch::asm!("syscall", inlateout("rax") ARCH_PRCTL => result, in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result == 0
}

#[cfg(all(target_arch = "x86_64", not(target_os = "linux"), feature = "amx"))]
fn system_grants_tiles() -> bool {
    false
}

/// The best level that the CPU has and `list` permits.
fn select(list: &str) -> Result<Level, Error> {
    let tokens = || list.split(',').map(str::trim).filter(|token| !token.is_empty());
    for token in tokens() {
        let name = token.trim_start_matches(['+', '-']);
        Level::from_name(name).ok_or_else(|| Error::isa(name))?;
    }
    let mut permitted: &[Level] = Level::ALL;
    if tokens().any(|token| !token.starts_with(['+', '-'])) {
        permitted = &[];
    }
    let permits = |level: Level| {
        let mut yes = permitted.contains(&level);
        for token in tokens() {
            if token.trim_start_matches(['+', '-']) == level.name() {
                yes = !token.starts_with('-');
            }
        }
        yes
    };
    Ok(Level::available().rev().find(|&level| permits(level)).unwrap_or(Level::Portable))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_narrows_the_choice() {
        let best = Level::available().next_back().unwrap();
        assert_eq!(select("").unwrap(), best);
        assert_eq!(select("portable").unwrap(), Level::Portable);
        assert_eq!(select(&format!("portable, {}", best.name())).unwrap(), best);
        assert_eq!(select(&format!("-{0},+{0}", best.name())).unwrap(), best);
        let without = select(&format!("-{}", best.name())).unwrap();
        assert!(without < best || best == Level::Portable);
        assert!(matches!(select("avx2,avx9"), Err(Error::Isa { .. })));
    }

    #[test]
    fn levels_of_other_architectures_have_no_kernels() {
        for &level in Level::ALL {
            let here = level.arch() == "any" || level.arch() == std::env::consts::ARCH;
            assert!(here || level.kernels().is_none(), "{level:?}");
        }
    }
}
