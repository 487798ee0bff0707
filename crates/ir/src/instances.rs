//! The instances of what a graph records once: a node stands for one run in each iteration.

use std::fmt::Write;

use opledger_dims::Binding;

use crate::{Graph, Node, OpError, RepeatId, indices, to_usize};

impl Graph {
    /// The repetitions around a node, the outermost first.
    pub fn repetitions_around(&self, node: &Node) -> Vec<RepeatId> {
        let parents = std::iter::successors(node.repeat, |id| self.repetition(*id).parent);
        let mut chain: Vec<_> = parents.collect();
        chain.reverse();
        chain
    }

    /// The paths of all instances of a node, one for each iteration of the repetitions around it:
    /// of `layers.*.norm.weight`, `layers.0.norm.weight` and so on.
    ///
    /// # Errors
    /// When a number of iterations is unbound or does not fit the machine.
    pub fn instances(&self, node: &Node, binding: &Binding) -> Result<Vec<String>, OpError> {
        self.instances_at(node, &node.path, binding)
    }

    /// The same of a path around a node, such as that of a module, in every iteration of the node.
    ///
    /// # Errors
    /// As [`Graph::instances`].
    pub fn instances_at(
        &self,
        node: &Node,
        path: &str,
        binding: &Binding,
    ) -> Result<Vec<String>, OpError> {
        to_usize(&self.multiplicity(node).at(binding)?)?;
        let count = |id: RepeatId| to_usize(&self.repetition(id).count.at(binding)?);
        let counts: Vec<usize> =
            self.repetitions_around(node).into_iter().map(count).collect::<Result<_, OpError>>()?;
        Ok(indices(&counts).map(|iterations| path_at(path, &iterations)).collect())
    }
}

impl Node {
    /// The first `depth` segments of its path.
    pub fn path_to(&self, depth: usize) -> String {
        self.path.split('.').take(depth).collect::<Vec<_>>().join(".")
    }
}

/// The path of a node in given iterations of the repetitions around it, the outermost first.
pub fn path_at(path: &str, iterations: &[usize]) -> String {
    let mut iterations = iterations.iter();
    let mut concrete = String::with_capacity(path.len() + iterations.len());
    for (i, segment) in path.split('.').enumerate() {
        if i > 0 {
            concrete.push('.');
        }
        match iterations.len() {
            1.. if segment == "*" => {
                // Writing to a String cannot fail.
                let _ = write!(concrete, "{}", iterations.next().unwrap_or(&0));
            }
            _ => concrete.push_str(segment),
        }
    }
    concrete
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Source;

    #[test]
    fn a_parameter_stands_once_in_each_iteration() {
        let mut g = Graph::new();
        let outer = g.repeated("stages", "s");
        let inner = g.enter(&outer).repeated("layers", "l");
        let norm = g.enter(&inner).param("weight", Source::gain(), ["c"]).unwrap();
        let plain = g.param("weight", Source::gain(), ["c"]).unwrap();
        let paths = |var, s: u64, l: u64| {
            g.instances(g.node(var), &Binding::from_iter([("s", s), ("l", l)]))
        };
        assert_eq!(paths(plain, 2, 3).unwrap(), ["weight"]);
        let names = ["0.layers.0", "0.layers.1", "1.layers.0", "1.layers.1"];
        assert_eq!(paths(norm, 2, 2).unwrap(), names.map(|n| format!("stages.{n}.weight")));
        assert!(paths(norm, 0, 3).unwrap().is_empty());
        assert!(matches!(paths(norm, 1 << 40, 1 << 40), Err(OpError::TooLarge(_))));
        assert!(g.instances(g.node(norm), &Binding::new()).is_err());
    }
}
