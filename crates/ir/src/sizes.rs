//! The sizes of a graph: which symbols it has, what follows from a binding, what a binding may not be.

use std::collections::BTreeSet;

use num_traits::{Signed, Zero};
use opledger_dims::{Binding, Counts, Poly, Symbol};

use crate::graph::Graph;
use crate::operation::Operation;
use crate::{BindingError, Definition, Reach, SizeRole};

impl Graph {
    /// The symbols to be bound before the graph can run, those that follow from others left out.
    pub fn symbols(&self) -> BTreeSet<Symbol> {
        let mut symbols = BTreeSet::new();
        for node in self.nodes() {
            symbols.extend(node.shape.axes.iter().flat_map(|a| a.size.symbols()));
            symbols.extend(node.op.facts().sizes.into_iter().flat_map(Poly::symbols));
            for (_, counts) in self.node_cost(node).iter() {
                symbols.extend(counts.iter().flat_map(|(_, p)| p.symbols()));
            }
        }
        symbols.extend(self.repetitions().iter().flat_map(|r| r.count.symbols()));
        // Of a model that keeps states alone, no shape says how many tokens were before.
        symbols.extend(self.size_of(SizeRole::Past).cloned());
        for definition in self.definitions() {
            let sizes: Vec<&Poly> = match definition {
                Definition::Band { queries, keys, offset, reach, .. } => {
                    let reach = reach.as_ref().map(Reach::most);
                    [queries, keys, offset].into_iter().chain(reach).collect()
                }
                Definition::Kept { queries, offset, reach, .. } => {
                    let reach = reach.as_ref().map(Reach::most);
                    std::iter::once(queries).chain(offset).chain(reach).collect()
                }
                Definition::Taps { results, taps, input, .. } => vec![results, taps, input],
                Definition::Minimum { of, .. } | Definition::Gcd { of, .. } => of.iter().collect(),
                Definition::CeilDiv { numerator, denominator, .. } => vec![numerator, denominator],
                Definition::Product { .. } => Vec::new(),
            };
            symbols.extend(sizes.into_iter().flat_map(Poly::symbols));
        }
        for definition in self.definitions() {
            match definition {
                Definition::Product { whole, factors: [_, divided] } => {
                    // Of c = h·e, users give c and h.
                    if symbols.contains(whole) {
                        symbols.remove(divided);
                    }
                }
                Definition::CeilDiv { symbol, .. }
                | Definition::Minimum { symbol, .. }
                | Definition::Gcd { symbol, .. } => {
                    symbols.remove(symbol);
                }
                Definition::Band { pairs, rows, .. } => {
                    symbols.remove(pairs);
                    symbols.remove(rows);
                }
                Definition::Taps { pairs, rows, .. } => {
                    symbols.remove(pairs);
                    if let Some(rows) = rows {
                        symbols.remove(rows);
                    }
                }
                Definition::Kept { pairs, rows, keep, .. } => {
                    if self.of_positions(*keep) {
                        symbols.remove(pairs);
                        symbols.remove(rows);
                    }
                }
            }
        }
        symbols
    }

    /// The binding with every symbol that follows from it added.
    ///
    /// # Errors
    /// When the values contradict a definition, or name no size of the graph.
    pub fn complete(&self, binding: &Binding) -> Result<Binding, BindingError> {
        self.check_known(binding)?;
        self.derive(binding)
    }

    /// The same where every value is known to be that of a size of the graph.
    ///
    /// # Errors
    /// When the values contradict a definition.
    pub fn derive(&self, binding: &Binding) -> Result<Binding, BindingError> {
        let mut complete = binding.clone();
        loop {
            let mut changed = false;
            for definition in self.definitions() {
                changed |= definition.apply(&mut complete)?;
                changed |= definition.look(self, &mut complete)?;
            }
            if !changed {
                break;
            }
        }
        for definition in self.definitions() {
            let Definition::Kept { keep, .. } = definition else { continue };
            if let Some(problem) = definition.impossible(self.shape(*keep), &complete) {
                let path = self.node(*keep).path.clone();
                return Err(BindingError::Sizes { path, problem });
            }
        }
        Ok(complete)
    }

