//! Layers that a program writes out one after the other, as repetitions of the graph.

use std::collections::BTreeMap;

use opledger_conventions::{Observation, ObservedCall};
use opledger_dims::Poly;
use opledger_ir::{Graph, GraphError, Rerolled};

/// The graph with equal layers recorded once, where what is observed of them is equal as well.
pub(crate) fn once(
    graph: Graph,
    observations: Vec<Observation>,
) -> Result<(Graph, Vec<Observation>), GraphError> {
    let Some(rerolled) = graph.rerolled()? else { return Ok((graph, observations)) };
    Ok(match alike(&rerolled, &observations) {
        true => {
            let observations =
                observations.into_iter().filter_map(|one| of_first(&rerolled, one)).collect();
            (rerolled.graph, observations)
        }
        false => (graph, observations),
    })
}

/// What is compared of observations of several iterations.
#[derive(PartialEq)]
struct Said<'o> {
    path: String,
    class: Option<&'o str>,
    call: Option<&'o ObservedCall>,
    first: Option<&'o Poly>,
    parameters: Vec<(String, &'o Poly)>,
}

/// Whether every iteration of a repetition is observed as its first one.
fn alike(rerolled: &Rerolled, observations: &[Observation]) -> bool {
    let mut iterations: BTreeMap<(String, usize), Vec<Said<'_>>> = BTreeMap::new();
    for one in observations {
        let Some((_, iteration, path)) = rerolled.repeated(&one.path) else { continue };
        let scope = path.split_once(".*").map_or("", |(scope, _)| scope).to_owned();
        let parameters = one.parameters.iter().map(|(name, elements)| {
            (rerolled.repeated(name).map_or_else(|| name.clone(), |(_, _, name)| name), elements)
        });
        iterations.entry((scope, iteration)).or_default().push(Said {
            path,
            class: one.module.as_ref().and_then(|module| module.class.as_deref()),
            call: one.call.as_ref(),
            first: one.first.as_ref(),
            parameters: parameters.collect(),
        });
    }
    let first = |scope: &String| iterations.get(&(scope.clone(), 0));
    iterations.iter().all(|((scope, _), said)| first(scope) == Some(said))
}

/// An observation of the graph that is made; none of a later iteration.
fn of_first(rerolled: &Rerolled, mut one: Observation) -> Option<Observation> {
    if let Some((count, iteration, path)) = rerolled.repeated(&one.path) {
        if iteration > 0 {
            return None;
        }
        (one.path, one.times) = (path, count as u64);
    }
    let made = |var: &opledger_ir::Var| rerolled.made.get(var.index()).copied().flatten();
    one.nodes = one.nodes.iter().filter_map(made).collect();
    Some(one)
}
