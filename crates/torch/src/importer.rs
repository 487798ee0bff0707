//! What a program's names stand for while its nodes are recorded.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use opledger_dims::{Poly, Symbol};
use opledger_ir::{Axis, Elem, Graph, IndexExpr, Scope, Var};

use crate::aliases::Aliases;
use crate::equalities::Equalities;
use crate::followed::FollowedAttention;
use crate::in_full::MaskedScores;
pub(crate) use crate::meaning::{Lowered, Meaning, Obstacle, Pair};
use crate::multiples::Multiples;
use crate::names::Naming;
use crate::schema::{
    Argument, ExportedProgram, OutputSpec, ProgramNode, SymInt, SymIntArgument, TensorMeta,
};
use crate::symbolic::SizeExpr;
use crate::tensor::{Dim, DimPart, Movement, Placed};
use crate::weights::Constants;
use crate::whole::{Whole, WholeKind};

/// What of an archive is known before its program is recorded.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// For each parameter that is an earlier one, that one's name.
    pub(crate) tied: BTreeMap<String, String>,
    pub(crate) names: Aliases,
    pub(crate) constants: Constants,
}

/// A program on its way to a graph.
pub(crate) struct Importer<'p> {
    pub(crate) program: &'p ExportedProgram,
    pub(crate) known: &'p Known,
    pub(crate) graph: Graph,
    sizes: Vec<Poly>,
    /// The whole numbers that expressions look up in.
    wholes: Vec<Var>,
    pub(crate) values: HashMap<String, Meaning>,
    /// What is complex, of which `values` has nothing.
    pub(crate) complex: HashMap<String, Pair>,
    /// Parameters and buffers of reals by their names, dimensions of one element as axes too.
    pub(crate) stored: HashMap<String, Placed>,
    /// What symbols of the export are called.
    pub(crate) naming: Naming,
    /// Symbols that are others.
    pub(crate) equal: &'p Equalities,
    /// Nodes that may turn out to be read by nothing, since something else took their place.
    pub(crate) spare: BTreeSet<Var>,
    /// Nodes that stand before all that computes, since several layers read them.
    pub(crate) early: BTreeSet<Var>,
    /// Tensors of truth values over named axes, the last the keys.
    pub(crate) masks: Vec<(IndexExpr, Vec<Axis>, Var)>,
    /// Scores of which a mask hides some.
    pub(crate) masked: Vec<MaskedScores>,
    /// The types of what the nodes of the graph compute.
    pub(crate) computed: Vec<Option<Elem>>,
    /// Attention that was recorded of several calls.
    pub(crate) followed: Vec<FollowedAttention>,
    /// Sizes that are multiples of whole numbers.
    pub(crate) divisible: Multiples,
    /// The most of sizes that tables have positions for.
    pub(crate) positions: BTreeMap<Symbol, u64>,
}

impl<'p> Importer<'p> {
    pub(crate) fn new(
        program: &'p ExportedProgram,
        known: &'p Known,
        naming: Naming,
        equal: &'p Equalities,
    ) -> Self {
        let mut graph = Graph::new();
        // What no line of the program asks for is at none.
        graph.move_to(Scope::default().at_line(Some(String::new())));
        graph.reserve(naming.taken());
        Importer {
            program,
            known,
            graph,
            sizes: Vec::new(),
            wholes: Vec::new(),
            values: HashMap::new(),
            complex: HashMap::new(),
            stored: HashMap::new(),
            naming,
            equal,
            spare: BTreeSet::new(),
            early: BTreeSet::new(),
            masks: Vec::new(),
            masked: Vec::new(),
            computed: Vec::new(),
            followed: Vec::new(),
            divisible: Multiples::default(),
            positions: BTreeMap::new(),
        }
    }