    fn check_known(&self, binding: &Binding) -> Result<(), BindingError> {
        let symbols = self.symbols();
        let defined = |s: &Symbol| {
            self.definitions().iter().any(|d| match d {
                Definition::Product { whole, factors } => whole == s || factors.contains(s),
                other => other.defines().contains(&s),
            })
        };
        match binding.iter().map(|(s, _)| s).find(|s| !symbols.contains(*s) && !defined(s)) {
            None => Ok(()),
            Some(symbol) => {
                let known: Vec<_> = symbols.iter().map(Symbol::to_string).collect();
                let known =
                    if known.is_empty() { "all fixed".to_owned() } else { known.join(", ") };
                Err(BindingError::Unknown { symbol: symbol.clone(), known })
            }
        }
    }

    /// Checks a complete binding: every size is bound, none is negative, and no operation sums over
    /// nothing.
    ///
    /// # Errors
    /// The first node and axis for which that does not hold.
    pub fn check(&self, binding: &Binding) -> Result<(), BindingError> {
        for node in self.nodes() {
            let times = self.multiplicity(node).at(binding)?;
            for axis in &node.shape.axes {
                let size = axis.size.at(binding)?;
                if size.is_negative() {
                    let (path, axis) = (node.path.clone(), axis.name.clone());
                    return Err(BindingError::Negative { path, axis, size: size.to_string() });
                }
            }
            if times.is_negative() {
                let (path, axis) = (node.path.clone(), Symbol::new("repeat"));
                return Err(BindingError::Negative { path, axis, size: times.to_string() });
            }
            for (axis, size) in node.op.summed(&self.operand_shapes(node)) {
                if size.at(binding)?.is_zero() {
                    return Err(BindingError::Empty {
                        path: node.path.clone(),
                        axis,
                        op: node.op.name(),
                    });
                }
            }
            if let Some(problem) = node.op.conflict(&self.operand_shapes(node), binding) {
                return Err(BindingError::Sizes { path: node.path.clone(), problem });
            }
        }
        Ok(())
    }

    /// The exact counts at a binding of the free symbols.
    ///
    /// # Errors
    /// When the binding cannot be completed.
    pub fn counts_at(
        &self,
        binding: &Binding,
    ) -> Result<Counts<opledger_dims::Integer>, BindingError> {
        Ok(self.cost().total().at(&self.complete(binding)?)?)
    }
}

#[cfg(test)]
mod tests {
    use crate::ops::{Rearrange, Source};
    use crate::{Axis, Definition, Graph, Mask};
    use opledger_dims::Binding;

    /// The axes of scores.
    fn entries() -> [Axis; 4] {
        [Axis::from("b"), Axis::from("h"), Axis::from("n"), Axis::new("m", "n")]
    }

    #[test]
    fn sizes_equal_by_definition_are_equal() {
        let mut g = Graph::new();
        let product = |whole: &str, factors: [&str; 2]| Definition::Product {
            whole: whole.into(),
            factors: factors.map(Into::into),
        };
        g.define(product("c", ["h", "e"]));
        g.define(product("h", ["kv", "r"]));
        let x = g.input("x", ["b", "n", "c"]).unwrap();
        let into = vec![Axis::new("g", "kv"), Axis::new("r", "r"), Axis::new("e", "e")];
        let y = g.rearrange(x, Rearrange::Split { axis: "c".into(), into }).unwrap();
        assert_eq!(g.shape(y).to_string(), "[b, n, g=kv, r, e]");
        let axes = vec!["g".into(), "r".into(), "e".into()];
        let z = g.rearrange(y, Rearrange::Merge { axes, into: "c".into() }).unwrap();
        assert_eq!(g.shape(z).to_string(), "[b, n, c]");
        let into = vec![Axis::new("g", "kv"), Axis::new("e", "e")];
        let error = g.rearrange(x, Rearrange::Split { axis: "c".into(), into }).unwrap_err();
        assert_eq!(error.problem.to_string(), "axis `c` is c in one operand and e·kv in another");
    }

