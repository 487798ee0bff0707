//! Operations that write into their operand, which others may see under other names.

use std::collections::{BTreeSet, HashMap};

use opledger_dims::Poly;

use crate::call::{Call, operation};
use crate::importer::{Importer, Lowered, Meaning, Obstacle};
use crate::lower::movement::{order, permute, reshape, run_of, sizes_of};
use crate::lower::overwriting::{overwritten, written_numbers};
use crate::schema::{Argument, ExportedProgram, ProgramNode};
use crate::whole::Written;

/// Operations whose result shares its elements with the operand.
const VIEWS: &[&str] = &[
    "alias",
    "broadcast_to",
    "chunk",
    "contiguous",
    "detach",
    "diagonal",
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
    "unfold",
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

fn base(node: &ProgramNode) -> &str {
    let name = operation(&node.target);
    name.strip_prefix("aten.").and_then(|rest| rest.split('.').next()).unwrap_or(name)
}

/// The operand that an operation views or writes into.
fn operand(node: &ProgramNode) -> Option<&str> {
    let input = node.inputs.iter().find(|input| ["self", "input"].contains(&&*input.name))?;
    input.arg.tensors().first().copied()
}

impl<'p> Writes<'p> {
    pub(crate) fn new(program: &'p ExportedProgram) -> Self {
        let mut last = HashMap::new();
        for (at, node) in program.graph_module.graph.nodes.iter().enumerate() {
            for input in &node.inputs {
                last.extend(input.arg.tensors().into_iter().map(|name| (name, at)));
            }
        }
        for output in &program.graph_module.signature.output_specs {
            if let crate::schema::OutputSpec::UserOutput(output) = output {
                last.extend(output.arg.tensors().into_iter().map(|name| (name, usize::MAX)));
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
            let results = node.outputs.iter().flat_map(Argument::tensors);
            self.views.extend(results.map(|name| (name, node)));
            return Ok(());
        }
        // Dropout in evaluation writes what is there.
        let same = base.contains("dropout");
        let writes = base.ends_with('_') && !base.starts_with("__") && !same;
        let (Some(written), Some(result)) = (operand(node), node.outputs.first()) else {
            return Ok(());
        };
        let Some(result) = result.tensors().first().copied().filter(|_| writes) else {
            return Ok(());
        };
        let value = own.value(result)?;
        // Every name whose elements are written, the operand's own first.
        let mut changed = BTreeSet::from([written, result]);
        let numbers = written_numbers(&value).map(|numbers| Written::all(&numbers));
        self.write(own, at, written, value, numbers, &mut changed)?;
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

    /// Gives a name a new value, and what it is a view of; `written` are the numbers that came, where they
    /// are known.
    fn write(
        &self,
        own: &mut Importer<'_>,
        at: usize,
        name: &'p str,
        value: Meaning,
        written: Option<Written>,
        changed: &mut BTreeSet<&'p str>,
    ) -> Lowered<()> {
        own.stored.remove(name);
        own.values.insert(name.to_owned(), value.clone());
        let Some(maker) = self.views.get(name) else { return Ok(()) };
        let Some(whole) = operand(maker) else { return Ok(()) };
        changed.insert(whole);
        let call = Call::new(maker);
        let before = own.value(whole)?;
        let sizes = sizes_of(&before)?;
        let (after, written) = match base(maker) {
            "slice" | "narrow" | "select" | "chunk" | "split" | "split_with_sizes"
            | "tensor_split" | "unbind" => {
                let results = maker.outputs.iter().flat_map(Argument::tensors);
                let at = results.into_iter().position(|result| result == name).unwrap_or(0);
                let run = run_of(own, &call, base(maker), &sizes, at)?;
                // The dimension that a selection took away is one of one element.
                let (value, written) = match matches!(base(maker), "select" | "unbind") {
                    true => {
                        let mut one = sizes.clone();
                        one[run.dim] = Poly::one();
                        let value = reshape(own, value, &one)?;
                        let written = written_numbers(&value).map(|all| Written::all(&all));
                        (value, written)
                    }
                    false => (value, written),
                };
                match (&before, written) {
                    (Meaning::Whole(before), Some(written)) => {
                        let written = written.within(&run);
                        (Meaning::Whole(written.over(before)), Some(written))
                    }
                    _ => (overwritten(own, before, &run, value)?, None),
                }
            }
            "unsqueeze" | "squeeze" | "view" | "unflatten" => (reshape(own, value, &sizes)?, None),
            moved
            @ ("transpose" | "swapaxes" | "swapdims" | "t" | "permute" | "movedim" | "mT") => {
                let order = order(&call, moved, sizes.len())?;
                let mut back: Vec<usize> = (0..order.len()).collect();
                back.sort_by_key(|dim| order[*dim]);
                (permute(value, &back)?, None)
            }
            "to" | "alias" | "detach" | "contiguous" => (value, written),
            // A view or a copy.
            "reshape" | "reshape_as" | "flatten" => return self.forgotten(at, whole, changed),
            other => {
                return Err(Obstacle::Bad(format!(
                    "what is written through `{other}` is not followed; write into a copy"
                )));
            }
        };
        self.write(own, at, whole, after, written, changed)
    }

    /// Sees to it that nobody asks for elements after a node, under this name or those of what it is a view
    /// of; whether they were written is the same then.
    fn forgotten(&self, at: usize, name: &'p str, changed: &mut BTreeSet<&'p str>) -> Lowered<()> {
        let mut own = Some(name);
        while let Some(name) = own {
            if self.last.get(name).is_some_and(|last| *last > at) {
                return Err(Obstacle::Bad(format!(
                    "`{name}` may share the elements that are written through a new form of it; write into a \
                     copy"
                )));
            }
            changed.insert(name);
            own = self.views.get(name).and_then(|maker| operand(maker));
        }
        Ok(())
    }
}
