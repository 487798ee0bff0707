//! Units of a program whose calls a framework recorded as they were made: what no dialect needs to
//! say.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use opledger_dims::{Binding, Class, Counts, EvalError, Integer, Poly, Symbol};
use opledger_ir::{Graph, LeftOut, Op, Operation, Part, Var};

use super::gradient::Iteration;
use super::lowering::Lowering;
use super::share::{ShareCounts, add};
use super::{Unit, Units, called};
use crate::call::{Call, Manner};
use crate::convention::{Convention, Counting, Match};
use crate::names::ModuleNames;
use crate::{ConventionError, Share, dialect};

/// A step of a program as its record has it.
#[derive(Clone, Debug)]
pub struct Observation {
    /// The path of the innermost module around it.
    pub path: String,
    /// The names of that module.
    pub names: ModuleNames,
    /// The module that it is a call in, where that calls no other module.
    pub module: Option<ObservedModule>,
    /// The operator; none of what no tool counts, such as moving.
    pub call: Option<ObservedCall>,
    /// The first size of its result, if that is a tensor with axes.
    pub first: Option<Poly>,
    /// The elements of the parameters that it reads, by their names.
    pub parameters: BTreeMap<String, Poly>,
    /// What the graph has for it.
    pub nodes: Vec<Var>,
    /// What it is of nodes that stand with another, which several calls are recorded as.
    pub parts: Vec<ObservedPart>,
    /// How often it is made, in layers that are recorded once.
    pub times: u64,
}

/// A part of a node that one of several calls computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObservedPart {
    /// The node.
    pub node: Var,
    /// Its part.
    pub part: Part,
    /// Of that the operations of one class; all of them where none is named.
    pub class: Option<Class>,
}

/// A module that calls no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedModule {
    /// What tells this call of it from all others.
    pub instance: String,
    /// Its class, where tools know it.
    pub class: Option<Cow<'static, str>>,
}

/// A call of an operator of the framework, its sizes open.
#[derive(Clone, Debug, PartialEq)]
pub struct ObservedCall {
    /// Which operator.
    pub op: Cow<'static, str>,
    /// How it is called.
    pub by: Manner,
    /// Its sizes, by the names that rules use.
    pub sizes: BTreeMap<Symbol, Poly>,
    /// What of it is multiplied in matrices, of which rules have the sum as `products`; none where rules
    /// have it of `sizes`.
    pub parts: Vec<ProductPart>,
}

/// A product of matrices that a call makes unless a size is 1, which leaves nothing to contract.
#[derive(Clone, Debug, PartialEq)]
pub struct ProductPart {
    /// The size.
    pub size: Poly,
    /// Its multiplications.
    pub products: Poly,
}

/// What rules call the sum of the parts of a call.
const PRODUCTS: &str = "products";

impl ObservedCall {
    /// Its sizes with the sum of its parts, none of whose sizes is 1.
    fn all_sizes(&self) -> BTreeMap<Symbol, Poly> {
        let mut sizes = self.sizes.clone();
        if !self.parts.is_empty() {
            sizes.insert(PRODUCTS.into(), self.parts.iter().map(|part| &part.products).sum());
        }
        sizes
    }

    /// The sum of its parts at sizes.
    fn products_at(&self, binding: &Binding) -> Result<Integer, EvalError> {
        let one = Integer::from(1);
        let products = self.parts.iter().map(|part| match part.size.at(binding)? == one {
            true => Ok(Integer::default()),
            false => part.products.at(binding),
        });
        products.sum()
    }
}

/// The module that keeps its projections to itself.
const MULTIHEAD: &str = "MultiheadAttention";

/// The observations of one unit.
struct Group<'a> {
    observations: Vec<&'a Observation>,
}

