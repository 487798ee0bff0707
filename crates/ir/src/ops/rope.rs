//! Rotary position embedding (Su et al. 2021, equation 34): each pair of the first r elements of a
//! head is turned by the angle of its position, whose cosine and sine a table holds for each element
//! (see [`RotaryAngles`](super::RotaryAngles)). r is the head's width e, or less (Black et al. 2022,
//! §2.1.1): the other elements stay as they are.
//!
//! Count, for each pair of elements: 4 mul, 2 add.

use opledger_dims::{Binding, Class, Counts, Poly, Scalar, Symbol};

use super::RotaryAngles;
use crate::operation::{Operation, operands};
use crate::{AxisMap, Call, Cost, Facts, Kind, OpError, Part, Shape, ShapeError, Value};

/// Which elements form a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RopePairs {
    /// Element p with p + r/2, as Llama's weights are stored.
    Halves,
    /// Element 2p with 2p + 1, as the paper writes it.
    Neighbours,
}

/// Rotation of `[…, n, h, e]` by a table `[n, cos_sin=2, r]`, or by one of each item, `[…, n, cos_sin=2, r]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// Which elements form a pair.
    pub pairs: RopePairs,
}

impl Rope {
    /// The elements of a pair among `turned`.
    fn pair(&self, pair: usize, turned: usize) -> [usize; 2] {
        match self.pairs {
            RopePairs::Halves => [pair, pair + turned / 2],
            RopePairs::Neighbours => [2 * pair, 2 * pair + 1],
        }
    }

    /// How many elements of each head turn.
    fn turned(inputs: &[&Shape]) -> Option<Poly> {
        inputs.get(1)?.last().map(|axis| axis.size.clone())
    }
}

impl Operation for Rope {
    fn name(&self) -> &'static str {
        "rope"
    }

    fn signature(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [x, table] = operands(inputs)?;
        for (operand, shape) in [x, table].into_iter().enumerate() {
            shape.expect(operand, Kind::Real)?;
        }
        let [items @ .., tokens, _, _] = &x.axes[..] else {
            return Err(ShapeError::Rank { operand: 0, expected: 3, found: x.axes.len() });
        };
        let [own @ .., positions, functions, _] = &table.axes[..] else {
            return Err(ShapeError::Rank { operand: 1, expected: 3, found: table.axes.len() });
        };
        if !own.is_empty() && own != items {
            let problem = "a table of angles is of all items, or of each of them".to_owned();
            return Err(ShapeError::Sizes(problem));
        }
        if positions.name != tokens.name {
            return Err(ShapeError::Missing { operand: 1, axis: tokens.name.clone() });
        }
        let two = RotaryAngles::functions();
        for (axis, other) in [(tokens, positions), (&two, functions)] {
            if axis.size != other.size {
                let (left, right) = (axis.size.clone(), other.size.clone());
                return Err(ShapeError::Size { axis: other.name.clone(), left, right });
            }
        }
        match self.conflict(inputs, &Binding::new()) {
            Some(problem) => Err(ShapeError::Sizes(problem)),
            None => Ok(vec![x.clone()]),
        }
    }

    fn cost(&self, inputs: &[&Shape], output: &Shape) -> Cost {
        let [rows @ .., _] = &output.axes[..] else { return Cost::free() };
        let Some(turned) = Rope::turned(inputs) else { return Cost::free() };
        let all = rows.iter().map(|axis| &axis.size).product::<Poly>() * turned;
        let counts = Counts::zero().with(Class::Mul, &all * 2).with(Class::Add, all);
        Cost::of(Part::Pointwise, counts)
    }

    fn summed(&self, _: &[&Shape]) -> Vec<(Symbol, Poly)> {
        Vec::new()
    }

    fn facts(&self) -> Facts<'_> {
        Facts::of(&[Part::Pointwise])
    }

    fn axis_map(&self, inputs: &[&Shape], output: &Shape) -> AxisMap {
        AxisMap::by_name(inputs, output).mixing_last(0).mixing_last(1)
    }

    fn detail(&self) -> String {
        String::new()
    }

    fn conflict(&self, inputs: &[&Shape], binding: &Binding) -> Option<String> {
        let turned = Rope::turned(inputs)?.at(binding).ok()?;
        if &turned % 2u32 != 0u32.into() {
            return Some(format!("{turned} elements are to turn; rotation turns pairs"));
        }
        let width = inputs[0].last()?;
        width.size.at(binding).ok().filter(|all| turned > *all).map(|all| {
            format!("{turned} elements of axis `{}` are to turn, and it has {all}", width.name)
        })
    }

    fn reference<T: Scalar>(
        &self,
        call: &Call<'_, T>,
        mark: &mut dyn FnMut(Part),
    ) -> Result<Vec<Value<T>>, OpError> {
        let (x, table) = (call.real(0)?, call.real(1)?);
        let [.., heads, width] = call.output else { return Err(OpError::Operand(0)) };
        let [items @ .., tokens, _, turned] = table.shape() else {
            return Err(OpError::Operand(1));
        };
        let rows: usize = items.iter().product::<usize>() * tokens;
        let mut out = x.data().to_vec();
        for (row, out) in out.chunks_mut((heads * width).max(1)).enumerate() {
            let (cos, sin) =
                table.data()[row % rows * 2 * turned..][..2 * turned].split_at(*turned);
            for head in out.chunks_mut((*width).max(1)) {
                for pair in 0..turned / 2 {
                    let [first, second] = self.pair(pair, *turned);
                    let (a, b) = (head[first], head[second]);
                    // The table holds a pair's angle at p and p + r/2, whichever elements turn by it.
                    let at = pair + turned / 2;
                    head[first] = a * cos[pair] - b * sin[pair];
                    head[second] = a * sin[at] + b * cos[at];
                }
            }
        }
        mark(Part::Pointwise);
        call.result(out)
    }
}

