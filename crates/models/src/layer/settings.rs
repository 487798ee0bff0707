//! The settings of one layer: each key's text, read as its table entry says.

use std::collections::BTreeMap;

use opledger_dims::{Activation, Binding, Integer, Poly, Symbol, escaped, nearest};
use opledger_ir::Axis;
use opledger_nn::DropoutConfig;

use super::error::LayerError;
use super::keys::{self, Domain, Key};

/// The largest size.
const LARGEST: &str = "1000000000000000000000000000000";
/// The most terms and the highest degree of a formula given for a size, and the most terms that
/// come together when all formulas are multiplied.
const MAX_TERMS: usize = 8;
const MAX_DEGREE: u32 = 8;
const MAX_PRODUCT: usize = 64;

/// What the text and the defaults say.
pub(super) struct Settings {
    keys: &'static [Key],
    given: BTreeMap<&'static str, String>,
    sizes: BTreeMap<&'static str, Poly>,
    pub(super) binding: Binding,
}

impl Settings {
    /// Reads the text of a kind with these keys.
    pub(super) fn read(
        kind: &'static str,
        keys: &'static [Key],
        text: &str,
    ) -> Result<Self, LayerError> {
        let given = pieces(kind, keys, text)?;
        let (sizes, binding) = (BTreeMap::new(), Binding::new());
        let mut settings = Settings { keys, given: BTreeMap::new(), sizes, binding };
        let mut formulas = Vec::new();
        for (key, value) in &given {
            let key = keys::find(kind, keys, key)?;
            match key.values {
                Domain::Size { least } | Domain::Optional { least } => {
                    let size = read_size(key, least, value)?;
                    match size.as_integer() {
                        Some(number) => settings.settle(key, number),
                        None => formulas.push((key, size)),
                    }
                }
                Domain::Flag | Domain::Number { .. } | Domain::Activation | Domain::Choice(_) => {
                    key.values.check(key, value)?
                }
            }
        }
        settings.given = given;
        settings.set_formulas(formulas)?;
        settings.set_defaults()?;
        Ok(settings)
    }

    /// A size that is a number: its symbol stays in the graph; only zero is a number there.
    fn settle(&mut self, key: &Key, number: Integer) {
        let size = if number == Integer::from(0) {
            Poly::zero()
        } else {
            self.binding.set(key.name, number);
            Poly::symbol(key.name)
        };
        self.sizes.insert(key.name, size);
    }

    fn set_formulas(&mut self, formulas: Vec<(&'static Key, Poly)>) -> Result<(), LayerError> {
        for (key, formula) in &formulas {
            let other = formulas.iter().find(|(other, _)| {
                other.name != key.name && formula.degree_in(&Symbol::new(other.name)) > 0
            });
            if let Some((other, _)) = other {
                let (key, other) = (key.name, other.name);
                let problem =
                    format!("`{key}` is a formula of `{other}`, which is a formula itself");
                return Err(LayerError::Conflict(problem));
            }
        }
        if formulas.iter().map(|(_, f)| f.num_terms()).product::<usize>() > MAX_PRODUCT {
            return Err(LayerError::Conflict("these formulas are too large together".to_owned()));
        }
        self.sizes.extend(formulas.into_iter().map(|(key, formula)| (key.name, formula)));
        Ok(())
    }

    fn set_defaults(&mut self) -> Result<(), LayerError> {
        for key in self.keys {
            let Domain::Size { least } = key.values else { continue };
            if self.sizes.contains_key(key.name) {
                continue;
            }
            let mut size = read_size(key, least, key.default)?;
            if let Some(number) = size.as_integer() {
                self.settle(key, number);
                continue;
            }
            for other in self.keys.iter().filter(|other| other.name != key.name) {
                if let Some(value) = self.sizes.get(other.name) {
                    size = size.substitute(&Symbol::new(other.name), value);
                }
            }
            self.sizes.insert(key.name, size);
        }
        Ok(())
    }

    /// The text of a key: what is given, else the default; a default may name another key.
    fn text(&self, key: &'static str) -> &str {
        if let Some(given) = self.given.get(key) {
            return given;
        }
        let default = self.keys.iter().find(|k| k.name == key).map_or("", |k| k.default);
        match self.keys.iter().find(|k| k.name == default && k.name != key) {
            Some(other) => self.text(other.name),
            None => default,
        }
    }

    /// A size; that of an optional key when it is given.
    pub(super) fn size(&self, key: &'static str) -> Poly {
        self.given(key).unwrap_or_else(|| Poly::symbol(key))
    }

    /// A size, if it has one.
    pub(super) fn given(&self, key: &'static str) -> Option<Poly> {
        self.sizes.get(key).cloned()
    }

    /// A size as a number, if it is one.
    pub(super) fn number_of(&self, key: &'static str) -> Option<Integer> {
        self.sizes.get(key)?.at(&self.binding).ok()
    }

    /// An axis with a name and the size of a key.
    pub(super) fn axis(&self, name: &str, key: &'static str) -> Axis {
        Axis::new(name, self.size(key))
    }

    pub(super) fn flag(&self, key: &'static str) -> bool {
        self.text(key) == "true"
    }

    pub(super) fn choice(&self, key: &'static str) -> &str {
        self.text(key)
    }

    /// A function of one number.
    ///
    /// # Errors
    /// When the word of the key, or of its default, names none.
    pub(super) fn activation(&self, key: &'static str) -> Result<Activation, LayerError> {
        let text = self.text(key);
        Activation::named(text).ok_or_else(|| LayerError::Value {
            key,
            expected: one_of(text, Activation::NAMES),
            value: escaped(text),
        })
    }

    /// A number; a kind without the key has zero.
    pub(super) fn number(&self, key: &'static str) -> f64 {
        self.text(key).parse().unwrap_or(0.0)
    }

    pub(super) fn dropout(&self) -> DropoutConfig {
        DropoutConfig { p: self.number("dropout"), training: self.flag("training"), seed: 0 }
    }

    /// Checks that one size divides into another where both are numbers.
    pub(super) fn divides(
        &self,
        part: &'static str,
        whole: &'static str,
    ) -> Result<(), LayerError> {
        match (self.number_of(whole), self.number_of(part)) {
            (Some(w), Some(p)) if p != Integer::from(0) && &w % &p != Integer::from(0) => Err(
                LayerError::Conflict(format!("{whole} = {w} is not a multiple of {part} = {p}")),
            ),
            _ => Ok(()),
        }
    }
}

/// The pieces `key=value` of a text.
fn pieces(
    kind: &'static str,
    keys: &'static [Key],
    text: &str,
) -> Result<BTreeMap<&'static str, String>, LayerError> {
    let mut given = BTreeMap::new();
    if text.trim().is_empty() {
        return Ok(given);
    }
    for piece in text.split(',') {
        let (name, value) =
            piece.split_once('=').ok_or_else(|| LayerError::Malformed(escaped(piece)))?;
        let key = keys::find(kind, keys, name.trim())?;
        if given.insert(key.name, value.trim().to_owned()).is_some() {
            return Err(LayerError::Duplicate(key.name));
        }
    }
    Ok(given)
}

