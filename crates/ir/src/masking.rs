//! The masks that layers record operations with.

use opledger_dims::{Poly, Symbol};

use crate::masked::Masked;
use crate::ops::Scaling;
use crate::{Axis, Definition, Graph, MaskRule, Reach, Support, Var};

/// Which keys a query may see, as an operation is recorded with it. Without any rule, all of them.
///
/// Keys on both sides of a query, `|i - j| < w`, are a causal mask that looks ahead: `offset = w - 1`
/// and a window of `2·w - 1`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mask {
    /// Causal: query `i` sees keys `j <= i + offset`.
    pub offset: Option<Poly>,
    /// With `offset` only: of those, the last so many, or those of one chunk.
    pub reach: Option<Reach<Poly>>,
    /// A tensor of 0 (hidden) and 1 (visible). Its last axis is the keys; the others are some of those
    /// of batch, heads and queries, by name: `[batch…, keys]`, such as a padding mask, hides keys, one
    /// with the queries among its axes any pair.
    pub keep: Option<Var>,
}

impl Mask {
    /// Every query sees every key.
    pub fn none() -> Self {
        Mask::default()
    }

    /// Query `i` sees keys up to and with `i`.
    pub fn causal() -> Self {
        Mask { offset: Some(Poly::zero()), ..Mask::default() }
    }

    /// Query `i` sees itself and the `window - 1` keys before it.
    pub fn sliding(window: impl Into<Poly>) -> Self {
        Mask { reach: Some(Reach::Window(window.into())), ..Mask::causal() }
    }

    /// Query `i` sees itself and those before it in its chunk of `chunk` keys.
    pub fn chunked(chunk: impl Into<Poly>) -> Self {
        Mask { reach: Some(Reach::Chunk(chunk.into())), ..Mask::causal() }
    }

    /// Query `i` sees itself and the `window - 1` keys on either side of it.
    pub fn around(window: impl Into<Poly>) -> Self {
        let (window, one) = (window.into(), Poly::one());
        let offset = &window - &one;
        let reach = Some(Reach::Window(&window + &offset));
        Mask { reach, offset: Some(offset), keep: None }
    }

    /// The same mask that also hides what is 0 in `keep`.
    #[must_use]
    pub fn keeping(self, keep: Var) -> Self {
        Mask { keep: Some(keep), ..self }
    }

    /// Whether every pair is allowed.
    pub fn is_none(&self) -> bool {
        *self == Mask::default()
    }

    /// What an operation says of the mask; the tensor is an operand.
    pub fn rule(&self) -> MaskRule {
        let (offset, reach) = (self.offset.clone(), self.reach.clone());
        MaskRule { offset, reach, keep: self.keep.is_some() }
    }

    /// The mask of an operation over the axes of queries and keys, of which it leaves `support`.
    pub(crate) fn over(&self, query: &Symbol, key: &Symbol, support: Support) -> Masking {
        let (rule, query, key) = (self.rule(), query.clone(), key.clone());
        Masking { masked: Masked { rule, query, key, support }, keep: self.keep }
    }
}

/// The mask of an operation that computes allowed pairs only, and the tensor that is its operand.
#[derive(Clone, Debug, PartialEq)]
pub struct Masking {
    /// What the operation says.
    pub masked: Masked,
    /// Its last operand, when a tensor hides pairs.
    pub keep: Option<Var>,
}

/// What becomes of scores on their way to weights, as attention is recorded with it: in this order, and
/// each only where it is given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scoring {
    /// Multiplies or divides them.
    pub scale: Option<Scaling>,
    /// Keeps them below it: `c·tanh(s / c)`.
    pub soft_cap: Option<f64>,
    /// Is added to them: axes query and key last, or key alone; before them any of heads and batch by
    /// name.
    pub bias: Option<Var>,
    /// Which of them there are.
    pub mask: Mask,
    /// One more score for each head, `[h]`, beside those of each of its rows; it weighs no value.
    pub sinks: Option<Var>,
}

