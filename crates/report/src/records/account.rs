//! What a model costs without running it: exact numbers at a binding, or formulas.

use num_traits::Zero;
use opledger_dims::{Binding, Class, Counts, Integer, Poly};
use serde::Serialize;

use super::{CONVENTIONS, RowOrder, convention_line};
use crate::number::ROUNDED;
use crate::{Amount, Block, Cell, Column, Document, Record, Row, Table, json, latex};

/// Parameters of a model.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(bound = "N: Amount")]
pub struct Parameters<N> {
    /// All of them.
    #[serde(serialize_with = "json::quantity")]
    pub total: N,
    /// Those that training changes.
    #[serde(serialize_with = "json::quantity")]
    pub trainable: N,
}

/// Bytes moved.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(bound = "N: Amount")]
pub struct Bytes<N> {
    /// By reading operands.
    #[serde(serialize_with = "json::quantity")]
    pub read: N,
    /// By writing results.
    #[serde(serialize_with = "json::quantity")]
    pub written: N,
}

/// What all nodes of a kind of layer cost.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KindSum {
    /// The kind.
    pub kind: &'static str,
    /// Parameters that its nodes are the first to read.
    #[serde(serialize_with = "json::quantity")]
    pub params: Integer,
    /// Multiplications inside contractions.
    #[serde(serialize_with = "json::quantity")]
    pub macs: Integer,
    /// All scalar operations, each worth one.
    #[serde(serialize_with = "json::quantity")]
    pub flops: Integer,
    /// Bytes moved.
    pub bytes: Bytes<Integer>,
}

/// What a model costs: `N` is [`Integer`] when counted at a binding, [`Poly`] when derived.
#[derive(Clone, Debug, Serialize)]
#[serde(bound = "N: Amount")]
pub struct Account<N> {
    /// The model.
    pub model: String,
    /// The sizes.
    #[serde(serialize_with = "json::binding")]
    pub binding: Binding,
    /// Its parameters.
    pub params: Parameters<N>,
    /// Scalar operations by class.
    #[serde(serialize_with = "json::counts")]
    pub counts: Counts<N>,
    /// Multiplications inside contractions.
    #[serde(serialize_with = "json::quantity")]
    pub macs: N,
    /// All scalar operations, each worth one.
    #[serde(serialize_with = "json::quantity")]
    pub flops: N,
    /// Twice the macs.
    #[serde(serialize_with = "json::quantity")]
    pub matmul_flops: N,
    /// Bytes moved, no reuse between nodes.
    pub bytes: Bytes<N>,
    /// Bytes to hold it, where sizes are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// Sums by kind of layer, of whole models at sizes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<KindSum>,
    /// The nodes, or groups of them.
    pub nodes: Vec<AccountNode<N>>,
    /// What symbols of the formulas stand for, such as `c = h·e`.
    pub definitions: Vec<String>,
    /// Those of them that only the contents of masks say.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub by_contents: Vec<String>,
    /// What the numbers mean.
    #[serde(serialize_with = "json::pairs")]
    pub conventions: Vec<(&'static str, &'static str)>,
    /// What the rows are sorted by, where somebody asked.
    #[serde(skip)]
    pub sorted: Option<RowOrder>,
    /// Of formulas that are sorted, the share of each row in percent of all flops as sizes grow alike.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<String>,
}

/// Bytes that a model takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// The kind of the elements of parameters and of the cache.
    pub dtype: &'static str,
    /// Whether the configuration of the model says so.
    pub declared: bool,
    /// All parameters.
    #[serde(serialize_with = "json::quantity")]
    pub parameters: Integer,
    /// Parameters that one token meets, where a router leaves some out: how many, not their bytes.
    #[serde(serialize_with = "json::optional")]
    pub active_parameters: Option<Integer>,
    /// Keys and values of one token in all layers, of models that cache them.
    #[serde(serialize_with = "json::optional")]
    pub cache_per_token: Option<Integer>,
    /// What the cache holds of all tokens of all items: of layers with a window, their last tokens.
    #[serde(serialize_with = "json::optional")]
    pub cache: Option<Integer>,
    /// Keys and values of all tokens, where windows leave some of them out.
    #[serde(serialize_with = "json::optional")]
    pub cache_without_windows: Option<Integer>,
    /// All parameters as the configuration says that they are quantised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantised: Option<QuantisedBytes>,
    /// How the files store the weights, by type, where there are files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<StoredKind>,
    /// Parameters by the types that the module has them in, where these are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<StoredKind>,
    /// Values that are alive at once at the worst moment of a run here, f32.
    #[serde(serialize_with = "json::quantity")]
    pub activations: Integer,
    /// What this run moves.
    pub moved: Traffic,
}

