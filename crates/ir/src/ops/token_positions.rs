//! The position of each token among those of its item that are no padding (Ott et al. 2019, as RoBERTa
//! has it): its place among them, counted from the padding token's id + 1; padding itself stands at that
//! id. Whole numbers are no arithmetic of the ledger: count none.

use opledger_dims::{Binding, Poly, Scalar, Symbol};
use opledger_tensor::Tensor;

use crate::operation::{Operation, operands};
use crate::{AxisMap, Call, Cost, Facts, Kind, OpError, Part, Shape, ShapeError, Value};

/// Ids `[…, n]` to positions `[…, n]` below the rows of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenPositions {
    /// The id of padding.
    pub padding: u32,
    /// How many positions the table has.
    pub rows: Poly,
}

impl Operation for TokenPositions {
    fn name(&self) -> &'static str {
        "token_positions"
    }

    fn signature(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [ids] = operands(inputs)?;
        ids.expect(0, Kind::Whole)?;
        if ids.axes.is_empty() {
            return Err(ShapeError::Rank { operand: 0, expected: 1, found: 0 });
        }
        match self.conflict(inputs, &Binding::new()) {
            Some(problem) => Err(ShapeError::Sizes(problem)),
            None => Ok(vec![ids.clone()]),
        }
    }

    fn cost(&self, _: &[&Shape], _: &Shape) -> Cost {
        Cost::free()
    }

    fn summed(&self, _: &[&Shape]) -> Vec<(Symbol, Poly)> {
        Vec::new()
    }

    fn facts(&self) -> Facts<'_> {
        Facts::of(&[]).sizes([&self.rows])
    }

    fn axis_map(&self, inputs: &[&Shape], output: &Shape) -> AxisMap {
        AxisMap::by_name(inputs, output).mixing_last(0)
    }

    fn detail(&self) -> String {
        format!("padding {}", self.padding)
    }

    fn conflict(&self, inputs: &[&Shape], binding: &Binding) -> Option<String> {
        let tokens = inputs[0].last()?.size.at(binding).ok()?;
        let (rows, used) = (self.rows.at(binding).ok()?, tokens + self.padding + 1u32);
        (used > rows).then(|| format!("the table of positions has {rows} rows, {used} are used"))
    }

    fn reference<T: Scalar>(
        &self,
        call: &Call<'_, T>,
        _: &mut dyn FnMut(Part),
    ) -> Result<Vec<Value<T>>, OpError> {
        let ids = call.index(0)?;
        let padding = i64::from(self.padding);
        let mut positions = Vec::with_capacity(call.output_len());
        for item in ids.data().chunks(call.output.last().copied().unwrap_or(1).max(1)) {
            let mut last = padding;
            positions.extend(item.iter().map(|id| {
                let counts = *id != padding;
                last += i64::from(counts);
                if counts { last } else { padding }
            }));
        }
        Ok(vec![Value::Index(Tensor::new(call.output, positions)?)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::proof::prove;
    use crate::{Graph, Reads};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counted_reference_equals_cost(b in 0..4_usize, n in 0..9_usize, padding in 0..3_u32) {
            let mut g = Graph::new();
            let ids = g.input_ids("ids", ["b", "n"], "v").unwrap();
            g.record("", TokenPositions { padding, rows: "p".into() }, &[ids]).unwrap();
            prove(&g, &[("b", b), ("n", n), ("v", 4), ("p", n + padding as usize + 1)]);
        }
    }

    #[test]
    fn padding_is_passed_over_and_more_tokens_than_rows_are_refused() {
        let mut g = Graph::new();
        let ids = g.input_ids("ids", [("b", 2), ("n", 4)], 5).unwrap();
        let mut positions = |rows: i64| {
            let op = TokenPositions { padding: 1, rows: rows.into() };
            g.record("", op, &[ids]).map_err(|error| error.problem.to_string())
        };
        let problem = "the table of positions has 5 rows, 6 are used";
        assert_eq!(positions(5), Err(problem.to_owned()));
        positions(6).unwrap();
        let ids = Value::Index(Tensor::new(&[2, 4], vec![1, 1, 0, 3, 4, 1, 2, 1]).unwrap());
        let (inputs, binding) = ([&ids], Binding::new());
        let inputs: &[&Value<f64>] = &inputs;
        let (reads, binding) = (&Reads::of(1), &binding);
        let call = Call { path: "", inputs, shapes: &[], output: &[2, 4], binding, reads };
        let op = TokenPositions { padding: 1, rows: 6.into() };
        let found = op.reference(&call, &mut |_| {}).unwrap();
        assert_eq!(found[0].index().unwrap().data(), [1, 1, 2, 3, 2, 1, 3, 1]);
    }
}
