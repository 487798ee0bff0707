//! Cosine attention within windows (Liu et al. 2022, Swin Transformer V2, §3.2 and 3.3, and the authors' code):
//! scores are cosines of queries and keys times a learned factor of each head, and biases come of a small network
//! that is given how far two tokens lie apart, so that windows of another size have some too. Named as in the
//! `transformers` library, which adds the mask of a roll twice.

use opledger_dims::{Pointwise, Poly};
use opledger_ir::ops::{Activation, Factor, Rearrange, Reduce, Source, Table};
use opledger_ir::{Axis, Graph, LinearFacts, Mask, ModuleClass, Projection, Scope, Var};

use crate::attention::{Core, join_heads};
use crate::sizes::{Named, positive, quotient};
use crate::window::{Windows, displacements, heads_first};
use crate::{DropoutConfig, Linear, LinearConfig, NnError, Weights};

/// The width of the network that makes biases, and what they stay below.
const HIDDEN: u64 = 512;
const GREATEST_BIAS: f64 = 16.0;
/// The logarithm of what the factors of heads stay below, 100.
const GREATEST_LOGARITHM: f64 = 2.0 * std::f64::consts::LN_10;
/// The least length that a vector is divided by.
const SHORTEST: f64 = 1e-12;

/// Options of a [`CosineWindowAttention`].
#[derive(Clone, Debug, PartialEq)]
pub struct CosineWindowConfig {
    /// The width of input and result.
    pub embed_dim: Poly,
    /// Heads.
    pub num_heads: Poly,
    /// Tokens along a side of a window.
    pub side: Poly,
    /// By how many tokens the image is rolled, below `side`; zero for none.
    pub shift: Poly,
    /// Tokens along a side of the windows that biases were learned in, if they were others.
    pub pretrained: Option<u64>,
    /// Whether the maps of queries and values have biases; that of keys has none.
    pub bias: bool,
}

/// Cosine attention within windows of an image. Parameters, in the scope `self`: `query`, `key`, `value`,
/// `logit_scale [h, 1, 1]`, and `continuous_position_bias_mlp`; `output.dense` beside it.
#[derive(Clone, Debug)]
pub struct CosineWindowAttention {
    scope: Scope,
    maps: [Linear; 3],
    out: Linear,
    logit_scale: Var,
    bias_scope: Scope,
    bias_maps: [Linear; 2],
    side: Poly,
    reach: Poly,
    shift: Poly,
}

impl CosineWindowAttention {
    /// Attention in the present scope.
    ///
    /// # Errors
    /// When a size is below one, or the heads do not divide the width.
    pub fn new(g: &mut Graph, config: &CosineWindowConfig) -> Result<Self, NnError> {
        let (c, h, side) = (&config.embed_dim, &config.num_heads, config.side.clone());
        positive("side", &side)?;
        let scope = g.module(ModuleClass::Attention);
        let g = &mut *g.enter(&scope);
        let head_dim = quotient(g, "e", Named("embed_dim", c), Named("num_heads", h), "head_dim")?;
        let wide = || vec![Axis::new("c", c)];
        let heads = || vec![Axis::new("h", h), Axis::new("e", &head_dim)];
        let linear = |bias, which| LinearConfig {
            facts: LinearFacts { projection: Some(which), ..LinearFacts::default() },
            ..LinearConfig::bias(bias)
        };
        let mut project = |name: &str, bias, which| {
            Linear::between(&mut g.scope(name), wide(), heads(), linear(bias, which))
        };
        let maps = [
            project("self.query", config.bias, Projection::Query)?,
            project("self.key", false, Projection::Key)?,
            project("self.value", config.bias, Projection::Value)?,
        ];
        let out = linear(true, Projection::Output);
        let out = Linear::between(&mut g.scope("output.dense"), heads(), wide(), out)?;
        let axes = [Axis::new("h", h), Axis::new("u", 1), Axis::new("u'", 1)];
        let logit_scale = g.scope("self").param("logit_scale", Source::shift(), axes)?;
        let bias_scope =
            g.scope("self.continuous_position_bias_mlp").module(ModuleClass::Distances);
        let bias_maps = {
            let g = &mut *g.enter(&bias_scope);
            let (pair, hidden) = (("s", Poly::from(2)), ("ff", Poly::from(HIDDEN)));
            let without = LinearConfig::bias(false);
            let first = LinearConfig::default();
            let first = Linear::new(&mut g.scope("0"), pair, hidden.clone(), first)?;
            [first, Linear::new(&mut g.scope("2"), hidden, ("h", h), without)?]
        };
        let farthest = |side: Poly| side - Poly::one();
        let reach = farthest(config.pretrained.map_or_else(|| side.clone(), Poly::from));
        let shift = config.shift.clone();
        let (side, scope) = (side, g.here());
        Ok(CosineWindowAttention {
            scope,
            maps,
            out,
            logit_scale,
            bias_scope,
            bias_maps,
            side,
            reach,
            shift,
        })
    }