#[cfg(test)]
mod tests {
    use super::RopePairs::{Halves, Neighbours};
    use super::{Rope, RopePairs};
    use crate::ops::RotaryAngles;
    use crate::ops::proof::{evaluate, prove};
    use crate::{Axis, Graph, GraphError, Var};
    use approx::assert_abs_diff_eq;
    use proptest::prelude::*;

    /// Turned by the angles of base 100, the first token at position 2.
    fn turned(
        g: &mut Graph,
        x: Var,
        pairs: RopePairs,
        width: impl Into<Axis>,
    ) -> Result<Var, GraphError> {
        let tokens = g.shape(x).axes.iter().rev().nth(2).unwrap().clone();
        let angles = RotaryAngles { offset: 2.into(), ..RotaryAngles::new(tokens, width, 100.0) };
        let angles = g.record("", angles, &[])?;
        g.rope(x, pairs, angles)
    }

    proptest! {
        #[test]
        fn counted_reference_equals_cost(b in 0..3_usize, n in 1..5_usize, h in 1..4_usize, p in 1..4_usize) {
            let mut g = Graph::new();
            let x = g.input("x", ["b", "n", "h", "e"]).unwrap();
            for pairs in [Halves, Neighbours] {
                for width in ["e", "r"] {
                    turned(&mut g, x, pairs, Axis::new("e", width)).unwrap();
                }
            }
            let table = g.input("table", ["n".into(), Axis::new("f", 2), "r".into()]).unwrap();
            g.rope(x, Halves, table).unwrap();
            let axes = ["b".into(), "n".into(), Axis::new("f", 2), "r".into()];
            let of_each = g.input("of_each", axes).unwrap();
            g.rope(x, Neighbours, of_each).unwrap();
            prove(&g, &[("b", b), ("n", n), ("h", h), ("e", 2 * p), ("r", 2 * (p / 2))]);
        }
    }

    #[test]
    fn a_pair_turns_by_its_angle() {
        let mut g = Graph::new();
        let x = g.input("x", [("n", 1), ("h", 1), ("e", 4)]).unwrap();
        let halves = turned(&mut g, x, Halves, ("e", 4)).unwrap();
        let neighbours = turned(&mut g, x, Neighbours, ("e", 4)).unwrap();
        let feeds: [(&str, &[f64]); 1] = [("x", &[1., 1., 0., 0.])];
        let (fast, slow) = (2.0_f64, 2.0 * 0.1_f64);
        let expected = [fast.cos(), slow.cos(), fast.sin(), slow.sin()];
        assert_abs_diff_eq!(evaluate(&g, halves, &feeds)[..], expected[..], epsilon = 1e-12);
        let expected = [fast.cos() - fast.sin(), fast.sin() + fast.cos(), 0., 0.];
        assert_abs_diff_eq!(evaluate(&g, neighbours, &feeds)[..], expected[..], epsilon = 1e-12);
    }

