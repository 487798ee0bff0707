//! From the nodes of an exported program to a graph.

use std::collections::{BTreeMap, BTreeSet};

use opledger_conventions::Observation;
use opledger_dims::{Poly, Symbol, escaped};
use opledger_ir::{Elem, Graph, GraphError, SizeCondition, StoredType, Var};

use crate::call::{Call, module_path, operation, source_line};
use crate::chain::{self, Chains};
use crate::equalities::{Equalities, explained};
use crate::error::{ImportError, UnknownOperation, place};
use crate::guards::GuardPlace;
use crate::hidden::Finite;
use crate::importer::{Importer, Known, Lowered, Meaning, Obstacle};
use crate::in_full::{self, MaskedScores};
use crate::inputs::{InputSizes, ProgramInputs};
use crate::lower;
use crate::multiples::Multiples;
use crate::names::{conditions, naming};
use crate::observed::CallLog;
use crate::quiet;
use crate::schema::{
    Argument, ExportedProgram, InputSpec, OutputSpec, ProgramNode, SymInt, SymIntArgument,
};
use crate::symbolic::SizeExpr;
use crate::types;
use crate::whole::WholeKind;
use crate::writes::Writes;

/// A program as a graph.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The computation.
    pub graph: Graph,
    /// Under which conditions on sizes it is the program's: bounds and guards.
    pub conditions: Vec<SizeCondition>,
    /// Further conditions, as PyTorch writes them: guards that are not understood.
    pub guards: Vec<String>,
    /// The sizes of the example, of inputs that are sizes by themselves.
    pub examples: Vec<(Symbol, i64)>,
    /// The most of sizes for which the module has positions in a table.
    pub positions: Vec<(Symbol, u64)>,
    /// The names of the export for the symbols that have another in the graph.
    pub symbols: Vec<(String, Symbol)>,
    /// Operations that are not known, whose results are inputs of the graph.
    pub unknown: Vec<UnknownOperation>,
    /// Where what a mask hides is counted all the same.
    pub in_full: Vec<String>,
    /// Parameters that nothing reads and that may be others under a second name: those of a module on the
    /// device `meta`, which has no elements to tell them by.
    pub unread: Vec<String>,
    /// The types of parameters, buffers and inputs by their paths.
    pub types: BTreeMap<String, StoredType>,
    /// The types of what the nodes of the graph compute, where the program says one of reals.
    pub computed: Vec<Option<Elem>>,
    /// What the program calls, as tools that count its operations see it.
    pub observations: Vec<Observation>,
}

/// What is asked of an import.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// Names for symbols of the export.
    pub names: BTreeMap<String, Symbol>,
    /// Whether results of unknown operations become inputs.
    pub partial: bool,
}

/// Records a program.
pub(crate) fn import(
    program: &ExportedProgram,
    known: &Known,
    options: &ImportOptions,
) -> Result<Imported, ImportError> {
    if let Some(own) =
        options.names.keys().find(|own| !program.range_constraints.contains_key(*own))
    {
        let known = program.range_constraints.keys().map(|known| escaped(known)).collect();
        return Err(ImportError::NoSymbol { own: own.clone(), known });
    }
    let naming = naming(program, &options.names);
    let mut equal = Equalities::default();
    loop {
        let own = equal.clone();
        let mut unknown = Vec::new();
        let mut importer = Importer::new(program, known, naming.clone(), &own);
        let mut log = CallLog::new(program);
        match importer.record(&mut unknown, &mut log) {
            Ok(in_full) => {
                return importer
                    .finish(unknown, log.observations, options)
                    .map(|imported| Imported { in_full, ..imported });
            }
            Err((node, Obstacle::Equal(a, b))) => {
                // What follows from others is told by them, and names that were given stay.
                let one_is_other = [(&a, &b), (&b, &a)].into_iter().any(|(quotient, other)| {
                    equal.quotient_is(&importer.graph, quotient, Poly::symbol(other))
                });
                if one_is_other {
                    continue;
                }
                let has_role = |symbol: &Symbol| naming.roles.values().any(|own| own == symbol);
                let named = |symbol: &Symbol| naming.taken().any(|own| own == *symbol);
                let is_first = has_role(&a) || named(&a) && !has_role(&b);
                let (gone, kept) = if is_first { (b, a) } else { (a, b) };
                let known = equal.symbols.contains_key(&gone);
                if gone == kept || has_role(&gone) || known || importer.follows(&gone) {
                    return Err(importer.error(node, Obstacle::Equal(gone, kept)));
                }
                equal.symbols.insert(gone, kept);
            }
            Err((node, Obstacle::Known(symbol, value))) => {
                if !equal.quotient_is(&importer.graph, &symbol, value.clone()) {
                    return Err(importer.error(node, Obstacle::Known(symbol, value)));
                }
            }
            Err((node, problem)) => return Err(importer.error(node, problem)),
        }
    }
}

