//! A tensor of one number. It is known before the run: count none.

use opledger_dims::{Binding, Poly, Scalar, Symbol};

use crate::expect::expect_distinct;
use crate::operation::{Operation, operands};
use crate::{Axis, AxisMap, Call, Cost, Facts, OpError, Part, Shape, ShapeError, Value};

/// Reals that are all the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Fill {
    /// The axes.
    pub axes: Vec<Axis>,
    /// The number.
    pub value: f64,
}

impl Operation for Fill {
    fn name(&self) -> &'static str {
        "fill"
    }

    fn signature(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [] = operands(inputs)?;
        expect_distinct(&self.axes)?;
        Ok(vec![Shape::real(self.axes.clone())])
    }

    fn cost(&self, _: &[&Shape], _: &Shape) -> Cost {
        Cost::free()
    }

    fn summed(&self, _: &[&Shape]) -> Vec<(Symbol, Poly)> {
        Vec::new()
    }

    fn facts(&self) -> Facts<'_> {
        Facts::of(&[])
    }

    fn axis_map(&self, _: &[&Shape], _: &Shape) -> AxisMap {
        AxisMap::new([])
    }

    fn detail(&self) -> String {
        self.value.to_string()
    }

    fn conflict(&self, _: &[&Shape], _: &Binding) -> Option<String> {
        None
    }

    fn reference<T: Scalar>(
        &self,
        call: &Call<'_, T>,
        _: &mut dyn FnMut(Part),
    ) -> Result<Vec<Value<T>>, OpError> {
        call.result(vec![T::from_f64(self.value); call.output_len()])
    }
}

#[cfg(test)]
mod tests {
    use crate::Graph;
    use crate::ops::proof::{evaluate, prove};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counted_reference_equals_cost(b in 0..3_usize, n in 0..5_usize) {
            let mut g = Graph::new();
            g.fill(["b", "n"], 0.5).unwrap();
            prove(&g, &[("b", b), ("n", n)]);
        }
    }

    #[test]
    fn all_elements_are_the_number() {
        let mut g = Graph::new();
        let x = g.fill([("i", 2), ("j", 2)], -1.5).unwrap();
        assert_eq!(evaluate(&g, x, &[]), [-1.5; 4]);
        let error = g.fill([("i", 2), ("i", 3)], 0.0).unwrap_err().problem.to_string();
        assert_eq!(error, "the result would have two axes `i`");
    }
}
