//! A graph without nodes that turned out to be needed by nothing.

use std::collections::BTreeSet;

use crate::role::Cache;
use crate::{Definition, Graph, Var};

impl Graph {
    /// Leaves an output away, with the last nodes that nothing else needs.
    pub fn drop_output(&mut self, name: &str) {
        self.outputs.retain(|(own, _)| own != name);
        let repeated = self.loops.iter().map(|body| body.body.end).max().unwrap_or(0);
        while let Some(at) = self.nodes.len().checked_sub(1) {
            let used = |var: &Var| var.index() == at;
            let needed = self.outputs.iter().any(|(_, var)| used(var))
                || self.nodes.iter().any(|node| node.inputs.iter().any(used));
            if needed || at <= repeated {
                break;
            }
            self.nodes.pop();
        }
    }

    /// The graph without those `spare` nodes that nothing else reads, with those `early` ones that sources
    /// lead to straight behind the sources; and, for each node of this one, the value that its first
    /// result is there. A graph with repetitions stays as it is.
    pub fn pruned(
        &self,
        spare: &BTreeSet<Var>,
        early: &BTreeSet<Var>,
    ) -> (Graph, Vec<Option<Var>>) {
        let mut needed: Vec<bool> =
            self.vars().map(|var| !spare.contains(&var) || !self.loops.is_empty()).collect();
        for (_, var) in &self.outputs {
            needed[var.index()] = true;
        }
        // Operands stand before what is made of them.
        for at in (0..self.nodes.len()).rev().filter(|at| needed[*at]).collect::<Vec<_>>() {
            self.need(at, &mut needed);
        }
        let mut first = vec![false; needed.len()];
        for (at, node) in self.nodes.iter().enumerate() {
            let asked = node.op.is_source() || early.contains(&Var::first(at));
            let follows = node.inputs.iter().all(|var| first[var.index()]);
            first[at] = asked && follows && self.loops.is_empty() && !early.is_empty();
        }
        let of = |early: bool| {
            let (needed, first) = (&needed, &first);
            (0..needed.len()).filter(move |at| needed[*at] && first[*at] == early)
        };
        let order: Vec<usize> = of(true).chain(of(false)).collect();
        let mut places: Vec<Option<Var>> = vec![None; needed.len()];
        for (to, at) in order.iter().enumerate() {
            places[*at] = Some(Var::first(to));
        }
        let moved = |var: &Var| places[var.index()].map(|to| to.sibling(var.result()));
        let mut graph = Graph { nodes: Vec::with_capacity(order.len()), ..self.clone() };
        for at in order {
            let mut node = self.nodes[at].clone();
            node.inputs = node.inputs.iter().filter_map(moved).collect();
            graph.nodes.push(node);
        }
        graph.outputs = { self.outputs.iter() }
            .filter_map(|(name, var)| Some((name.clone(), moved(var)?)))
            .collect();
        graph.caches = { self.caches.iter() }
            .filter_map(|cache| {
                let (past, present) = (moved(&cache.past)?, moved(&cache.present)?);
                Some(Cache { past, present, ..cache.clone() })
            })
            .collect();
        graph.definitions = { self.definitions.iter() }
            .filter_map(|definition| {
                let mut definition = definition.clone();
                if let Definition::Kept { keep, .. } = &mut definition {
                    *keep = moved(keep)?;
                }
                Some(definition)
            })
            .collect();
        (graph, places)
    }

    /// Marks what a node reads.
    fn need(&self, at: usize, needed: &mut [bool]) {
        let mut next = vec![at];
        while let Some(at) = next.pop() {
            for var in &self.nodes[at].inputs {
                if !std::mem::replace(&mut needed[var.index()], true) {
                    next.push(var.index());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::ops::Activation;
    use crate::{Axis, Graph, Mask};

    #[test]
    fn what_nothing_reads_is_left_out_and_what_is_read_stays() {
        let mut g = Graph::new();
        let x = g.input("x", ["b", "h", "n", "m"]).unwrap();
        let keep = g.input_mask("keep", ["n", "m"]).unwrap();
        let other = g.input_mask("other", ["b", "m"]).unwrap();
        let entries = ["b", "h", "n", "m"].map(Axis::from);
        let gone = g.masking(&Mask::none().keeping(other), &entries);
        let gone = g.softmax(x, Some(gone)).unwrap();
        let spare = g.activation(gone, Activation::Relu).unwrap();
        let masked = g.masking(&Mask::none().keeping(keep), &entries);
        let y = g.softmax(x, Some(masked)).unwrap();
        let used = g.activation(y, Activation::Relu).unwrap();
        let y = g.add("", used, x).unwrap();
        g.output("y", y);
        let (pruned, places) =
            g.pruned(&BTreeSet::from([other, gone, spare, used]), &BTreeSet::new());
        let paths: Vec<&str> = pruned.nodes().iter().map(|node| node.path.as_str()).collect();
        assert_eq!(paths, ["x", "keep", "softmax_2", "relu_2", "add"]);
        assert_eq!(pruned.outputs()[0].1, places[y.index()].unwrap());
        assert!(places[gone.index()].is_none());
        assert_eq!(pruned.definitions().len(), 1);
        assert!(pruned.cost().total().to_string().contains("exp = b·h·pairs_2"));
        let (same, _) = g.pruned(&BTreeSet::new(), &BTreeSet::new());
        assert_eq!(same.to_string(), g.to_string());
    }

    #[test]
    fn what_sources_lead_to_can_stand_before_all_else() {
        let mut g = Graph::new();
        let x = g.input("x", ["n"]).unwrap();
        let y = g.activation(x, Activation::Relu).unwrap();
        let ids = g.input_ids("ids", ["n"], 3).unwrap();
        let moved = g.rename(ids, "n", "m").unwrap();
        let whole = g.to_whole(y).unwrap();
        let late = g.rename(whole, "n", "m").unwrap();
        g.output("y", y);
        let (pruned, places) = g.pruned(&BTreeSet::new(), &BTreeSet::from([moved, late]));
        let paths: Vec<&str> = pruned.nodes().iter().map(|node| node.path.as_str()).collect();
        assert_eq!(paths, ["x", "ids", "rename", "relu", "to_whole", "rename_2"]);
        let read: Vec<_> = pruned.nodes().iter().flat_map(|node| node.inputs.clone()).collect();
        let of = |var: crate::Var| places[var.index()].unwrap();
        assert_eq!(read, [ids, x, y, whole].map(of));
    }
}