impl<'p> Importer<'p> {
    /// Whether a symbol follows from others.
    pub(crate) fn follows(&self, symbol: &Symbol) -> bool {
        self.graph.definitions().iter().any(|of| of.defines().contains(&symbol))
    }

    fn record(
        &mut self,
        unknown: &mut Vec<UnknownOperation>,
        log: &mut CallLog<'p>,
    ) -> Result<Vec<String>, (Option<&'p ProgramNode>, Obstacle)> {
        self.divisible = Multiples::of(&self.conditions().0);
        self.sources().map_err(|problem| (None, problem))?;
        let program = self.program;
        let (mut writes, mut chains) = (Writes::new(program), Chains::new(program));
        for (at, node) in program.graph_module.graph.nodes.iter().enumerate() {
            let before = self.graph.nodes().len();
            let recorded = self.node(node, &mut chains, unknown).and_then(|()| {
                self.computed.resize(before, None);
                self.computed.resize(self.graph.nodes().len(), self.result_type(node));
                let nodes = self.graph.vars().skip(before).collect();
                if !node.tensors().any(|name| self.is_foreign(name) && !self.is_complex(name)) {
                    log.observe(self, node, nodes)?;
                }
                writes.note(self, at, node)
            });
            recorded.map_err(|problem| (Some(node), problem))?;
        }
        self.outputs().map_err(|problem| (None, problem))?;
        // What something else took the place of is left out, where nothing reads it; what several layers
        // read stands before them.
        let (graph, places) = self.graph.pruned(&self.spare, &self.early);
        let mut computed = vec![None; graph.nodes().len()];
        for (own, to) in self.computed.iter().zip(&places) {
            if let Some(to) = to {
                computed[to.index()] = *own;
            }
        }
        (self.graph, self.computed) = (graph, computed);
        let moved = |var: &Var| places.get(var.index()).copied().flatten();
        log.share(&self.followed);
        for observation in &mut log.observations {
            observation.nodes = observation.nodes.iter().filter_map(moved).collect();
            observation.parts = crate::layers::moved(&observation.parts, moved);
        }
        Ok(in_full::notes(&self.graph, &self.masked, moved))
    }

    fn node(
        &mut self,
        node: &'p ProgramNode,
        chains: &mut Chains,
        unknown: &mut Vec<UnknownOperation>,
    ) -> Lowered<()> {
        let call = Call::new(node);
        let scope = self.graph.scope(&module_path(node)).here();
        let scope = scope.at_line(Some(source_line(node).unwrap_or_default()));
        let outer = self.graph.move_to(scope);
        self.arrange_stored(node)?;
        // The arguments are a stranger's: what they index beyond is told like any other misfit.
        let before = self.graph.nodes().len();
        let foreign = self.is_foreign_to(node);
        let lowered = quiet::caught(|| match chain::attended(chains, self, &call)? {
            _ if foreign => lower::complex::lower(self, &call),
            Some(attended) => Ok(vec![Meaning::Tensor(attended)]),
            None => {
                let results = lower::lower(self, &call)?;
                let nodes = before..self.graph.nodes().len();
                chain::follow(chains, self, &call, nodes)?;
                Ok(results)
            }
        });
        let results = lowered.unwrap_or_else(|| {
            Err(Obstacle::Bad("its arguments do not fit each other".to_owned()))
        });
        self.graph.move_to(outer);
        let results = match call.misread_argument() {
            // A default in its place may have led to anything but an operation that is not known.
            Some(name) if !matches!(results, Err(Obstacle::Unknown)) => {
                Err(Obstacle::Bad(format!("`{name}` is of a kind that is not read")))
            }
            Some(_) | None => results,
        };
        match results {
            Ok(values) => self.results(node, values),
            Err(Obstacle::Unknown) => {
                let name = match foreign {
                    true => format!("{} of complex or quantised numbers", call.operation),
                    false => call.operation.to_owned(),
                };
                match unknown.iter_mut().find(|one| one.name == name) {
                    Some(one) => one.calls += 1,
                    None => {
                        let (module, source_line) = (module_path(node), source_line(node));
                        unknown.push(UnknownOperation { name, module, calls: 1, source_line });
                    }
                }
                self.stand_in(node)
            }
            Err(problem) => Err(problem),
        }
    }

