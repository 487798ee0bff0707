//! The instruction sets the vector loops are compiled for, and the choice between them.

use std::fmt;
use std::sync::OnceLock;

use crate::KernelError;

/// An instruction set that this machine has: a value exists only after detection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isa(Level);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Scalar,
    Avx2,
    Avx512,
}

impl Level {
    const ALL: [Level; 3] = [Level::Scalar, Level::Avx2, Level::Avx512];

    fn name(self) -> &'static str {
        match self {
            Level::Scalar => "scalar",
            Level::Avx2 => "avx2",
            Level::Avx512 => "avx512",
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn detected(self) -> bool {
        match self {
            Level::Scalar => true,
            Level::Avx2 => {
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("fma")
                    && is_x86_feature_detected!("f16c")
            }
            Level::Avx512 => Level::Avx2.detected() && is_x86_feature_detected!("avx512f"),
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn detected(self) -> bool {
        self == Level::Scalar
    }
}

impl Isa {
    /// The portable code, on every machine.
    pub const SCALAR: Isa = Isa(Level::Scalar);

    /// The instruction sets of this machine, the widest last.
    pub fn available() -> impl DoubleEndedIterator<Item = Isa> {
        Level::ALL.into_iter().filter(|level| level.detected()).map(Isa)
    }

    /// The instruction set of a name (`scalar`, `avx2`, `avx512`).
    ///
    /// # Errors
    /// [`KernelError::UnknownIsa`] for any other name, [`KernelError::UnsupportedIsa`] for one
    /// that this machine lacks.
    pub fn named(name: &str) -> Result<Isa, KernelError> {
        let level = Level::ALL
            .into_iter()
            .find(|level| level.name() == name)
            .ok_or_else(|| KernelError::UnknownIsa { name: name.to_owned() })?;
        if level.detected() {
            Ok(Isa(level))
        } else {
            Err(KernelError::UnsupportedIsa { name: level.name() })
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    #[inline(always)]
    pub(crate) fn level(self) -> Level {
        self.0
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The instruction set of the vector loops: the widest of this machine, or the one that the
/// environment variable `OPLEDGER_ISA` names. Chosen at the first call, for the whole process.
///
/// Where products go to `matrixmultiply` (see the crate's documentation) it chooses its own
/// micro-kernel and does not follow the variable.
///
/// # Errors
/// As [`Isa::named`], for the value of `OPLEDGER_ISA`.
pub fn isa() -> Result<Isa, KernelError> {
    #[cfg(test)]
    if let Some(isa) = tests::IMPOSED.get() {
        return Ok(isa);
    }
    static CHOICE: OnceLock<Result<Isa, KernelError>> = OnceLock::new();
    CHOICE
        .get_or_init(|| match std::env::var_os("OPLEDGER_ISA") {
            Some(name) => Isa::named(&name.to_string_lossy()),
            None => Ok(Isa::available().next_back().unwrap_or(Isa::SCALAR)),
        })
        .clone()
}

/// Compiles a loop once per instruction set. The function gets an [`Isa`] as first argument.
macro_rules! vectorised {
    ($($(#[$meta:meta])* $vis:vis fn $name:ident $([$($generic:tt)*])?
        ($($arg:ident : $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block)*) => {$(
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $vis fn $name $(<$($generic)*>)? (isa: $crate::isa::Isa, $($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            #[allow(clippy::too_many_arguments)]
            fn body $(<$($generic)*>)? ($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            #[allow(clippy::too_many_arguments)]
            fn avx2 $(<$($generic)*>)? ($($arg: $ty),*) $(-> $ret)? {
                body($($arg),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx2,fma")]
            #[allow(clippy::too_many_arguments)]
            fn avx512 $(<$($generic)*>)? ($($arg: $ty),*) $(-> $ret)? {
                body($($arg),*)
            }

            match isa.level() {
                // SAFETY: an `Isa` of this level exists only where the features were detected.
                #[cfg(target_arch = "x86_64")]
                $crate::isa::Level::Avx2 => unsafe { avx2($($arg),*) },
                // SAFETY: an `Isa` of this level exists only where the features were detected.
                #[cfg(target_arch = "x86_64")]
                $crate::isa::Level::Avx512 => unsafe { avx512($($arg),*) },
                _ => body($($arg),*),
            }
        }
    )*};
}
pub(crate) use vectorised;

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        /// What [`isa`] answers on this thread, if anything.
        pub(super) static IMPOSED: Cell<Option<Isa>> = const { Cell::new(None) };
    }

    /// Runs `work` with the kernels that this thread calls on an instruction set.
    pub(crate) fn on<R>(isa: Isa, work: impl FnOnce() -> R) -> R {
        IMPOSED.set(Some(isa));
        let result = work();
        IMPOSED.set(None);
        result
    }

    #[test]
    fn names_are_checked() {
        assert_eq!(Isa::named("scalar"), Ok(Isa::SCALAR));
        assert_eq!(Isa::named("sse9"), Err(KernelError::UnknownIsa { name: "sse9".into() }));
        for level in Level::ALL {
            let expected = if level.detected() {
                Ok(Isa(level))
            } else {
                Err(KernelError::UnsupportedIsa { name: level.name() })
            };
            assert_eq!(Isa::named(level.name()), expected);
        }
    }
}
