//! How many tokens fit in memory.

use opledger_dims::{Binding, Integer};
use serde::Serialize;

use super::account::title;
use crate::{Amount, Block, Cell, Column, Document, Record, Row, Table, json};

/// The longest texts that fit in so much memory.
#[derive(Clone, Debug, Serialize)]
pub struct FittedTokens {
    /// The model.
    pub model: String,
    /// The sizes that were given.
    #[serde(serialize_with = "json::binding")]
    pub binding: Binding,
    /// Bytes that may be taken.
    #[serde(serialize_with = "json::quantity")]
    pub memory: Integer,
    /// What bytes of the weights are meant.
    pub weights: String,
    /// The type of computed values.
    pub dtype: &'static str,
    /// The type of keys and values in the cache.
    pub cache_dtype: &'static str,
    /// Why nothing fits, where the weights alone are too much, and what would.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// For each number of items and way of reading, what fits.
    pub fitted: Vec<Fitted>,
}

/// The most tokens that fit, and what they take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fitted {
    /// How many items there are.
    #[serde(serialize_with = "json::quantity")]
    pub items: Integer,
    /// How they are read.
    pub reading: Intake,
    /// Tokens of each item; 0 where not even one fits.
    #[serde(serialize_with = "json::quantity")]
    pub tokens: Integer,
    /// Why not more.
    pub by: FittedBy,
    /// Bytes of the parameters.
    #[serde(serialize_with = "json::quantity")]
    pub weights: Integer,
    /// Bytes that the cache holds of all of them, of models that have one.
    #[serde(serialize_with = "json::optional")]
    pub cache: Option<Integer>,
    /// Bytes of the computed values that are alive at once.
    #[serde(serialize_with = "json::quantity")]
    pub activations: Integer,
}

/// How tokens are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Intake {
    /// One after the other, each reading those before it from the cache.
    OneByOne,
    /// All in one run.
    AtOnce,
}

/// Why there are not more tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FittedBy {
    /// The memory is full.
    Memory,
    /// Nothing: more tokens take no more memory.
    Nothing,
    /// The model has no more positions, or was not made for more, as this key of its configuration says.
    Positions(&'static str),
    /// What a program that was exported holds for.
    Condition(String),
}

impl Fitted {
    /// All that is taken.
    pub fn bytes(&self) -> Integer {
        &self.weights + self.cache.clone().unwrap_or_default() + &self.activations
    }

    fn row(&self) -> Row {
        let reading = match self.reading {
            Intake::OneByOne => "one by one",
            Intake::AtOnce => "at once",
        };
        let by = match &self.by {
            FittedBy::Memory => "memory",
            FittedBy::Nothing => "nothing",
            FittedBy::Positions(_) => "positions",
            FittedBy::Condition(condition) => condition,
        };
        let cache = self.cache.as_ref().map_or_else(|| Cell::from("–"), Amount::cell);
        Row::new([
            self.items.cell(),
            reading.into(),
            match self.by {
                FittedBy::Nothing => Cell::from("any number"),
                FittedBy::Memory | FittedBy::Positions(_) | FittedBy::Condition(_) => {
                    self.tokens.cell()
                }
            },
            by.into(),
            self.weights.cell(),
            cache,
            self.activations.cell(),
            self.bytes().cell(),
        ])
    }
}

/// Why any number of tokens fits.
const ENDLESS: &str = "Limited by nothing: what is kept of earlier tokens is a state of one size, and memory does not grow with them.";

impl Record for FittedTokens {
    fn document(&self) -> Document {
        let heading = title(&self.model, &self.binding);
        let told = format!(
            "The most tokens of each item for which weights {}, computed values as {}, and keys and \
             values as {}, take no more than {} bytes. Items are read token by token, each reading \
             the others from the cache, or at once, the scores of the last token alone. Where not \
             one token fits, the bytes are those of one. Computed values are those alive at the \
             worst moment of a run here; what kernels, frameworks and allocators take besides is not \
             in it.",
            self.weights,
            self.dtype,
            self.cache_dtype,
            crate::thousands(&self.memory),
        );
        let mut blocks = vec![Block::Title(heading), Block::Table(self.rows())];
        blocks.extend(self.hint.clone().map(Block::Text));
        let endless = self.fitted.iter().any(|most| most.by == FittedBy::Nothing);
        blocks.extend(endless.then(|| Block::Text(ENDLESS.to_owned())));
        blocks.push(Block::Text(told));
        Document { blocks }
    }

    fn rows(&self) -> Table {
        let columns = vec![
            Column::number("items"),
            Column::word("read"),
            Column::number("tokens"),
            Column::word("limited by"),
            Column::number("weights"),
            Column::number("cache"),
            Column::number("computed"),
            Column::number("bytes in all"),
        ];
        Table { columns, rows: self.fitted.iter().map(Fitted::row).collect() }
    }
}
