//! Functions of one number, applied to each element: what each is, what one evaluation counts, and
//! the names it goes by.
//!
//! | function | formula | count per element |
//! |---|---|---|
//! | relu | max(x, 0) | 1 max |
//! | relu2 | max(x, 0)·max(x, 0) (So et al. 2021) | 1 max, 1 mul |
//! | gelu | 0.5·x·(1 + erf(x·(1/√2))) (Hendrycks, Gimpel 2016) | 3 mul, 1 add, 1 erf |
//! | gelu_tanh | 0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x·x·x))) (ibid.) | 6 mul, 2 add, 1 tanh |
//! | quick_gelu | x / (1 + exp(−1.702·x)) (ibid.) | 1 mul, 1 exp, 1 add, 1 div |
//! | silu | x / (1 + exp(−x)) (Elfwing et al. 2017) | 1 exp, 1 add, 1 div |
//! | sigmoid | 1 / (1 + exp(−x)) | 1 exp, 1 add, 1 div |
//! | tanh | tanh(x) | 1 tanh |
//! | softplus | max(x, 0) + ln(1 + exp(−max(x, −x))) (Dugas et al. 2000) | 2 max, 1 exp, 2 add, 1 log |

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use crate::{Class, Scalar};

macro_rules! activations {
    ($($(#[$doc:meta])* $variant:ident = $name:literal $(| $alias:literal)*;)*) => {
        /// A function of one number.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Activation {
            $($(#[$doc])* $variant,)*
        }

        impl Activation {
            /// Every function.
            pub const ALL: &'static [Activation] = &[$(Activation::$variant,)*];

            /// Every name, in the order of [`Activation::ALL`].
            pub const NAMES: &'static [&'static str] = &[$($name,)*];

            /// The one spelling used in paths, reports and layer texts.
            pub fn name(self) -> &'static str {
                match self {
                    $(Activation::$variant => $name,)*
                }
            }

            /// Other spellings, those of published configurations among them.
            pub fn aliases(self) -> &'static [&'static str] {
                match self {
                    $(Activation::$variant => &[$($alias,)*],)*
                }
            }
        }
    };
}

activations! {
    /// Rectified linear unit.
    Relu = "relu";
    /// Gaussian error linear unit by the error function.
    GeluErf = "gelu";
    /// Its approximation by the hyperbolic tangent.
    GeluTanh = "gelu_tanh" | "gelu-tanh" | "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast";
    /// Its approximation by the logistic function.
    QuickGelu = "quick_gelu";
    /// Sigmoid linear unit.
    Silu = "silu" | "swish";
    /// Logistic function.
    Sigmoid = "sigmoid";
    /// Hyperbolic tangent.
    Tanh = "tanh";
    /// Smooth rectifier, ln(1 + eˣ), written so that nothing overflows.
    Softplus = "softplus";
    /// Square of the rectified linear unit.
    ReluSquared = "relu2" | "relu_squared";
}

impl Activation {
    /// The function of a name or an alias.
    ///
    /// ```
    /// # mod opledger { pub use opledger_dims as dims; }
    /// use opledger::dims::Activation;
    ///
    /// assert_eq!(Activation::named("gelu_new"), Some(Activation::GeluTanh));
    /// assert_eq!(Activation::named("softplus!"), None);
    /// ```
    pub fn named(word: &str) -> Option<Activation> {
        Activation::ALL.iter().copied().find(|f| f.name() == word || f.aliases().contains(&word))
    }

    /// The function at a number: its definition, and that of its count.
    pub fn apply<T: Scalar>(self, x: T) -> T {
        let [zero, half, one] = [0.0, 0.5, 1.0].map(T::from_f64);
        match self {
            Activation::Relu => x.max(zero),
            Activation::ReluSquared => {
                let positive = x.max(zero);
                positive * positive
            }
            Activation::GeluErf => half * x * (one + (x * T::from_f64(FRAC_1_SQRT_2)).erf()),
            Activation::GeluTanh => {
                let cubic = T::from_f64(0.044_715) * x * x * x;
                half * x * (one + (T::from_f64((2.0 / PI).sqrt()) * (x + cubic)).tanh())
            }
            Activation::QuickGelu => x / (one + (T::from_f64(-1.702) * x).exp()),
            Activation::Silu => x / (one + (-x).exp()),
            Activation::Sigmoid => one / (one + (-x).exp()),
            Activation::Tanh => x.tanh(),
            Activation::Softplus => x.max(zero) + (one + (-x.max(-x)).exp()).ln(),
        }
    }

    /// What one evaluation costs.
    pub fn cost(self) -> &'static [(Class, i64)] {
        match self {
            Activation::Relu => &[(Class::Max, 1)],
            Activation::ReluSquared => &[(Class::Max, 1), (Class::Mul, 1)],
            Activation::GeluErf => &[(Class::Mul, 3), (Class::Add, 1), (Class::Erf, 1)],
            Activation::GeluTanh => &[(Class::Mul, 6), (Class::Add, 2), (Class::Tanh, 1)],
            Activation::QuickGelu => {
                &[(Class::Mul, 1), (Class::Exp, 1), (Class::Add, 1), (Class::Div, 1)]
            }
            Activation::Silu | Activation::Sigmoid => {
                &[(Class::Exp, 1), (Class::Add, 1), (Class::Div, 1)]
            }
            Activation::Tanh => &[(Class::Tanh, 1)],
            Activation::Softplus => {
                &[(Class::Max, 2), (Class::Exp, 1), (Class::Add, 2), (Class::Log, 1)]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{Counted, Counts, counted};

    #[test]
    fn every_definition_counts_its_cost() {
        for function in Activation::ALL {
            let (_, counts) = counted(|| function.apply(Counted(0.5_f64)));
            let mut cost = Counts::zero();
            function.cost().iter().for_each(|(class, each)| cost[*class] = *each as u64);
            assert_eq!(counts, cost, "{}", function.name());
        }
    }

    /// At -1.5 and 0.75, in double precision.
    #[test]
    fn values_are_those_of_torch_nn_functional() {
        for function in Activation::ALL {
            let expected = match function {
                Activation::Relu => [0.0, 0.75],
                Activation::ReluSquared => [0.0, 0.5625],
                Activation::GeluErf => [-0.100_210_801_903_287, 0.580_029_485_717_349],
                Activation::GeluTanh => [-0.100_428_423_019_767, 0.579_960_555_165_620],
                Activation::QuickGelu => [-0.108_337_801_552_923, 0.586_390_057_534_638],
                Activation::Silu => [-0.273_638_285_709_535, 0.509_384_024_381_545],
                Activation::Sigmoid => [0.182_425_523_806_356, 0.679_178_699_175_393],
                Activation::Tanh => [-0.905_148_253_644_866, 0.635_148_952_387_287],
                Activation::Softplus => [0.201_413_277_982_752, 1.136_871_006_114_9],
            };
            for (x, expected) in [-1.5_f64, 0.75].into_iter().zip(expected) {
                let value = function.apply(x);
                assert!((value - expected).abs() <= 1e-14, "{}: {value}", function.name());
            }
        }
    }

    #[test]
    fn every_name_means_one_function() {
        let mut names = BTreeSet::new();
        for function in Activation::ALL {
            for name in std::iter::once(&function.name()).chain(function.aliases()) {
                assert!(names.insert(*name), "{name}");
                assert_eq!(Activation::named(name), Some(*function));
            }
        }
    }
}
