//! The one contraction: `out[o] = Σ_k a[…] · b[…]` over the axes k that stand in both operands and
//! not in the result (Einstein's summation convention, 1916).
//!
//! Count: each result is a dot product of K = ∏k terms: K mul, K − 1 add. Under a mask only the
//! allowed (query, key) pairs are computed: a pair that is not allowed costs nothing and counts as
//! absent from the sum; a sum without terms is 0. A sum over queries begins at 0, and has an add for
//! each allowed pair: a key may be seen by none of them.

use std::fmt;

use opledger_dims::{Binding, Class, Counts, Poly, Scalar, Symbol};

use crate::cost::dot;
use crate::masked::{self, Masked};
use crate::operation::Operation;
use crate::value::{indices, strides};
use crate::{Axis, AxisMap, Call, Cost, Facts, Kind, OpError, Part, Shape, ShapeError, Value};

/// A contraction of two operands, by axis names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Einsum {
    /// The axes of the first operand.
    pub lhs: Vec<Symbol>,
    /// The axes of the second operand.
    pub rhs: Vec<Symbol>,
    /// The axes of the result.
    pub out: Vec<Symbol>,
    /// The pairs to compute, when not all.
    pub masked: Option<Masked>,
}

impl Einsum {
    /// Reads `"b n c, f c -> b n f"`.
    ///
    /// # Errors
    /// When the text has another form.
    pub fn parse(spec: &str) -> Result<Self, ShapeError> {
        let bad = || ShapeError::Spec(spec.to_owned());
        let names = |part: &str| part.split_whitespace().map(Symbol::new).collect();
        let (operands, out) = spec.split_once("->").ok_or_else(bad)?;
        let (lhs, rhs) = operands.split_once(',').ok_or_else(bad)?;
        Ok(Einsum { lhs: names(lhs), rhs: names(rhs), out: names(out), masked: None })
    }

    /// The contraction of `x` with a weight over `over`; see [`Graph::contract`](crate::Graph::contract).
    pub(crate) fn contract(x: &Shape, weight: &Shape, over: &[Symbol]) -> Self {
        let names = |s: &Shape| -> Vec<Symbol> { s.axes.iter().map(|a| a.name.clone()).collect() };
        let kept =
            |s: &Shape| names(s).into_iter().filter(|n| !over.contains(n)).collect::<Vec<_>>();
        let out = [kept(x), kept(weight)].concat();
        Einsum { lhs: names(x), rhs: names(weight), out, masked: None }
    }

    /// The same contraction over the pairs of a mask only.
    #[must_use]
    pub fn over(self, masked: Masked) -> Self {
        Einsum { masked: Some(masked), ..self }
    }

    /// The axes that are summed.
    pub fn summed_axes(&self) -> impl Iterator<Item = &Symbol> {
        self.lhs.iter().filter(|n| self.rhs.contains(n) && !self.out.contains(n))
    }

    fn size_of(&self, name: &Symbol, inputs: &[&Shape]) -> Poly {
        let sides = [(&self.lhs, 0), (&self.rhs, 1)];
        let found = sides.iter().find_map(|(names, operand)| {
            let at = names.iter().position(|n| n == name)?;
            Some(inputs.get(*operand)?.axes.get(at)?.size.clone())
        });
        found.unwrap_or_else(Poly::one)
    }

    fn check_operand(names: &[Symbol], shape: &Shape, operand: usize) -> Result<(), ShapeError> {
        if names.len() != shape.axes.len() {
            return Err(ShapeError::Rank {
                operand,
                expected: names.len(),
                found: shape.axes.len(),
            });
        }
        shape.expect(operand, Kind::Real)?;
        for (position, (name, axis)) in names.iter().zip(&shape.axes).enumerate() {
            if *name != axis.name {
                let (expected, found) = (name.clone(), axis.name.clone());
                return Err(ShapeError::Name { operand, position, expected, found });
            }
            if names[..position].contains(name) {
                return Err(ShapeError::Duplicate(name.clone()));
            }
        }
        Ok(())
    }
}

