//! An upper bound on the degree of what is counted, from the shapes of operands and results alone.
//!
//! An operation's textbook loops run over the axes of its result and over those axes of its operands
//! that the operation sums or compares, each nested once, and each innermost step is a number of scalar
//! operations that no size changes. So its count is at most a constant times the product of those axes,
//! and where it is a polynomial (bounds of loops are sizes, or indices of loops around them) its degree
//! in a symbol is at most that of the product. The derived cost is not looked at.

use opledger_dims::{Binding, Poly, Symbol};
use opledger_ir::ops::Source;
use opledger_ir::{Axis, Definition, Graph, Node, Op, Operation};

/// For each free symbol of some polynomials, its highest degree in any of them.
pub(crate) type Degrees = Vec<(Symbol, u32)>;

/// The bound for what the operations of a graph count.
pub(crate) fn of_operations(graph: &Graph, fixed: &Binding) -> Degrees {
    let executed = graph.nodes().iter().filter(|node| !node.op.is_source());
    degrees(graph, fixed, executed.map(|node| space(graph, node) * graph.multiplicity(node)))
}

/// The bound for the number of a graph's parameters: that of each parameter's axes.
pub(crate) fn of_parameters(graph: &Graph, fixed: &Binding) -> Degrees {
    let is_parameter = |node: &&Node| matches!(node.op, Op::Source(Source::Param { .. }));
    let parameters = graph.nodes().iter().filter(is_parameter);
    let elements = parameters.map(|node| {
        let axes = node.shape.axes.iter().map(|axis| &axis.size);
        axes.fold(graph.multiplicity(node), |product, size| product * size)
    });
    degrees(graph, fixed, elements)
}

/// Whether no symbol stands in a formula to a higher degree than is bounded.
pub(crate) fn within(
    graph: &Graph,
    fixed: &Binding,
    formula: &Poly,
    bounds: &[(Symbol, u32)],
) -> bool {
    let formula = unfold(graph, fixed, formula);
    let bound = |symbol: &Symbol| bounds.iter().find(|(s, _)| s == symbol).map_or(0, |(_, b)| *b);
    let mut free = formula.symbols().into_iter().filter(|symbol| !follows(graph, symbol));
    free.all(|symbol| formula.degree_in(&symbol) <= bound(&symbol))
}

/// Whether a symbol follows from others otherwise than as their product.
fn follows(graph: &Graph, symbol: &Symbol) -> bool {
    let other = |d: &&Definition| !matches!(d, Definition::Product { .. });
    graph.definitions().iter().filter(other).any(|d| d.defines().contains(&symbol))
}

/// The size of the space that an operation's loops run through.
fn space(graph: &Graph, node: &Node) -> Poly {
    let operands: Vec<_> = node.inputs.iter().map(|var| graph.shape(*var)).collect();
    let along = node.op.axis_map(&operands, &node.shape);
    // An axis that two operands have is one index; one that the result has as well may yet be another,
    // as keys are beside queries.
    let mut inner: Vec<&Axis> = Vec::new();
    for (at, operand) in operands.iter().enumerate() {
        for (axis, runs) in operand.axes.iter().zip(along.of(at)) {
            if runs.is_none() && !inner.contains(&axis) {
                inner.push(axis);
            }
        }
    }
    let results = node.results().flat_map(|shape| &shape.axes);
    let axes: Vec<&Poly> = results.chain(inner).map(|axis| &axis.size).collect();
    let facts = node.op.facts();
    let own = facts.sizes.into_iter().filter(|size| !axes.contains(size));
    axes.iter().copied().chain(own).fold(Poly::one(), |product, size| product * size)
}

fn degrees(graph: &Graph, fixed: &Binding, polys: impl Iterator<Item = Poly>) -> Degrees {
    let polys: Vec<Poly> = polys.map(|poly| unfold(graph, fixed, &poly)).collect();
    let symbols = polys.iter().flat_map(Poly::symbols).filter(|symbol| !follows(graph, symbol));
    let symbols: std::collections::BTreeSet<Symbol> = symbols.collect();
    let degree = |symbol: Symbol| {
        let degree = polys.iter().map(|poly| poly.degree_in(&symbol)).max().unwrap_or(0);
        (symbol, degree)
    };
    symbols.into_iter().map(degree).collect()
}

