//! Operations that write into their operand, which others may see under other names.

use std::collections::{BTreeSet, HashMap};

use opledger_dims::Poly;
use opledger_ir::IndexExpr;

use crate::call::{Call, operation};
use crate::importer::{Importer, Lowered, Meaning, Obstacle};
use crate::lower::movement::{cut, from_end, side_by_side, sizes_of};
use crate::schema::{Argument, ExportedProgram, ProgramNode};
use crate::whole::Whole;

/// Operations whose result shares its elements with the operand.
const VIEWS: &[&str] = &[
    "alias",
    "broadcast_to",
    "chunk",
    "contiguous",
    "detach",
    "expand",
    "expand_as",
    "flatten",
    "lift_fresh",
    "mT",
    "movedim",
    "narrow",
    "numpy_T",
    "permute",
    "reshape",
    "reshape_as",
    "select",
    "slice",
    "split",
    "split_with_sizes",
    "squeeze",
    "swapaxes",
    "swapdims",
    "t",
    "tensor_split",
    "to",
    "transpose",
    "type_as",
    "unbind",
    "unflatten",
    "unsqueeze",
    "view",
    "view_as",
];

/// Which names share elements, and how long each is asked for.
pub(crate) struct Writes<'p> {
    /// For each view, the node that made it.
    views: HashMap<&'p str, &'p ProgramNode>,
    /// The last node that a name is an operand of.
    last: HashMap<&'p str, usize>,
}

/// The names of tensors in an argument.
fn tensors(argument: &Argument) -> Vec<&str> {
    match argument {
        Argument::Tensor(name) => vec![name],
        Argument::Tensors(names) => names.iter().map(String::as_str).collect(),
        Argument::OptionalTensors(names) => names.iter().flatten().map(String::as_str).collect(),
        _ => Vec::new(),
    }
}

fn base(node: &ProgramNode) -> &str {
    let name = operation(&node.target);
    name.strip_prefix("aten.").and_then(|rest| rest.split('.').next()).unwrap_or(name)
}

/// The operand that an operation views or writes into.
fn operand(node: &ProgramNode) -> Option<&str> {
    let input = node.inputs.iter().find(|input| ["self", "input"].contains(&&*input.name))?;
    tensors(&input.arg).first().copied()
}

impl<'p> Writes<'p> {
    pub(crate) fn new(program: &'p ExportedProgram) -> Self {
        let mut last = HashMap::new();
        for (at, node) in program.graph_module.graph.nodes.iter().enumerate() {
            for input in &node.inputs {
                last.extend(tensors(&input.arg).into_iter().map(|name| (name, at)));
            }
        }
        for output in &program.graph_module.signature.output_specs {
            if let crate::schema::OutputSpec::UserOutput(output) = output {
                last.extend(tensors(&output.arg).into_iter().map(|name| (name, usize::MAX)));
            }
        }
        Writes { views: HashMap::new(), last }
    }

    /// Keeps what a node views, and lets all see what it wrote.
    pub(crate) fn note(
        &mut self,
        own: &mut Importer<'_>,
        at: usize,
        node: &'p ProgramNode,
    ) -> Lowered<()> {
        let base = base(node);
        if VIEWS.contains(&base) {
            let results = node.outputs.iter().flat_map(tensors);
            self.views.extend(results.map(|name| (name, node)));
            return Ok(());
        }
        // Dropout in evaluation writes what is there.
        let same = base.contains("dropout");
        let writes = base.ends_with('_') && !base.starts_with("__") && !same;
        let (Some(written), Some(result)) = (operand(node), node.outputs.first()) else {
            return Ok(());
        };
        let Some(result) = tensors(result).first().copied().filter(|_| writes) else {
            return Ok(());
        };
        let value = own.value(result)?;
        // Every name whose elements are written, the operand's own first.
        let mut changed = BTreeSet::from([written, result]);
        self.write(own, written, value, &mut changed)?;
        for (view, maker) in &self.views {
            let stale = operand(maker).is_some_and(|of| changed.contains(of))
                && !changed.contains(view)
                && self.last.get(view).is_some_and(|last| *last > at);
            if stale {
                return Err(Obstacle::Bad(format!(
                    "`{view}` shares the elements that are written in place; write into a copy"
                )));
            }
        }
        Ok(())
    }

    /// Gives a name a new value, and what it is a view of.
    fn write(
        &self,
        own: &mut Importer<'_>,
        name: &'p str,
        value: Meaning,
        changed: &mut BTreeSet<&'p str>,
    ) -> Lowered<()> {
        own.values.insert(name.to_owned(), value.clone());
        let Some(maker) = self.views.get(name) else { return Ok(()) };
        let Some(whole) = operand(maker) else { return Ok(()) };
        changed.insert(whole);
        let call = Call::new(maker);
        let before = own.value(whole)?;
        let sizes = sizes_of(&before)?;
        let dim = call.dim("dim", 0, sizes.len())?;
        let after = match base(maker) {
            "slice" if call.int("step", 1) == 1 => {
                let start = call.size(own, "start")?.unwrap_or_else(Poly::zero);
                let start = from_end(&start, &sizes[dim]);
                let length = sizes_of(&value)?[dim].clone();
                overwritten(own, before, dim, &start, &length, value)?
            }
            "to" | "alias" | "detach" | "contiguous" => value,
            other => {
                return Err(Obstacle::Bad(format!(
                    "what is written through `{other}` is not followed; write into a copy"
                )));
            }
        };
        self.write(own, whole, after, changed)
    }
}

/// A value with a run of positions of one dimension put in.
fn overwritten(
    own: &mut Importer<'_>,
    before: Meaning,
    dim: usize,
    start: &Poly,
    length: &Poly,
    value: Meaning,
) -> Lowered<Meaning> {
    let sizes = sizes_of(&before)?;
    let numbers = |value: &Meaning| match value {
        Meaning::Whole(whole) => Some(whole.clone()),
        Meaning::Choice { when, then, otherwise } if then == otherwise && then.fract() == 0.0 => {
            Some(Whole { expr: (*then as i64).into(), ..when.clone() })
        }
        _ => None,
    };
    if let (Meaning::Whole(whole), Some(value)) = (&before, numbers(&value)) {
        let place = IndexExpr::Position(dim);
        let first = IndexExpr::size(start.clone());
        let inside = place
            .below(&first.plus(&IndexExpr::size(length.clone())))
            .and(&first.below(&place.plus(&1.into())));
        let moved = value.expr.at(&|own| match own == dim {
            true => place.minus(&first),
            false => IndexExpr::Position(own),
        });
        let expr = inside.choose(&moved, &whole.expr);
        return Ok(Meaning::Whole(Whole { expr, ..whole.clone() }));
    }
    let end = start + length;
    let rest = &sizes[dim] - &end;
    let mut parts = Vec::new();
    if !start.is_zero() {
        parts.push(cut(own, before.clone(), dim, &Poly::zero(), start)?);
    }
    parts.push(value);
    if !rest.is_zero() {
        parts.push(cut(own, before, dim, &end, &rest)?);
    }
    let mut all = parts.into_iter();
    let first = all.next().ok_or(Obstacle::Unknown)?;
    let mut sum = own.real(first)?;
    for part in all {
        let part = own.real(part)?;
        sum = side_by_side(own, &sum, &part, dim)?;
    }
    Ok(Meaning::Tensor(sum))
}