    pub(crate) fn movement(&mut self) -> Movement<'_> {
        Movement { graph: &mut self.graph, sizes: &mut self.sizes, wholes: &self.wholes }
    }

    /// What a symbol of the export is in the graph.
    pub(crate) fn named(&self, symbol: &str) -> Poly {
        called(symbol, &self.naming, &self.equal.symbols)
    }

    /// Records what may turn out to be read by nothing.
    pub(crate) fn spared<T>(&mut self, record: impl FnOnce(&mut Self) -> Lowered<T>) -> Lowered<T> {
        let before = self.graph.nodes().len();
        let recorded = record(self);
        self.spare.extend(self.graph.vars().skip(before));
        recorded
    }

    /// Records what several layers may read, under the path of none.
    pub(crate) fn for_all<T>(
        &mut self,
        record: impl FnOnce(&mut Self) -> Lowered<T>,
    ) -> Lowered<T> {
        let nowhere = Scope::default().at_line(Some(String::new()));
        let (before, outer) = (self.graph.nodes().len(), self.graph.move_to(nowhere));
        let recorded = record(self);
        self.graph.move_to(outer);
        self.early.extend(self.graph.vars().skip(before));
        recorded
    }

    /// A size of the program as a polynomial.
    pub(crate) fn size(&mut self, size: &SymInt) -> Lowered<Poly> {
        self.size_of(size, |expression| expression)
    }

    fn size_of(&mut self, size: &SymInt, change: impl Fn(SizeExpr) -> SizeExpr) -> Lowered<Poly> {
        match size {
            SymInt::AsInt(size) => Ok((*size).into()),
            SymInt::AsExpr(expression) => {
                let text = &expression.expr_str;
                let parsed = SizeExpr::parse(text).ok_or_else(|| {
                    let mend = "write it with whole numbers, as 3 * n // 10 for 0.3 * n";
                    Obstacle::Bad(format!("a size is not understood: {text}; {mend}"))
                })?;
                let (naming, equal) = (&self.naming, self.equal);
                let named = |symbol: &str| called(symbol, naming, &equal.symbols);
                let divisible = &self.divisible;
                let divided = |graph: &mut Graph, a: &Poly, b: &Poly| {
                    divisible.quotient(a, b).unwrap_or_else(|| equal.quotient(graph, a, b))
                };
                change(parsed).poly(&mut self.graph, &named, &divided).map_err(|function| {
                    Obstacle::Bad(format!("a size has `{function}`, which is not known: {text}"))
                })
            }
        }
    }

    /// A size divided by another, rounded down; a quotient where it is known that nothing is left.
    pub(crate) fn floor_div(&mut self, a: &Poly, b: &Poly) -> Poly {
        let known = self.divisible.quotient(a, b);
        known.unwrap_or_else(|| self.equal.quotient(&mut self.graph, a, b))
    }

    /// Notes that a table of so many rows is read up to a position: a bound of the size that this is, but
    /// for a number.
    pub(crate) fn reads_positions(&mut self, needed: &Poly, rows: &Poly) {
        let symbols = needed.symbols();
        let (Some(symbol), 1) = (symbols.first(), symbols.len()) else { return };
        let more = needed - &Poly::symbol(symbol);
        let most = (rows - &more).as_integer().and_then(|most| u64::try_from(most).ok());
        if let Some(most) = most {
            let own = self.positions.entry(symbol.clone()).or_insert(most);
            *own = most.min(*own);
        }
    }

    pub(crate) fn meta(&self, name: &str) -> Lowered<&'p TensorMeta> {
        let program = self.program;
        let meta = program.graph_module.graph.tensor_values.get(name);
        meta.ok_or_else(|| Obstacle::Bad(format!("`{name}` has no shape")))
    }

    /// The sizes of a tensor of the program.
    pub(crate) fn sizes_of(&mut self, name: &str) -> Lowered<Vec<Poly>> {
        self.meta(name)?.sizes.iter().map(|size| self.size(size)).collect()
    }

    /// How far apart the elements of a tensor of the program lie, dimension by dimension.
    pub(crate) fn strides_of(&mut self, name: &str) -> Lowered<Vec<Poly>> {
        let strides = self.meta(name)?.strides.iter();
        strides.map(|stride| self.size_of(stride, SizeExpr::of_no_empty_dimension)).collect()
    }

    /// What the elements of a tensor of the program are.
    pub(crate) fn kind_of(&self, name: &str) -> Lowered<WholeKind> {
        let dtype = self.meta(name)?.dtype;
        kind(dtype).ok_or_else(|| Obstacle::Bad(format!("`{name}` is of the element type {dtype}")))
    }

    /// How few bits the elements of a tensor of the program have, if these are whole numbers of 8 or 16
    /// (`ScalarType` of the schema).
    pub(crate) fn narrow(&self, name: &str) -> Lowered<Option<NarrowType>> {
        Ok(match self.meta(name)?.dtype {
            1 => Some(NarrowType { bits: 8, signed: false }),
            2 => Some(NarrowType { bits: 8, signed: true }),
            3 => Some(NarrowType { bits: 16, signed: true }),
            28 => Some(NarrowType { bits: 16, signed: false }),
            _ => None,
        })
    }

    /// How many bits whole numbers of a tensor of the program have.
    pub(crate) fn width(&self, name: &str) -> Lowered<NarrowType> {
        let wide = match self.meta(name)?.dtype {
            4 => NarrowType { bits: 32, signed: true },
            34 => NarrowType { bits: 32, signed: false },
            _ => NarrowType { bits: 64, signed: true },
        };
        Ok(self.narrow(name)?.unwrap_or(wide))
    }

    /// Whether a node, or who calls the program, reads a value.
    pub(crate) fn is_asked_for(&self, name: &str) -> bool {
        let module = &self.program.graph_module;
        let inputs = module.graph.nodes.iter().flat_map(|node| &node.inputs);
        let outputs = module.signature.output_specs.iter().filter_map(|spec| match spec {
            OutputSpec::UserOutput(output) => Some(&output.arg),
            _ => None,
        });
        let mut read = inputs.map(|input| &input.arg).chain(outputs);
        read.any(|argument| argument.tensors().contains(&name))
    }

    /// Whether a tensor of the program holds complex numbers (`ScalarType` of the schema).
    pub(crate) fn is_complex(&self, name: &str) -> bool {
        self.meta(name).is_ok_and(|meta| matches!(meta.dtype, 9..=11))
    }

    /// Whether a tensor of the program holds what no tensor of a graph does: complex numbers, quantised
    /// ones.
    pub(crate) fn is_foreign(&self, name: &str) -> bool {
        self.is_complex(name) || self.meta(name).is_ok_and(|meta| kind(meta.dtype).is_none())
    }

    /// Whether a node reads or makes such a tensor.
    pub(crate) fn is_foreign_to(&self, node: &ProgramNode) -> bool {
        node.tensors().any(|name| self.is_foreign(name))
    }

    /// What a name stands for.
    pub(crate) fn value(&self, name: &str) -> Lowered<Meaning> {
        let value = self.values.get(name).cloned();
        value.ok_or_else(|| Obstacle::Bad(format!("nothing stands for `{name}`")))
    }

    /// A value as a tensor of reals that the graph computes.
    pub(crate) fn real(&mut self, value: Meaning) -> Lowered<Placed> {
        match value {
            Meaning::Tensor(tensor) => Ok(tensor),
            Meaning::Whole(whole) if whole.expr.as_number().is_some() => {
                let number = whole.expr.as_number().unwrap_or(0) as f64;
                self.chosen(&whole, number, number)
            }
            Meaning::Whole(whole) => {
                let mut movement = self.movement();
                let truth = whole.kind == WholeKind::Truth;
                let tensor = movement.whole(&whole.sizes, &whole.expr, truth)?;
                Ok(movement.reals(tensor)?)
            }
            Meaning::Choice { when, then, otherwise } => self.chosen(&when, then, otherwise),
            Meaning::Hidden(hidden) => Ok(hidden.real),
            Meaning::Number(number) => {
                let var = self.graph.fill(Vec::<Axis>::new(), number)?;
                Ok(Placed { var, dims: Vec::new() })
            }
            Meaning::Size(size) => {
                let expr = IndexExpr::size(size);
                self.real(Meaning::Whole(Whole::filled(Vec::new(), expr, WholeKind::Whole)))
            }
            Meaning::Groups(_) => Err(Obstacle::Unknown),
            Meaning::List(_) | Meaning::None => {
                Err(Obstacle::Bad("a list or nothing where a tensor is needed".to_owned()))
            }
        }
    }

    /// A tensor of zeros.
    pub(crate) fn zeros(&mut self, sizes: Vec<Poly>) -> Lowered<Placed> {
        self.real(Meaning::Whole(Whole::filled(sizes, 0.into(), WholeKind::Whole)))
    }

    /// Whole numbers that the graph computes, with an axis for each dimension.
    pub(crate) fn computed(
        &mut self,
        var: Var,
        dims: Vec<Dim>,
        kind: WholeKind,
    ) -> Lowered<Meaning> {
        let dense = self.movement().dense(&Placed { var, dims })?;
        self.given(dense.var, dense.sizes(), kind)
    }

    /// Whole numbers of the graph that have an axis for each dimension.
    pub(crate) fn given(
        &mut self,
        var: Var,
        sizes: Vec<Poly>,
        kind: WholeKind,
    ) -> Lowered<Meaning> {
        let known = self.wholes.iter().position(|own| *own == var);
        let operand = known.unwrap_or_else(|| {
            self.wholes.push(var);
            self.wholes.len() - 1
        });
        Ok(Meaning::Whole(Whole::given(operand, sizes, kind)))
    }

    /// Whole numbers that many places of an expression ask for: computed once, unless they are simple.
    pub(crate) fn looked_up(&mut self, whole: Whole) -> Lowered<Whole> {
        let simple = match &whole.expr {
            IndexExpr::Lookup { .. } | IndexExpr::Position(_) => true,
            expr => expr.as_number().is_some(),
        };
        if simple {
            return Ok(whole);
        }
        let placed = self.movement().whole(&whole.sizes, &whole.expr, false)?;
        self.computed(placed.var, placed.dims, whole.kind)?.whole()
    }

    /// The value that expressions look up in by a number.
    pub(crate) fn whole_var(&self, operand: usize) -> Option<Var> {
        self.wholes.get(operand).copied()
    }

    /// One of two reals at each place.
    fn chosen(&mut self, when: &Whole, then: f64, otherwise: f64) -> Lowered<Placed> {
        let one = Poly::one();
        let same = match when.expr.as_number() {
            Some(0) => Some(otherwise),
            Some(_) => Some(then),
            None => (then == otherwise).then_some(then),
        };
        if let Some(number) = same {
            let var = self.graph.fill(Vec::<Axis>::new(), number)?;
            let dim = |size: &Poly| {
                if *size == one { Vec::new() } else { vec![DimPart::Repeat(size.clone())] }
            };
            return Ok(Placed { var, dims: when.sizes.iter().map(dim).collect() });
        }
        let condition = self.movement().whole(&when.sizes, &when.expr, true)?;
        let then = self.graph.fill(Vec::<Axis>::new(), then)?;
        let otherwise = self.graph.fill(Vec::<Axis>::new(), otherwise)?;
        let axes = self.graph.shape(condition.var).axes.clone();
        let var = self.graph.select(axes, condition.var, then, otherwise)?;
        Ok(Placed { var, ..condition })
    }
}

