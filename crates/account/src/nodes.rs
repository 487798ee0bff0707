//! What a graph costs, as a record: exact numbers or formulas, by node or by group.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::AddAssign;

use num_traits::Zero;
use opledger_dims::{Class, Counts, EvalError, Integer, Poly, Quantity, Symbol, escaped};
use opledger_ir::{Cost, Definition, Graph, Node, Operation, PartCounts, Scope, Shape};
use opledger_report::{
    Account, AccountNode, AccountPart, Amount, Bytes, CONVENTIONS, KindSum, Parameters, RowOrder,
};

use crate::kinds::{LayerKind, kind};
use crate::{AccountError, SizedModel};

impl SizedModel<'_> {
    /// The account of the whole and of every node, or of the nodes under the first `depth` segments
    /// of their paths together.
    ///
    /// # Errors
    /// When a size is unbound.
    pub fn account(&self, depth: Option<usize>) -> Result<Account<Integer>, AccountError> {
        let mut account = account(self, depth, |poly| poly.at(self.sizes()), ToString::to_string)?;
        if self.model().reference().is_whole_model() {
            account.kinds = kinds(self)?;
        }
        Ok(account)
    }

    /// The account of every node, each with the line of source that it comes from.
    ///
    /// # Errors
    /// When a size is unbound.
    pub fn account_with_lines(&self) -> Result<Account<Integer>, AccountError> {
        let mut account = self.account(None)?;
        for (own, node) in account.nodes.iter_mut().zip(self.graph().nodes()) {
            own.line = Some(node.source_line());
        }
        Ok(account)
    }

    /// The account of the whole and of every node as formulas in the symbols without a size.
    ///
    /// # Errors
    /// None that a recorded model has.
    pub fn formulas(&self) -> Result<Account<Poly>, AccountError> {
        self.formulas_to(None)
    }

    /// The same of the nodes under the first `depth` segments of their paths together.
    ///
    /// # Errors
    /// None that a recorded model has.
    pub fn formulas_to(&self, depth: Option<usize>) -> Result<Account<Poly>, AccountError> {
        let bind = |poly: &Poly| poly.bind(self.sizes());
        let formula = |counts: &Counts<Poly>| counts.map(bind).to_string();
        Ok(account(self, depth, |poly| Ok(bind(poly)), formula)?)
    }

    /// The same, sorted, all but the first `most` summed: rows are compared as all sizes without a number grow alike.
    ///
    /// ```
    /// use opledger::{Model, report::RowOrder};
    ///
    /// let model = Model::open("mha:c=512,h=8")?;
    /// let sorted = model.partly_at(&Default::default())?.formulas_sorted(None, RowOrder::Flops, Some(1))?;
    /// assert_eq!(sorted.nodes[0].path, "attention");
    /// assert_eq!(sorted.nodes.iter().map(|node| &node.flops).sum::<opledger::Poly>(), sorted.flops);
    /// # Ok::<(), opledger::AccountError>(())
    /// ```
    ///
    /// # Errors
    /// When no sizes that grow alike fit each other.
    pub fn formulas_sorted(
        &self,
        depth: Option<usize>,
        order: RowOrder,
        most: Option<usize>,
    ) -> Result<Account<Poly>, AccountError> {
        let (graph, mut sizes) = (self.graph(), self.sizes().clone());
        let defined: BTreeSet<&Symbol> =
            graph.definitions().iter().flat_map(Definition::defines).collect();
        for symbol in graph.symbols() {
            if sizes.get(&symbol).is_none() && !defined.contains(&symbol) {
                sizes.set(symbol, GROWN);
            }
        }
        let apart = |problem: &dyn ToString| AccountError::NoGrowth {
            model: self.model().name().to_owned(),
            problem: problem.to_string(),
        };
        let sizes = graph.complete(&sizes).map_err(|problem| apart(&problem))?;
        let numbers = account(self, depth, |poly| poly.at(&sizes), ToString::to_string);
        let mut formulas = self.formulas_to(depth)?;
        formulas.sort_as(&numbers.map_err(|problem| apart(&problem))?, order, most);
        Ok(formulas)
    }
}

/// What sizes have grown to where formulas are compared: their highest powers decide.
const GROWN: u64 = 1 << 40;

/// A node, or the nodes under one path.
struct Group<'g> {
    path: String,
    members: usize,
    op: &'static str,
    shape: &'g Shape,
    cost: Cost,
    params: Poly,
    params_read: Poly,
    read: Poly,
    written: Poly,
}

