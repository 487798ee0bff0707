//! Disentangled attention (He et al. 2021, DeBERTa, §3.1): scores are the sum of products of contents,
//! of a query's content and the key's distance, and of a key's content and the query's distance.
//! Distances have a table of vectors, which the projections of queries and keys are applied to as well.

use opledger_dims::Poly;
use opledger_ir::ops::{Factor, Rearrange};
use opledger_ir::{Axis, Graph, LinearFacts, Mask, ModuleClass, Projection, Role, Scope, Var};

use crate::attention::{Core, join_heads};
use crate::sizes::{Named, quotient};
use crate::{AttentionNames, DropoutConfig, Linear, LinearConfig, NnError, Weights};

/// Options of a [`DisentangledAttention`].
#[derive(Clone, Debug, PartialEq)]
pub struct DisentangledConfig {
    /// The width of the input and of the result.
    pub embed_dim: Poly,
    /// Heads.
    pub num_heads: Poly,
    /// Whether a query's content meets the distance of a key.
    pub content_to_position: bool,
    /// Whether a key's content meets the distance of a query.
    pub position_to_content: bool,
    /// Where the projections of distances stand, to keys and to queries; those of contents serve when
    /// `None`.
    pub positions: Option<[String; 2]>,
    /// Where the projections of contents stand.
    pub names: AttentionNames,
}

impl DisentangledConfig {
    /// Both kinds of scores with distances, by the projections of contents; PyTorch's names.
    pub fn new(embed_dim: impl Into<Poly>, num_heads: impl Into<Poly>) -> Self {
        DisentangledConfig {
            embed_dim: embed_dim.into(),
            num_heads: num_heads.into(),
            content_to_position: true,
            position_to_content: true,
            positions: None,
            names: AttentionNames::default(),
        }
    }
}

/// Disentangled attention. Parameters: a weight and a bias of the four projections, `[h, e, c]` and `[h,
/// e]`, that of the joined heads `[c, h, e]` and `[c]`; of those of distances where they are apart.
///
/// ```
/// # mod opledger { pub use {opledger_ir::{self as ir, *}, opledger_nn as nn}; }
/// use opledger::{Graph, Mask, ir::{Axis, ops::Table}};
/// use opledger::nn::{DisentangledAttention, DisentangledConfig};
///
/// let mut g = Graph::new();
/// let x = g.input("x", ["b", "n", "c"])?;
/// let vectors = g.input("distances", [Axis::new("r", 8), Axis::from("c")])?;
/// let (query, key) = (Axis::from("n"), Axis::new("n'", "n"));
/// let rows = g.table("", Table::DistanceRows { span: 4, max_distance: None, query, key })?;
/// let attention = DisentangledAttention::new(&mut g, &DisentangledConfig::new("c", "h"))?;
/// let y = attention.forward(&mut g, x, (vectors, rows), &Mask::none())?;
/// assert_eq!(g.shape(y).to_string(), "[b, n, c]");
/// assert_eq!(g.parameters().0.to_string(), "4·c² + 4·c");
/// // Beside what every attention costs: 8 distances projected twice, and met by queries and keys.
/// let macs = "4·b·n·c² + 2·b·n²·c + 16·b·n·c + 16·c²";
/// assert_eq!(g.cost().macs().to_string(), macs);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct DisentangledAttention {
    scope: Scope,
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    /// What distances become keys by, where queries meet them, and queries, where keys do.
    of_keys: Option<Linear>,
    of_queries: Option<Linear>,
    head_dim: Poly,
}

impl DisentangledAttention {
    /// Attention in the present scope.
    ///
    /// # Errors
    /// When a size is below one, or the heads do not divide the width.
    pub fn new(g: &mut Graph, config: &DisentangledConfig) -> Result<Self, NnError> {
        let scope = g.module(ModuleClass::Attention);
        let g = &mut *g.enter(&scope);
        let (c, h) = (&config.embed_dim, &config.num_heads);
        let head_dim = quotient(g, "e", Named("embed_dim", c), Named("num_heads", h), "head_dim")?;
        let wide = || vec![Axis::new("c", c)];
        let heads = || vec![Axis::new("h", h), Axis::new("e", &head_dim)];
        let linear = |projection| LinearConfig {
            facts: LinearFacts { projection, ..LinearFacts::default() },
            ..LinearConfig::default()
        };
        let names = &config.names;
        let mut project = |name: &str, which| {
            Linear::between(&mut g.scope(name), wide(), heads(), linear(Some(which)))
        };
        let query = project(&names.query, Projection::Query)?;
        let key = project(&names.key, Projection::Key)?;
        let value = project(&names.value, Projection::Value)?;
        let out = linear(Some(Projection::Output));
        let out = Linear::between(&mut g.scope(&names.out), heads(), wide(), out)?;
        let mut apart = |wanted: bool, own: &Linear, at: usize| match &config.positions {
            _ if !wanted => Ok(None),
            None => Ok(Some(own.clone())),
            Some(names) => {
                let name = &names[at];
                Linear::between(&mut g.scope(name), wide(), heads(), linear(None)).map(Some)
            }
        };
        let of_keys = apart(config.content_to_position, &key, 0)?;
        let of_queries = apart(config.position_to_content, &query, 1)?;
        Ok(DisentangledAttention { scope, query, key, value, out, of_keys, of_queries, head_dim })
    }