    /// Keeps the results of a node under their names.
    fn results(&mut self, node: &ProgramNode, values: Vec<Meaning>) -> Lowered<()> {
        let names: Vec<Option<&String>> = node
            .outputs
            .iter()
            .flat_map(|output| match output {
                Argument::Tensor(name)
                | Argument::SymFloat(name)
                | Argument::SymInt(SymIntArgument::AsName(name)) => {
                    vec![Some(name)]
                }
                Argument::Tensors(names) => names.iter().map(Some).collect(),
                _ => vec![None],
            })
            .collect();
        let flat: Vec<Meaning> = values
            .into_iter()
            .flat_map(|value| match value {
                Meaning::List(values) => values,
                value => vec![value],
            })
            .collect();
        if flat.len() < names.len() {
            return Err(Obstacle::Bad(format!(
                "{} results where {} are named",
                flat.len(),
                names.len()
            )));
        }
        for (name, value) in names.into_iter().zip(flat) {
            let Some(name) = name else { continue };
            // What sizes make is no tensor of the program.
            if !matches!(node.outputs.first(), Some(Argument::SymFloat(_))) {
                self.check(name, &value)?;
            }
            if let Meaning::Hidden(hidden) = &value
                && matches!(hidden.finite, Finite::Tensor(_))
                && hidden.seen.expr.as_number().is_none()
            {
                let (module, line) = (module_path(node), source_line(node));
                self.masked.push(MaskedScores { scores: hidden.real.var, module, line });
            }
            self.values.insert(name.clone(), value);
        }
        Ok(())
    }

    /// That a value has the sizes that the program says.
    fn check(&mut self, name: &str, value: &Meaning) -> Lowered<()> {
        let own = match value {
            Meaning::Tensor(tensor) => tensor.sizes(),
            Meaning::Hidden(hidden) => hidden.real.sizes(),
            Meaning::Whole(whole) | Meaning::Choice { when: whole, .. } => whole.sizes.clone(),
            Meaning::Groups(_)
            | Meaning::Size(_)
            | Meaning::Number(_)
            | Meaning::List(_)
            | Meaning::None => return Ok(()),
        };
        let said = self.sizes_of(name)?;
        if own.len() != said.len() {
            return Err(Obstacle::Bad(format!(
                "`{name}` has {} dimensions where the program says {}",
                own.len(),
                said.len()
            )));
        }
        for (own, said) in own.into_iter().zip(said) {
            let folded = (self.graph.fold(&own), self.graph.fold(&said));
            if folded.0 != folded.1 {
                return Err(Obstacle::sizes([own, said]));
            }
        }
        Ok(())
    }

    /// The type of the reals that a node computes.
    fn result_type(&self, node: &ProgramNode) -> Option<Elem> {
        let name = node.outputs.iter().flat_map(Argument::tensors).next()?;
        types::stored_type(self.meta(name).ok()?.dtype).filter(|of| of.exact).map(|of| of.elem)
    }

    /// ProgramInputs in the place of results that nobody computes.
    fn stand_in(&mut self, node: &ProgramNode) -> Lowered<()> {
        let names = node.outputs.iter().flat_map(|output| match output {
            Argument::Tensor(name) => vec![name],
            Argument::Tensors(names) => names.iter().collect(),
            _ => Vec::new(),
        });
        for name in names.filter(|name| !self.is_foreign(name)).collect::<Vec<_>>() {
            let sizes = self.sizes_of(name)?;
            let axes = self.movement().axes(&sizes);
            let kind = self.kind_of(name)?;
            let value = if kind == WholeKind::Real {
                let var = self.graph.input(name, axes)?;
                Meaning::Tensor(self.movement().tensor(var)?)
            } else {
                let var = self.graph.input_ids(name, axes, 1)?;
                self.given(var, sizes, kind)?
            };
            self.values.insert(name.clone(), value);
        }
        Ok(())
    }

    fn outputs(&mut self) -> Lowered<()> {
        let program = self.program;
        for spec in &program.graph_module.signature.output_specs {
            let OutputSpec::UserOutput(output) = spec else { continue };
            let Argument::Tensor(name) = &output.arg else { continue };
            // What is returned twice is one result.
            if self.graph.outputs().iter().any(|(own, _)| own == name) {
                continue;
            }
            if let Some(pair) = self.complex.get(name).cloned() {
                let tensor = lower::complex::as_real(self, pair)?;
                let var = self.movement().dense(&tensor)?.var;
                self.graph.output(name, var);
                continue;
            }
            if self.is_foreign(name) {
                continue;
            }
            self.arrange_one(name)?;
            let value = self.value(name)?;
            let kind = self.kind_of(name)?;
            let var = match value {
                Meaning::Whole(whole) if kind != WholeKind::Real => {
                    let truth = whole.kind == WholeKind::Truth;
                    let tensor = self.movement().whole(&whole.sizes, &whole.expr, truth)?;
                    self.movement().dense(&tensor)?.var
                }
                value => {
                    let tensor = self.real(value)?;
                    self.movement().dense(&tensor)?.var
                }
            };
            self.graph.output(name, var);
        }
        Ok(())
    }

