//! Vector instructions, chosen at run time.
//!
//! Functions that scan text are generic over [`Simd`] and compiled for each level that the crate
//! `fearless_simd` supports: AVX-512, AVX2, SSE4.2 and SSE2 on x86, NEON on ARM, no vectors at all. The
//! processor's best level is used unless the environment variable `MLMFAST_SIMD` names another one
//! (`avx512`, `avx2`, `sse4.2`, `sse2`, `neon`, `scalar`) that the processor supports. A level applies
//! only to inlined functions, hence the many `inline(always)`.
//!
//! [`Simd`]: fearless_simd::Simd

use std::sync::OnceLock;

use fearless_simd::Level;

/// The environment variable that may name a level.
pub const VARIABLE: &str = "MLMFAST_SIMD";

/// The level in use, determined once.
#[must_use]
pub fn level() -> Level {
    static CHOSEN: OnceLock<Level> = OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let requested = std::env::var(VARIABLE).unwrap_or_default();
        levels().into_iter().find(|&level| name(level) == requested).unwrap_or_else(Level::new)
    })
}

/// The levels that this processor supports, the best one first.
#[must_use]
pub fn levels() -> Vec<Level> {
    let best = Level::new();
    let mut levels = Vec::new();
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    {
        levels.extend(best.as_avx512().map(Level::Avx512));
        levels.extend(best.as_avx2().map(Level::Avx2));
        levels.extend(best.as_sse4_2().map(Level::Sse4_2));
        levels.extend(best.as_sse2().map(Level::Sse2));
    }
    #[cfg(target_arch = "aarch64")]
    levels.extend(best.as_neon().map(Level::Neon));
    if levels.is_empty() && !best.is_fallback() {
        levels.push(best);
    }
    levels.push(Level::fallback());
    levels
}

/// A level's name.
#[must_use]
pub fn name(level: Level) -> &'static str {
    match level {
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        Level::Avx512(_) => "avx512",
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        Level::Avx2(_) => "avx2",
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        Level::Sse4_2(_) => "sse4.2",
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        Level::Sse2(_) => "sse2",
        #[cfg(target_arch = "aarch64")]
        Level::Neon(_) => "neon",
        _ => "scalar",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_level_comes_first_and_the_scalar_one_last() {
        let names: Vec<_> = levels().into_iter().map(name).collect();
        assert_eq!(names.first(), Some(&name(Level::new())));
        assert_eq!(names.last(), Some(&"scalar"));
        assert!(names.contains(&name(level())));
    }
}
