//! What a model costs as formulas in all of its sizes, row by row.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use opledger_dims::{Binding, Class, Poly, Quantity, Symbol};
use opledger_ir::{Cached, Cost, Definition, Elem, Graph, Operation, SizeRole, Storage};
use opledger_report::{PageCache, PageCost, PageStructure};

use super::texts::SharedTexts;
use crate::bounds::unseen;
use crate::emitted::course;
use crate::kinds::{LayerKind, kind, place};
use crate::{AccountError, Model};

/// What is said of a row.
struct Row {
    path: String,
    kind: usize,
    cost: Cost,
    params: Poly,
    read: Poly,
    written: Poly,
    /// Bytes of both where reals take 16 bits.
    narrow: Poly,
    /// Elements of caches among those that are read, of which nothing is needed.
    unseen: Poly,
}

/// The formulas of a model, by their place.
pub(super) fn structure(model: &Model, texts: &mut SharedTexts) -> Result<usize, AccountError> {
    let graph = model.graph();
    let rows = rows(graph);
    let cache = cache(graph);
    let active = graph.quantity(Quantity::ActiveParameters);
    let least = least(graph, model.sizes());
    let mut needed: BTreeSet<Symbol> = graph.symbols();
    for row in &rows {
        let counts = row.cost.total();
        needed.extend(counts.iter().flat_map(|(_, poly)| poly.symbols()));
        needed.extend(
            [&row.params, &row.read, &row.written, &row.narrow, &row.unseen]
                .into_iter()
                .flat_map(Poly::symbols),
        );
    }
    needed.extend(active.symbols());
    needed.extend(cache.iter().flatten().flat_map(Poly::symbols));
    needed.extend(least.iter().flat_map(|(poly, ..)| poly.symbols()));
    let course = course(graph, model.name(), needed, &Binding::new())?;
    let steps = course.steps.iter();
    let steps = steps.map(|(symbol, own)| (symbol.to_string(), texts.expression(own))).collect();
    let (paths, costs) = rows.iter().map(|row| written(row, texts)).unzip();
    let rows = [texts.list(paths), texts.list(costs)];
    let roles = [
        ("batch", SizeRole::Batch),
        ("images", SizeRole::Images),
        ("memory", SizeRole::Memory),
        ("past", SizeRole::Past),
        ("tokens", SizeRole::Tokens),
    ];
    let roles = roles
        .into_iter()
        .filter_map(|(name, role)| graph.size_of(role).map(|symbol| (name, symbol.to_string())));
    let least = least.into_iter().map(|(poly, n, what)| (texts.formula(&poly), n, what));
    let structure = PageStructure {
        free: course.free.iter().map(Symbol::to_string).collect(),
        steps,
        products: products(graph),
        definitions: graph.definitions().iter().map(ToString::to_string).collect(),
        roles: roles.collect(),
        least: least.collect(),
        rows,
        active: texts.formula(&active),
        cache: cache.map(|[held, given, states]| PageCache {
            held: texts.formula(&held),
            given: texts.formula(&given),
            states: texts.formula(&states),
        }),
    };
    Ok(texts.structure(structure))
}

/// Sizes that are products of two.
pub(super) fn products(graph: &Graph) -> Vec<[String; 3]> {
    let product = |definition: &Definition| {
        let Definition::Product { whole, factors: [a, b] } = definition else { return None };
        Some([whole, a, b].map(Symbol::to_string))
    };
    graph.definitions().iter().filter_map(product).collect()
}

/// Where a row is and what it costs, by place.
fn written(row: &Row, texts: &mut SharedTexts) -> (usize, usize) {
    let total = row.cost.total();
    let mut counts = Vec::new();
    for (at, class) in Class::ALL.into_iter().enumerate() {
        if !total[class].is_zero() {
            counts.extend([at, texts.formula(&total[class])]);
        }
    }
    let macs = row.cost.macs();
    let others = [&macs, &row.params, &row.read, &row.written, &row.narrow, &row.unseen];
    let others = others.map(|poly| texts.formula(poly));
    (texts.path(row.path.clone()), texts.cost(PageCost(row.kind, counts, others)))
}

fn rows(graph: &Graph) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let mut known: HashMap<(String, usize, Option<[Poly; 2]>), usize> = HashMap::new();
    let stored = graph.stored(Storage::uniform(Elem::Bf16));
    for (node, narrow) in graph.nodes().iter().zip(stored.nodes()) {
        let cost = graph.node_cost(node);
        let params = graph.node_quantity(node, Quantity::Parameters);
        let (read, written) = graph.node_bytes(node);
        let narrow = stored.node_bytes(narrow);
        let narrow = narrow.0 + narrow.1;
        let zero = [&params, &read, &written].into_iter().all(Poly::is_zero);
        if zero && cost.total().iter().all(|(_, poly)| poly.is_zero()) {
            continue;
        }
        let own = kind(graph, node);
        let kind = LayerKind::ALL.into_iter().position(|kind| kind == own).unwrap_or_default();
        let operands = node.inputs.iter().map(|operand| unseen(graph, node, *operand));
        let unseen: Poly = operands.sum();
        // Whether operations or memory bound a node is a question to each: those with products stay apart.
        let products = Some(cost.macs()).filter(|macs| !macs.is_zero());
        let products = products.map(|macs| [macs, narrow.clone()]);
        let key = (place(graph, node), kind, products);
        match known.get(&key) {
            Some(at) => {
                let row = &mut rows[*at];
                row.cost.add_all(&cost);
                row.params += params;
                row.read += read;
                row.written += written;
                row.narrow += narrow;
                row.unseen += unseen;
            }
            None => {
                known.insert(key.clone(), rows.len());
                let (path, kind, _) = key;
                rows.push(Row { path, kind, cost, params, read, written, narrow, unseen });
            }
        }
    }
    rows
}

/// Elements of the cache: held, given, and states.
fn cache(graph: &Graph) -> Option<[Poly; 3]> {
    if graph.caches().is_empty() {
        return None;
    }
    let of = |which: &dyn Fn(Cached) -> bool| -> Poly {
        let caches = graph.caches().iter().filter(|cache| which(cache.of));
        let elements = caches.map(|cache| {
            let past = graph.node(cache.past);
            past.shape.elements() * graph.multiplicity(past)
        });
        elements.sum()
    };
    Some([graph.quantity(Quantity::Cache), of(&|_| true), of(&|of| of == Cached::Memory)])
}

/// What may not be less than so much, and where: sizes of axes, and those that are summed over, unless they are
/// the model's own.
pub(super) fn least(graph: &Graph, own: &Binding) -> Vec<(Poly, u64, String)> {
    let mut all: BTreeMap<(String, u64), (Poly, String)> = BTreeMap::new();
    let mut add = |poly: &Poly, least: u64, what: String| {
        let known = (poly - &Poly::from(least as i64)).is_never_negative();
        if poly.symbols().iter().any(|symbol| own.get(symbol).is_none()) && !known {
            all.entry((poly.to_string(), least)).or_insert((poly.clone(), what));
        }
    };
    for node in graph.nodes() {
        for axis in &node.shape.axes {
            add(&axis.size, 0, format!("axis `{}` of {}", axis.name, node.path));
        }
        let summed = node.op.summed(&graph.operand_shapes(node));
        for (axis, size) in summed {
            add(&size, 1, format!("axis `{axis}`, which {} sums over,", node.path));
        }
    }
    all.into_iter().map(|((_, least), (poly, what))| (poly, least, what)).collect()
}
