//! How long values live, and how much memory a run needs at its peak.

use opledger_dims::{Binding, Integer};

use crate::{BindingError, Graph, Kind, Loop, Node, Op, Operation, Shape};

/// Bytes that a run needs at its worst moment, by what they are needed for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// All inputs and parameters.
    pub sources: Integer,
    /// Computed values that are alive at once, at that moment.
    pub live: Integer,
    /// What repetitions then gave back in every iteration, of all iterations but one.
    pub kept: Integer,
}

impl Footprint {
    /// Bytes of the computed values that are alive at the worst moment: all but the sources.
    ///
    /// No run reaches more. One whose nodes run one by one reaches it where every repetition runs at
    /// least twice (the first iteration works on what it is given, not on a buffer of its own) and
    /// gives back no result of each iteration (all of which the last one may not need beside its own).
    pub fn computed(&self) -> Integer {
        &self.live + &self.kept
    }

    /// Bytes of everything at the worst moment. Kernels add a few tiles per thread.
    pub fn peak(&self) -> Integer {
        &self.sources + self.computed()
    }
}

impl Graph {
    /// For every node, the position after which none of its results is used any more; outputs are kept
    /// to the end of the graph, values that are never used are freed at once.
    pub fn last_uses(&self) -> Vec<usize> {
        let mut last: Vec<usize> = (0..self.nodes().len()).collect();
        for (at, node) in self.nodes().iter().enumerate() {
            // What was carried in is the result of an exit where nothing is repeated; the driver holds
            // it. A stack is cut in every iteration.
            let mut inputs = &node.inputs[..];
            if let Op::Exit(exit) = &node.op {
                inputs = &inputs[exit.carried..];
            }
            if let Op::Carry(carry) = &node.op {
                inputs = &inputs[..carry.carried];
            }
            for var in inputs {
                self.use_until(&mut last, var.index(), at);
            }
        }
        for body in self.loops() {
            for var in self.ends(body).stacks {
                self.use_until(&mut last, var.index(), body.body.end);
            }
        }
        for (_, var) in self.outputs() {
            last[var.index()] = self.nodes().len();
        }
        last
    }

    /// Notes that the node at `value` is used by the one at `at`. A value from outside a repeated body
    /// is used until the body's last iteration, one that the carry takes over by the carry only.
    fn use_until(&self, last: &mut [usize], value: usize, at: usize) {
        let around =
            |l: &&Loop| (l.body.start + 1..l.body.end).contains(&at) && value < l.body.start;
        let until = self.loops().iter().filter(around).map(|l| l.body.end).max().unwrap_or(at);
        last[value] = last[value].max(until);
    }

    /// The memory that a run needs at its worst moment, at a complete binding, with `real_bytes` to a
    /// real number.
    ///
    /// # Errors
    /// When a size is unbound.
    pub fn footprint(
        &self,
        binding: &Binding,
        real_bytes: usize,
    ) -> Result<Footprint, BindingError> {
        self.footprint_with(binding, real_bytes, false)
    }

    /// The same of a step that goes on from caches which grow in place: what takes a cache's place is no
    /// memory of its own, however large the cache is.
    ///
    /// # Errors
    /// As [`Graph::footprint`].
    pub fn step_footprint(
        &self,
        binding: &Binding,
        real_bytes: usize,
    ) -> Result<Footprint, BindingError> {
        self.footprint_with(binding, real_bytes, true)
    }

