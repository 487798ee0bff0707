//! Rows of a table by id. A look-up is no arithmetic: count none.

use opledger_dims::{Binding, Poly, Scalar, Symbol};

use crate::operation::{Operation, operands};
use crate::{AxisMap, Call, Cost, Facts, Kind, OpError, Part, Picked, Shape, ShapeError, Value};

/// `out[…, c] = table[ids[…], c]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding;

impl Operation for Embedding {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn signature(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [ids, table] = operands(inputs)?;
        ids.expect(0, Kind::Whole)?;
        table.expect(1, Kind::Real)?;
        let [_, width] = &table.axes[..] else {
            return Err(ShapeError::Rank { operand: 1, expected: 2, found: table.axes.len() });
        };
        if ids.position(&width.name).is_some() {
            return Err(ShapeError::Duplicate(width.name.clone()));
        }
        Ok(vec![table.with_axes(ids.axes.iter().chain([width]).cloned().collect())])
    }

    fn cost(&self, _: &[&Shape], _: &Shape) -> Cost {
        Cost::free()
    }

    fn summed(&self, _: &[&Shape]) -> Vec<(Symbol, Poly)> {
        Vec::new()
    }

    fn facts(&self) -> Facts<'_> {
        Facts::of(&[]).picking(1, Picked::Result)
    }

    fn axis_map(&self, inputs: &[&Shape], _: &Shape) -> AxisMap {
        let rows = inputs[0].axes.len();
        AxisMap::new([(0..rows).map(Some).collect(), vec![None, Some(rows)]])
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
        let (ids, table) = (call.index(0)?, call.table(1)?);
        let (rows, width) = (table.shape()[0], table.shape()[1]);
        let mut out = Vec::with_capacity(call.output_len());
        for &id in ids.data() {
            let row = usize::try_from(id).ok().filter(|row| *row < rows);
            let row = row.ok_or(OpError::Index { index: id, rows })?;
            let row = &table.data()[row * width..][..width];
            call.reads.some(1, row.len());
            out.extend_from_slice(row);
        }
        call.result(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Source;
    use crate::ops::proof::prove;
    use crate::{Graph, Reads};
    use opledger_tensor::Tensor;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counted_reference_equals_cost(b in 0..4_usize, n in 1..9_usize, v in 1..5_usize, c in 1..4_usize) {
            let mut g = Graph::new();
            let ids = g.input_ids("ids", ["b", "n"], "v").unwrap();
            let table = g.param("weight", Source::embedding(), ["v", "c"]).unwrap();
            g.embedding("", ids, table).unwrap();
            prove(&g, &[("b", b), ("n", n), ("v", v), ("c", c)]);
        }
    }

    #[test]
    fn rows_are_looked_up_and_an_id_outside_is_named() {
        let rows = |ids: Vec<i64>| {
            let mut g = Graph::new();
            let input = g.input_ids("ids", [("n", ids.len())], 3).unwrap();
            let table = g.param("weight", Source::embedding(), [("v", 3), ("c", 2)]).unwrap();
            let y = g.embedding("", input, table).unwrap();
            let ids = Value::Index(Tensor::new(&[ids.len()], ids).unwrap());
            let weight = Tensor::new(&[3, 2], vec![0., 1., 10., 11., 20., 21.]).unwrap().into();
            let output = [ids.shape()[0], 2];
            let shapes = g.operand_shapes(g.node(y));
            let inputs: [&Value<f64>; 2] = [&ids, &weight];
            let binding = opledger_dims::Binding::new();
            let call = Call {
                inputs: &inputs,
                shapes: &shapes,
                output: &output,
                binding: &binding,
                reads: &Reads::of(2),
                path: "",
            };
            let value = Embedding.reference(&call, &mut |_| {})?;
            Ok::<_, OpError>(value[0].real().unwrap().data().to_vec())
        };
        assert_eq!(rows(vec![2, 0, 1]).unwrap(), [20., 21., 0., 1., 10., 11.]);
        assert_eq!(rows(vec![3]).unwrap_err(), OpError::Index { index: 3, rows: 3 });
        assert_eq!(rows(vec![-1]).unwrap_err(), OpError::Index { index: -1, rows: 3 });
    }
}
