//! Recurrent layers: each direction of each layer is a scan over the steps of a sequence. What inputs give
//! to the gates is one product for all steps (`aten/src/ATen/native/RNN.cpp`). A cell is one step.

use opledger_dims::{Activation, Poly, Symbol};
use opledger_ir::ops::{ArithmeticKind, Einsum, Rearrange};
use opledger_ir::{Graph, GraphError, Scan, ScanValues, Var};

use super::beside::side_by_side;
use super::movement::{cut, permute, reshape};
use super::product::{biased, matmul};
use crate::call::Call;
use crate::importer::{Importer, Lowered, Meaning, Obstacle};
use crate::tensor::{DimPart, Placed};

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Cell {
    /// Hochreiter and Schmidhuber 1997, with a gate that forgets (Gers et al. 2000).
    Lstm,
    /// Cho et al. 2014; the new state is reset after its product.
    Gru,
    /// Elman 1990.
    Plain(Activation),
}

impl Cell {
    /// Gates beside each other in the products.
    fn gates(self) -> usize {
        match self {
            Cell::Lstm => 4,
            Cell::Gru => 3,
            Cell::Plain(_) => 1,
        }
    }
}

const STEPS: &str = "steps";
const ITEMS: &str = "items";
const GATES: &str = "gates";
const CELLS: &str = "cells";
const HIDDEN: &str = "hidden";