impl Importer<'_> {
    /// An argument as a value.
    pub(crate) fn of(&self, argument: &Argument) -> Lowered<Meaning> {
        let named = |size: &SymIntArgument| match size {
            SymIntArgument::AsInt(value) => Ok(Meaning::Size((*value).into())),
            SymIntArgument::AsName(name) => self.value(name),
        };
        Ok(match argument {
            Argument::None | Argument::Other | Argument::Text(_) | Argument::Graph(_) => {
                Meaning::None
            }
            Argument::Tensor(name) => self.value(name)?,
            Argument::Tensors(names) => {
                Meaning::List(names.iter().map(|name| self.value(name)).collect::<Lowered<_>>()?)
            }
            Argument::OptionalTensors(names) => Meaning::List(
                names
                    .iter()
                    .map(|name| name.as_ref().map_or(Ok(Meaning::None), |name| self.value(name)))
                    .collect::<Lowered<_>>()?,
            ),
            Argument::Int(value) => Meaning::Size((*value).into()),
            Argument::Ints(values) => {
                Meaning::List(values.iter().map(|value| Meaning::Size((*value).into())).collect())
            }
            Argument::SymInt(size) => named(size)?,
            Argument::SymInts(sizes) => {
                Meaning::List(sizes.iter().map(named).collect::<Lowered<_>>()?)
            }
            Argument::SymFloat(name) => self.value(name)?,
            Argument::Float(value) => Meaning::Number(*value),
            Argument::Floats(values) => {
                Meaning::List(values.iter().copied().map(Meaning::Number).collect())
            }
            Argument::Bool(value) => Meaning::Size(i64::from(*value).into()),
            Argument::Bools(values) => {
                Meaning::List(values.iter().map(|v| Meaning::Size(i64::from(*v).into())).collect())
            }
        })
    }
}

/// A type of whole numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NarrowType {
    pub(crate) bits: u32,
    pub(crate) signed: bool,
}

/// What the elements of a type of PyTorch are (`ScalarType` of the schema).
fn kind(dtype: u64) -> Option<WholeKind> {
    match dtype {
        12 => Some(WholeKind::Truth),
        1..=5 | 28 | 34 | 35 => Some(WholeKind::Whole),
        // Each part of a complex number is real.
        6..=11 | 13 | 29..=33 => Some(WholeKind::Real),
        _ => None,
    }
}

/// What a symbol of the export is in the graph: its name, that of the one it is equal to, or what it is in
/// that of an input.
fn called(symbol: &str, naming: &Naming, equal: &BTreeMap<Symbol, Symbol>) -> Poly {
    let last = |mut name: Symbol| {
        while let Some(other) = equal.get(&name) {
            name = other.clone();
        }
        name
    };
    let Some(derived) = naming.derived.get(symbol) else {
        let name = naming.names.get(symbol).cloned().unwrap_or_else(|| symbol.into());
        return Poly::symbol(last(name));
    };
    let value = derived.value();
    let names = value.symbols().into_iter().map(|own| (own.clone(), last(own).into()));
    value.compose(&names.collect())
}