fn read_size(key: &'static Key, least: i64, text: &str) -> Result<Poly, LayerError> {
    let bad =
        |expected: String| Err(LayerError::Value { key: key.name, expected, value: escaped(text) });
    let power_of_ten = text.split_once(['e', 'E']).is_some_and(|(digits, power)| {
        let power = power.strip_prefix(['+', '-']).unwrap_or(power);
        [digits, power].iter().all(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()))
    });
    let Some(size) = text.parse::<Poly>().ok().filter(|_| !power_of_ten) else {
        return bad("a whole number or a formula of sizes such as 4*c".to_owned());
    };
    let degree: u32 = size.symbols().iter().map(|s| size.degree_in(s)).sum();
    if degree == 0 {
        let largest = LARGEST.parse::<Integer>().unwrap_or_default();
        return match size.as_integer() {
            Some(number) if number >= Integer::from(least) && number <= largest => Ok(size),
            _ => bad(format!("a whole number from {least} to 10^{}", LARGEST.len() - 1)),
        };
    }
    if size.num_terms() > MAX_TERMS || degree > MAX_DEGREE {
        return bad(format!("a formula of at most {MAX_TERMS} terms and degree {MAX_DEGREE}"));
    }
    Ok(size)
}

/// The words there are, and the one that is near.
fn one_of(text: &str, words: &[&'static str]) -> String {
    let near = nearest(text, words.iter().copied());
    let near = near.map_or_else(String::new, |near| format!(" (did you mean `{near}`?)"));
    format!("one of {}{near}", words.join(", "))
}

impl Domain {
    /// Checks a value that is no size.
    fn check(&self, key: &'static Key, text: &str) -> Result<(), LayerError> {
        let expected = match self {
            Domain::Flag if ["true", "false"].contains(&text) => return Ok(()),
            Domain::Choice(choices) if choices.contains(&text) => return Ok(()),
            Domain::Activation if Activation::named(text).is_some() => return Ok(()),
            Domain::Number { from, below } => match text.parse::<f64>() {
                Ok(number) if (*from..*below).contains(&number) => return Ok(()),
                _ => format!("a number from {from:?} to below {below:?}"),
            },
            Domain::Flag => "true or false".to_owned(),
            Domain::Choice(choices) => one_of(text, choices),
            Domain::Activation => one_of(text, Activation::NAMES),
            Domain::Size { .. } | Domain::Optional { .. } => return Ok(()),
        };
        Err(LayerError::Value { key: key.name, expected, value: escaped(text) })
    }
}
