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
    /// The last segment of its path: what it is called in its scope.
    pub fn label(&self) -> &str {
        self.path.rsplit_once('.').map_or(self.path.as_str(), |(_, label)| label)
    }

    /// Whether it stands in the scope of a path, or in one below.
    pub fn is_below(&self, path: &str) -> bool {
        self.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'))
    }

    /// The first `depth` segments of the path of its scope.
    pub fn scope_to(&self, depth: usize) -> String {
        let scope = self.path.rsplit_once('.').map_or("", |(scope, _)| scope);
        scope.split('.').take(depth).collect::<Vec<_>>().join(".")
    }

    /// The first `depth` segments of its path.
    pub fn path_to(&self, depth: usize) -> String {
        self.path.split('.').take(depth).collect::<Vec<_>>().join(".")
    }
}

/// The path of a node in given iterations of the repetitions around it, the outermost first. In a
/// segment `*` stands for the number of the next iteration: `6*+5` is six times it, and five more. A name
/// may stand before it, as in `block_*`.
pub fn path_at(path: &str, iterations: &[usize]) -> String {
    let mut iterations = iterations;
    let mut concrete = String::with_capacity(path.len() + iterations.len());
    for (i, segment) in path.split('.').enumerate() {
        if i > 0 {
            concrete.push('.');
        }
        let stem = segment.trim_end_matches(|c: char| c.is_ascii_digit() || "*+".contains(c));
        match number(&segment[stem.len()..], iterations) {
            Some((number, rest)) => {
                // Writing to a String cannot fail.
                let _ = write!(concrete, "{stem}{number}");
                iterations = rest;
            }
            None => concrete.push_str(segment),
        }
    }
    concrete
}

/// The number that a segment with `*` in it stands for, and the iterations that are left for others; none
/// of another segment, or where there are too few iterations.
fn number<'a>(segment: &str, iterations: &'a [usize]) -> Option<(usize, &'a [usize])> {
    if !segment.contains('*') {
        return None;
    }
    segment.split('+').try_fold((0_usize, iterations), |(sum, left), term| {
        let (value, left) = match term.strip_suffix('*') {
            Some(factor) => {
                let (next, left) = left.split_first()?;
                let factor = if factor.is_empty() { 1 } else { factor.parse().ok()? };
                (next.checked_mul(factor)?, left)
            }
            None => (term.parse().ok()?, left),
        };
        Some((sum.checked_add(value)?, left))
    })
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

    #[test]
    fn a_path_shows_the_number_that_iterations_make() {
        let mut g = Graph::new();
        let groups = g.repeated_every("layers", 6, "g");
        let inner = g.repeated_at(&groups, 0, 5);
        let last = groups.at(5);
        let rest = g.repeated_from("layers", 12, 2);
        let mut weight = |scope| g.enter(scope).param("weight", Source::gain(), ["c"]).unwrap();
        let vars = [&inner, &last, &rest].map(&mut weight);
        let paths = vars.map(|var| g.node(var).path.clone());
        assert_eq!(paths, ["6*+*", "6*+5", "12+*"].map(|n| format!("layers.{n}.weight")));
        let mut all = Vec::new();
        for var in vars {
            all.extend(g.instances(g.node(var), &Binding::from_iter([("g", 2)])).unwrap());
        }
        all.sort_by_key(|path| path.split('.').nth(1).unwrap().parse::<usize>().unwrap());
        let expected: Vec<_> = (0..14).map(|layer| format!("layers.{layer}.weight")).collect();
        assert_eq!(all, expected);
        // What is no number stays as it is.
        assert_eq!(path_at("a*b.*.6*+*", &[3]), "a*b.3.6*+*");
    }
}