    fn finish(
        mut self,
        unknown: Vec<UnknownOperation>,
        observations: Vec<Observation>,
        options: &ImportOptions,
    ) -> Result<Imported, ImportError> {
        if !unknown.is_empty() && !options.partial {
            return Err(ImportError::Unknown(unknown));
        }
        let used: BTreeSet<Symbol> = self.graph.symbols();
        for (role, symbol) in &self.naming.roles {
            if used.contains(symbol) {
                self.graph.size_role(*role, symbol);
            }
        }
        let (conditions, guards) = self.conditions();
        let own = self.program.range_constraints.keys().filter_map(|own| {
            let name = self.named(own).as_symbol()?.clone();
            (own != name.as_str()).then(|| (own.clone(), name))
        });
        let symbols = own.collect();
        let examples = self.examples();
        let positions = self.positions.into_iter().collect();
        let types = types::types(self.program, &self.known.tied);
        let typed = crate::layers::Types { given: &types, computed: self.computed };
        let (graph, observations, computed) = crate::layers::once(self.graph, observations, typed)?;
        let in_full = Vec::new();
        Ok(Imported {
            graph,
            conditions,
            guards,
            examples,
            positions,
            symbols,
            unknown,
            in_full,
            unread: Vec::new(),
            types,
            computed,
            observations,
        })
    }

    /// What the sizes of inputs were for the example.
    fn examples(&self) -> Vec<(Symbol, i64)> {
        let inputs = self.program.graph_module.signature.input_specs.iter();
        let names = inputs.filter_map(|spec| match spec {
            InputSpec::UserInput(input) => Some(input.arg.tensors()),
            InputSpec::Parameter(_)
            | InputSpec::Buffer(_)
            | InputSpec::TensorConstant(_)
            | InputSpec::CustomObj(_)
            | InputSpec::Token(_)
            | InputSpec::ConstantInput(_) => None,
        });
        let sizes =
            names.flatten().filter_map(|name| self.meta(name).ok()).flat_map(|meta| &meta.sizes);
        let example = |size: &SymInt| match size {
            SymInt::AsInt(_) => None,
            SymInt::AsExpr(expression) => match SizeExpr::parse(&expression.expr_str)? {
                SizeExpr::Symbol(own) => {
                    Some((self.named(&own).as_symbol()?.clone(), expression.hint?))
                }
                SizeExpr::Integer(_) | SizeExpr::Fraction(..) | SizeExpr::Call(..) => None,
            },
        };
        let all: BTreeMap<Symbol, i64> = sizes.filter_map(example).collect();
        all.into_iter().collect()
    }

    /// Under which conditions the graph is the program's, symbols that were found to be one size among
    /// them, and guards that are not understood.
    fn conditions(&mut self) -> (Vec<SizeCondition>, Vec<String>) {
        let program = self.program;
        let mut inputs = ProgramInputs::of(program);
        for spec in &program.graph_module.signature.input_specs {
            let InputSpec::UserInput(input) = spec else { continue };
            match &input.arg {
                Argument::Tensor(name) => {
                    let sizes = self.sizes_of(name).ok();
                    inputs.add(name, sizes.map(InputSizes::Tensor));
                }
                Argument::SymInt(SymIntArgument::AsName(name)) => {
                    let said = program.graph_module.graph.sym_int_values.get(name);
                    let size = said.and_then(|said| self.size(said).ok());
                    inputs.add(name, size.map(InputSizes::Number));
                }
                _ => {}
            }
        }
        let size = |place: &GuardPlace<'_>| match place {
            GuardPlace::Input(path, dim) => inputs.size(path, *dim),
            GuardPlace::Symbol(own) => {
                let is_known = program.range_constraints.contains_key(*own);
                is_known.then(|| self.named(own))
            }
        };
        let named = |symbol: &str| self.named(symbol);
        let whole = self.naming.derived.values().map(|derived| derived.condition());
        let assumed = whole.chain(self.equal.conditions()).collect();
        conditions(program, &named, &size, assumed)
    }

    fn error(&self, node: Option<&ProgramNode>, problem: Obstacle) -> ImportError {
        let problem = match problem {
            Obstacle::Graph(GraphError { op, problem, operands, .. }) => {
                format!("{problem}; operands of `{op}`: {operands}")
            }
            Obstacle::Bad(problem) => problem,
            Obstacle::Unknown => "the operation is not known".to_owned(),
            Obstacle::Equal(a, b) => format!("`{a}` meets `{b}`"),
            Obstacle::Known(symbol, value) => format!("`{symbol}` meets {value}"),
        };
        let problem = explained(&self.graph, problem);
        ImportError::Node {
            operation: node.map_or("the signature", |node| operation(&node.target)).to_owned(),
            module: node.map_or_else(|| "the program".to_owned(), |node| place(&module_path(node))),
            problem,
            source_line: node.and_then(source_line),
        }
    }
}
