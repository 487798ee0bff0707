//! Functions of one number with constants, applied to each element; [`Pointwise`] says what each is
//! and counts.

use opledger_dims::{Binding, Counts, Pointwise, Poly, Scalar, Symbol};

use crate::operation::{Operation, operands};
use crate::{AxisMap, Call, Cost, Facts, Kind, OpError, Part, Shape, ShapeError, Value};

impl Operation for Pointwise {
    fn name(&self) -> &'static str {
        (*self).name()
    }

    fn signature(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [x] = operands(inputs)?;
        x.expect(0, Kind::Real)?;
        Ok(vec![x.clone()])
    }

    fn cost(&self, _: &[&Shape], output: &Shape) -> Cost {
        let (each, elements) = (Pointwise::cost(*self), output.elements());
        let counts = Counts::from_fn(|class| &elements * each[class] as i64);
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
        match self {
            Pointwise::Power(c)
            | Pointwise::Shift(c)
            | Pointwise::LeakyRelu(c)
            | Pointwise::Elu(c)
            | Pointwise::Celu(c) => c.to_string(),
            Pointwise::Clamp { min, max } => {
                let bound = |bound: &Option<f64>| bound.map_or(String::new(), |b| b.to_string());
                format!("{}..{}", bound(min), bound(max))
            }
            Pointwise::Neg
            | Pointwise::Abs
            | Pointwise::Exp
            | Pointwise::Exp2
            | Pointwise::Expm1
            | Pointwise::Log
            | Pointwise::Log2
            | Pointwise::Log10
            | Pointwise::Log1p
            | Pointwise::Sqrt
            | Pointwise::Rsqrt
            | Pointwise::Reciprocal
            | Pointwise::Sin
            | Pointwise::Cos
            | Pointwise::Tan
            | Pointwise::Atan
            | Pointwise::Erf
            | Pointwise::Selu
            | Pointwise::HardSigmoid
            | Pointwise::HardSwish
            | Pointwise::Mish
            | Pointwise::LogSigmoid
            | Pointwise::Softsign
            | Pointwise::Floor
            | Pointwise::Ceil
            | Pointwise::Round
            | Pointwise::Sign => String::new(),
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
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counted_reference_equals_cost(b in 0..4_usize, n in 1..9_usize, p in -9..9_i32) {
            use Pointwise::*;
            let mut g = Graph::new();
            let x = g.input("x", ["b", "n"]).unwrap();
            let functions = [
                Neg, Abs, Exp, Exp2, Expm1, Log, Log2, Log10, Log1p, Sqrt, Rsqrt, Reciprocal, Sin,
                Cos, Tan, Atan, Erf, Shift(0.3), LeakyRelu(0.1), Elu(1.3), Celu(1.3), Selu, HardSigmoid,
                HardSwish, Mish, LogSigmoid, Softsign, Floor, Ceil, Round, Sign,
                Clamp { min: Some(0.0), max: None }, Clamp { min: Some(0.0), max: Some(0.5) },
                Power(p.into()), Power(f64::from(p) / 2.0), Power(0.3),
            ];
            for function in functions {
                g.pointwise(x, function).unwrap();
            }
            prove(&g, &[("b", b), ("n", n)]);
        }
    }

    #[test]
    fn constants_are_told_and_whole_numbers_refused() {
        let mut g = Graph::new();
        let x = g.input("x", [("n", 3)]).unwrap();
        let feeds: [(&str, &[f64]); 1] = [("x", &[-2., 0.5, 3.])];
        let clamped = g.pointwise(x, Pointwise::Clamp { min: None, max: Some(1.0) }).unwrap();
        assert_eq!(evaluate(&g, clamped, &feeds), [-2., 0.5, 1.]);
        let cubed = g.pointwise(x, Pointwise::Power(3.0)).unwrap();
        assert_eq!(evaluate(&g, cubed, &feeds), [-8., 0.125, 27.]);
        let text = g.to_string();
        assert!(text.contains("clamp(%0) {..1}") && text.contains("power(%0) {3}"), "{text}");
        let ids = g.input_ids("ids", ["n"], 3).unwrap();
        let error = g.pointwise(ids, Pointwise::Neg).unwrap_err().problem.to_string();
        assert_eq!(error, "operand 0 holds i64 elements where reals are needed");
    }
}
