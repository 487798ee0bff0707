//! Layers that a program writes out one after the other, as repetitions of the graph.

use std::collections::BTreeMap;

use opledger_conventions::{ModuleNames, Observation, ObservedCall};
use opledger_dims::Poly;
use opledger_ir::{Graph, GraphError, Rerolled, StoredType};

use crate::types::fit;

/// The graph with equal layers recorded once, where what is observed of them and the types of their
/// parameters are equal as well.
pub(crate) fn once(
    graph: Graph,
    observations: Vec<Observation>,
    types: &BTreeMap<String, StoredType>,
) -> Result<(Graph, Vec<Observation>), GraphError> {
    let Some(rerolled) = graph.rerolled()? else { return Ok((graph, observations)) };
    Ok(match alike(&rerolled, &observations) && fit(&rerolled.graph, types) {
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
    names: &'o ModuleNames,
}

/// Whether every iteration of a repetition is observed as its first one.
fn alike(rerolled: &Rerolled, observations: &[Observation]) -> bool {
    let mut iterations: BTreeMap<(usize, usize), Vec<Said<'_>>> = BTreeMap::new();
    for one in observations {
        let Some(place) = rerolled.in_run(&one.path) else { continue };
        let parameters = one.parameters.iter().map(|(name, elements)| {
            (rerolled.in_run(name).map_or_else(|| name.clone(), |place| place.path), elements)
        });
        iterations.entry((place.run, place.iteration)).or_default().push(Said {
            path: place.path,
            class: one.module.as_ref().and_then(|module| module.class.as_deref()),
            call: one.call.as_ref(),
            first: one.first.as_ref(),
            parameters: parameters.collect(),
            names: &one.names,
        });
    }
    iterations.iter().all(|((run, _), said)| iterations.get(&(*run, 0)) == Some(said))
}

/// An observation of the graph that is made; none of a later iteration.
fn of_first(rerolled: &Rerolled, mut one: Observation) -> Option<Observation> {
    if let Some(place) = rerolled.in_run(&one.path) {
        if place.iteration > 0 {
            return None;
        }
        (one.path, one.times) = (place.path, place.count as u64);
    }
    let made = |var: &opledger_ir::Var| rerolled.made.get(var.index()).copied().flatten();
    one.nodes = one.nodes.iter().filter_map(made).collect();
    Some(one)
}