impl<'a> Group<'a> {
    fn calls(&self) -> impl Iterator<Item = &'a ObservedCall> {
        self.observations.iter().filter_map(|one| one.call.as_ref())
    }

    fn times(&self) -> u64 {
        self.observations.first().map_or(1, |one| one.times)
    }

    fn path(&self) -> &'a str {
        self.observations.first().map_or("", |one| &one.path)
    }

    fn names(&self) -> ModuleNames {
        self.observations.first().map(|one| one.names.clone()).unwrap_or_default()
    }

    fn parameters(&self) -> Poly {
        let all: BTreeMap<&String, &Poly> =
            self.observations.iter().flat_map(|one| &one.parameters).collect();
        all.into_values().sum()
    }

    /// Its class, as rules for modules have it. A module of a class that no tool knows is told by its
    /// parameters, which is all that a tool sees of it.
    fn class(&self) -> Option<Cow<'static, str>> {
        // The last call of a module is what its class is for.
        self.observations.last()?.module.as_ref()?;
        let mut names = self.observations.iter().flat_map(|one| one.parameters.keys()).peekable();
        match self.known_class() {
            Some(class) => Some(class.clone()),
            None if names.peek().is_none() => None,
            None if names.all(|name| name.rsplit('.').next() == Some("weight")) => {
                Some("module with a weight".into())
            }
            None => Some("module with parameters".into()),
        }
    }

    /// The class of its module, where tools know it by a name.
    fn known_class(&self) -> Option<&Cow<'static, str>> {
        self.observations.last()?.module.as_ref()?.class.as_ref()
    }

    /// What the rules for a module call its sizes: those of the first call that it makes, with the first
    /// size of what the module gives.
    fn sizes(&self) -> BTreeMap<Symbol, Poly> {
        let mut sizes = self.calls().next().map(|call| call.sizes.clone()).unwrap_or_default();
        if self.class().is_some_and(|class| class == MULTIHEAD) {
            sizes = self.multihead_sizes().unwrap_or_default();
        }
        if let Some(first) = self.observations.iter().rev().find_map(|one| one.first.clone()) {
            sizes.insert("first".into(), first);
        }
        sizes
    }

    /// The sizes of `nn.MultiheadAttention`: those of attention, and the widths of what is projected,
    /// whose projections are joined where they are of one value.
    fn multihead_sizes(&self) -> Option<BTreeMap<Symbol, Poly>> {
        let linear: Vec<_> = self.calls().filter(|call| call.op == "linear").collect();
        let (_, projections) = linear.split_last()?;
        let of = |at: usize, name: &str| {
            let at = at.min(projections.len().saturating_sub(1));
            projections.get(at)?.sizes.get(&name.into()).cloned()
        };
        let mut sizes = match self.calls().find(|call| call.op == "sdpa") {
            Some(attention) => attention.sizes.clone(),
            None => self.product_sizes(&of(0, "in")?)?,
        };
        for (name, at, from) in
            [("embed", 0, "in"), ("kdim", 1, "in"), ("vdim", 2, "in"), ("bias", 0, "bias")]
        {
            sizes.insert(name.into(), of(at, from)?);
        }
        // Keys that the module adds of its own are attended, and not projected.
        let given = of(1, "rows")?.divided_by(sizes.get(&"batch".into())?)?;
        sizes.insert("given_keys".into(), given);
        Some(sizes)
    }

    /// The sizes of attention over heads of an embedding, of which scores and context are products one by
    /// one, as where its weights are returned.
    fn product_sizes(&self, embed: &Poly) -> Option<BTreeMap<Symbol, Poly>> {
        let mut products = self.calls().filter(|call| matches!(&*call.op, "bmm" | "baddbmm"));
        let [scores, context] = [products.next()?, products.next()?];
        let of = |product: &ObservedCall, name: &str| product.sizes.get(&name.into()).cloned();
        let head_dim = of(scores, "k")?;
        let heads = embed.divided_by(&head_dim)?;
        let sizes = [
            ("batch", of(scores, "batch")?.divided_by(&heads)?),
            ("queries", of(scores, "m")?),
            ("keys", of(scores, "n")?),
            ("value_dim", of(context, "n")?),
            ("head_dim", head_dim),
            ("heads", heads),
        ];
        Some(sizes.map(|(name, size)| (name.into(), size)).into())
    }
}