/// Bytes that a run moves, in the type of the weights and of the cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// Weights that are read.
    #[serde(serialize_with = "json::quantity")]
    pub weights_read: Integer,
    /// What is read of the cache, where there is one.
    #[serde(serialize_with = "json::optional")]
    pub cache_read: Option<Integer>,
    /// What is added to the cache.
    #[serde(serialize_with = "json::optional")]
    pub cache_written: Option<Integer>,
    /// Computed values and inputs that are read.
    #[serde(serialize_with = "json::quantity")]
    pub values_read: Integer,
    /// Computed values that are written.
    #[serde(serialize_with = "json::quantity")]
    pub values_written: Integer,
}

/// Bytes of quantised parameters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QuantisedBytes {
    /// How the matrices of linear maps are quantised.
    pub method: String,
    /// The elements of those that are.
    #[serde(serialize_with = "json::quantity")]
    pub elements: Integer,
    /// Bytes of all parameters, scales and zeros included.
    #[serde(serialize_with = "json::quantity")]
    pub bytes: Integer,
}

/// Weights that files store in one type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoredKind {
    /// The type, as the format calls it.
    pub name: &'static str,
    /// How many tensors.
    pub tensors: usize,
    /// Their elements.
    #[serde(serialize_with = "json::quantity")]
    pub elements: Integer,
    /// Their bytes, scales and zeros included.
    #[serde(serialize_with = "json::quantity")]
    pub bytes: Integer,
}

impl StoredKind {
    /// Nothing of a type yet.
    pub fn none(name: &'static str) -> Self {
        StoredKind { name, tensors: 0, elements: Integer::default(), bytes: Integer::default() }
    }
}

impl Memory {
    fn table(&self) -> Table {
        let mut rows = Vec::new();
        let mut row = |name: String, n: Option<&Integer>| {
            if let Some(n) = n {
                rows.push(Row::new([name.into(), n.cell()]));
            }
        };
        row("active parameters".to_owned(), self.active_parameters.as_ref());
        let dtype = self.dtype;
        let declared = if self.declared { ", which the configuration says" } else { "" };
        let names: Vec<&str> = self.types.iter().map(|kind| kind.name).collect();
        let weights = if names.is_empty() { dtype.to_owned() } else { names.join(" and ") };
        row(format!("parameters, bytes as {weights}{declared}"), Some(&self.parameters));
        for StoredKind { name, tensors, elements, bytes } in &self.types {
            let elements = crate::thousands(elements);
            row(format!("  {name}: {tensors} tensors of {elements} elements"), Some(bytes));
        }
        if let Some(QuantisedBytes { method, bytes, .. }) = &self.quantised {
            row(format!("parameters, bytes as {method}, else {dtype}"), Some(bytes));
        }
        let stored: Integer = self.files.iter().map(|kind| &kind.bytes).sum();
        row(
            "weights in the files, bytes".to_owned(),
            Some(&stored).filter(|_| !self.files.is_empty()),
        );
        for StoredKind { name, tensors, elements, bytes } in &self.files {
            let elements = crate::thousands(elements);
            row(format!("  {name}: {tensors} tensors of {elements} elements"), Some(bytes));
        }
        row(format!("keys and values of a token, bytes as {dtype}"), self.cache_per_token.as_ref());
        let of = match self.cache_without_windows {
            Some(_) => "in the windows",
            None => "of all tokens",
        };
        row(format!("keys and values {of}, bytes as {dtype}"), self.cache.as_ref());
        let all = format!("keys and values of all tokens, bytes as {dtype}");
        row(all, self.cache_without_windows.as_ref());
        row("peak of activations, bytes as f32".to_owned(), Some(&self.activations));
        let moved = &self.moved;
        row(format!("read of weights, bytes as {weights}"), Some(&moved.weights_read));
        row(format!("read of the cache, bytes as {dtype}"), moved.cache_read.as_ref());
        row(format!("added to the cache, bytes as {dtype}"), moved.cache_written.as_ref());
        row(format!("read of other values, bytes as {dtype}"), Some(&moved.values_read));
        row(format!("written of other values, bytes as {dtype}"), Some(&moved.values_written));
        Table { columns: vec![Column::word("memory"), Column::number("count")], rows }
    }
}

