//! What a program is given: parameters, buffers, constants and the arguments of its module.

use std::collections::{BTreeMap, BTreeSet};

use opledger_dims::Poly;
use opledger_ir::ops::Source;
use opledger_ir::{Axis, Op, Role, Var};

use crate::buffers;
use crate::constants::{Hiding, Marks, by_places};
use crate::hidden::{Finite, Hidden};
use crate::importer::{Importer, Lowered, Meaning, Obstacle};
use crate::lower::complex::parts;
use crate::schema::{Argument, ExportedProgram, InputSpec, ProgramNode, SymIntArgument};
use crate::tensor::Placed;
use crate::whole::{Whole, WholeKind};

impl<'p> Importer<'p> {
    /// Parameters, buffers and inputs.
    pub(crate) fn sources(&mut self) -> Lowered<()> {
        let program = self.program;
        let meant = buffers::meant(program);
        let mut recorded: BTreeMap<&str, Meaning> = BTreeMap::new();
        for spec in &program.graph_module.signature.input_specs {
            let (arg, path, parameter) = match spec {
                InputSpec::Parameter(spec) => (&spec.arg.name, &spec.parameter_name, true),
                InputSpec::Buffer(spec) => (&spec.arg.name, &spec.buffer_name, false),
                InputSpec::TensorConstant(spec) => {
                    (&spec.arg.name, &spec.tensor_constant_name, false)
                }
                InputSpec::UserInput(input) => {
                    self.input(&input.arg)?;
                    continue;
                }
                InputSpec::CustomObj(_) | InputSpec::Token(_) | InputSpec::ConstantInput(_) => {
                    continue;
                }
            };
            if self.is_complex(arg) && !parameter {
                // Both parts stand beside each other, as they are stored.
                let sizes = [self.sizes_of(arg)?, vec![2.into()]].concat();
                let real = self.reals([arg, path], &sizes, parameter)?;
                let pair = self.spared(|own| parts(own, Meaning::Tensor(real)))?;
                self.complex.insert(arg.clone(), pair);
                continue;
            }
            if self.is_foreign(arg) {
                continue;
            }
            let path = self.known.tied.get(path).unwrap_or(path);
            let value = match recorded.get(path.as_str()) {
                Some(value) => value.clone(),
                None => {
                    let meant = meant.contains(arg.as_str());
                    let value = self.stored([arg, path], parameter, meant)?;
                    recorded.insert(path, value.clone());
                    value
                }
            };
            if let Meaning::Tensor(tensor) = &value {
                self.stored.insert(arg.clone(), tensor.clone());
            }
            self.values.insert(arg.clone(), value);
        }
        Ok(())
    }

    /// A parameter, a buffer or a constant. What its elements are is asked where they are `meant`: elsewhere it
    /// is read, whatever they are.
    fn stored(&mut self, [arg, path]: [&str; 2], parameter: bool, meant: bool) -> Lowered<Meaning> {
        let sizes = self.sizes_of(arg)?;
        let kind = self.kind_of(arg)?;
        if kind != WholeKind::Real {
            let first = self.graph.nodes().len();
            let value = match meant {
                true => self.whole_numbers(path, sizes.clone(), kind)?,
                false => self.kept_numbers(path, sizes.clone(), kind)?,
            };
            if parameter {
                self.whole_parameter(path, &sizes, first)?;
            }
            return Ok(value);
        }
        let known = self.known;
        match known.constants.marks.get(path).filter(|_| meant && !parameter) {
            Some(Marks::Truth(values)) => self.marks(path, sizes, values, WholeKind::Real),
            Some(Marks::Hiding(Hiding { seen, finite, hidden })) => {
                let when = self.marks(path, sizes.clone(), seen, WholeKind::Truth)?.whole()?;
                let Some(finite) = finite else {
                    // What is left is a bias where it does not hide.
                    let mut real = self.reals([arg, path], &sizes, parameter)?;
                    self.movement().dropped(&mut real)?;
                    let finite = Finite::Tensor(real.clone());
                    return Ok(Meaning::Hidden(Box::new(Hidden { seen: when, finite, real })));
                };
                Ok(Meaning::Choice { when, then: *finite, otherwise: *hidden })
            }
            Some(Marks::Hidden(number)) => {
                let when = Whole::filled(sizes, 1.into(), WholeKind::Truth);
                Ok(Meaning::Choice { when, then: *number, otherwise: *number })
            }
            None => self.reals([arg, path], &sizes, parameter).map(Meaning::Tensor),
        }
    }

