//! Reals as whole numbers, cut towards zero, such as the bucket of a distance. A number that is cut is
//! no arithmetic of the ledger: count none.

use opledger_dims::{Binding, Poly, Scalar, Symbol};
use opledger_tensor::Tensor;

use crate::operation::{Operation, operands};
use crate::{AxisMap, Call, Cost, Elem, Facts, Kind, OpError, Part, Shape, ShapeError, Value};

/// `[…]` of reals to the same axes of whole numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct ToWhole;

impl Operation for ToWhole {
    fn name(&self) -> &'static str {
        "to_whole"
    }

    fn signature(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [x] = operands(inputs)?;
        x.expect(0, Kind::Real)?;
        Ok(vec![Shape { axes: x.axes.clone(), elem: Elem::I64 }])
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
        _: &mut dyn FnMut(Part),
    ) -> Result<Vec<Value<T>>, OpError> {
        // Beyond the range, and for NaN, the nearest whole number there is, or 0.
        let data = call.real(0)?.data().iter().map(|x| x.to_f64() as i64).collect();
        Ok(vec![Value::Index(Tensor::new(call.output, data)?)])
    }
}

#[cfg(test)]
mod tests {
    use crate::Graph;
    use crate::ops::proof::prove;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counted_reference_equals_cost(b in 0..3_usize, n in 0..5_usize) {
            let mut g = Graph::new();
            let x = g.input("x", ["b", "n"]).unwrap();
            let ids = g.to_whole(x).unwrap();
            prove(&g, &[("b", b), ("n", n)]);
            assert_eq!(g.shape(ids).to_string(), "[b, n]");
            assert!(g.to_whole(ids).is_err());
        }
    }
}
