//! Functions of one number, applied to each element; [`Activation`] says what each is and counts.

use opledger_dims::{Activation, Binding, Counts, Poly, Scalar, Symbol};

use crate::op::{Operation, operands};
use crate::{AxisMap, Call, Cost, Facts, Kind, OpError, Part, Shape, ShapeError, Value};

impl Operation for Activation {
    fn name(&self) -> &'static str {
        (*self).name()
    }

    fn signature(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [x] = operands(inputs)?;
        x.expect(0, Kind::Real)?;
        Ok(vec![x.clone()])
    }

    fn cost(&self, _: &[&Shape], output: &Shape) -> Cost {
        let mut counts = Counts::zero();
        for (class, each) in Activation::cost(*self) {
            counts[*class] = output.elements() * *each;
        }
        Cost::of(Part::Pointwise, counts)
    }

    fn summed(&self, _: &[&Shape]) -> Vec<(Symbol, Poly)> {
        Vec::new()
    }

    fn facts(&self) -> Facts<'_> {
        Facts::of(&[Part::Pointwise]).in_place(&[0])
    }

    fn axis_map(&self, inputs: &[&Shape], output: &Shape) -> AxisMap {
        AxisMap::by_name(inputs, output)
    }

    fn detail(&self) -> String {
        String::new()
    }

    fn conflict(&self, _: &[&Shape], _: &Binding) -> Option<String> {
        None
    }

    fn reference<T: Scalar>(
        &self,
        call: &Call<'_, T>,
        mark: &mut dyn FnMut(Part),
    ) -> Result<Vec<Value<T>>, OpError> {
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
            for &function in Activation::ALL {
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
