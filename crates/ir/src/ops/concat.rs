//! Two values side by side along an axis. Count: none.

use opledger_dims::{Binding, Poly, Scalar, Symbol};
use opledger_tensor::Tensor;

use crate::operation::{Operation, operands};
use crate::{AxisMap, Call, Cost, Facts, Kind, OpError, Part, Shape, ShapeError, Value};

/// Joining along an axis: first operand first.
#[derive(Clone, Debug, PartialEq)]
pub struct Concat {
    /// The axis along which the operands are joined.
    pub axis: Symbol,
    /// Whether the result is the first operand's own buffer, continued, as a cache grows: what is in it
    /// already is neither read nor written.
    pub grows: bool,
}

impl Concat {
    /// The first operand: read, or kept where the result is its buffer.
    ///
    /// # Errors
    /// When it is missing.
    pub fn first<'c, T>(&self, call: &'c Call<'_, T>) -> Result<&'c Tensor<T>, OpError> {
        if self.grows { call.kept(0) } else { call.real(0) }
    }

    /// How the operands interleave: elements per step of the first, of the second, for each step of
    /// the axes outside the joined one.
    ///
    /// # Errors
    /// When the axis is missing.
    pub fn runs<T>(&self, call: &Call<'_, T>) -> Result<(usize, usize), OpError> {
        let at = call.shapes[0].position(&self.axis).ok_or(OpError::Operand(0))?;
        let run = |i: usize| call.inputs[i].shape()[at..].iter().product();
        Ok((run(0), run(1)))
    }
}

impl Operation for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }

    fn signature(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [a, b] = operands(inputs)?;
        a.expect(0, Kind::Real)?;
        b.expect(1, Kind::Real)?;
        if a.axes.len() != b.axes.len() {
            let (expected, found) = (a.axes.len(), b.axes.len());
            return Err(ShapeError::Rank { operand: 1, expected, found });
        }
        let mut joined = a.clone();
        for (position, (x, y)) in joined.axes.iter_mut().zip(&b.axes).enumerate() {
            if x.name != y.name {
                let (expected, found) = (x.name.clone(), y.name.clone());
                return Err(ShapeError::Name { operand: 1, position, expected, found });
            }
            if x.name == self.axis {
                x.size += &y.size;
            } else if x.size != y.size {
                let (left, right) = (x.size.clone(), y.size.clone());
                return Err(ShapeError::Size { axis: x.name.clone(), left, right });
            }
        }
        a.position(&self.axis)
            .ok_or_else(|| ShapeError::Missing { operand: 0, axis: self.axis.clone() })?;
        Ok(vec![joined])
    }

    fn cost(&self, _: &[&Shape], _: &Shape) -> Cost {
        Cost::free()
    }

    fn summed(&self, _: &[&Shape]) -> Vec<(Symbol, Poly)> {
        Vec::new()
    }

    fn facts(&self) -> Facts<'_> {
        let facts = Facts::of(&[]).in_place(&[0]);
        if self.grows { facts.growing(0) } else { facts }
    }

    fn axis_map(&self, inputs: &[&Shape], output: &Shape) -> AxisMap {
        let map = AxisMap::by_name(inputs, output);
        match output.position(&self.axis) {
            Some(at) => map.mixing(0, at).mixing(1, at),
            None => map,
        }
    }

    fn detail(&self) -> String {
        if self.grows { "growing".to_owned() } else { String::new() }
    }

    fn conflict(&self, _: &[&Shape], _: &Binding) -> Option<String> {
        None
    }

    fn reference<T: Scalar>(
        &self,
        call: &Call<'_, T>,
        _: &mut dyn FnMut(Part),
    ) -> Result<Vec<Value<T>>, OpError> {
        let (first, second) = self.runs(call)?;
        let (a, b) = (self.first(call)?.data(), call.real(1)?.data());
        let steps = call.output_len().checked_div(first + second).unwrap_or(0);
        let mut out = Vec::with_capacity(call.output_len());
        for step in 0..steps {
            out.extend_from_slice(&a[step * first..][..first]);
            out.extend_from_slice(&b[step * second..][..second]);
        }
        call.result(out)
    }
}

#[cfg(test)]
mod tests {
    use crate::Graph;
    use crate::ops::proof::{evaluate, prove};

    #[test]
    fn operands_stand_side_by_side() {
        let mut g = Graph::new();
        let x = g.input("x", [("i", 2), ("j", 2)]).unwrap();
        let y = g.input("y", [("i", 2), ("j", 3)]).unwrap();
        let z = g.concat(x, y, "j").unwrap();
        assert_eq!(g.shape(z).to_string(), "[i=2, j=5]");
        prove(&g, &[]);
        let out = evaluate(&g, z, &[("x", &[1., 2., 3., 4.]), ("y", &[5., 6., 7., 8., 9., 10.])]);
        assert_eq!(out, [1., 2., 5., 6., 7., 3., 4., 8., 9., 10.]);
        let error = g.concat(x, y, "i").unwrap_err().problem.to_string();
        assert_eq!(error, "axis `j` is 2 in one operand and 3 in another");
    }
}