/// What a node costs, or a group of nodes under one path.
#[derive(Clone, Debug, Serialize)]
#[serde(bound = "N: Amount")]
pub struct AccountNode<N> {
    /// The path.
    pub path: String,
    /// The operation; none for a group.
    pub op: Option<&'static str>,
    /// How many nodes it stands for.
    pub members: usize,
    /// The axes of the result; none for a group.
    pub axes: Option<Vec<String>>,
    /// The size along each axis.
    #[serde(serialize_with = "json::quantities")]
    pub shape: Option<Vec<N>>,
    /// The closed form of the counts.
    pub formula: String,
    /// Scalar operations by class.
    #[serde(serialize_with = "json::counts")]
    pub counts: Counts<N>,
    /// The same by part of the operation.
    pub parts: Vec<AccountPart<N>>,
    /// Multiplications inside contractions.
    #[serde(serialize_with = "json::quantity")]
    pub macs: N,
    /// All scalar operations, each worth one.
    #[serde(serialize_with = "json::quantity")]
    pub flops: N,
    /// Parameters.
    #[serde(serialize_with = "json::quantity")]
    pub params: N,
    /// Parameters that it is the first to read.
    #[serde(serialize_with = "json::quantity")]
    pub params_read: N,
    /// Bytes moved.
    pub bytes: Bytes<N>,
    /// The line of source that it comes from; none for a group, or where nobody asks.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
}

/// What a part of an operation costs, such as the softmax of attention.
#[derive(Clone, Debug, Serialize)]
#[serde(bound = "N: Amount")]
pub struct AccountPart<N> {
    /// The part.
    pub name: &'static str,
    /// Scalar operations by class.
    #[serde(serialize_with = "json::counts")]
    pub counts: Counts<N>,
    /// Multiplications inside contractions.
    #[serde(serialize_with = "json::quantity")]
    pub macs: N,
    /// All scalar operations, each worth one.
    #[serde(serialize_with = "json::quantity")]
    pub flops: N,
}

impl<N: Amount> Account<N> {
    fn title(&self) -> Block {
        Block::Title(title(&self.model, &self.binding))
    }

    fn footer(&self) -> Vec<Block> {
        let names: Vec<&str> = CONVENTIONS.iter().map(|(name, _)| *name).collect();
        let mut blocks = Vec::new();
        if !self.definitions.is_empty() {
            let lines = self.definitions.iter().map(|d| format!("where {d}")).collect();
            blocks.push(Block::Lines(lines));
        }
        blocks.push(Block::Text(convention_line(&names)));
        blocks
    }

    /// The numbers of the whole model by name, and whether a rule stands above.
    fn totals(&self) -> Vec<(&'static str, &N, bool)>
    where
        N: Clone + Zero,
    {
        let classes = self.counts.nonzero().map(|(class, n)| (class.name(), n, false));
        classes
            .chain([
                ("flops", &self.flops, true),
                ("macs", &self.macs, false),
                ("matmul-flops", &self.matmul_flops, false),
                ("params", &self.params.total, true),
                ("trainable", &self.params.trainable, false),
                ("bytes read", &self.bytes.read, true),
                ("bytes written", &self.bytes.written, false),
            ])
            .collect()
    }

    /// Whether lines of source are shown.
    pub(super) fn has_lines(&self) -> bool {
        self.nodes.iter().any(|node| node.line.is_some())
    }

    fn node_rows(&self) -> Table {
        let mut columns: Vec<Column> =
            ["path", "op", "shape", "params", "params_read", "macs", "flops"]
                .map(Column::word)
                .to_vec();
        columns.extend(Class::ALL.map(|class| Column::word(class.name())));
        columns.extend(["bytes_read", "bytes_written"].map(Column::word));
        let lines = self.has_lines();
        columns.extend(lines.then(|| Column::word("where")));
        let rows = self.nodes.iter().map(|node| {
            let mut cells = vec![
                node.path.as_str().into(),
                node.op.unwrap_or_default().into(),
                node.shape_shown().into(),
                node.params.cell(),
                node.params_read.cell(),
                node.macs.cell(),
                node.flops.cell(),
            ];
            cells.extend(node.counts.iter().map(|(_, n)| n.cell()));
            cells.extend([node.bytes.read.cell(), node.bytes.written.cell()]);
            cells.extend(lines.then(|| node.line.as_deref().unwrap_or_default().into()));
            Row::new(cells)
        });
        Table { columns, rows: rows.collect() }
    }
}

impl<N: Amount> AccountNode<N> {
    pub(super) fn shape_shown(&self) -> String {
        let Some(shape) = &self.shape else { return String::new() };
        format!("[{}]", shape.iter().map(|n| n.cell().raw()).collect::<Vec<_>>().join(", "))
    }