    #[test]
    fn what_is_not_rotated_stays() {
        let mut g = Graph::new();
        let x = g.input("x", [("n", 1), ("h", 1), ("e", 5)]).unwrap();
        let mut first = |width: i64, pairs| {
            let y = turned(&mut g, x, pairs, ("r", width))?;
            Ok::<_, GraphError>(evaluate(&g, y, &[("x", &[1., 1., 0., 0., 7.])]))
        };
        let (fast, slow) = (2.0_f64, 2.0 * 0.1_f64);
        let halves = first(4, Halves).unwrap();
        let expected = [fast.cos(), slow.cos(), fast.sin(), slow.sin(), 7.];
        assert_abs_diff_eq!(halves[..], expected[..], epsilon = 1e-12);
        let neighbours = first(2, Neighbours).unwrap();
        let expected = [fast.cos() - fast.sin(), fast.sin() + fast.cos(), 0., 0., 7.];
        assert_abs_diff_eq!(neighbours[..], expected[..], epsilon = 1e-12);
        let error = first(6, Halves).unwrap_err().problem.to_string();
        assert_eq!(error, "6 elements of axis `e` are to turn, and it has 5");
    }

    #[test]
    fn a_table_that_does_not_fit_is_refused() {
        let mut g = Graph::new();
        let x = g.input("x", ["b", "n", "h", "e"]).unwrap();
        let mut refused = |axes: [(&str, i64); 3]| {
            let table = g.input("", axes.map(|(name, size)| Axis::new(name, size))).unwrap();
            g.record("", Rope { pairs: Halves }, &[x, table]).unwrap_err().problem.to_string()
        };
        assert_eq!(refused([("m", 4), ("f", 2), ("r", 2)]), "operand 1 has no axis `n`");
        let size = refused([("n", 4), ("f", 2), ("r", 2)]);
        assert_eq!(size, "axis `n` is n in one operand and 4 in another");
        let table = g.input("three", ["n".into(), Axis::new("f", 3), Axis::new("r", 2)]).unwrap();
        let error = g.rope(x, Halves, table).unwrap_err().problem.to_string();
        assert_eq!(error, "axis `f` is 2 in one operand and 3 in another");
        let table = g.input("odd", ["n".into(), Axis::new("f", 2), Axis::new("r", 3)]).unwrap();
        let error = g.rope(x, Halves, table).unwrap_err().problem.to_string();
        assert_eq!(error, "3 elements are to turn; rotation turns pairs");
        let axes = [Axis::new("b", 2), "n".into(), Axis::new("f", 2), Axis::new("r", 2)];
        let table = g.input("items", axes).unwrap();
        let error = g.rope(x, Halves, table).unwrap_err().problem.to_string();
        assert_eq!(error, "a table of angles is of all items, or of each of them");
    }

    #[test]
    fn each_item_turns_by_its_own_table() {
        let mut g = Graph::new();
        let x = g.input("x", [("b", 2), ("n", 2), ("h", 1), ("e", 2)]).unwrap();
        let axes = [("b", 2), ("n", 2), ("cos_sin", 2), ("e", 2)];
        let table = g.input("table", axes).unwrap();
        let y = g.rope(x, Halves, table).unwrap();
        let angles = [0.5_f64, 1.5, 2.5, 3.5];
        let [lengths, rows]: [Vec<f64>; 2] = [
            (1..=4).flat_map(|v| [f64::from(v), 0.0]).collect(),
            angles.iter().flat_map(|a| [a.cos(), a.cos(), a.sin(), a.sin()]).collect(),
        ];
        let turned = |(at, a): (usize, &f64)| [a.cos(), a.sin()].map(|x| (at + 1) as f64 * x);
        let expected: Vec<f64> = angles.iter().enumerate().flat_map(turned).collect();
        let found = evaluate(&g, y, &[("x", &lengths), ("table", &rows)]);
        assert_abs_diff_eq!(found[..], expected[..], epsilon = 1e-12);
    }

    #[test]
    fn each_token_of_every_batch_and_head_turns_by_its_position() {
        let mut g = Graph::new();
        let x = g.input("x", [("b", 2), ("n", 3), ("h", 2), ("e", 2)]).unwrap();
        let y = turned(&mut g, x, Halves, ("e", 2)).unwrap();
        let lengths: Vec<f64> = (1..=12).map(f64::from).collect();
        let data: Vec<f64> = lengths.iter().flat_map(|v| [*v, 0.0]).collect();
        let turned = |(i, v): (usize, &f64)| {
            let angle = (2 + i / 2 % 3) as f64;
            [v * angle.cos(), v * angle.sin()]
        };
        let expected: Vec<f64> = lengths.iter().enumerate().flat_map(turned).collect();
        assert_abs_diff_eq!(evaluate(&g, y, &[("x", &data)])[..], expected[..], epsilon = 1e-12);
    }
}