impl Graph {
    /// The mask of operations on entries over such axes: batch and heads first, then queries and keys. It
    /// declares the symbols that it takes to say how many pairs are left.
    ///
    /// ```
    /// # mod opledger { pub use opledger_ir::{self as ir, *}; }
    /// use opledger::{Graph, Mask, ir::Axis};
    ///
    /// let mut g = Graph::new();
    /// let scores = g.input("scores", ["b", "h", "n", "m"])?;
    /// let keep = g.input_mask("keep", ["b", "n", "m"])?; // any pair, the same for all heads
    /// let mask = g.masking(&Mask::none().keeping(keep), &["b", "h", "n", "m"].map(Axis::from));
    /// let weights = g.softmax(scores, Some(mask))?;
    /// assert!(g.cost().total().to_string().contains("exp = h·pairs"));
    /// # Ok::<(), opledger_ir::GraphError>(())
    /// ```
    pub fn masking(&mut self, mask: &Mask, entries: &[Axis]) -> Masking {
        let (outer, query, key) = match entries {
            [outer @ .., query, key] => (outer, query.clone(), key.clone()),
            _ => (&[][..], Axis::new("n", 1), Axis::new("m", 1)),
        };
        let support = self.support(mask, outer, &query, &key.size);
        mask.over(&query.name, &key.name, support)
    }

    /// How many pairs and rows a mask leaves, declaring the symbols that this takes.
    pub(crate) fn support(
        &mut self,
        mask: &Mask,
        outer: &[Axis],
        query: &Axis,
        keys: &Poly,
    ) -> Support {
        let (offset, reach) = (mask.offset.clone(), mask.reach.clone());
        let queries = &query.size;
        if let Some(keep) = mask.keep {
            let axes = &self.shape(keep).axes;
            let named = &axes[..axes.len().saturating_sub(1)];
            let own = |axis: &Axis| named.iter().position(|own| own.name == axis.name);
            let at = own(query);
            // Items and heads that share the tensor.
            let shared: Poly =
                outer.iter().filter(|axis| own(axis).is_none()).map(|axis| &axis.size).product();
            let (pairs, rows) = self.declare(["pairs", "rows"], |pairs, rows| Definition::Kept {
                pairs,
                rows,
                keep,
                query: at,
                queries: queries.clone(),
                offset: offset.clone(),
                reach: reach.clone(),
            });
            return Support { pairs: pairs * &shared, rows: rows * shared };
        }
        let all: Poly = outer.iter().map(|axis| &axis.size).product();
        let Some(offset) = offset else {
            return Support { pairs: all.clone() * queries * keys, rows: all * queries };
        };
        // The triangle on top of `offset` full columns: needs an offset that is nowhere negative.
        if reach.is_none() && offset.is_never_negative() && *keys == queries + &offset {
            let triangle = (queries * queries + queries).ratio(1, 2);
            return Support { pairs: &all * &(queries * offset + triangle), rows: all * queries };
        }
        let (pairs, rows) = self.declare(["pairs", "rows"], |pairs, rows| Definition::Band {
            pairs,
            rows,
            queries: queries.clone(),
            keys: keys.clone(),
            offset: offset.clone(),
            reach: reach.clone(),
        });
        Support { pairs: &all * &pairs, rows: all * rows }
    }

    /// The symbols of the definition that `make` makes, declared unless the same one stands already.
    pub(crate) fn declare(
        &mut self,
        stems: [&str; 2],
        make: impl Fn(Symbol, Symbol) -> Definition,
    ) -> (Poly, Poly) {
        let standing = self.definitions().iter().find_map(|d| match d.defines()[..] {
            [pairs, rows] if make(pairs.clone(), rows.clone()) == *d => {
                Some((pairs.clone(), rows.clone()))
            }
            _ => None,
        });
        let (pairs, rows) =
            standing.unwrap_or_else(|| (self.fresh(stems[0]), self.fresh(stems[1])));
        self.define(make(pairs.clone(), rows.clone()));
        (pairs.into(), rows.into())
    }
}