    #[test]
    fn a_quotient_of_a_quotient_follows() {
        let mut g = Graph::new();
        let half = g.ceil_div("half", &"n".into(), &2.into());
        let quarter = g.ceil_div("quarter", &half, &2.into());
        g.input("x", [Axis::new("m", quarter)]).unwrap();
        assert_eq!(g.symbols().into_iter().collect::<Vec<_>>(), ["n".into()]);
        let sizes = g.complete(&Binding::new().with("n", 9)).unwrap();
        assert_eq!(sizes.get(&"quarter".into()), Some(&3.into()));
    }

    /// In whatever order definitions stand.
    #[test]
    fn what_follows_from_a_later_definition_follows() {
        let mut g = Graph::new();
        let half = g.ceil_div("half", &"c".into(), &2.into());
        g.define(Definition::Product { whole: "c".into(), factors: ["h".into(), "e".into()] });
        g.input("x", [Axis::new("m", half)]).unwrap();
        let sizes = g.complete(&Binding::from_iter([("h", 3), ("e", 3)])).unwrap();
        assert_eq!(sizes.get(&"half".into()), Some(&5.into()));
    }

    /// Of a mask that follows from positions, whichever of its two counts is given.
    #[test]
    fn one_given_count_of_a_mask_leaves_the_other_to_be_looked_up() {
        let mut g = Graph::new();
        let axes = vec![Axis::new("b", 2), Axis::new("m", 3)];
        let keep = Source::Known { axes, values: [1, 0, 1, 0, 0, 0].into() };
        let keep = g.record("keep", keep, &[]).unwrap();
        let entries = [Axis::new("b", 2), "h".into(), "n".into(), Axis::new("m", 3)];
        g.masking(&Mask::none().keeping(keep), &entries);
        let [pairs, rows] = [2 * 5, 5].map(opledger_dims::Integer::from);
        let Some(Definition::Kept { pairs: p, rows: r, .. }) = g.definitions().first() else {
            panic!("no mask")
        };
        let sizes = Binding::new().with("n", 5);
        for (given, count) in [(p, &pairs), (r, &rows)] {
            let found = g.complete(&sizes.clone().with(given, count.clone())).unwrap();
            assert_eq!((found.get(p), found.get(r)), (Some(&pairs), Some(&rows)));
            let error = g.complete(&sizes.clone().with(given, 7)).unwrap_err().to_string();
            assert!(error.contains(&format!("{given} = 7, but it is {count}")), "{error}");
        }
    }

    #[test]
    fn sizes_that_stand_in_operations_only_are_sizes_of_the_graph() {
        let mut g = Graph::new();
        let x = g.input("x", ["b", "n", "h", "e"]).unwrap();
        g.rearrange(x, Rearrange::Roll { axis: "n".into(), by: "shift".into() }).unwrap();
        let angles = crate::ops::RotaryAngles::new("n", "e", 1e4);
        let angles = crate::ops::RotaryAngles { offset: "past".into(), ..angles };
        g.record("", angles, &[]).unwrap();
        g.attention((x, x, x), Mask::sliding("w"), None, None).unwrap();
        let keep = g.input_mask("keep", ["b", "n"]).unwrap();
        g.masking(&Mask::sliding("u").keeping(keep), &entries());
        let symbols: Vec<String> = g.symbols().iter().map(ToString::to_string).collect();
        assert_eq!(symbols, ["b", "n", "h", "e", "past", "shift", "u", "w"]);
        let sizes = ["b", "n", "h", "e", "past", "shift", "u", "w"].map(|s| (s, 2));
        let binding = g.complete(&Binding::from_iter(sizes)).unwrap();
        g.check(&binding).unwrap();
    }