    /// A parameter or a buffer of reals.
    fn reals(
        &mut self,
        [arg, path]: [&str; 2],
        sizes: &[Poly],
        parameter: bool,
    ) -> Lowered<Placed> {
        let axes = self.movement().axes(sizes);
        let source = match &axes[..] {
            [] | [_] => Source::gain(),
            [.., last] => Source::weight(last.size.clone()),
        };
        // A buffer is no parameter: training does not change it, and nobody counts it as one.
        let source = if self.meta(arg)?.requires_grad { source } else { source.frozen() };
        let var = match parameter {
            true => self.graph.param(path, source, axes)?,
            false => self.graph.record(path, Source::Buffer { axes }, &[])?,
        };
        Ok(self.movement().tensor_of_all(var))
    }

    /// Takes dimensions of one element out of what is stored and a node reads, in the scope of the node:
    /// layers that are equal have equal nodes for it.
    pub(crate) fn arrange_stored(&mut self, node: &ProgramNode) -> Lowered<()> {
        for name in node.inputs.iter().flat_map(|input| input.arg.tensors()) {
            self.arrange_one(name)?;
        }
        Ok(())
    }

    /// The same of one name.
    pub(crate) fn arrange_one(&mut self, name: &str) -> Lowered<()> {
        let Some(mut tensor) = self.stored.get(name).cloned() else { return Ok(()) };
        self.movement().dropped(&mut tensor)?;
        self.values.insert(name.to_owned(), Meaning::Tensor(tensor));
        Ok(())
    }

    /// Whole numbers that are stored.
    fn whole_numbers(&mut self, path: &str, sizes: Vec<Poly>, kind: WholeKind) -> Lowered<Meaning> {
        let known = self.known;
        let values = known.constants.whole.get(path).map(Vec::as_slice);
        if let (Some(values), WholeKind::Truth) = (values, kind) {
            return self.marks(path, sizes, values, kind);
        }
        if let Some(expr) = values.and_then(|values| by_places(values, &sizes)) {
            return Ok(Meaning::Whole(Whole::filled(sizes, expr, kind)));
        }
        self.kept_numbers(path, sizes, kind)
    }

    /// Whole numbers that stand in a buffer, whatever they are.
    fn kept_numbers(&mut self, path: &str, sizes: Vec<Poly>, kind: WholeKind) -> Lowered<Meaning> {
        let values = self.known.constants.whole.get(path).map(Vec::as_slice);
        let axes = self.movement().axes(&sizes);
        let negative = values.is_some_and(|values| values.iter().any(|value| *value < 0));
        let most = values.and_then(|values| values.iter().max()).copied().unwrap_or(0);
        let below = Poly::from(most.saturating_add(1));
        let source = match negative {
            true => Source::Whole { axes },
            false => Source::Ids { axes, below },
        };
        let var = self.graph.record(path, source, &[])?;
        self.given(var, sizes, kind)
    }

    /// Says that whole numbers are a parameter: the source that was recorded of them since `first`, or one that
    /// nothing reads, where a rule or another source stands for them.
    fn whole_parameter(&mut self, path: &str, sizes: &[Poly], first: usize) -> Lowered<()> {
        let own = self.graph.vars().skip(first);
        let own = own.filter(|var| self.graph.node(*var).path == path).last();
        let var = match own {
            Some(var) => var,
            None => {
                let axes = self.movement().axes(sizes);
                self.graph.record(path, Source::Whole { axes }, &[])?
            }
        };
        self.graph.mark(var, Role::WholeParameter);
        Ok(())
    }

    /// Whole numbers that are known one by one.
    pub(crate) fn listed(
        &mut self,
        path: &str,
        sizes: Vec<Poly>,
        values: &[i64],
    ) -> Lowered<Meaning> {
        self.marks(path, sizes, values, WholeKind::Whole)
    }

    /// Zeros and ones that are known: by a rule, or one by one. Layers that keep the same have one.
    fn marks(
        &mut self,
        path: &str,
        sizes: Vec<Poly>,
        values: &[i64],
        kind: WholeKind,
    ) -> Lowered<Meaning> {
        if let Some(expr) = by_places(values, &sizes) {
            return Ok(Meaning::Whole(Whole::filled(sizes, expr, kind)));
        }
        let axes = self.movement().axes(&sizes);
        let source = Source::Known { axes, values: values.into() };
        let same = Op::Source(source.clone());
        let at = self.graph.nodes().iter().position(|node| node.op == same);
        let standing = at.and_then(|at| self.graph.vars().nth(at));
        let var = match standing {
            Some(var) => var,
            None => self.graph.record(path, source, &[])?,
        };
        self.given(var, sizes, kind)
    }