impl Operation for Einsum {
    fn name(&self) -> &'static str {
        "einsum"
    }

    fn signature(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let ([a, b], keep) = masked::operands(self.masked.as_ref(), inputs)?;
        Einsum::check_operand(&self.lhs, a, 0)?;
        Einsum::check_operand(&self.rhs, b, 1)?;
        if let (Some(masked), Some(keep)) = (&self.masked, keep) {
            let axes: Vec<Axis> = a.axes.iter().chain(&b.axes).cloned().collect();
            masked.check_keep((2, keep), &axes)?;
        }
        for name in &self.lhs {
            let (x, y) = (a.position(name), b.position(name));
            if let (Some(x), Some(y)) = (x, y) {
                let (left, right) = (&a.axes[x].size, &b.axes[y].size);
                if left != right {
                    let (left, right) = (left.clone(), right.clone());
                    return Err(ShapeError::Size { axis: name.clone(), left, right });
                }
            }
        }
        let both = |n: &Symbol| self.lhs.contains(n) && self.rhs.contains(n);
        if let Some(lone) =
            self.lhs.iter().chain(&self.rhs).find(|n| !both(n) && !self.out.contains(n))
        {
            return Err(ShapeError::Unpaired(lone.clone()));
        }
        let mut axes: Vec<Axis> = Vec::new();
        for name in &self.out {
            if !self.lhs.contains(name) && !self.rhs.contains(name) {
                return Err(ShapeError::Missing { operand: 0, axis: name.clone() });
            }
            let plain = Symbol::new(Axis::base(name));
            let shown = if self.out.contains(&plain) { name.clone() } else { plain };
            if axes.iter().any(|a| a.name == shown) {
                return Err(ShapeError::Duplicate(shown));
            }
            axes.push(Axis::new(shown, self.size_of(name, inputs)));
        }
        Ok(vec![inputs[0].with_axes(axes)])
    }

    fn cost(&self, inputs: &[&Shape], output: &Shape) -> Cost {
        let terms: Poly = self.summed_axes().map(|n| self.size_of(n, inputs)).product();
        let counts = match &self.masked {
            None => dot(&output.elements(), &terms),
            // The key axis is summed: each row that sees a key is one dot product per value column.
            Some(Masked { key, support, .. }) if self.summed_axes().any(|n| n == key) => {
                let columns: Poly = self
                    .out
                    .iter()
                    .filter(|n| !self.lhs.contains(n))
                    .map(|n| self.size_of(n, inputs))
                    .product();
                Counts::zero()
                    .with(Class::Mul, &support.pairs * &columns)
                    .with(Class::Add, (&support.pairs - &support.rows) * columns)
            }
            // The query axis is summed: the columns of the operand that has no pairs.
            Some(Masked { key, query, support, .. }) if self.summed_axes().any(|n| n == query) => {
                let of_pairs = if self.lhs.contains(key) { &self.lhs } else { &self.rhs };
                let columns: Poly = self
                    .out
                    .iter()
                    .filter(|n| !of_pairs.contains(n))
                    .map(|n| self.size_of(n, inputs))
                    .product();
                let each = &support.pairs * columns;
                Counts::zero().with(Class::Mul, each.clone()).with(Class::Add, each)
            }
            Some(Masked { support, .. }) => dot(&support.pairs, &terms),
        };
        Cost::of(Part::Contraction, counts)
    }

    fn summed(&self, inputs: &[&Shape]) -> Vec<(Symbol, Poly)> {
        self.summed_axes().map(|n| (n.clone(), self.size_of(n, inputs))).collect()
    }

    fn facts(&self) -> Facts<'_> {
        Facts::of(&[Part::Contraction]).masked(self.masked.as_ref())
    }

    fn axis_map(&self, inputs: &[&Shape], _: &Shape) -> AxisMap {
        // By the names of the text: an axis of the result may have lost its primes.
        let at = |name: &Symbol| self.out.iter().position(|own| own == name);
        let place = |axis: &Axis| at(&axis.name);
        let map = AxisMap::new(inputs.iter().map(|shape| shape.axes.iter().map(place).collect()));
        match &self.masked {
            Some(masked) if masked.rule.keep => map.ending(2, at(&masked.key)),
            Some(_) | None => map,
        }
    }

    fn detail(&self) -> String {
        match &self.masked {
            Some(_) => format!("{self}, masked"),
            None => self.to_string(),
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
        let (a, b) = (call.real(0)?, call.real(1)?);
        let summed: Vec<&Symbol> = self.summed_axes().collect();
        let names: Vec<&Symbol> = self.out.iter().chain(summed.iter().copied()).collect();
        let size_of =
            |name: &Symbol| self.lhs.iter().position(|n| n == name).map_or(1, |at| a.shape()[at]);
        // The stride with which an operand moves along each axis of the loops.
        let along = |operand: &[Symbol], shape: &[usize]| -> Vec<usize> {
            let own = strides(shape);
            names
                .iter()
                .map(|n| operand.iter().position(|m| m == *n).map_or(0, |at| own[at]))
                .collect()
        };
        let (a_strides, b_strides) = (along(&self.lhs, a.shape()), along(&self.rhs, b.shape()));
        let at = |strides: &[usize], index: &[usize]| -> usize {
            strides.iter().zip(index).map(|(s, i)| s * i).sum()
        };
        let summed_shape: Vec<usize> = summed.iter().map(|n| size_of(n)).collect();
        let inner: Vec<Vec<usize>> = indices(&summed_shape).collect();
        let allowed = self.masked.as_ref().map(|m| m.allowed(call, &names)).transpose()?;
        let over_queries = self.masked.as_ref().is_some_and(|m| summed.contains(&&m.query));
        let first = over_queries.then(|| T::from_f64(0.0));

        let mut out = Vec::with_capacity(call.output_len());
        for mut index in indices(call.output) {
            let outer = index.len();
            let mut sum: Option<T> = first;
            for k in &inner {
                index.truncate(outer);
                index.extend(k);
                if allowed.as_ref().is_some_and(|allowed| !allowed(&index)) {
                    continue;
                }
                let product = a.data()[at(&a_strides, &index)] * b.data()[at(&b_strides, &index)];
                sum = Some(match sum {
                    None => product,
                    Some(sum) => sum + product,
                });
            }
            out.push(sum.unwrap_or_else(|| T::from_f64(0.0)));
        }
        mark(Part::Contraction);
        call.result(out)
    }
}