pub(super) fn lower(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Vec<Meaning>> {
    let one_step = base.strip_suffix("_cell");
    let cell = match one_step.unwrap_or(base) {
        "lstm" => Cell::Lstm,
        "gru" => Cell::Gru,
        "rnn_tanh" => Cell::Plain(Activation::Tanh),
        "rnn_relu" => Cell::Plain(Activation::Relu),
        _ => return Err(Obstacle::Unknown),
    };
    if one_step.is_some() {
        return stepped(own, call, cell);
    }
    if !call.operation.ends_with(".input") {
        return Err(Obstacle::Unknown);
    }
    if call.flag("train", false) && call.float("dropout").is_some_and(|p| p != 0.0) {
        return Err(Obstacle::Bad(
            "dropout in training: export the model in evaluation (`model.eval()`)".to_owned(),
        ));
    }
    layers(own, call, cell)
}

/// The parameters of one direction of a layer.
struct Weights {
    input: Placed,
    hidden: Placed,
    biases: Option<[Placed; 2]>,
    projection: Option<Placed>,
}

fn layers(own: &mut Importer<'_>, call: &Call<'_>, cell: Cell) -> Lowered<Vec<Meaning>> {
    let batch_first = call.flag("batch_first", false);
    let directions = if call.flag("bidirectional", false) { 2 } else { 1 };
    let layers = usize::try_from(call.int("num_layers", 1)).map_err(|_| Obstacle::Unknown)?;
    let mut x = call.tensor(own, "input")?;
    if x.dims.len() != 3 || layers == 0 {
        return Err(Obstacle::Unknown);
    }
    if batch_first {
        x.dims.swap(0, 1);
    }
    let states = match call.value(own, "hx")? {
        Meaning::List(states) => states,
        state => vec![state],
    };
    let params = call.value(own, "params")?.list()?;
    let biased = call.flag("has_biases", false);
    let each = params.len() / (layers * directions);
    let projected = each == if biased { 5 } else { 3 };
    let expected = 2 + if biased { 2 } else { 0 } + usize::from(projected);
    let wanted = if cell == Cell::Lstm { 2 } else { 1 };
    if each != expected || params.len() != each * layers * directions || states.len() != wanted {
        return Err(Obstacle::Bad("its parameters are not those of its layers".to_owned()));
    }
    let mut params = params.into_iter();
    let mut ends: Vec<Option<Placed>> = vec![None; wanted];
    for layer in 0..layers {
        let mut sides: Option<Placed> = None;
        for direction in 0..directions {
            let mut next = || params.next().ok_or(Obstacle::Unknown);
            let weights = [next()?, next()?];
            let biases = if biased { Some([next()?, next()?]) } else { None };
            let projection = if projected { Some(next()?) } else { None };
            let [input, hidden] = weights.map(|weight| own.real(weight));
            let biases = match biases.map(|biases| biases.map(|bias| own.real(bias))) {
                Some([input, hidden]) => Some([input?, hidden?]),
                None => None,
            };
            let projection = projection.map(|weight| own.real(weight)).transpose()?;
            let weights = Weights { input: input?, hidden: hidden?, biases, projection };
            let at = layer * directions + direction;
            let mut start = Vec::new();
            for state in &states {
                start.push(state_of(own, state.clone(), at)?);
            }
            let name = format!("layer{layer}{}", if direction == 1 { "_reverse" } else { "" });
            let (sequence, last) =
                direction_of(own, cell, &x, start, weights, direction == 1, &name)?;
            sides = Some(match sides {
                None => sequence,
                Some(before) => side_by_side(own, &before, &sequence, 2)?,
            });
            for (all, state) in ends.iter_mut().zip(last) {
                // [items, width] in front of which its layer and direction stand.
                let sizes = [vec![Poly::one()], state.sizes()].concat();
                let state = own.movement().reshape(&state, &sizes)?;
                *all = Some(match all.take() {
                    None => state,
                    Some(before) => side_by_side(own, &before, &state, 0)?,
                });
            }
        }
        x = sides.ok_or(Obstacle::Unknown)?;
    }
    if batch_first {
        x.dims.swap(0, 1);
    }
    let ends = ends.into_iter().map(|end| end.map(Meaning::Tensor).ok_or(Obstacle::Unknown));
    std::iter::once(Ok(Meaning::Tensor(x))).chain(ends).collect()
}

/// One step of a cell by itself: the states after it.
fn stepped(own: &mut Importer<'_>, call: &Call<'_>, cell: Cell) -> Lowered<Vec<Meaning>> {
    let states = match call.value(own, "hx")? {
        Meaning::List(states) => states,
        state => vec![state],
    };
    let x = call.tensor(own, "input")?;
    if x.dims.len() != 2 || states.len() != if cell == Cell::Lstm { 2 } else { 1 } {
        return Err(Obstacle::Unknown);
    }
    let biases = match (call.optional(own, "b_ih")?, call.optional(own, "b_hh")?) {
        (Some(input), Some(hidden)) => Some([input, hidden]),
        _ => None,
    };
    let (input, hidden) = (call.tensor(own, "w_ih")?, call.tensor(own, "w_hh")?);
    let weights = Weights { input, hidden, biases, projection: None };
    let (of_input, step) = prepared(own, cell, &x, weights, &[ITEMS, GATES])?;
    let mut before = Vec::new();
    for (state, name) in states.into_iter().zip([HIDDEN, CELLS]) {
        let state = own.real(state)?;
        before.push(called(own, &state, &[ITEMS, name])?);
    }
    let after = step.of(&mut own.graph, &before, of_input)?;
    let movement = own.movement();
    Ok(after.into_iter().map(|var| Meaning::Tensor(movement.tensor_of_all(var))).collect())
}

/// The state that a direction of a layer begins with.
fn state_of(own: &mut Importer<'_>, states: Meaning, at: usize) -> Lowered<Placed> {
    let states = own.real(states)?;
    let [_, items, width] = &states.sizes()[..] else { return Err(Obstacle::Unknown) };
    let state = cut(own, Meaning::Tensor(states), 0, &Poly::from(at), &Poly::one())?;
    let state = reshape(own, state, &[items.clone(), width.clone()])?;
    own.real(state)
}

/// A tensor with an axis for each dimension, called so.
fn called(own: &mut Importer<'_>, x: &Placed, names: &[&str]) -> Lowered<Var> {
    let mut movement = own.movement();
    let mut x = movement.dense(x)?;
    let axes = x.dims.iter().flatten().filter_map(DimPart::axis);
    let names: Vec<(Symbol, Symbol)> =
        axes.zip(names).map(|(axis, name)| (axis.name.clone(), Symbol::new(name))).collect();
    movement.renamed(&mut x, &names)?;
    Ok(x.var)
}

/// All steps of one direction of a layer: the states of each step, and the last.
fn direction_of(
    own: &mut Importer<'_>,
    cell: Cell,
    x: &Placed,
    start: Vec<Placed>,
    weights: Weights,
    reverse: bool,
    name: &str,
) -> Lowered<(Placed, Vec<Placed>)> {
    let steps = x.sizes()[0].clone();
    let (of_input, step) = prepared(own, cell, x, weights, &[STEPS, ITEMS, GATES])?;
    let mut carried = Vec::new();
    for (state, name) in start.iter().zip([HIDDEN, CELLS]) {
        carried.push(called(own, state, &[ITEMS, name])?);
    }
    let scope = own.graph.repeated(name, steps);
    let scan = Scan { carried, stacks: vec![of_input], axis: STEPS.into(), reverse };
    let values = own.graph.scan(&scope, &scan, |g, at| -> Result<ScanValues, Obstacle> {
        let carried = step.of(g, &at.carried, at.stacked[0])?;
        let stacked = carried[..1].to_vec();
        Ok(ScanValues { carried, stacked })
    })?;
    let movement = own.movement();
    let sequence = movement.tensor_of_all(values.stacked[0]);
    let last = values.carried.iter().map(|var| movement.tensor_of_all(*var)).collect();
    Ok((sequence, last))
}

/// What the input gives to the gates, its axes called so, and what each step needs.
fn prepared(
    own: &mut Importer<'_>,
    cell: Cell,
    x: &Placed,
    weights: Weights,
    names: &[&str],
) -> Lowered<(Var, Step)> {
    let turned = permute(Meaning::Tensor(weights.input), &[1, 0])?;
    let turned = turned.placed()?;
    let mut of_input = matmul(own, x, &turned)?;
    let [to_input, to_hidden] = match weights.biases {
        Some(biases) => biases.map(Some),
        None => [None, None],
    };
    if let Some(bias) = to_input {
        of_input = biased(own, of_input, bias)?;
    }
    let width = weights.hidden.sizes()[0].divided_by(&cell.gates().into());
    let of_input = called(own, &of_input, names)?;
    let hidden = called(own, &weights.hidden, &[GATES, HIDDEN])?;
    let bias = to_hidden.map(|bias| called(own, &bias, &[GATES])).transpose()?;
    let projection = weights.projection.map(|w| called(own, &w, &[HIDDEN, CELLS])).transpose()?;
    let width = width.ok_or(Obstacle::Unknown)?;
    Ok((of_input, Step { cell, hidden, bias, projection, width }))
}

/// What each step needs.
struct Step {
    cell: Cell,
    /// `[gates, hidden]`.
    hidden: Var,
    /// `[gates]`.
    bias: Option<Var>,
    /// `[hidden, cells]`.
    projection: Option<Var>,
    /// How many elements a gate has.
    width: Poly,
}

impl Step {
    fn product(
        &self,
        g: &mut Graph,
        x: Var,
        weight: Var,
        names: [&str; 3],
    ) -> Result<Var, GraphError> {
        let [over, out, items] = names.map(Symbol::new);
        let op = Einsum {
            lhs: vec![items.clone(), over.clone()],
            rhs: vec![out.clone(), over],
            out: vec![items, out],
            masked: None,
        };
        g.record("", op, &[x, weight])
    }

    /// A gate of all.
    fn gate(&self, g: &mut Graph, gates: Var, at: usize) -> Result<Var, GraphError> {
        let start = &self.width * at as i64;
        let how = Rearrange::Slice { axis: GATES.into(), start, len: self.width.clone() };
        let gate = g.rearrange(gates, how)?;
        g.rename(gate, GATES, CELLS)
    }

    /// The states after a step; of `x` the input's share of the gates is given.
    fn of(&self, g: &mut Graph, states: &[Var], x: Var) -> Result<Vec<Var>, GraphError> {
        let before = states[0];
        let mut product = self.product(g, before, self.hidden, [HIDDEN, GATES, ITEMS])?;
        if let Some(bias) = self.bias {
            product = g.add("", product, bias)?;
        }
        match self.cell {
            Cell::Plain(function) => {
                let sum = g.add("", x, product)?;
                let state = g.activation(sum, function)?;
                Ok(vec![g.rename(state, GATES, HIDDEN)?])
            }
            Cell::Gru => {
                let both = |g: &mut Graph, at| -> Result<[Var; 2], GraphError> {
                    Ok([self.gate(g, x, at)?, self.gate(g, product, at)?])
                };
                let mut open = Vec::new();
                for at in 0..2 {
                    let [x, product] = both(g, at)?;
                    let sum = g.add("", x, product)?;
                    open.push(g.activation(sum, Activation::Sigmoid)?);
                }
                let [x, product] = both(g, 2)?;
                let reset = g.mul("", product, open[0])?;
                let sum = g.add("", x, reset)?;
                let new = g.activation(sum, Activation::Tanh)?;
                // n + z·(h − n)
                let before = g.rename(before, HIDDEN, CELLS)?;
                let apart = g.arithmetic("", ArithmeticKind::Sub, before, new)?;
                let part = g.mul("", apart, open[1])?;
                let state = g.add("", part, new)?;
                Ok(vec![g.rename(state, CELLS, HIDDEN)?])
            }
            Cell::Lstm => {
                let gates = g.add("", x, product)?;
                let open = |g: &mut Graph, at, function| {
                    let gate = self.gate(g, gates, at)?;
                    g.activation(gate, function)
                };
                let input = open(g, 0, Activation::Sigmoid)?;
                let kept = open(g, 1, Activation::Sigmoid)?;
                let new = open(g, 2, Activation::Tanh)?;
                let shown = open(g, 3, Activation::Sigmoid)?;
                let kept = g.mul("", kept, states[1])?;
                let new = g.mul("", input, new)?;
                let cells = g.add("", kept, new)?;
                let seen = g.activation(cells, Activation::Tanh)?;
                let state = g.mul("", shown, seen)?;
                let state = match self.projection {
                    Some(weight) => self.product(g, state, weight, [CELLS, HIDDEN, ITEMS])?,
                    None => g.rename(state, CELLS, HIDDEN)?,
                };
                Ok(vec![state, cells])
            }
        }
    }
}
