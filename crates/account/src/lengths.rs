//! Batches of texts of unequal lengths.

use std::collections::BTreeMap;

use opledger_dims::{Binding, Integer, Quantity, Symbol};
use opledger_ir::SizeRole;
use opledger_report::{LengthCount, LengthCounts};

use crate::grid::{machine, summed, without};
use crate::{AccountError, Model};

impl Model {
    /// What a batch of texts of some lengths costs: packed, each attending to itself alone, and padded to the
    /// longest.
    ///
    /// ```
    /// use opledger::Model;
    ///
    /// let batch = Model::open("mha:c=4,h=2,mask=causal,bias=false")?.lengths(&[3, 1], &Default::default())?;
    /// let macs = &batch.counts[0];
    /// // 4·n·c² for each token, and c for each pair of a query and a key before it, twice.
    /// assert_eq!(macs.packed, (4 * 4 * 16 + 2 * (6 + 1) * 4).into());
    /// assert_eq!(macs.padded, (2 * (4 * 3 * 16 + 2 * 6 * 4)).into());
    /// # Ok::<(), opledger::AccountError>(())
    /// ```
    ///
    /// # Errors
    /// When the model has no tokens, there are no texts, one is empty, or a size is missing or is given that the
    /// lengths say.
    pub fn lengths(&self, lengths: &[u64], sizes: &Binding) -> Result<LengthCounts, AccountError> {
        let graph = self.graph();
        let refused = |why: &str| AccountError::Lengths {
            model: self.name().to_owned(),
            why: why.to_owned(),
        };
        let (Some(items), Some(tokens)) =
            (graph.size_of(SizeRole::Batch), graph.size_of(SizeRole::Tokens))
        else {
            return Err(refused("it has no items of tokens"));
        };
        if [items, tokens].iter().any(|symbol| sizes.get(symbol).is_some()) {
            return Err(refused(&format!("the lengths say {items} and {tokens}; leave them out")));
        }
        let Some(longest) = lengths.iter().max().copied() else {
            return Err(refused("there is no text"));
        };
        if lengths.contains(&0) {
            return Err(refused("a text has a token or more"));
        }
        let at = |texts: usize, length: u64| {
            sizes.clone().with(items, texts as u64).with(tokens, length)
        };
        let one = self.counted_at(&at(1, longest))?;
        let all = self.counted_at(&at(lengths.len(), longest))?;
        let fixed = without(one.sizes(), graph, &[tokens]);
        let totals = graph.totals(&fixed, std::slice::from_ref(tokens))?;
        let mut times: BTreeMap<u64, u64> = BTreeMap::new();
        lengths.iter().for_each(|length| *times.entry(*length).or_default() += 1);
        let (mut macs, mut flops) = (Integer::default(), Integer::default());
        for (length, times) in &times {
            let own = summed(totals.at(&[machine(tokens, &(*length).into())?])?);
            macs += own.macs * times;
            flops += own.flops * times;
        }
        // Sums over texts, which bytes of weights are not.
        let matmul_flops = &macs * 2;
        let counted = [
            (Quantity::Macs, macs),
            (Quantity::Flops, flops),
            (Quantity::MatmulFlops, matmul_flops),
        ];
        let counts = counted.map(|(quantity, packed)| {
            Ok(LengthCount {
                quantity: quantity.name(),
                packed,
                padded: all.quantity(quantity)?,
                formula: self.in_powers(quantity, &fixed, tokens),
            })
        });
        let sum = |power: u32| -> Integer {
            times.iter().map(|(n, times)| Integer::from(*n).pow(power) * times).sum()
        };
        Ok(LengthCounts {
            model: self.name().to_owned(),
            binding: without(&fixed, graph, &[items]),
            texts: lengths.len().into(),
            tokens: sum(1),
            squares: sum(2),
            longest: longest.into(),
            counts: counts.into_iter().collect::<Result<_, AccountError>>()?,
        })
    }

    /// A quantity of a batch as a formula in sums of powers of lengths; none where lengths enter by more than
    /// their powers, as where a window may be longer than a text.
    fn in_powers(&self, quantity: Quantity, fixed: &Binding, tokens: &Symbol) -> Option<String> {
        let formula = self.graph().quantity(quantity);
        let formula = formula.bind(&self.graph().derive(fixed).ok()?);
        if formula.symbols().iter().any(|symbol| symbol != tokens) {
            return None;
        }
        let whole = formula.whole_terms();
        let term = |(coefficient, powers): &(Integer, Vec<(Symbol, u32)>)| {
            let coefficient = match (coefficient % &whole.denominator) == Integer::default() {
                true => (coefficient / &whole.denominator).to_string(),
                false => format!("{coefficient}/{}", whole.denominator),
            };
            match powers.first() {
                None => format!("{coefficient}·texts"),
                Some((_, 1)) => format!("{coefficient}·Σ{tokens}"),
                Some((_, 2)) => format!("{coefficient}·Σ{tokens}²"),
                Some((_, power)) => format!("{coefficient}·Σ{tokens}^{power}"),
            }
        };
        let terms: Vec<String> = whole.terms.iter().map(term).collect();
        Some(if terms.is_empty() { "0".to_owned() } else { terms.join(" + ").replace("+ -", "- ") })
    }
}