/// The account of a model, where `value` turns a formula into what is accounted in and `formula`
/// prints the counts of a node.
fn account<N>(
    sized: &SizedModel<'_>,
    depth: Option<usize>,
    value: impl Fn(&Poly) -> Result<N, EvalError>,
    formula: impl Fn(&Counts<Poly>) -> String,
) -> Result<Account<N>, EvalError>
where
    N: Amount + Clone + Zero + for<'a> AddAssign<&'a N>,
{
    let (total, trainable) = sized.graph().parameters();
    let mut nodes = Vec::new();
    let (mut read, mut written) = (N::zero(), N::zero());
    let mut sum = PartCounts::free();
    for group in groups(sized, depth) {
        let cost = evaluate(&group.cost, &value)?;
        let bytes = Bytes { read: value(&group.read)?, written: value(&group.written)? };
        read += &bytes.read;
        written += &bytes.written;
        sum.add_all(&cost);
        let single = group.members == 1;
        let sizes = || group.shape.axes.iter().map(|axis| value(&axis.size));
        nodes.push(AccountNode {
            path: group.path,
            op: single.then_some(group.op),
            members: group.members,
            axes: single.then(|| group.shape.axes.iter().map(|a| a.name.to_string()).collect()),
            shape: if single { Some(sizes().collect::<Result<_, _>>()?) } else { None },
            formula: formula(&group.cost.total()),
            counts: cost.total(),
            parts: cost
                .iter()
                .map(|(part, counts)| AccountPart {
                    name: part.name(),
                    counts: counts.clone(),
                    macs: Quantity::Macs.of_counts(counts, part.is_contraction()),
                    flops: counts.total(),
                })
                .collect(),
            macs: cost.macs(),
            flops: cost.flops(),
            params: value(&group.params)?,
            params_read: value(&group.params_read)?,
            bytes,
            line: None,
        });
    }
    Ok(Account {
        model: sized.model().name().to_owned(),
        binding: sized.sizes().clone(),
        params: Parameters { total: value(&total)?, trainable: value(&trainable)? },
        counts: sum.total(),
        macs: sum.macs(),
        flops: sum.flops(),
        matmul_flops: sum.matmul_flops(),
        bytes: Bytes { read, written },
        memory: None,
        kinds: Vec::new(),
        nodes,
        definitions: definitions(sized),
        by_contents: by_contents(sized),
        conventions: CONVENTIONS.to_vec(),
        sorted: None,
        shares: Vec::new(),
    })
}

fn evaluate<N>(
    cost: &Cost,
    value: impl Fn(&Poly) -> Result<N, EvalError>,
) -> Result<PartCounts<N>, EvalError>
where
    N: Clone + Zero + for<'a> AddAssign<&'a N>,
{
    let mut parts = PartCounts::free();
    for (part, polys) in cost.iter() {
        let mut counts = Counts::zero();
        for class in Class::ALL {
            counts[class] = value(&polys[class])?;
        }
        parts.add(part, &counts);
    }
    Ok(parts)
}

/// The nodes one by one, or together by the first `depth` segments of their paths, in order.
fn groups<'m>(sized: &SizedModel<'m>, depth: Option<usize>) -> Vec<Group<'m>> {
    let graph = sized.graph();
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    let first_read = first_read(graph);
    for (at, node) in graph.nodes().iter().enumerate() {
        let path = match depth {
            None => node.path.clone(),
            Some(0) => "(all)".to_owned(),
            Some(depth) => node.path_to(depth),
        };
        let (read, written) = graph.node_bytes(node);
        let params = graph.node_quantity(node, Quantity::Parameters);
        let params_read = first_read[at].clone();
        match known.get(&path) {
            Some(at) => {
                let group = &mut groups[*at];
                group.members += 1;
                group.cost.add_all(&graph.node_cost(node));
                group.params += params;
                group.params_read += params_read;
                group.read += read;
                group.written += written;
            }
            None => {
                known.insert(path.clone(), groups.len());
                groups.push(Group {
                    path,
                    members: 1,
                    op: node.op.name(),
                    shape: &node.shape,
                    cost: graph.node_cost(node),
                    params,
                    params_read,
                    read,
                    written,
                });
            }
        }
    }
    groups
}

