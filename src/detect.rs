//! The only place that asks the CPU what it has.

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

    /// The kernels of this level, where this CPU has every feature that they use. The reference is the proof: whoever
    /// holds one may run its kernels.
    pub fn kernels(self) -> Option<&'static Kernels> {
        kernels::detect(self)
    }

    /// The levels that this CPU has, the best last.
    pub fn available() -> impl DoubleEndedIterator<Item = Level> {
        Level::ALL.iter().copied().filter(|level| level.kernels().is_some())
    }

    /// The kernels that operators use where the caller asks for no level: the best that this CPU has, narrowed by the
    /// environment variable `KOLIBRI_ISA`, which is read once.
    ///
    /// `KOLIBRI_ISA` is a list of level names, separated by commas. `avx2` alone permits that level (and any other
    /// named without a sign) and nothing else; `-avx512` takes one away, `+avx512` gives it back. A level that the CPU
    /// lacks is never taken; where nothing is left, or without the feature `isa-env`, the portable level is.
    ///
    /// # Errors
    /// [`Error::Isa`] where the variable names an unknown level.
    pub fn selected() -> Result<&'static Kernels, Error> {
        #[cfg(feature = "isa-env")]
        let set = {
            static SET: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
            SET.get_or_init(|| std::env::var("KOLIBRI_ISA").ok()).as_deref()
        };
        #[cfg(not(feature = "isa-env"))]
        let set = None;
        let best = select(set.unwrap_or(""))?;
        Ok(best.kernels().or(Level::Portable.kernels()).expect("the portable level needs nothing of the CPU"))
    }
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
