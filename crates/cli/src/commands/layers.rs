//! `opledger layers`: the kinds of layers, their keys and defaults.

use opledger_models::layer::{Key, Values, kinds};
use opledger_report::{Kind, KindKey, Kinds};

use crate::args::LayersArgs;
use crate::failure::Failure;
use crate::output;

pub(crate) fn execute(args: &LayersArgs) -> Result<(), Failure> {
    let kind = |kind: &opledger_models::layer::Kind| Kind {
        name: kind.name.to_owned(),
        summary: kind.summary.to_owned(),
        keys: kind.keys.iter().map(key).collect(),
    };
    output::show(&Kinds { kinds: kinds().iter().map(kind).collect() }, args.format)
}

fn key(key: &Key) -> KindKey {
    let values = match key.values {
        Values::Size { least } => format!("size ≥ {least}"),
        Values::Optional { least } => format!("size ≥ {least} or none"),
        Values::Flag => "true or false".to_owned(),
        Values::Number { from, below } => format!("{from} ≤ number < {below}"),
        Values::Activation => opledger_dims::Activation::NAMES.join(", "),
        Values::Choice(words) => words.join(", "),
    };
    let free = matches!(key.values, Values::Size { .. } | Values::Optional { .. });
    let default = match key.default {
        own if free && own == key.name => format!("symbol {own}"),
        other => other.to_owned(),
    };
    KindKey { name: key.name.to_owned(), values, default, meaning: key.meaning.to_owned() }
}
