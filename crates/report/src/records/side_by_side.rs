//! Several models at the same sizes, a column each.

use opledger_dims::Integer;
use serde::Serialize;

use super::account::Account;
use super::convention_line;
use crate::number::{ROUNDED, percent, rounded, thousands};
use crate::{Block, Cell, Column, Document, Record, Row, Table, latex};

/// Several models, counted at the same sizes.
#[derive(Clone, Debug, Serialize)]
pub struct SideBySide {
    /// The models.
    pub models: Vec<Account<Integer>>,
    /// Whether their modules are shown.
    #[serde(skip)]
    pub modules: bool,
}

type Of = fn(&Account<Integer>) -> Option<Integer>;

/// What is told of each model.
const NUMBERS: [(&str, Of); 11] = [
    ("params", |of| Some(of.params.total.clone())),
    ("active params", |of| of.memory.as_ref()?.active_parameters.clone()),
    ("macs", |of| Some(of.macs.clone())),
    ("flops", |of| Some(of.flops.clone())),
    ("bytes read", |of| Some(of.bytes.read.clone())),
    ("bytes written", |of| Some(of.bytes.written.clone())),
    ("bytes of params", |of| Some(of.memory.as_ref()?.parameters.clone())),
    ("cache of a token, bytes", |of| of.memory.as_ref()?.cache_per_token.clone()),
    ("cache of all tokens, bytes", |of| of.memory.as_ref()?.cache.clone()),
    ("peak of activations, bytes", |of| Some(of.memory.as_ref()?.activations.clone())),
    ("weights read, bytes", |of| Some(of.memory.as_ref()?.moved.weights_read.clone())),
];

impl SideBySide {
    /// The columns: the models by their names, those of one name by their place as well.
    fn columns(&self, title: &'static str) -> Vec<Column> {
        let twice = |name: &str| self.models.iter().filter(|of| of.model == name).count() > 1;
        let named = self.models.iter().enumerate().map(|(at, of)| match twice(&of.model) {
            true => format!("{} ({})", of.model, at + 1),
            false => of.model.clone(),
        });
        let first = Column { narrowest: Some(16), ..Column::name(title) };
        let columns = named.map(|name| Column { narrowest: Some(10), ..Column::number(name) });
        std::iter::once(first).chain(columns).collect()
    }

    /// Two models have room for all digits.
    fn cell(&self, number: Option<&Integer>) -> Cell {
        number.map_or(Cell::Empty, |number| match self.models.len() {
            0..=2 => thousands(number).into(),
            _ => rounded(number).into(),
        })
    }

    fn numbers(&self, cell: impl Fn(Option<&Integer>) -> Cell) -> Table {
        let mut rows = Vec::new();
        for (name, of) in NUMBERS {
            let numbers: Vec<Option<Integer>> = self.models.iter().map(of).collect();
            if numbers.iter().any(Option::is_some) {
                let cells = numbers.iter().map(|number| cell(number.as_ref()));
                rows.push(Row::new(std::iter::once(name.into()).chain(cells)));
            }
        }
        Table { columns: self.columns("whole model"), rows }
    }

    /// The shares of flops by kind of layer.
    fn kinds(&self) -> Option<Table> {
        let mut names: Vec<&str> = Vec::new();
        for kind in self.models.iter().flat_map(|of| &of.kinds) {
            if !names.contains(&kind.kind) {
                names.push(kind.kind);
            }
        }
        let share = |of: &Account<Integer>, name: &str| {
            let kind = of.kinds.iter().find(|kind| kind.kind == name);
            let share = kind.and_then(|kind| percent(&kind.flops, &of.flops));
            share.map_or(Cell::Empty, |share| format!("{share} %").into())
        };
        let row = |name: &&str| {
            let shares = self.models.iter().map(|of| share(of, name));
            Row::new(std::iter::once((*name).into()).chain(shares))
        };
        let rows: Vec<Row> = names.iter().map(row).collect();
        (!rows.is_empty()).then(|| Table { columns: self.columns("flops by kind of layer"), rows })
    }

    /// The flops of modules by their paths.
    fn modules(&self) -> Table {
        let mut paths: Vec<&str> = Vec::new();
        for node in self.models.iter().flat_map(|of| &of.nodes) {
            if node.flops != Integer::default() && !paths.contains(&node.path.as_str()) {
                paths.push(&node.path);
            }
        }
        let flops = |of: &Account<Integer>, path: &str| {
            let node = of.nodes.iter().find(|node| node.path == path);
            self.cell(node.map(|node| &node.flops))
        };
        let row = |path: &&str| {
            let cells = self.models.iter().map(|of| flops(of, path));
            Row::new(std::iter::once((*path).into()).chain(cells))
        };
        Table { columns: self.columns("flops by module"), rows: paths.iter().map(row).collect() }
    }
}

impl Record for SideBySide {
    fn document(&self) -> Document {
        let names: Vec<&str> = self.models.iter().map(|of| of.model.as_str()).collect();
        let mut blocks = vec![
            Block::Title(names.join(", ")),
            Block::Table(self.numbers(|number| self.cell(number))),
        ];
        blocks.extend(self.kinds().map(Block::Table));
        if self.modules {
            blocks.push(Block::Table(self.modules()));
        }
        let sizes = self.models.iter().map(|of| format!("{} at {}", of.model, of.binding));
        blocks.push(Block::Lines(sizes.collect()));
        let mut types: Vec<&str> = Vec::new();
        for memory in self.models.iter().filter_map(|of| of.memory.as_ref()) {
            types.push(memory.dtype);
        }
        if types.windows(2).all(|pair| pair[0] == pair[1]) {
            types.truncate(1);
        }
        blocks.push(Block::Text(format!(
            "bytes of params and cache as {}; {}",
            types.join(", "),
            convention_line(&["macs", "flops", "bytes"])
        )));
        if self.models.len() > 2 {
            blocks.push(Block::Text(format!("numbers {ROUNDED}; --format json has all digits")));
        }
        Document { blocks }
    }

    fn rows(&self) -> Table {
        self.numbers(|number| number.map_or(Cell::Empty, |number| Cell::Number(number.clone())))
    }

    fn latex(&self) -> Option<String> {
        Some(latex::document(&self.document().without_bars().steady()))
    }
}
