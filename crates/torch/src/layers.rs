//! Layers that a program writes out one after the other, as repetitions of the graph.

use std::collections::BTreeMap;

use opledger_conventions::{ModuleNames, Observation, ObservedCall, ObservedPart};
use opledger_dims::Poly;
use opledger_ir::{Elem, Graph, GraphError, Rerolled, StoredType, Var};

use crate::types::fit;

/// The types of a program's values: of what it is given by paths, of what it computes by nodes.
pub(crate) struct Types<'t> {
    pub(crate) given: &'t BTreeMap<String, StoredType>,
    pub(crate) computed: Vec<Option<Elem>>,
}

/// A graph, what is observed of it, and the types of what its nodes compute.
type Layered = (Graph, Vec<Observation>, Vec<Option<Elem>>);

/// The graph with equal layers recorded once, where what is observed of them and the types of their
/// values are equal as well; and the types of what its nodes compute.
pub(crate) fn once(
    graph: Graph,
    observations: Vec<Observation>,
    Types { given, computed }: Types<'_>,
) -> Result<Layered, GraphError> {
    let Some(rerolled) = graph.rerolled()? else { return Ok((graph, observations, computed)) };
    let equal = alike(&rerolled, &observations)
        && fit(&rerolled.graph, given)
        && typed_alike(&rerolled, &graph, &computed);
    if !equal {
        return Ok((graph, observations, computed));
    }
    let observations = observations.into_iter().filter_map(|one| of_first(&rerolled, one));
    let observations = observations.collect();
    let mut of_once = vec![None; rerolled.graph.nodes().len()];
    for (own, to) in computed.iter().zip(&rerolled.made) {
        if let Some(known) = to.and_then(|to| of_once.get_mut(to.index())) {
            *known = *own;
        }
    }
    Ok((rerolled.graph, observations, of_once))
}

/// Whether every iteration of a repetition computes in the types of its first one.
fn typed_alike(rerolled: &Rerolled, graph: &Graph, computed: &[Option<Elem>]) -> bool {
    let mut iterations: BTreeMap<(usize, usize), Vec<Option<Elem>>> = BTreeMap::new();
    for (node, elem) in graph.nodes().iter().zip(computed).filter(|(node, _)| !node.op.is_source())
    {
        if let Some(place) = rerolled.in_run(&node.path) {
            iterations.entry((place.run, place.iteration)).or_default().push(*elem);
        }
    }
    iterations.iter().all(|((run, _), own)| iterations.get(&(*run, 0)) == Some(own))
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
    let made = |var: &Var| rerolled.made.get(var.index()).copied().flatten();
    one.nodes = one.nodes.iter().filter_map(made).collect();
    one.parts = moved(&one.parts, made);
    Some(one)
}

/// Parts of nodes where these are in another graph.
pub(crate) fn moved(parts: &[ObservedPart], to: impl Fn(&Var) -> Option<Var>) -> Vec<ObservedPart> {
    parts.iter().filter_map(|part| Some(ObservedPart { node: to(&part.node)?, ..*part })).collect()
}