    /// An image `[b, y, x, c]` to the same shape.
    ///
    /// # Errors
    /// When `x` does not fit the configuration.
    pub fn forward(&self, g: &mut Graph, x: Var) -> Result<Var, NnError> {
        let g = &mut *g.enter(&self.scope);
        Windows::of(g, x, &self.side)?.attend(g, x, &self.shift, |g, cut, mask| {
            let [q, k, v] = &self.maps;
            let (q, k, v) = (q.forward(g, cut)?, k.forward(g, cut)?, v.forward(g, cut)?);
            let (q, k) = (unit(g, q)?, unit(g, k)?);
            let factors = self.factors(g)?;
            let biases: Vec<Var> = [self.biases(g)?].into_iter().chain(mask).chain(mask).collect();
            let core = Core {
                mask: &Mask::none(),
                biases: &biases,
                scale: None,
                by_head: Some(factors),
                soft_cap: None,
                sinks: None,
                weights: Weights::None,
                dropout: DropoutConfig::default(),
            };
            let attended = core.attend(g, (q, k, v))?;
            join_heads(g, attended.output, Some(&self.out))
        })
    }

    /// What the scores of each head are multiplied with: `[h]`.
    fn factors(&self, g: &mut Graph) -> Result<Var, NnError> {
        let below = Pointwise::Clamp { min: None, max: Some(GREATEST_LOGARITHM) };
        let logarithms = g.pointwise(self.logit_scale, below)?;
        let factors = g.pointwise(logarithms, Pointwise::Exp)?;
        let axes = ["h", "u", "u'"].map(Into::into).into();
        Ok(g.rearrange(factors, Rearrange::Merge { axes, into: "h".into() })?)
    }

    /// Biases `[h, n, m]`.
    fn biases(&self, g: &mut Graph) -> Result<Var, NnError> {
        let g = &mut *g.enter(&self.bias_scope);
        let rows = &self.side * 2 - Poly::one();
        let (row, pair) = (Axis::new("t", &rows * &rows), Axis::new("s", 2));
        let (side, reach) = (self.side.clone(), self.reach.clone());
        let coordinates = g.table("", Table::LogDisplacement { side, reach, row, pair })?;
        let [first, second] = &self.bias_maps;
        let x = first.forward(g, coordinates)?;
        let x = g.activation(x, Activation::Relu)?;
        let table = second.forward(g, x)?;
        let ids = displacements(g, &self.side)?;
        let bias = g.embedding("", ids, table)?;
        let bias = heads_first(g, bias)?;
        let bias = g.activation(bias, Activation::Sigmoid)?;
        Ok(g.scale(bias, Factor::Number(GREATEST_BIAS))?)
    }
}

/// Heads of length one.
fn unit(g: &mut Graph, x: Var) -> Result<Var, NnError> {
    let squares = g.pointwise(x, Pointwise::Power(2.0))?;
    let sum = g.reduce(squares, Reduce::Sum("e".into()))?;
    let length = g.pointwise(sum, Pointwise::Power(0.5))?;
    let length = g.pointwise(length, Pointwise::Clamp { min: Some(SHORTEST), max: None })?;
    Ok(g.div("normed", x, length)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_a_window_has_a_score_and_a_bias() {
        let mut g = Graph::new();
        let axes = ["b".into(), Axis::new("y", 9), Axis::new("x", 5), "c".into()];
        let x = g.input("image", axes).unwrap();
        let config = CosineWindowConfig {
            embed_dim: "c".into(),
            num_heads: "h".into(),
            side: 4.into(),
            shift: 2.into(),
            pretrained: None,
            bias: true,
        };
        let attention = CosineWindowAttention::new(&mut g, &config).unwrap();
        let y = attention.forward(&mut g, x).unwrap();
        assert_eq!(g.shape(y), g.shape(x));
        // 3 × 2 windows of 16 tokens, and biases of 49 displacements.
        let macs = "384·b·c² + 3072·b·c + 25088·h + 50176";
        assert_eq!(g.cost().macs().to_string(), macs);
        assert_eq!(g.parameters().0.to_string(), "4·c² + 3·c + 513·h + 1536");
        let config = CosineWindowConfig { side: 0.into(), ..config };
        assert!(CosineWindowAttention::new(&mut g, &config).is_err());
    }
}
