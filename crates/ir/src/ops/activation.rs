//! Pointwise functions.
//!
//! | function | formula | count per element |
//! |---|---|---|
//! | relu | max(x, 0) | 1 max |
//! | gelu (erf) | 0.5·x·(1 + erf(x·(1/√2))) (Hendrycks, Gimpel 2016) | 3 mul, 1 add, 1 erf |
//! | gelu (tanh) | 0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x·x·x))) (ibid.) | 6 mul, 2 add, 1 tanh |
//! | gelu (sigmoid) | x / (1 + exp(−1.702·x)) (ibid.) | 1 mul, 1 exp, 1 add, 1 div |
//! | silu | x / (1 + exp(−x)) (Elfwing et al. 2017) | 1 exp, 1 add, 1 div |
//! | sigmoid | 1 / (1 + exp(−x)) | 1 exp, 1 add, 1 div |
//! | tanh | tanh(x) | 1 tanh |

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use opledger_dims::{Class, Counts, Poly, Symbol};
use opledger_tensor::Scalar;

use crate::op::{Operation, operands};
use crate::{Call, Cost, OpError, Part, Shape, ShapeError, Value};

/// A pointwise function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Rectified linear unit.
    Relu,
    /// Gaussian error linear unit by the error function.
    GeluErf,
    /// Its approximation by the hyperbolic tangent; GPT-2's `gelu_new`.
    GeluTanh,
    /// Its approximation by the logistic function; CLIP's `quick_gelu`.
    QuickGelu,
    /// Sigmoid linear unit, also called swish.
    Silu,
    /// Logistic function.
    Sigmoid,
    /// Hyperbolic tangent.
    Tanh,
}

impl Activation {
    /// Every function.
    pub const ALL: [Activation; 7] = [
        Activation::Relu,
        Activation::GeluErf,
        Activation::GeluTanh,
        Activation::QuickGelu,
        Activation::Silu,
        Activation::Sigmoid,
        Activation::Tanh,
    ];

    fn apply<T: Scalar>(self, x: T) -> T {
        let [zero, half, one] = [0.0, 0.5, 1.0].map(T::from_f64);
        match self {
            Activation::Relu => x.max(zero),
            Activation::GeluErf => half * x * (one + (x * T::from_f64(FRAC_1_SQRT_2)).erf()),
            Activation::GeluTanh => {
                let cubic = T::from_f64(0.044_715) * x * x * x;
                half * x * (one + (T::from_f64((2.0 / PI).sqrt()) * (x + cubic)).tanh())
            }
            Activation::QuickGelu => x / (one + (T::from_f64(-1.702) * x).exp()),
            Activation::Silu => x / (one + (-x).exp()),
            Activation::Sigmoid => one / (one + (-x).exp()),
            Activation::Tanh => x.tanh(),
        }
    }

    fn per_element(self) -> &'static [(Class, i64)] {
        match self {
            Activation::Relu => &[(Class::Max, 1)],
            Activation::GeluErf => &[(Class::Mul, 3), (Class::Add, 1), (Class::Erf, 1)],
            Activation::GeluTanh => &[(Class::Mul, 6), (Class::Add, 2), (Class::Tanh, 1)],
            Activation::QuickGelu => {
                &[(Class::Mul, 1), (Class::Exp, 1), (Class::Add, 1), (Class::Div, 1)]
            }
            Activation::Silu | Activation::Sigmoid => {
                &[(Class::Exp, 1), (Class::Add, 1), (Class::Div, 1)]
            }
            Activation::Tanh => &[(Class::Tanh, 1)],
        }
    }
}

impl Operation for Activation {
    fn name(&self) -> &'static str {
        match self {
            Activation::Relu => "relu",
            Activation::GeluErf => "gelu",
            Activation::GeluTanh => "gelu_tanh",
            Activation::QuickGelu => "quick_gelu",
            Activation::Silu => "silu",
            Activation::Sigmoid => "sigmoid",
            Activation::Tanh => "tanh",
        }
    }

    fn signature(&self, inputs: &[&Shape]) -> Result<Shape, ShapeError> {
        let [x] = operands(inputs)?;
        x.expect_real(0)?;
        Ok(x.clone())
    }

    fn cost(&self, _: &[&Shape], output: &Shape) -> Cost {
        let mut counts = Counts::zero();
        for (class, each) in self.per_element() {
            counts[*class] = output.elements() * *each;
        }
        Cost::of(Part::Pointwise, counts)
    }

    fn summed(&self, _: &[&Shape]) -> Vec<(Symbol, Poly)> {
        Vec::new()
    }

    fn reference<T: Scalar>(
        &self,
        call: &Call<'_, T>,
        mark: &mut dyn FnMut(Part),
    ) -> Result<Value<T>, OpError> {
        let out = call.real(0)?.data().iter().map(|x| self.apply(*x)).collect();
        mark(Part::Pointwise);
        call.result(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Graph;
    use crate::ops::proof::{evaluate, prove};
    use approx::assert_relative_eq;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counted_reference_equals_cost(b in 0..4_usize, n in 1..9_usize) {
            let mut g = Graph::new();
            let x = g.input("x", ["b", "n"]).unwrap();
            for function in Activation::ALL {
                g.activation(x, function).unwrap();
            }
            prove(&g, &[("b", b), ("n", n)]);
        }
    }

    /// Values of `torch.nn.functional` in double precision at -1.5 and 0.75.
    #[test]
    fn values_are_pytorchs() {
        let cases = [
            (Activation::Relu, [0.0, 0.75]),
            (Activation::GeluErf, [-0.100_210_801_903_287, 0.580_029_485_717_349]),
            (Activation::GeluTanh, [-0.100_428_423_019_767, 0.579_960_555_165_620]),
            (Activation::QuickGelu, [-0.108_337_801_552_923, 0.586_390_057_534_638]),
            (Activation::Silu, [-0.273_638_285_709_535, 0.509_384_024_381_545]),
            (Activation::Sigmoid, [0.182_425_523_806_356, 0.679_178_699_175_393]),
            (Activation::Tanh, [-0.905_148_253_644_866, 0.635_148_952_387_287]),
        ];
        for (function, expected) in cases {
            let mut g = Graph::new();
            let x = g.input("x", [("n", 2)]).unwrap();
            let y = g.activation(x, function).unwrap();
            let out = evaluate(&g, y, &[("x", &[-1.5, 0.75])]);
            for (value, expected) in out.iter().zip(expected) {
                assert_relative_eq!(*value, expected, max_relative = 1e-14);
            }
        }
    }
}
