//! `opledger layers`: the kinds of layers, their keys and defaults.

use opledger_models::layer::{Domain, Key, kinds};
use opledger_report::{Kind, KindKey, Kinds};

use super::models::contains;
use crate::args::LayersArgs;
use crate::failure::Failure;
use crate::output;

pub(crate) fn execute(args: &LayersArgs) -> Result<(), Failure> {
    let kind = |kind: &opledger_models::layer::Kind| Kind {
        name: kind.name.to_owned(),
        summary: kind.summary.to_owned(),
        keys: kind.keys.iter().map(key).collect(),
    };
    let mut kinds: Vec<Kind> = kinds().iter().map(kind).collect();
    if let Some(text) = &args.text {
        kinds.retain(|kind| contains([&*kind.name, &*kind.summary], text));
        if kinds.is_empty() {
            return Err(Failure::NoneNamed { what: "kind of layer", text: text.clone() });
        }
    }
    output::show(&Kinds { kinds }, args.format)
}

fn key(key: &Key) -> KindKey {
    let values = match key.values {
        Domain::Size { least } => format!("size ≥ {least}"),
        Domain::Optional { least } => format!("size ≥ {least} or none"),
        Domain::Flag => "true or false".to_owned(),
        Domain::Number { from, below } => format!("{} ≤ number < {}", short(from), short(below)),
        Domain::Activation => opledger_dims::Activation::NAMES.join(", "),
        Domain::Choice(words) => words.join(", "),
    };
    let free = matches!(key.values, Domain::Size { .. } | Domain::Optional { .. });
    let default = match key.default {
        own if free && own == key.name => format!("symbol {own}"),
        other => other.to_owned(),
    };
    KindKey { name: key.name.to_owned(), values, default, meaning: key.meaning.to_owned() }
}

/// A bound in few digits.
fn short(number: f64) -> String {
    if number.abs() < 1e6 { number.to_string() } else { format!("{number:e}") }
}
