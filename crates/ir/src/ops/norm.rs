//! LayerNorm (Ba, Kiros, Hinton 2016) and RMSNorm (Zhang, Sennrich 2019) over the last axis.
//!
//! LayerNorm, two-pass, per row of c: mean (c − 1 add, 1 div), centring (c add), squares (c mul),
//! variance (c − 1 add, 1 div), ε (1 add), 1 sqrt, c div. RMSNorm: squares (c mul), mean (c − 1 add,
//! 1 div), ε (1 add), 1 sqrt, c div. A gain adds c mul, a shift c add.

use opledger_dims::{Binding, Class, Counts, Poly, Scalar, Symbol};
use opledger_tensor::Tensor;

use crate::op::Operation;
use crate::{AxisMap, Call, Cost, Facts, Kind, OpError, Part, Shape, ShapeError, Value};

/// Which norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// Mean zero, variance one.
    Layer,
    /// Root mean square one.
    Rms,
}

/// Normalisation over the last axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Norm {
    /// Which norm.
    pub kind: NormKind,
    /// ε, added to the variance or mean square.
    pub eps: f64,
    /// Whether a gain is an operand.
    pub gain: bool,
    /// Whether a shift is an operand.
    pub shift: bool,
}

impl Norm {
    /// LayerNorm without affine operands.
    pub fn layer(eps: f64) -> Self {
        Norm { kind: NormKind::Layer, eps, gain: false, shift: false }
    }

    /// RMSNorm without affine operands.
    pub fn rms(eps: f64) -> Self {
        Norm { kind: NormKind::Rms, ..Norm::layer(eps) }
    }
}

/// The sum of a row; `None` for an empty one.
pub(crate) fn sum<T: Scalar>(terms: impl IntoIterator<Item = T>) -> Option<T> {
    terms.into_iter().reduce(|sum, x| sum + x)
}

impl Norm {
    /// The normalised row, before gain and shift; `None` for an empty one.
    fn normalise<T: Scalar>(&self, row: &[T]) -> Option<Vec<T>> {
        let count = T::from_f64(row.len() as f64);
        let centred: Vec<T> = match self.kind {
            NormKind::Layer => {
                let mean = sum(row.iter().copied())? / count;
                row.iter().map(|x| *x - mean).collect()
            }
            NormKind::Rms => row.to_vec(),
        };
        let mean_square = sum(centred.iter().map(|d| *d * *d))? / count;
        let deviation = (mean_square + T::from_f64(self.eps)).sqrt();
        Some(centred.into_iter().map(|d| d / deviation).collect())
    }
}