    #[test]
    fn what_follows_from_other_sizes_cannot_be_something_else() {
        let mut g = Graph::new();
        g.define(Definition::CeilDiv {
            symbol: "wx".into(),
            numerator: "n".into(),
            denominator: "h".into(),
        });
        g.define(Definition::Minimum { symbol: "met".into(), of: ["n".into(), "h".into()] });
        g.input("x", ["b", "n", "h", "e", "wx", "met"]).unwrap();
        let band = g.masking(&Mask::sliding("e"), &entries()).masked.support;
        let keep = g.input_mask("keep", ["b", "n"]).unwrap();
        let kept = g.masking(&Mask::none().keeping(keep), &entries()).masked.support;
        let sizes = Binding::from_iter([("b", 2), ("n", 5), ("h", 2), ("e", 1)]);
        let complete = g.complete(&sizes).unwrap();
        assert_eq!(complete, g.complete(&complete).unwrap());
        let symbols = |poly: &opledger_dims::Poly| {
            let own = |s: &opledger_dims::Symbol| {
                !['b', 'h', 'n'].iter().any(|known| s.as_str() == known.to_string())
            };
            poly.symbols().into_iter().find(own).unwrap()
        };
        for symbol in ["wx".into(), "met".into(), symbols(&band.pairs), symbols(&band.rows)] {
            let error = g.complete(&sizes.clone().with(&symbol, 99)).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{symbol} = 99, but it is ")), "{error}");
        }
        let (pairs, rows) = (symbols(&kept.pairs), symbols(&kept.rows));
        for (p, r, possible) in [
            (50, 10, true),
            (10, 10, true),
            (0, 0, true),
            (9, 10, false),
            (51, 10, false),
            (11, 2, false),
            (20, 11, false),
            (-1, -1, false),
        ] {
            let given = sizes.clone().with(&pairs, p).with(&rows, r);
            assert_eq!(g.complete(&given).is_ok(), possible, "{p} pairs, {r} rows");
        }
    }

    #[test]
    fn sums_over_nothing_are_refused_and_negative_sizes_too() {
        use crate::ops::{Norm, Reduce};
        let empty = |record: &dyn Fn(&mut Graph, crate::Var)| {
            let mut g = Graph::new();
            let x = g.input("x", ["b", "n", "h", "e"]).unwrap();
            record(&mut g, x);
            let refused = |axis: &str| {
                let sizes = ["b", "n", "h", "e"].map(|s| (s, i64::from(s != axis)));
                let binding = g.complete(&Binding::from_iter(sizes)).unwrap();
                g.check(&binding).err().map(|e| e.to_string())
            };
            ["b", "n", "h", "e"].map(|axis| refused(axis).is_some())
        };
        let none = [false; 4];
        assert_eq!(empty(&|_, _| {}), none);
        let contract = |g: &mut Graph, x| {
            let axes = [Axis::new("f", 2), Axis::from("e")];
            let w = g.param("w", Source::weight("e"), axes).unwrap();
            g.contract("", x, w, &["e".into()]).unwrap();
        };
        assert_eq!(empty(&contract), [false, false, false, true]);
        let norm = |g: &mut Graph, x| {
            g.norm(x, Norm::layer(1e-5), None, None).unwrap();
        };
        assert_eq!(empty(&norm), [false, false, false, true]);
        let softmax = |g: &mut Graph, x| {
            g.softmax(x, None).unwrap();
        };
        assert_eq!(empty(&softmax), [false, false, false, true]);
        let reduce = |g: &mut Graph, x| {
            g.reduce(x, Reduce::Sum("h".into())).unwrap();
        };
        assert_eq!(empty(&reduce), [false, false, true, false]);
        let cumulative = |g: &mut Graph, x| {
            g.cumulative(x, "n").unwrap();
        };
        assert_eq!(empty(&cumulative), [false, true, false, false]);
        let attention = |g: &mut Graph, x| {
            g.attention((x, x, x), Mask::none(), None, None).unwrap();
        };
        assert_eq!(empty(&attention), [false, true, true, true]);
        let mut g = Graph::new();
        g.input("x", ["b"]).unwrap();
        let error = g.check(&Binding::new().with("b", -2)).unwrap_err().to_string();
        assert_eq!(error, "x: axis `b` would have size -2");
    }
}
