//! Functions of one number, applied to each element; [`Activation`] says what each is and counts.

use opledger_dims::{Activation, Binding, Counts, Poly, Scalar, Symbol};

use crate::operation::{Operation, operands};
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
    use crate::ops::proof::prove;
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
}