impl fmt::Display for Einsum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names =
            |names: &[Symbol]| names.iter().map(Symbol::as_str).collect::<Vec<_>>().join(" ");
        write!(f, "{}, {} -> {}", names(&self.lhs), names(&self.rhs), names(&self.out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::proof::prove;
    use crate::{Graph, ops::Source};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counted_reference_equals_cost(b in 0..3_usize, n in 1..5_usize, c in 1..6_usize, f in 1..4_usize) {
            let mut g = Graph::new();
            let x = g.input("x", ["b", "n", "c"]).unwrap();
            let w = g.param("w", Source::weight("c"), ["f", "c"]).unwrap();
            g.einsum("b n c, f c -> b n f", x, w).unwrap();
            g.einsum("b n c, f c -> f b n", x, w).unwrap();
            let y = g.input("y", ["b", "m", "c"]).unwrap();
            g.einsum("b n c, b m c -> b n m", x, y).unwrap();
            prove(&g, &[("b", b), ("n", n), ("c", c), ("f", f), ("m", 3)]);
        }
    }

    #[test]
    fn the_definition_by_hand() {
        let mut g = Graph::new();
        let a = g.input("a", [("i", 2), ("k", 2)]).unwrap();
        let b = g.input("b", [("k", 2), ("j", 1)]).unwrap();
        let y = g.einsum("i k, k j -> i j", a, b).unwrap();
        let out = crate::ops::proof::evaluate(&g, y, &[("a", &[1., 2., 3., 4.]), ("b", &[5., 6.])]);
        assert_eq!(out, [17., 39.]);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let mut g = Graph::new();
        let x = g.input("x", ["b", "n", "c"]).unwrap();
        let w = g.input("w", [Axis::new("f", "f"), Axis::new("c", 7)]).unwrap();
        let error =
            |g: &mut Graph, spec: &str| g.einsum(spec, x, w).unwrap_err().problem.to_string();
        assert_eq!(
            error(&mut g, "b n c, f c -> b n f"),
            "axis `c` is c in one operand and 7 in another"
        );
        assert_eq!(
            error(&mut g, "b n d, f c -> b n f"),
            "axis 2 of operand 0 is `c` where `d` is needed"
        );
        assert_eq!(error(&mut g, "b n, f c -> b n f"), "operand 0 has 3 axes where 2 are needed");
        assert!(error(&mut g, "b n c f c").contains("not of the form"));
        let w = g.input("v", ["f", "c"]).unwrap();
        let lone = g.einsum("b n c, f c -> b n", x, w).unwrap_err().problem;
        assert_eq!(
            lone.to_string(),
            "axis `f` is summed but stands in one operand only; reduce it first"
        );
        let none = g.einsum("b n c, f c -> b n f q", x, w).unwrap_err().problem;
        assert_eq!(none.to_string(), "operand 0 has no axis `q`");
    }
}
