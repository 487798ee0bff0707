//! How long values live, and how much memory a run needs at its peak.

use opledger_dims::{Binding, Integer};

use crate::{BindingError, Graph, Kind, Node, Op};

/// Bytes that a run needs at its worst moment, by what they are needed for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// All inputs and parameters.
    pub sources: Integer,
    /// Computed values that are alive at once.
    pub live: Integer,
    /// What a repetition gives back in every iteration, of all iterations but one.
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
    /// For every node, the position after which its value is not used any more; outputs are kept to
    /// the end of the graph, values that are never used are freed at once.
    pub fn last_uses(&self) -> Vec<usize> {
        let mut last: Vec<usize> = (0..self.nodes().len()).collect();
        for (at, node) in self.nodes().iter().enumerate() {
            // The first operand of an exit is its result where nothing is repeated; the driver holds it.
            let inputs = &node.inputs[usize::from(matches!(node.op, Op::Exit))..];
            for var in inputs {
                // A value from outside a repeated body is used until the body's last iteration, one that
                // the carry takes over by the carry only.
                let outer = self.loops().iter().filter(|l| {
                    (l.body.start + 1..l.body.end).contains(&at) && var.index() < l.body.start
                });
                let until = outer.map(|l| l.body.end).max().unwrap_or(at);
                last[var.index()] = last[var.index()].max(until);
            }
        }
        for repetition in self.loops() {
            let result = repetition.result.index();
            last[result] = last[result].max(repetition.body.end);
        }
        for (_, var) in self.outputs() {
            last[var.index()] = self.nodes().len();
        }
        last
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
        let bytes = |node: &Node| -> Result<Integer, BindingError> {
            let each = match node.shape.elem.kind() {
                Kind::Real => real_bytes as u64,
                Kind::Whole => size_of::<i64>() as u64,
            };
            let axes = node.shape.axes.iter();
            Ok(axes.map(|axis| axis.size.at(binding)).product::<Result<Integer, _>>()? * each)
        };
        let mut last = self.last_uses();
        for at in (0..last.len()).rev() {
            let buffer = self.buffer(at);
            last[buffer] = last[buffer].max(last[at]);
        }
        let (mut sources, mut live, mut peak, mut kept) =
            (Integer::default(), Integer::default(), Integer::default(), Integer::default());
        let mut dying: Vec<Vec<usize>> = vec![Vec::new(); self.nodes().len() + 1];
        for (at, node) in self.nodes().iter().enumerate() {
            if node.op.is_source() {
                sources += bytes(node)? * self.multiplicity(node).at(binding)?;
                continue;
            }
            // A carry takes the buffer of what it is given.
            let carry = matches!(node.op, Op::Carry);
            let made = if carry || !node.op.is_view() { bytes(node)? } else { Integer::default() };
            if !carry {
                peak = peak.max(&live + &made);
            }
            live += made;
            dying[last[at]].push(at);
            for dead in &dying[at] {
                let dead = &self.nodes()[*dead];
                if matches!(dead.op, Op::Carry) || !dead.op.is_view() {
                    live -= bytes(dead)?;
                }
            }
            peak = peak.max(live.clone());
        }
        for (_, var) in self.outputs() {
            let node = self.node(*var);
            if node.repeat.is_some() {
                let others: Integer = self.multiplicity(node).at(binding)? - 1;
                kept += bytes(node)? * others.max(Integer::default());
            }
        }
        Ok(Footprint { sources, live: peak, kept })
    }

    /// The node whose buffer a value is: views share their operand's. A carry counts as a buffer, that
    /// of the iteration before.
    fn buffer(&self, mut at: usize) -> usize {
        while let node = &self.nodes()[at]
            && node.op.is_view()
            && !node.op.is_source()
            && !matches!(node.op, Op::Carry)
            && let Some(input) = node.inputs.last()
        {
            at = input.index();
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
