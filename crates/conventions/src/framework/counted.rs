//! A formula of a framework, evaluated for a decoder.

use std::collections::BTreeSet;

use opledger_dims::{Binding, EvalError, Integer, Symbol};

use super::data::{Framework, Term};
use super::{CountedParts, DescribedDecoder, DescribedSizes};
use crate::ConventionError;

/// What a framework counts of a part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartCount {
    /// How much.
    pub count: Integer,
    /// By which formulas.
    pub formulas: BTreeSet<String>,
}

impl Framework {
    /// What it counts of a decoder, for `b` sequences of `n` tokens.
    ///
    /// # Errors
    /// When it is not for such a decoder, or a size is missing.
    pub fn count(
        &self,
        decoder: &DescribedDecoder,
        work: &Binding,
    ) -> Result<CountedParts, ConventionError> {
        self.check(decoder)?;
        let mut counts = CountedParts::new();
        let none = DescribedSizes::default();
        let once = Integer::from(1);
        for term in &self.terms {
            let layers = decoder.layers.iter().map(|(times, layer)| (times, layer));
            let places: Vec<_> = match term.of_layers {
                true => layers.collect(),
                false => vec![(&once, &none)],
            };
            for (times, layer) in places {
                let seen = Seen::of(layer, work);
                let known = |name: &String| {
                    decoder.whole.traits.contains(name)
                        || layer.traits.contains(name)
                        || seen.traits.contains(&name.as_str())
                };
                let of_family = term.families.is_empty() || term.families.contains(&decoder.family);
                if !of_family || !term.when.iter().all(known) || term.unless.iter().any(known) {
                    continue;
                }
                let mut sizes = decoder.whole.sizes.clone();
                for own in [&layer.sizes, &seen.sizes, work] {
                    own.iter().for_each(|(name, size)| {
                        sizes.set(name, size.clone());
                    });
                }
                padded(&mut sizes);
                let count = self.evaluated(term, &sizes)? * times;
                if count != Integer::default() {
                    let part = counts.entry(term.part).or_default();
                    part.count += count;
                    part.formulas.insert(term.text.clone());
                }
            }
        }
        Ok(counts)
    }

    fn evaluated(&self, term: &Term, sizes: &Binding) -> Result<Integer, ConventionError> {
        term.poly.at(sizes).map_err(|source| ConventionError::Rule {
            convention: self.name.clone(),
            op: term.text.clone(),
            path: term.part.to_owned(),
            source,
        })
    }

    /// Refuses a decoder that the framework is not for.
    fn check(&self, decoder: &DescribedDecoder) -> Result<(), ConventionError> {
        let refused = |why: String| ConventionError::NotCovered {
            convention: self.name.clone(),
            family: decoder.family.clone(),
            why,
        };
        if !self.families.is_empty() && !self.families.contains(&decoder.family) {
            return Err(refused(format!("it is for {}", self.families.join(", "))));
        }
        let parts = decoder.layers.iter().map(|(_, layer)| layer).chain([&decoder.whole]);
        let all: BTreeSet<&String> = parts.flat_map(|part| &part.traits).collect();
        if let Some(odd) = all.iter().find(|name| !self.covers.contains(name)) {
            return Err(refused(format!("it has no term for `{odd}`")));
        }
        if let Some(every) = self.full_every.get(&decoder.family) {
            let layers = || decoder.layers.iter();
            let all: Integer = layers().map(|(times, _)| times).sum();
            let full = layers().filter(|(_, layer)| layer.traits.contains("full"));
            let full: Integer = full.map(|(times, _)| times).sum();
            if full != all / every {
                return Err(refused(format!("it takes one layer of {every} to see all tokens")));
            }
        }
        Ok(())
    }
}

/// What queries see: a window is `narrow` where there are more tokens, those in the cache included, than keys in
/// it, else `wide`; `w` is never more than there are tokens; `pairs` are those of a query and a key that it sees.
struct Seen {
    traits: Vec<&'static str>,
    sizes: Binding,
}

impl Seen {
    fn of(layer: &DescribedSizes, work: &Binding) -> Seen {
        let [w, n, p, ch] = ["w", "n", "p", "ch"].map(Symbol::from);
        let mut seen = Seen { traits: Vec::new(), sizes: Binding::new() };
        let Some(new) = work.get(&n) else { return seen };
        let past = work.get(&p).cloned().unwrap_or_default();
        let tokens = &past + new;
        let window = layer.sizes.get(&w);
        let chunk = layer.sizes.get(&ch).filter(|keys| **keys > 0.into());
        // The pairs of the first so many tokens with those up to each, of which the cached ones have passed.
        let triangle = |n: &Integer| -> Integer { n * (n + 1) / 2 };
        let pairs = |n: &Integer| -> Integer {
            match (window, chunk) {
                (Some(keys), _) if keys < n => triangle(keys) + (n - keys) * keys,
                (None, Some(keys)) => n / keys * triangle(keys) + triangle(&(n % keys)),
                _ => triangle(n),
            }
        };
        seen.sizes.set(Symbol::from("pairs"), pairs(&tokens) - pairs(&past));
        if let Some(keys) = window {
            let narrow = *keys < tokens;
            seen.traits.push(if narrow { "narrow" } else { "wide" });
            if !narrow {
                seen.sizes.set(w, tokens);
            }
        }
        seen
    }
}

/// Adds `vp`, the words padded to a multiple of 128.
fn padded(sizes: &mut Binding) {
    if let Some(words) = sizes.get(&Symbol::from("v")).cloned() {
        let one = Integer::from(128);
        let blocks: Integer = (words + 127) / &one;
        sizes.set(Symbol::from("vp"), blocks * one);
    }
}

impl ConventionError {
    /// Whether a size is missing.
    pub fn is_unbound(&self) -> bool {
        matches!(self, ConventionError::Rule { source: EvalError::Unbound(_), .. })
    }
}