/// Observations by units: those of one module together, any other for itself.
fn groups(observations: &[Observation]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut known: BTreeMap<&str, usize> = BTreeMap::new();
    for one in observations {
        let at = match &one.module {
            Some(module) => *known.entry(&module.instance).or_insert(groups.len()),
            None => groups.len(),
        };
        if at == groups.len() {
            groups.push(Group { observations: Vec::new() });
        }
        groups[at].observations.push(one);
    }
    groups
}

/// What the ledger counts for a unit.
#[derive(Default)]
struct Ledgered {
    counts: BTreeMap<Share, ShareCounts>,
    left_out: BTreeMap<(Share, LeftOut), ShareCounts>,
}

impl Ledgered {
    /// Adds of a node what `is_own` says, for what its call is for.
    fn add(
        &mut self,
        lowering: &Lowering<'_>,
        node: Var,
        call: Option<&ObservedCall>,
        is_own: impl Fn(Part, Class) -> bool,
    ) {
        let (graph, binding) = (lowering.graph, lowering.binding);
        let own = |part: Part, counts: &Counts<Poly>| {
            let share = purpose(lowering.share(node, part), call);
            let kept = Counts::from_fn(|class| match is_own(part, class) {
                true => counts[class].clone(),
                false => Poly::zero(),
            });
            (!kept.is_zero()).then(|| (share, kept.at(binding)))
        };
        let of = graph.node(node);
        for (part, counts) in graph.node_cost(of).iter() {
            if let Some((share, more)) = own(part, counts) {
                add(&mut self.counts, share, more);
            }
        }
        let Some((why, more)) = graph.left_out(of) else { return };
        for (part, counts) in more.iter() {
            if let Some((share, more)) = own(part, counts) {
                add(&mut self.left_out, (share, why), more);
            }
        }
    }
}

impl Units {
    /// The units of a program at a binding that gives all of its sizes. What of the graph no
    /// observation has is a unit without calls.
    ///
    /// # Errors
    /// When a size of a call is free.
    pub fn observed(
        graph: &Graph,
        binding: &Binding,
        observations: &[Observation],
    ) -> Result<Units, ConventionError> {
        // How the calls are written is observed; costs and their shares depend on no dialect.
        let plain = dialect("plain")?;
        let lowering = Lowering::new(graph, binding, &plain, Iteration::Later);
        let sizes = |sizes: &BTreeMap<Symbol, Poly>| -> Result<Binding, ConventionError> {
            let mut bound = Binding::new();
            for (name, size) in sizes {
                bound.set(name.clone(), size.at(binding)?);
            }
            Ok(bound)
        };
        let elsewhere: BTreeSet<ObservedPart> =
            observations.iter().flat_map(|one| one.parts.iter().copied()).collect();
        let is_elsewhere = |node: Var, part: Part, class: Class| {
            let of = |class| elsewhere.contains(&ObservedPart { node, part, class });
            of(None) || of(Some(class))
        };
        let mut seen: BTreeSet<Var> = BTreeSet::new();
        let mut units = Vec::new();
        for group in groups(observations) {
            let calls = group.calls().map(|call| {
                let mut bound = sizes(&call.sizes)?;
                if !call.parts.is_empty() {
                    bound.set(PRODUCTS, call.products_at(binding)?);
                }
                Ok(Call { op: call.op.clone(), by: call.by, sizes: bound })
            });
            let calls: Vec<Call> = calls.collect::<Result<_, ConventionError>>()?;
            let mut nodes = Vec::new();
            let mut ledgered = Ledgered::default();
            for one in &group.observations {
                let call = one.call.as_ref();
                let own: Vec<Var> =
                    one.nodes.iter().copied().filter(|var| seen.insert(*var)).collect();
                for node in &own {
                    ledgered.add(&lowering, *node, call, |part, class| {
                        !is_elsewhere(*node, part, class)
                    });
                }
                for of in &one.parts {
                    ledgered.add(&lowering, of.node, call, |part, class| {
                        part == of.part && of.class.is_none_or(|own| own == class)
                    });
                }
                nodes.extend(own);
            }
            let Ledgered { counts, left_out } = ledgered;
            let names = calls.iter().map(|call| &*call.op);
            let of_nodes = nodes.iter().map(|var| graph.node(*var).op.name());
            let operations = match (group.known_class(), calls.is_empty()) {
                (Some(class), _) => class.clone().into_owned(),
                (None, false) => called(names),
                (None, true) => called(of_nodes),
            };
            units.push(Unit {
                left_out,
                operations,
                path: group.path().to_owned(),
                names: group.names(),
                class: group.class(),
                native: Vec::new(),
                sizes: sizes(&group.sizes())?,
                counts,
                calls,
                parameters: group.parameters().at(binding)?,
                times: group.times().into(),
                unused: false,
                nodes,
            });
        }
        let computed = |var: &Var| !matches!(graph.node(*var).op, Op::Source(_));
        let rest = graph.vars().filter(|var| !seen.contains(var) && computed(var));
        for var in rest {
            let (counts, left_out) = (lowering.counts(&[var]), lowering.left_out(&[var]));
            let operations = graph.node(var).op.name().to_owned();
            units.push(Unit {
                counts,
                left_out,
                operations,
                nodes: vec![var],
                ..Unit::of_no_module("results".to_owned())
            });
        }
        Ok(Units { units, beside: None })
    }
}