    fn footprint_with(
        &self,
        binding: &Binding,
        real_bytes: usize,
        in_caches: bool,
    ) -> Result<Footprint, BindingError> {
        let cached = |node: &Node| in_caches && node.op.facts().grown.is_some();
        let bytes = |shape: &Shape| -> Result<Integer, BindingError> {
            let each = match shape.elem.kind() {
                Kind::Real => real_bytes as u64,
                Kind::Whole => size_of::<i64>() as u64,
            };
            let axes = shape.axes.iter();
            Ok(axes.map(|axis| axis.size.at(binding)).product::<Result<Integer, _>>()? * each)
        };
        let all = |shapes: &mut dyn Iterator<Item = &Shape>| {
            shapes.map(bytes).sum::<Result<Integer, BindingError>>()
        };
        // What a node's results take beside buffers that are there already: a carry takes over those of
        // what it is given, and an exit has the stacks.
        let own = |node: &Node| {
            if cached(node) {
                return Ok(Integer::default());
            }
            if let Op::Exit(exit) = &node.op {
                return all(&mut node.results().skip(exit.carried));
            }
            match node.op.is_view() && !matches!(node.op, Op::Carry(_)) {
                true => Ok(Integer::default()),
                false => all(&mut node.results()),
            }
        };
        let mut last = self.last_uses();
        for at in (0..last.len()).rev() {
            for buffer in self.shared(at) {
                last[buffer] = last[buffer].max(last[at]);
            }
        }
        let (mut sources, mut live, mut kept) =
            (Integer::default(), Integer::default(), Integer::default());
        // Results of iterations stay from the outermost repetition on that gives them back.
        let mut given_back: Vec<Integer> = vec![Integer::default(); self.nodes().len()];
        for (_, var) in self.outputs() {
            let node = self.node(*var);
            if node.repeat.is_some() && !cached(node) {
                let others: Integer = self.multiplicity(node).at(binding)? - 1;
                let around = self.loops().iter().filter(|l| l.body.contains(&var.index()));
                let from = around.map(|l| l.body.start).min().unwrap_or(var.index());
                given_back[from] += bytes(self.shape(*var))? * others.max(Integer::default());
            }
        }
        let mut worst = (Integer::default(), Integer::default());
        let mut at_worst = |live: Integer, kept: &Integer| {
            if &live + kept > &worst.0 + &worst.1 {
                worst = (live, kept.clone());
            }
        };
        let mut dying: Vec<Vec<usize>> = vec![Vec::new(); self.nodes().len() + 1];
        for (at, node) in self.nodes().iter().enumerate() {
            kept += &given_back[at];
            if node.op.is_source() {
                sources += bytes(&node.shape)? * self.multiplicity(node).at(binding)?;
                continue;
            }
            // Stacks grow from the first iteration on.
            let body = self.loops().iter().find(|l| l.body.start == at);
            let stacks = body.map_or(Ok(Integer::default()), |l| own(&self.nodes()[l.body.end]))?;
            let made = match node.op {
                Op::Exit(_) => Integer::default(),
                _ => own(node)? + stacks,
            };
            if !matches!(node.op, Op::Carry(_)) {
                at_worst(&live + &made, &kept);
            }
            live += made;
            dying[last[at]].push(at);
            for dead in &dying[at] {
                live -= own(&self.nodes()[*dead])?;
            }
            at_worst(live.clone(), &kept);
        }
        let (live, kept) = worst;
        Ok(Footprint { sources, live, kept })
    }

    /// The nodes whose buffers a node's results are: a view shares its operand's, an exit those that an
    /// iteration hands to the next. A carry counts as a buffer, that of the iteration before.
    fn shared(&self, at: usize) -> Vec<usize> {
        let node = &self.nodes()[at];
        if let Op::Exit(exit) = &node.op {
            let next = node.inputs.iter().skip(exit.carried).take(exit.carried);
            return next.map(|var| var.index()).collect();
        }
        let own = matches!(node.op, Op::Source(_) | Op::Carry(_)) || !node.op.is_view();
        let operand = node.inputs.last().filter(|_| !own);
        operand.map(|var| var.index()).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Concat;
    use crate::{Axis, GraphError};

    #[test]
    fn a_value_takes_memory_until_its_last_use_and_a_view_takes_none() {
        let mut g = Graph::new();
        let x = g.input("x", ["n"]).unwrap();
        let a = g.mul("x", x, x).unwrap();
        let b = g.mul("a", a, a).unwrap();
        let c = g.mul("b", b, b).unwrap();
        g.output("c", c);
        let at = Binding::from_iter([("n", 10)]);
        let footprint = g.footprint(&at, 4).unwrap();
        // Two of the three products are alive at once.
        assert_eq!(footprint, Footprint { sources: 40.into(), live: 80.into(), kept: 0.into() });
        assert_eq!((footprint.computed(), footprint.peak()), (80.into(), 120.into()));
        assert_eq!(g.last_uses(), [1, 2, 3, 4]);
        g.output("a", a);
        assert_eq!(g.footprint(&at, 8).unwrap().live, 240.into());
        assert!(g.footprint(&Binding::new(), 4).is_err());
    }

    /// Results of every layer stay, but for caches that grow in place where a step goes on from them.
    #[test]
    fn what_a_layer_gives_stays_and_a_cache_that_grows_is_its_own() {
        let mut g = Graph::new();
        let x = g.input("x", ["n"]).unwrap();
        let layers = g.repeated("layers", "l");
        let y = g.repeat(&layers, x, |g, x| {
            let past = g.input("past", [Axis::new("n", "p")])?;
            let all = g.record("", Concat { axis: "n".into(), grows: true }, &[past, x])?;
            let twice = g.mul("twice", x, x)?;
            g.output("all", all);
            g.output("twice", twice);
            Ok::<_, GraphError>(twice)
        });
        g.output("y", y.unwrap());
        let at = Binding::from_iter([("n", 10), ("p", 90), ("l", 3)]);
        // Of three layers one is alive, with all 100 tokens of its cache and the 10 of its product.
        assert_eq!(g.footprint(&at, 4).unwrap().kept, (2 * 4 * (100 + 10)).into());
        assert_eq!(g.step_footprint(&at, 4).unwrap().kept, (2 * 4 * 10).into());
    }
}