    /// The line of source, the file by its name alone.
    pub(super) fn line_shown(&self) -> &str {
        let line = self.line.as_deref().unwrap_or_default();
        line.rsplit(['/', '\\']).next().unwrap_or(line)
    }

    pub(super) fn op_shown(&self) -> String {
        match (self.op, self.members) {
            (Some(op), _) => op.to_owned(),
            (None, members) => format!("{members} nodes"),
        }
    }
}

/// `mha:c=512,h=8 at b=32, n=1024`.
pub(crate) fn title(model: &str, binding: &Binding) -> String {
    if binding.is_empty() { model.to_owned() } else { format!("{model} at {binding}") }
}

impl Record for Account<Integer> {
    fn document(&self) -> Document {
        let totals = Table {
            columns: vec![Column::word("whole model"), Column::number("count")],
            rows: self.totals().into_iter().map(total_row).collect(),
        };
        let mut blocks = vec![self.title(), Block::Table(self.glance())];
        if !self.kinds.is_empty() {
            blocks.push(Block::Table(self.kinds()));
        }
        blocks.push(Block::Table(totals));
        blocks.extend(self.memory.iter().map(|memory| Block::Table(memory.table())));
        blocks.extend(self.footer());
        blocks.push(Block::Text(format!("≈flops = flops {ROUNDED}; flops % = share of all flops")));
        Document { blocks }
    }

    fn rows(&self) -> Table {
        self.node_rows()
    }

    fn latex(&self) -> Option<String> {
        Some(latex::document(&self.document().without_bars().steady()))
    }
}

/// A row of a table of totals.
fn total_row<N: Amount>((name, n, ruled): (&'static str, &N, bool)) -> Row {
    Row { cells: vec![name.into(), n.cell()], ruled }
}

impl Record for Account<Poly> {
    fn document(&self) -> Document {
        let mut nodes = self.classes();
        if self.sorted.is_some() {
            nodes = self.formulas_at_a_glance();
        }
        let totals = Table {
            columns: vec![Column::word("whole model"), Column::text("closed form")],
            rows: self.totals().into_iter().map(total_row).collect(),
        };
        let mut blocks = vec![self.title(), Block::Table(totals), Block::Table(nodes)];
        blocks.extend(self.footer());
        blocks.extend(self.sorted.map(|_| Block::Text(GROWING.to_owned())));
        Document { blocks }
    }

    fn rows(&self) -> Table {
        self.node_rows()
    }

    fn latex(&self) -> Option<String> {
        let mut totals = latex::classes(&self.counts);
        for (name, poly) in [
            ("flops", &self.flops),
            ("macs", &self.macs),
            ("params", &self.params.total),
            ("bytes\\ read", &self.bytes.read),
            ("bytes\\ written", &self.bytes.written),
        ] {
            totals.push((latex::operator(name), poly.latex()));
        }
        let mut out = latex::comment(&title(&self.model, &self.binding));
        out += &latex::align(&totals);
        for node in self.nodes.iter().filter(|node| !node.counts.is_zero()) {
            out += &latex::comment(&node.path);
            out += &latex::align(&latex::classes(&node.counts));
        }
        for definition in &self.definitions {
            out += &format!("where {}\n", latex::escape(definition));
        }
        Some(out)
    }
}

/// What sorted formulas are compared by.
const GROWING: &str = "Rows are compared, and flops % are shares of all flops, as all sizes without a number grow alike; --set gives numbers.";

impl Account<Poly> {
    /// The formulas of each node, class by class.
    fn classes(&self) -> Table {
        let mut nodes = Table {
            columns: vec![
                Column::name("node"),
                Column::word("op"),
                Column::word("class"),
                Column::text("closed form"),
            ],
            rows: Vec::new(),
        };
        for node in &self.nodes {
            let parts = match node.parts.len() {
                0 | 1 => vec![("", &node.counts)],
                _ => node.parts.iter().map(|part| (part.name, &part.counts)).collect(),
            };
            let mut path = Cell::from(node.path.as_str());
            let mut op = Cell::from(node.op_shown());
            for (part, counts) in parts {
                let occurring: Vec<_> = counts.nonzero().collect();
                if !part.is_empty() && !occurring.is_empty() {
                    op = format!("{}: {part}", node.op_shown()).into();
                }
                for (class, poly) in occurring {
                    let (path, op) = (std::mem::take(&mut path), std::mem::take(&mut op));
                    nodes.rows.push(Row::new([path, op, class.name().into(), poly.cell()]));
                }
            }
        }
        nodes
    }
}
