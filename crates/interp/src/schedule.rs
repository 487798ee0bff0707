//! Which nodes of a graph are executed together, and when.

use opledger_ir::{Graph, Node, Op};

/// The nodes of a graph in groups. A group is executed where its last node stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// For each node, the last node of its group.
    last: Vec<usize>,
    /// The groups of several nodes, in the order of their last.
    joined: Vec<Vec<usize>>,
    /// For each node, whether it is in one of them.
    taken: Vec<bool>,
    /// The nodes that have their first operand for themselves.
    consuming: Vec<usize>,
    /// For each value, the nodes that read it, each as often as it does; none where something else looks at
    /// it as well.
    readers: Vec<Vec<usize>>,
}

impl Schedule {
    /// Every node by itself.
    pub fn one_by_one(graph: &Graph) -> Self {
        let count = graph.nodes().len();
        Schedule {
            last: (0..count).collect(),
            joined: Vec::new(),
            taken: vec![false; count],
            consuming: Vec::new(),
            readers: readers(graph),
        }
    }

    /// The node that alone reads the value of a node, if there is one: a result of the graph or of an
    /// iteration is read by whoever asks for it.
    pub fn only_reader(&self, node: usize) -> Option<usize> {
        match self.readers(node) {
            [reader] => Some(*reader),
            _ => None,
        }
    }

    /// The nodes that read the value of a node, if none but nodes does.
    pub fn readers(&self, node: usize) -> &[usize] {
        self.readers.get(node).map_or(&[], Vec::as_slice)
    }

    /// Whether a node has a group already.
    pub fn is_joined(&self, node: usize) -> bool {
        self.taken.get(node) == Some(&true)
    }

    /// Makes one group of nodes, given in order. Returns whether that can be: between them stand
    /// sources only, each of them is alone so far, and nothing outside reads any but the last.
    pub fn join(&mut self, graph: &Graph, nodes: &[usize]) -> bool {
        let [first, .., end] = *nodes else { return false };
        let free = |at: &usize| *at < self.last.len() && !self.is_joined(*at);
        let ordered = nodes.windows(2).all(|pair| pair[0] < pair[1]);
        if !ordered || !nodes.iter().all(free) {
            return false;
        }
        let inside = |at: usize| nodes.contains(&at);
        let between = (first..=end).filter(|at| !inside(*at));
        let within =
            |readers: &[usize]| !readers.is_empty() && readers.iter().all(|at| inside(*at));
        let kept = |at: &usize| *at == end || within(self.readers(*at));
        let executed = |at: &usize| is_executed(&graph.nodes()[*at]);
        let fits = between.into_iter().all(|at| graph.nodes()[at].op.is_source())
            && nodes.iter().all(executed)
            && nodes.iter().all(kept);
        if fits {
            for at in nodes {
                (self.last[*at], self.taken[*at]) = (end, true);
            }
            let place = self.joined.partition_point(|group| group.last() < Some(&end));
            self.joined.insert(place, nodes.to_vec());
        }
        fits
    }

    /// Lets a node have its first operand for itself, to change it in place, where that is a source
    /// given for one run which nothing else reads. Returns whether nothing else does.
    pub fn consume(&mut self, graph: &Graph, node: usize) -> bool {
        let reader = &graph.nodes()[node];
        let fits = reader.inputs.first().is_some_and(|value| {
            let source = graph.node(*value);
            source.op.is_source()
                && source.repeat == reader.repeat
                && self.only_reader(value.index()) == Some(node)
        });
        if fits {
            self.consuming.push(node);
        }
        fits
    }

    /// The node with which a node is executed: itself, or the last of its group.
    pub(crate) fn last(&self, node: usize) -> usize {
        self.last[node]
    }

    /// The nodes to execute at a position, in order.
    pub(crate) fn group(&self, at: usize) -> &[usize] {
        if self.last[at] != at {
            return &[];
        }
        let place = self.joined.partition_point(|group| group.last() < Some(&at));
        match self.joined.get(place) {
            Some(group) if group.last() == Some(&at) => group,
            _ => &self.last[at..=at],
        }
    }

    /// Whether a node has its first operand for itself.
    pub(crate) fn consumes(&self, node: usize) -> bool {
        self.consuming.contains(&node)
    }
}

/// Whether an interpreter executes a node: sources are fed, and the driver itself repeats bodies.
pub(crate) fn is_executed(node: &Node) -> bool {
    !matches!(node.op, Op::Source(_) | Op::Carry(_) | Op::Exit(_))
}

fn readers(graph: &Graph) -> Vec<Vec<usize>> {
    let mut readers = vec![Vec::new(); graph.nodes().len()];
    for (at, node) in graph.nodes().iter().enumerate() {
        for input in &node.inputs {
            readers[input.index()].push(at);
        }
    }
    for (_, kept) in graph.outputs() {
        readers[kept.index()].clear();
    }
    readers
}

#[cfg(test)]
mod tests {
    use super::*;
    use opledger_ir::Var;
    use opledger_ir::ops::Activation;

    #[test]
    fn nodes_are_joined_only_where_nothing_else_sees_what_is_between() {
        let mut g = Graph::new();
        let x = g.input("x", ["n"]).unwrap();
        let a = g.activation(x, Activation::Tanh).unwrap();
        let y = g.input("y", ["n"]).unwrap();
        let b = g.add("", a, y).unwrap();
        let c = g.activation(b, Activation::Tanh).unwrap();
        let d = g.add("", c, b).unwrap();
        g.output("d", d);
        let [a, b, c, d] = [a, b, c, d].map(Var::index);
        let mut schedule = Schedule::one_by_one(&g);
        assert!(!schedule.join(&g, &[a]) && !schedule.join(&g, &[b, a]));
        assert!(!schedule.join(&g, &[b, c]), "d reads b too");
        assert!(!schedule.join(&g, &[a, c]), "b is between");
        assert!(schedule.join(&g, &[a, b]));
        assert!(!schedule.join(&g, &[b, c, d]), "b has a group");
        assert!(schedule.join(&g, &[c, d]));
        let groups: Vec<&[usize]> = (0..6).map(|at| schedule.group(at)).collect();
        assert_eq!(groups, [&[0][..], &[], &[2], &[a, b], &[], &[c, d]]);
        // The source that y is may be had by its only reader as a first operand only.
        assert!(schedule.consume(&g, a) && !schedule.consume(&g, b));
        assert!(schedule.consumes(a) && !schedule.consumes(b));
    }
}
