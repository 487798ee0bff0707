//! Whole numbers computed from positions, sizes and other whole numbers: positions, buckets, masks.
//! Indexing is no arithmetic of the ledger: count none.

use opledger_dims::{Binding, Poly, Scalar, Symbol};
use opledger_tensor::Tensor;

use crate::operation::Operation;
use crate::value::{indices, strides};
use crate::{
    Axis, AxisMap, Call, Cost, Elem, Facts, IndexExpr, Kind, OpError, Part, Shape, ShapeError,
    Value,
};

/// A tensor of whole numbers over `axes`, each given by an expression; look-ups are in the operands.
#[derive(Clone, Debug, PartialEq)]
pub struct IndexMap {
    /// The axes of the result.
    pub axes: Vec<Axis>,
    /// The number at each place.
    pub value: IndexExpr,
    /// Whether these are truth values, which take a byte each.
    pub truth: bool,
}

impl Operation for IndexMap {
    fn name(&self) -> &'static str {
        "index_map"
    }

    fn signature(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        for (operand, shape) in inputs.iter().enumerate() {
            shape.expect(operand, Kind::Whole)?;
        }
        let mut wrong = None;
        self.value.visit(&mut |expr| match expr {
            IndexExpr::Lookup { operand, at } => match inputs.get(*operand) {
                None => {
                    wrong = Some(ShapeError::Arity { expected: operand + 1, found: inputs.len() });
                }
                Some(shape) if shape.axes.len() != at.len() => {
                    let (expected, found) = (at.len(), shape.axes.len());
                    wrong = Some(ShapeError::Rank { operand: *operand, expected, found });
                }
                Some(_) => {}
            },
            IndexExpr::Position(axis) if *axis >= self.axes.len() => {
                wrong = Some(ShapeError::Sizes(format!("the result has no axis {axis}")));
            }
            IndexExpr::Position(_)
            | IndexExpr::Sum { .. }
            | IndexExpr::Product(_)
            | IndexExpr::FloorDiv(_)
            | IndexExpr::Mod(_)
            | IndexExpr::IsZero(_)
            | IndexExpr::IsPositive(_)
            | IndexExpr::And(_)
            | IndexExpr::Or(_)
            | IndexExpr::Choose(_) => {}
        });
        match wrong {
            Some(problem) => Err(problem),
            None => {
                let elem = if self.truth { Elem::Bool } else { Elem::I64 };
                Ok(vec![Shape { axes: self.axes.clone(), elem }])
            }
        }
    }

    fn cost(&self, _: &[&Shape], _: &Shape) -> Cost {
        Cost::free()
    }

    fn summed(&self, _: &[&Shape]) -> Vec<(Symbol, Poly)> {
        Vec::new()
    }

    fn facts(&self) -> Facts<'_> {
        Facts::of(&[]).sizes(self.value.sizes())
    }

    fn axis_map(&self, inputs: &[&Shape], _: &Shape) -> AxisMap {
        AxisMap::new(inputs.iter().map(|shape| vec![None; shape.axes.len()]))
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
        let operands = (0..call.inputs.len())
            .map(|i| call.index(i).map(|tensor| (tensor, strides(tensor.shape()))))
            .collect::<Result<Vec<_>, _>>()?;
        let lookup = |operand: usize, at: &[i64]| {
            let (tensor, strides) = &operands[operand];
            let mut flat = 0;
            for ((&at, &size), stride) in at.iter().zip(tensor.shape()).zip(strides) {
                // A place from the end, as indexing in Python has it.
                let own = if at < 0 { at + size as i64 } else { at };
                let own = usize::try_from(own).ok().filter(|own| *own < size);
                flat += own.ok_or(OpError::Index { index: at, rows: size })? * stride;
            }
            Ok(tensor.data()[flat])
        };
        let value = self.value.compiled(call.binding)?;
        let data = indices(call.output).map(|place| value.at(&place, &lookup));
        let data = data.collect::<Result<Vec<_>, _>>()?;
        Ok(vec![Value::Index(Tensor::new(call.output, data)?)])
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
        fn counted_reference_equals_cost(b in 0..4_usize, n in 0..9_usize) {
            let mut g = Graph::new();
            let ids = g.input_ids("ids", ["b", "n"], "v").unwrap();
            let [i, j] = [0, 1].map(IndexExpr::Position);
            let own = IndexExpr::Lookup { operand: 0, at: vec![i, j.clone()] };
            let axes = ["b", "n"].map(Axis::from).to_vec();
            let value = own.plus(&j.scaled(&"n".into()));
            g.record("", IndexMap { axes, value, truth: false }, &[ids]).unwrap();
            prove(&g, &[("b", b), ("n", n), ("v", 4)]);
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let mut g = Graph::new();
        let ids = g.input_ids("ids", [("n", 3)], 5).unwrap();
        let reals = g.input("x", [("n", 3)]).unwrap();
        let axes = vec![Axis::new("n", 2)];
        let at = |operand, at: Vec<IndexExpr>| IndexMap {
            axes: axes.clone(),
            value: IndexExpr::Lookup { operand, at },
            truth: false,
        };
        let mut error = |op: IndexMap, of| g.record("", op, &[of]).unwrap_err().problem.to_string();
        assert!(error(at(0, vec![IndexExpr::Position(0)]), reals).contains("whole numbers"));
        assert!(error(at(1, vec![]), ids).contains("2 operands are needed"));
        assert!(error(at(0, vec![]), ids).contains("1 axes where 0 are needed"));
        assert!(error(at(0, vec![IndexExpr::Position(1)]), ids).contains("no axis 1"));
    }
}