/// What the ledger's operations are for, where their call says it: the graph has one operation for
/// products of every kind.
fn purpose(share: Share, call: Option<&ObservedCall>) -> Share {
    let (product, sum) = match call.map(|call| &*call.op) {
        Some("linear" | "addmm") => (Share::LinearProducts, Share::LinearBias),
        Some("conv1d" | "conv2d" | "conv3d" | "convolution_mode") => {
            (Share::ConvolutionProducts, Share::ConvolutionBias)
        }
        Some("matmul" | "bmm" | "baddbmm" | "einsum" | "sdpa") => (Share::AttentionProducts, share),
        _ => (share, share),
    };
    match share {
        Share::LinearBias | Share::Addition => sum,
        share if share.is_contraction() => product,
        share => share,
    }
}

impl Convention {
    /// What the convention counts for a program, as a polynomial in its sizes, where none of those over
    /// which it contracts by `einsum` is 1.
    ///
    /// # Errors
    /// As [`Tally::new`](crate::Tally::new); when the convention counts by the ledger's classes, whose
    /// formulas are the graph's.
    pub fn formula(&self, observations: &[Observation]) -> Result<Poly, ConventionError> {
        let Counting::Rules { .. } = &self.counting else {
            return Err(ConventionError::OwnFormula { convention: self.name.clone() });
        };
        let mut sum = Poly::zero();
        for group in groups(observations) {
            let calls: Vec<&ObservedCall> = group.calls().collect();
            let names = calls.iter().map(|call| (&*call.op, call.by));
            let class = group.class();
            let rules = self.matches(class.as_deref(), names, group.path())?;
            for (matched, rule) in rules {
                let names = self.times((matched, rule), &group.names(), group.path())?;
                let sizes = match matched {
                    Match::Module => {
                        let mut sizes = group.sizes();
                        sizes.insert("params".into(), group.parameters());
                        sizes
                    }
                    Match::Call(at) => calls[at].all_sizes(),
                };
                if rule.rounded.is_some() {
                    let (convention, op) = (self.name.clone(), rule.names());
                    let path = group.path().to_owned();
                    return Err(ConventionError::Rounded { convention, op, path });
                }
                for formula in rule.counts.values() {
                    let missing =
                        formula.poly.symbols().into_iter().find(|s| !sizes.contains_key(s));
                    if let Some(size) = missing {
                        return Err(ConventionError::NoSize {
                            convention: self.name.clone(),
                            op: rule.names(),
                            path: group.path().to_owned(),
                            size: size.to_string(),
                        });
                    }
                    sum += &formula
                        .poly
                        .compose(&sizes)
                        .ratio(group.times() as i64, 1)
                        .ratio(names as i64, 1);
                }
            }
        }
        Ok(sum)
    }
}
