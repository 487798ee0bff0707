//! LayerNorm (Ba, Kiros, Hinton 2016) and RMSNorm (Zhang, Sennrich 2019) over the last axis, or over
//! several: with the channels of a group and all their positions last, LayerNorm is GroupNorm (Wu, He
//! 2018).
//!
//! LayerNorm, two-pass, per row of c elements: mean (c − 1 add, 1 div), centring (c add), squares (c mul),
//! variance (c − 1 add, 1 div), ε (1 add), 1 sqrt, c div. RMSNorm: squares (c mul), mean (c − 1 add,
//! 1 div), ε (1 add), 1 sqrt, c div. A gain adds c mul, a shift c add.

use opledger_dims::{Binding, Class, Counts, Poly, Scalar, Symbol};
use opledger_tensor::Tensor;

use crate::operation::Operation;
use crate::{AxisMap, Call, Cost, Facts, Kind, OpError, Part, Shape, ShapeError, Value};

/// Which norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// Mean zero, variance one.
    Layer,
    /// Root mean square one.
    Rms,
}

/// Normalisation over the last axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Norm {
    /// Which norm.
    pub kind: NormKind,
    /// How many of the last axes are a row.
    pub over: usize,
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
        Norm { kind: NormKind::Layer, over: 1, eps, gain: false, shift: false }
    }

    /// The same over so many of the last axes.
    #[must_use]
    pub fn over(self, axes: usize) -> Self {
        Norm { over: axes, ..self }
    }

    /// How many elements a row has.
    pub fn width(&self, output: &[usize]) -> usize {
        output[output.len().saturating_sub(self.over)..].iter().product()
    }

    /// How many neighbouring elements, the positions of a channel, share a number of gain and shift.
    ///
    /// # Errors
    /// When their axes are none of the value's.
    pub fn positions<T>(&self, call: &Call<'_, T>) -> Result<usize, OpError> {
        let Some(affine) = call.shapes.get(1) else { return Ok(1) };
        let last = affine.last().and_then(|axis| call.shapes[0].position(&axis.name));
        let last = last.ok_or(OpError::Operand(1))?;
        Ok(call.output[last + 1..].iter().product())
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

impl Norm {
    /// Checks that gain and shift have neighbouring axes of the value, in their order: the last one, or
    /// those that channels are split into.
    fn check_affine(&self, x: &Shape, operand: usize, affine: &Shape) -> Result<(), ShapeError> {
        let first = affine.axes.first().and_then(|axis| x.position(&axis.name));
        let least = x.axes.len() - self.over;
        if self.over == 1 && affine.axes.len() != 1 || affine.axes.is_empty() {
            return Err(ShapeError::Rank { operand, expected: 1, found: affine.axes.len() });
        }
        let start = if self.over == 1 { least } else { first.unwrap_or(least) };
        for (position, axis) in affine.axes.iter().enumerate() {
            let Some(own) = x.axes.get(start + position) else {
                let (expected, found) = (x.axes.len() - start, affine.axes.len());
                return Err(ShapeError::Rank { operand, expected, found });
            };
            if axis.name != own.name {
                let (expected, found) = (own.name.clone(), axis.name.clone());
                return Err(ShapeError::Name { operand, position, expected, found });
            }
            if axis.size != own.size {
                let (left, right) = (own.size.clone(), axis.size.clone());
                return Err(ShapeError::Size { axis: axis.name.clone(), left, right });
            }
        }
        Ok(())
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
        if self.over == 0 || x.axes.len() < self.over {
            let (expected, found) = (self.over.max(1), x.axes.len());
            return Err(ShapeError::Rank { operand: 0, expected, found });
        }
        for (operand, affine) in inputs.iter().enumerate().skip(1) {
            affine.expect(operand, Kind::Real)?;
            self.check_affine(x, operand, affine)?;
        }
        Ok(vec![x.clone()])
    }

    fn cost(&self, _: &[&Shape], output: &Shape) -> Cost {
        let (all, outer) = (output.elements(), output.axes.len() - self.over);
        let rows: Poly = output.axes[..outer].iter().map(|a| &a.size).product();
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
        let x = inputs[0];
        let row = &x.axes[x.axes.len() - self.over..];
        row.iter().map(|a| (a.name.clone(), a.size.clone())).collect()
    }

    fn facts(&self) -> Facts<'_> {
        Facts::of(&[Part::Pointwise]).in_place(&[0])
    }

    fn axis_map(&self, inputs: &[&Shape], output: &Shape) -> AxisMap {
        let row = output.axes.len() - self.over..output.axes.len();
        row.fold(AxisMap::by_name(inputs, output), |map, axis| map.mixing(0, axis))
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
        let (width, run) = (self.width(call.output).max(1), self.positions(call)?.max(1));
        let mut out = Vec::with_capacity(call.output_len());
        for row in x.data().chunks(width) {
            for mut y in self.normalise(row).unwrap_or_default() {
                let channel = out.len() / run;
                if let Some(gain) = gain.map(Tensor::data) {
                    y = y * gain[channel % gain.len()];
                }
                if let Some(shift) = shift.map(Tensor::data) {
                    y = y + shift[channel % shift.len()];
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

    proptest! {
        #[test]
        fn groups_of_channels_cost_what_they_count(b in 0..3_usize, g in 1..4_usize, w in 1..4_usize, n in 1..5_usize) {
            let mut graph = Graph::new();
            let x = graph.input("x", ["b", "g", "w", "n"]).unwrap();
            let gain = graph.param("weight", Source::gain(), ["g", "w"]).unwrap();
            let shift = graph.param("bias", Source::shift(), ["g", "w"]).unwrap();
            for (gain, shift) in [(None, None), (Some(gain), None), (Some(gain), Some(shift))] {
                graph.norm(x, Norm::layer(1e-5).over(2), gain, shift).unwrap();
            }
            let turned = graph.param("turned", Source::gain(), ["w", "g"]).unwrap();
            assert!(graph.norm(x, Norm::layer(1e-5).over(2), Some(turned), None).is_err());
            prove(&graph, &[("b", b), ("g", g), ("w", w), ("n", n)]);
        }
    }

    /// `torch.nn.functional.group_norm` of two groups of two channels of two elements, by hand: mean
    /// and deviation of (1, 3, 1, 3) are 2 and 1, those of (0, 0, 4, 4) are 2 and 2.
    #[test]
    fn groups_by_hand() {
        let mut g = Graph::new();
        let x = g.input("x", [("g", 2), ("w", 2), ("n", 2)]).unwrap();
        let gain = g.input("gain", [("g", 2), ("w", 2)]).unwrap();
        let y = g.norm(x, Norm::layer(0.0).over(2), Some(gain), None).unwrap();
        let feeds: [(&str, &[f64]); 2] =
            [("x", &[1., 3., 1., 3., 0., 0., 4., 4.]), ("gain", &[1., 10., 100., 1000.])];
        let expected = [-1., 1., -10., 10., -100., -100., 1000., 1000.];
        assert_eq!(evaluate(&g, y, &feeds), expected);
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