    /// `[b, n, c]` to the same shape, by the vectors of distances `[r, c]` and the row `[n, n']` in them of
    /// each query's distance from each key.
    ///
    /// # Errors
    /// When an operand does not fit the configuration.
    pub fn forward(
        &self,
        g: &mut Graph,
        x: Var,
        (distances, rows): (Var, Var),
        mask: &Mask,
    ) -> Result<Var, NnError> {
        let g = &mut *g.enter(&self.scope);
        let q = self.query.forward(g, x)?;
        let k = self.key.forward(g, x)?;
        let v = self.value.forward(g, x)?;
        let terms =
            1 + usize::from(self.of_keys.is_some()) + usize::from(self.of_queries.is_some());
        // Of so many scores added up.
        let width = Poly::from(terms) * &self.head_dim;
        let mut biases = Vec::new();
        if let Some(map) = &self.of_keys {
            let g = &mut *g.scope("content_to_position");
            let scores = met(g, map, (q, distances))?;
            biases.push(self.of_pairs(g, (q, scores, rows), &width)?);
        }
        if let Some(map) = &self.of_queries {
            let g = &mut *g.scope("position_to_content");
            let scores = met(g, map, (k, distances))?;
            let scores = g.rename(scores, "n", "n'")?;
            biases.push(self.of_pairs(g, (q, scores, rows), &width)?);
        }
        let bias = match biases[..] {
            [first, second] => Some(g.add("distances", first, second)?),
            _ => biases.first().copied(),
        };
        let scale = Factor::InverseSqrt(width);
        let core = Core {
            mask,
            biases: bias.as_slice(),
            scale: Some(&scale),
            soft_cap: None,
            by_head: None,
            sinks: None,
            weights: Weights::None,
            dropout: DropoutConfig::default(),
        };
        let attended = core.attend(g, (q, k, v))?;
        join_heads(g, attended.output, Some(&self.out))
    }

    /// The scores `[b, h, n, n']` of all pairs, out of those with every distance.
    fn of_pairs(
        &self,
        g: &mut Graph,
        (q, scores, rows): (Var, Var, Var),
        width: &Poly,
    ) -> Result<Var, NnError> {
        let [batch @ .., tokens, heads, _] = &g.shape(q).axes[..] else {
            return Err(NnError::Config("queries have too few axes".to_owned()));
        };
        let pair = [heads.clone(), tokens.clone(), Axis::new("n'", &tokens.size)];
        let axes = [batch, &pair].concat();
        let scores = g.gather_nd(scores, axes, &[("r", rows)])?;
        let scores = g.scale(scores, Factor::InverseSqrt(width.clone()))?;
        Ok(g.mark(scores, Role::ScoreScale))
    }
}

/// Scores `[b, h, n, r]` of contents `[b, n, h, e]` with every distance `[r, c]`, which a map projects.
fn met(g: &mut Graph, map: &Linear, (content, distances): (Var, Var)) -> Result<Var, NnError> {
    // One item, as the authors' code has it.
    let [rows, _] = &g.shape(distances).axes[..] else {
        return Err(NnError::Config("distances have two axes".to_owned()));
    };
    let into = vec![Axis::new("i", 1), rows.clone()];
    let axis = rows.name.clone();
    let one = g.rearrange(distances, Rearrange::Split { axis, into })?;
    let vectors = map.forward(g, one)?;
    let axes = vec!["i".into(), "r".into()];
    let vectors = g.rearrange(vectors, Rearrange::Merge { axes, into: "r".into() })?;
    let scores = g.einsum_as("scores", "b n h e, r h e -> b h n r", content, vectors)?;
    Ok(g.mark(scores, Role::Scores))
}