    /// An argument of the module.
    fn input(&mut self, arg: &Argument) -> Lowered<()> {
        match arg {
            Argument::Tensor(name) if self.is_complex(name) => {
                let sizes = [self.sizes_of(name)?, vec![2.into()]].concat();
                let axes = self.movement().axes(&sizes);
                let var = self.graph.input(name, axes)?;
                let real = Meaning::Tensor(self.movement().tensor(var)?);
                let pair = self.spared(|own| parts(own, real))?;
                self.complex.insert(name.clone(), pair);
                Ok(())
            }
            Argument::Tensor(name) if self.is_foreign(name) => Ok(()),
            Argument::Tensor(name) => {
                let sizes = self.sizes_of(name)?;
                let axes = self.movement().axes(&sizes);
                let kind = self.kind_of(name)?;
                let value = if kind == WholeKind::Real {
                    let var = self.graph.input(name, axes)?;
                    Meaning::Tensor(self.movement().tensor(var)?)
                } else {
                    let var = self.whole_input(name, axes, kind)?;
                    self.given(var, sizes, kind)?
                };
                self.values.insert(name.clone(), value);
                Ok(())
            }
            Argument::SymInt(SymIntArgument::AsName(name)) => {
                let size = self.program.graph_module.graph.sym_int_values.get(name);
                let size = size.ok_or_else(|| Obstacle::Bad(format!("`{name}` has no value")))?;
                let size = self.size(size)?;
                self.values.insert(name.clone(), Meaning::Size(size));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Whole numbers that are given: ids below the rows of the table that they are looked up in, or
    /// truth values.
    fn whole_input(&mut self, name: &str, axes: Vec<Axis>, kind: WholeKind) -> Lowered<Var> {
        if kind == WholeKind::Truth {
            return Ok(self.graph.input_mask(name, axes)?);
        }
        let weight = self.table_of(name);
        let sizes = weight.map(|weight| self.sizes_of(&weight)).transpose()?;
        let Some(below) = sizes.and_then(|sizes| sizes.into_iter().next()) else {
            let compared = self.compared(name).map(|result| self.sizes_of(&result)).transpose()?;
            // Lengths, numbers of documents: as many as what they are compared over, at most.
            let most = compared.and_then(|sizes| sizes.last().map(|size| size + &Poly::one()));
            return Ok(match most {
                Some(below) => self.graph.input_ids(name, axes, below)?,
                None => self.graph.input_whole(name, axes)?,
            });
        };
        let var = self.graph.input_ids(name, axes, below)?;
        self.graph.mark(var, Role::Tokens);
        Ok(var)
    }

    /// The table that the elements of an input are looked up in, as they are or in another form.
    fn table_of(&self, input: &str) -> Option<String> {
        self.met(input, |base, forms, argument| {
            let looked_up = argument("indices").is_some_and(|of| forms.contains(of));
            let looks_up = matches!(base, "embedding" | "embedding_bag");
            (looks_up && looked_up).then(|| argument("weight")).flatten()
        })
    }

    /// What becomes of the elements of an input where they are compared with other tensors.
    fn compared(&self, input: &str) -> Option<String> {
        self.met(input, |base, forms, argument| {
            let operands = [argument("self")?, argument("other")?];
            let compares = matches!(base, "lt" | "le" | "gt" | "ge" | "eq" | "ne");
            let met = operands.iter().any(|of| forms.contains(of));
            (compares && met).then(|| argument("")).flatten()
        })
    }

    /// What `of` finds at the first node where it finds something, of the names that stand for an input
    /// in any form, and of the node's own arguments by their names; its result has none.
    fn met(
        &self,
        input: &str,
        of: impl Fn(&str, &BTreeSet<&str>, &dyn Fn(&str) -> Option<&'p str>) -> Option<&'p str>,
    ) -> Option<String> {
        const SAME: &[&str] =
            &["view", "reshape", "unsqueeze", "squeeze", "to", "expand", "clone", "slice"];
        let program: &'p ExportedProgram = self.program;
        let mut forms = BTreeSet::from([input]);
        for node in &program.graph_module.graph.nodes {
            let name = node.target.strip_prefix("torch.ops.aten.").unwrap_or(&node.target);
            let base = name.split('.').next().unwrap_or(name);
            let tensor = |argument: &'p Argument| match argument {
                Argument::Tensor(of) => Some(of.as_str()),
                _ => None,
            };
            let argument = |name: &str| match name {
                "" => node.outputs.first().and_then(tensor),
                _ => { node.inputs.iter() }
                    .find(|input| input.name == name)
                    .and_then(|input| tensor(&input.arg)),
            };
            if let Some(found) = of(base, &forms, &argument) {
                return Some(found.to_owned());
            }
            if SAME.contains(&base) && argument("self").is_some_and(|of| forms.contains(of)) {
                forms.extend(node.outputs.iter().filter_map(|output| match output {
                    Argument::Tensor(of) => Some(of.as_str()),
                    _ => None,
                }));
            }
        }
        None
    }
}