impl Operation for Norm {
    fn name(&self) -> &'static str {
        match self.kind {
            NormKind::Layer => "layer_norm",
            NormKind::Rms => "rms_norm",
        }
    }

    fn signature(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let expected = 1 + usize::from(self.gain) + usize::from(self.shift);
        if inputs.len() != expected {
            return Err(ShapeError::Arity { expected, found: inputs.len() });
        }
        let x = inputs[0];
        x.expect(0, Kind::Real)?;
        let last = x.last().ok_or(ShapeError::Rank { operand: 0, expected: 1, found: 0 })?;
        for (operand, affine) in inputs.iter().enumerate().skip(1) {
            affine.expect(operand, Kind::Real)?;
            let [axis] = &affine.axes[..] else {
                return Err(ShapeError::Rank { operand, expected: 1, found: affine.axes.len() });
            };
            if axis.name != last.name {
                let (expected, found) = (last.name.clone(), axis.name.clone());
                return Err(ShapeError::Name { operand, position: 0, expected, found });
            }
            if axis.size != last.size {
                let (left, right) = (last.size.clone(), axis.size.clone());
                return Err(ShapeError::Size { axis: axis.name.clone(), left, right });
            }
        }
        Ok(vec![x.clone()])
    }

    fn cost(&self, _: &[&Shape], output: &Shape) -> Cost {
        let (all, last) = (output.elements(), output.axes.len() - 1);
        let rows: Poly = output.axes[..last].iter().map(|a| &a.size).product();
        let mut counts = Counts::zero()
            .with(Class::Add, all.clone())
            .with(Class::Mul, all.clone())
            .with(Class::Div, &all + &rows)
            .with(Class::Sqrt, rows.clone());
        if self.kind == NormKind::Layer {
            // The mean, and its subtraction.
            counts[Class::Add] += &all + &all - &rows;
            counts[Class::Div] += rows;
        }
        if self.gain {
            counts[Class::Mul] += &all;
        }
        if self.shift {
            counts[Class::Add] += &all;
        }
        Cost::of(Part::Pointwise, counts)
    }

    fn summed(&self, inputs: &[&Shape]) -> Vec<(Symbol, Poly)> {
        inputs[0].last().map(|a| (a.name.clone(), a.size.clone())).into_iter().collect()
    }

    fn facts(&self) -> Facts<'_> {
        Facts::of(&[Part::Pointwise]).in_place(&[0])
    }

    fn axis_map(&self, inputs: &[&Shape], output: &Shape) -> AxisMap {
        AxisMap::by_name(inputs, output).mixing_last(0)
    }

    fn detail(&self) -> String {
        match (self.kind, self.gain, self.shift) {
            (NormKind::Layer, false, false) | (NormKind::Rms, false, _) => "not affine".to_owned(),
            (NormKind::Layer | NormKind::Rms, _, _) => String::new(),
        }
    }

    fn conflict(&self, _: &[&Shape], _: &Binding) -> Option<String> {
        None
    }

    fn reference<T: Scalar>(
        &self,
        call: &Call<'_, T>,
        mark: &mut dyn FnMut(Part),
    ) -> Result<Vec<Value<T>>, OpError> {
        let x = call.real(0)?;
        let gain = if self.gain { Some(call.real(1)?) } else { None };
        let shift = if self.shift { Some(call.real(1 + usize::from(self.gain))?) } else { None };
        let width = call.output.last().copied().unwrap_or(1).max(1);
        let mut out = Vec::with_capacity(call.output_len());
        for row in x.data().chunks(width) {
            for (j, mut y) in self.normalise(row).unwrap_or_default().into_iter().enumerate() {
                if let Some(gain) = gain.map(Tensor::data) {
                    y = y * gain[j];
                }
                if let Some(shift) = shift.map(Tensor::data) {
                    y = y + shift[j];
                }
                out.push(y);
            }
        }
        mark(Part::Pointwise);
        call.result(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Graph;
    use crate::ops::Source;
    use crate::ops::proof::{evaluate, prove};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counted_reference_equals_cost(b in 0..3_usize, n in 1..4_usize, c in 1..8_usize) {
            let mut g = Graph::new();
            let x = g.input("x", ["b", "n", "c"]).unwrap();
            let gain = g.param("weight", Source::gain(), ["c"]).unwrap();
            let shift = g.param("bias", Source::shift(), ["c"]).unwrap();
            for norm in [Norm::layer(1e-5), Norm::rms(1e-6)] {
                for (gain, shift) in [(None, None), (Some(gain), None), (None, Some(shift)), (Some(gain), Some(shift))] {
                    g.norm(x, norm.clone(), gain, shift).unwrap();
                }
            }
            prove(&g, &[("b", b), ("n", n), ("c", c)]);
        }
    }

    #[test]
    fn the_definitions_by_hand() {
        let mut g = Graph::new();
        let x = g.input("x", [("c", 2)]).unwrap();
        let gain = g.input("g", [("c", 2)]).unwrap();
        let shift = g.input("s", [("c", 2)]).unwrap();
        let layer = g.norm(x, Norm::layer(0.0), Some(gain), Some(shift)).unwrap();
        let rms = g.norm(x, Norm::rms(3.5), Some(gain), None).unwrap();
        let feeds: [(&str, &[f64]); 3] = [("x", &[1., 3.]), ("g", &[2., 3.]), ("s", &[10., 20.])];
        assert_eq!(evaluate(&g, layer, &feeds), [8., 23.]);
        let root = (5.0_f64 + 3.5).sqrt();
        assert_eq!(evaluate(&g, rms, &feeds), [1. / root * 2., 3. / root * 3.]);
    }
}