/// The sums by kind of layer, of the kinds that cost something or have parameters.
fn kinds(sized: &SizedModel<'_>) -> Result<Vec<KindSum>, EvalError> {
    let (graph, params) = (sized.graph(), first_read(sized.graph()));
    let mut sums: Vec<(LayerKind, [Poly; 5])> =
        LayerKind::ALL.map(|kind| (kind, std::array::from_fn(|_| Poly::zero()))).to_vec();
    for (node, params) in graph.nodes().iter().zip(params) {
        let own = kind(graph, node);
        let cost = graph.node_cost(node);
        let (read, written) = graph.node_bytes(node);
        let Some((_, sum)) = sums.iter_mut().find(|(kind, _)| *kind == own) else { continue };
        for (sum, own) in sum.iter_mut().zip([params, cost.macs(), cost.flops(), read, written]) {
            *sum += own;
        }
    }
    let mut kinds = Vec::new();
    for (kind, sum) in sums {
        let mut values = Vec::new();
        for poly in &sum {
            values.push(poly.at(sized.sizes())?);
        }
        let Ok([params, macs, flops, read, written]) = <[Integer; 5]>::try_from(values) else {
            continue;
        };
        if [&params, &flops, &read, &written].into_iter().any(|own| !own.is_zero()) {
            let bytes = Bytes { read, written };
            kinds.push(KindSum { kind: kind.name(), params, macs, flops, bytes });
        }
    }
    Ok(kinds)
}

/// The parameters that each node is the first to read: views of parameters alone hand them on to the
/// first that reads these, and those that nobody reads stay where they are.
fn first_read(graph: &Graph) -> Vec<Poly> {
    let nodes = graph.nodes();
    let mut held: Vec<Poly> =
        nodes.iter().map(|node| graph.node_quantity(node, Quantity::Parameters)).collect();
    let free = |node: &Node| graph.node_cost(node).total().is_zero();
    // Whether it is a parameter, or moves elements of parameters and of nothing else.
    let mut of_parameters = vec![false; nodes.len()];
    for (at, node) in nodes.iter().enumerate() {
        let inputs = || node.inputs.iter().map(|var| var.index()).filter(|from| *from < at);
        for from in inputs() {
            if of_parameters[from] {
                let handed = std::mem::take(&mut held[from]);
                held[at] += handed;
            }
        }
        of_parameters[at] = match inputs().next() {
            None => !held[at].is_zero(),
            Some(_) => inputs().all(|from| of_parameters[from]) && free(node),
        };
    }
    held
}

/// The symbols that only the contents of masks say, where they are free.
fn by_contents(sized: &SizedModel<'_>) -> Vec<String> {
    let symbols = sized.model().by_mask().into_iter();
    symbols.filter(|s| sized.sizes().get(s).is_none()).map(ToString::to_string).collect()
}

/// The definitions of which a symbol is still free.
fn definitions(sized: &SizedModel<'_>) -> Vec<String> {
    let is_free = |symbol: &opledger_dims::Symbol| sized.sizes().get(symbol).is_none();
    let free = |definition: &&Definition| match definition {
        Definition::Product { factors, .. } => factors.iter().any(is_free),
        other => other.defines().into_iter().any(is_free),
    };
    let definitions = sized.graph().definitions().iter().filter(free);
    if sized.model().reference().program().is_none() {
        return definitions.map(ToString::to_string).collect();
    }
    // A program's pairs and taps are told with the module that has them.
    let places = counted_in(sized.graph());
    let lines = |definition: &Definition| -> Vec<String> {
        let counts = matches!(
            definition,
            Definition::Taps { .. } | Definition::Band { .. } | Definition::Kept { .. }
        );
        let of = definition.defines().first().and_then(|symbol| places.get(symbol));
        let of = of.filter(|_| counts);
        let of = match of.map(|paths| paths.iter().collect::<Vec<_>>()).as_deref() {
            Some([only]) if !only.is_empty() => format!(", of {}", escaped(only)),
            _ => String::new(),
        };
        definition.to_string().split("; ").map(|line| format!("{line}{of}")).collect()
    };
    definitions.flat_map(lines).collect()
}

/// The modules in whose counts a symbol stands and in no size.
fn counted_in(graph: &Graph) -> BTreeMap<Symbol, BTreeSet<String>> {
    let mut places: BTreeMap<Symbol, BTreeSet<String>> = BTreeMap::new();
    for node in graph.nodes() {
        for (_, counts) in node.op.cost(&graph.operand_shapes(node), &node.shape).iter() {
            for symbol in counts.iter().flat_map(|(_, count)| count.symbols()) {
                places.entry(symbol).or_default().insert(Scope::of(node).path().to_owned());
            }
        }
    }
    places
}