/// A polynomial with sizes in place of what is fixed, and of `c = h·e` its factors.
fn unfold(graph: &Graph, fixed: &Binding, poly: &Poly) -> Poly {
    graph.definitions().iter().fold(poly.bind(fixed), |poly, definition| match definition {
        Definition::Product { whole, factors: [a, b] } if fixed.get(whole).is_none() => {
            let factor = |symbol: &Symbol| Poly::symbol(symbol).bind(fixed);
            poly.substitute(whole, &(factor(a) * factor(b)))
        }
        // What is fixed stays a size, and what is no product stays a symbol.
        Definition::Product { .. }
        | Definition::CeilDiv { .. }
        | Definition::Minimum { .. }
        | Definition::Gcd { .. }
        | Definition::Band { .. }
        | Definition::Taps { .. }
        | Definition::Kept { .. } => poly,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(record: impl Fn(&mut Graph)) -> Vec<(String, u32)> {
        let mut graph = Graph::new();
        record(&mut graph);
        let degrees = of_operations(&graph, &Binding::new());
        degrees.into_iter().map(|(symbol, degree)| (symbol.to_string(), degree)).collect()
    }

    fn listed(pairs: &[(&str, u32)]) -> Vec<(String, u32)> {
        pairs.iter().map(|(symbol, degree)| ((*symbol).to_owned(), *degree)).collect()
    }

    #[test]
    fn loops_are_those_of_results_and_of_what_is_summed() {
        let product = bounds(|g| {
            let x = g.input("x", ["b", "n", "c"]).unwrap();
            let w = g.param("w", Source::weight("c"), [Axis::from("f"), Axis::from("c")]).unwrap();
            g.einsum("b n c, f c -> b n f", x, w).unwrap();
        });
        assert_eq!(product, listed(&[("b", 1), ("n", 1), ("f", 1), ("c", 1)]));
        let square = bounds(|g| {
            let x = g.input("x", ["n", "c"]).unwrap();
            let w = [Axis::new("f", "c"), Axis::from("c")];
            let w = g.param("w", Source::weight("c"), w).unwrap();
            g.einsum("n c, f c -> n f", x, w).unwrap();
        });
        assert_eq!(square, listed(&[("n", 1), ("c", 2)]));
        // A row of results depends on all of a row: a bound, and not the degree.
        let softmax = bounds(|g| {
            let x = g.input("x", ["n", "c"]).unwrap();
            g.softmax(x, None).unwrap();
        });
        assert_eq!(softmax, listed(&[("n", 1), ("c", 2)]));
    }

    #[test]
    fn keys_are_another_index_than_queries() {
        let attention = bounds(|g| {
            let x = g.input("x", ["b", "n", "h", "e"]).unwrap();
            g.attention((x, x, x), opledger_ir::Mask::none(), None, None).unwrap();
        });
        let n = attention.iter().find(|(symbol, _)| symbol == "n").unwrap();
        assert_eq!(n.1, 2, "{attention:?}");
    }

    /// Of every operation that layers record, the derived cost stays within the bound.
    #[test]
    fn derived_costs_stay_within_the_bound() {
        use opledger_nn::{AttentionConfig, LayerConfig, MultiheadAttention};
        let config = LayerConfig::new("c", "h", "f");
        let mut graph = Graph::new();
        let x = graph.input("x", ["b", "n", "c"]).unwrap();
        let mask = opledger_ir::Mask::causal();
        let layer = opledger_nn::EncoderLayer::new(&mut graph, &config).unwrap();
        let y = layer.forward(&mut graph, x, mask).unwrap();
        let attention =
            AttentionConfig { kv_heads: Some("g".into()), ..AttentionConfig::new("c", "h") };
        let attention = MultiheadAttention::new(&mut graph.scope("more"), &attention).unwrap();
        attention.forward(&mut graph, y, y, y).unwrap();
        let none = Binding::new();
        let bounds = of_operations(&graph, &none);
        for node in graph.nodes() {
            for (class, count) in graph.node_cost(node).total().iter() {
                let path = &node.path;
                assert!(
                    within(&graph, &none, count, &bounds),
                    "{path}: {class} {count} {bounds:?}"
                );
            }
        }
        let steep: Poly = "n^3".parse().unwrap();
        assert!(!within(&graph, &none, &steep, &bounds));
    }
}
