//! Gated DeltaNet (Yang, Kautz, Hatamizadeh 2024, arXiv:2412.06464): linear attention whose state, a matrix
//! for each head, forgets by a factor of each token and is corrected by what it holds under the token's key,
//! `S ← α·S`, `S ← S + k ⊗ β·(v − Sᵀ·k)`, `o = Sᵀ·q`. Queries, keys and values come from a short convolution.

use opledger_dims::Poly;
use opledger_ir::ops::{Activation, ArithmeticKind, Factor, Pointwise, Rearrange, Reduce, Source};
use opledger_ir::{Axis, Graph, ModuleClass, Recurrence, Role, Scope, Var};

use crate::causal_convolution::{CausalConvolution, without_padding};
use crate::linear::param;
use crate::recurrence::stepwise;
use crate::{Attend, Attended, Linear, LinearConfig, NnError, Norm, NormConfig};

/// Options of a [`GatedDelta`].
#[derive(Clone, Debug, PartialEq)]
pub struct GatedDeltaConfig {
    /// The width of input and output.
    pub d_model: Poly,
    /// Heads of queries and keys.
    pub key_heads: Poly,
    /// Heads of values, each with a state, that share a head of keys.
    pub values_per_key: Poly,
    /// The width of a query and key head.
    pub key_dim: Poly,
    /// The width of a value head.
    pub value_dim: Poly,
    /// How many tokens a result of the convolution is made of.
    pub taps: usize,
    /// The function of its results.
    pub activation: Activation,
    /// The norm of each head's result.
    pub norm: NormConfig,
    /// How the maps of the input stand together.
    pub maps: DeltaMaps,
    /// Whether training leaves the parameters alone.
    pub frozen: bool,
}

/// How the maps of the input of a [`GatedDelta`] stand together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeltaMaps {
    /// `in_proj_qkv`, `in_proj_z`, `in_proj_b`, `in_proj_a` (Qwen 3.5).
    Apart,
    /// `in_proj_qkvz` and `in_proj_ba`, in which the parts of each key head stand one after another
    /// (Qwen 3-Next).
    ByHeads,
    /// `q_proj`, `k_proj` and `v_proj`, each with a convolution, `b_proj`, and in two steps `f_a_proj` and
    /// `f_b_proj` to a factor of each element of a key, `g_a_proj` and `g_b_proj` to the gate (Kimi Linear,
    /// Moonshot AI 2025, arXiv:2510.26692).
    ByChannel,
}

impl GatedDeltaConfig {
    /// How many inputs of the convolution a token needs of those before it.
    pub fn reach(&self) -> usize {
        self.taps.saturating_sub(1)
    }

    /// The axis of the convolution's channels: queries, keys and values one after another.
    pub fn channels(&self) -> Axis {
        let [keys, values] = self.widths();
        Axis::new(CHANNELS, &keys + &keys + values)
    }

    /// The axes of a state behind the items.
    pub fn state(&self) -> [Axis; 4] {
        let [group, key, head, value] = self.axes();
        [group, key, head, value]
    }

    /// How many elements the keys and the values of a token have.
    fn widths(&self) -> [Poly; 2] {
        let heads = &self.key_heads * &self.values_per_key;
        [&self.key_heads * &self.key_dim, heads * &self.value_dim]
    }

    /// Of key heads, of a key, of the value heads of a key head, of a value.
    fn axes(&self) -> [Axis; 4] {
        [
            Axis::new("g", &self.key_heads),
            Axis::new("d", &self.key_dim),
            Axis::new("r", &self.values_per_key),
            Axis::new("f", &self.value_dim),
        ]
    }
}

/// The channels of the convolution.
const CHANNELS: &str = "qkv";

/// What is added to the sum of squares by which queries and keys are normed.
const EPSILON: f64 = 1e-6;

/// A layer of gated linear attention. Parameters `A_log` and `dt_bias [g, r]`, those of its maps,
/// `conv1d.weight [qkv, 1, taps]`, `norm.weight [f]`, `out_proj.weight [c, g, r, f]`.
#[derive(Clone, Debug)]
pub struct GatedDelta {
    scope: Scope,
    steps: Scope,
    maps: Vec<Linear>,
    convolutions: Vec<CausalConvolution>,
    decay: Var,
    shift: Var,
    norm: Norm,
    out: Linear,
    config: GatedDeltaConfig,
}

/// What the maps make of a token.
struct Mapped {
    /// Queries, keys and values, before the convolution, `[b, n, qkv]`.
    channels: Var,
    /// The gate of the result, `[b, n, g, r, f]`.
    gate: Var,
    /// How much a token corrects, `[b, n, g, r]`.
    beta: Var,
    /// How much it forgets, `[b, n, g, r]`, or of each element of a key, `[b, n, g, d]`.
    alpha: Var,
}

impl GatedDelta {
    /// A layer in the present scope.
    ///
    /// # Errors
    /// When a size is below one.
    pub fn new(g: &mut Graph, config: &GatedDeltaConfig) -> Result<Self, NnError> {
        let scope = g.here();
        let c = Axis::new("c", &config.d_model);
        let [group, key, head, value] = config.axes();
        let linear = LinearConfig { frozen: config.frozen, ..LinearConfig::bias(false) };
        let heads = vec![group.clone(), head.clone(), value.clone()];
        let each = vec![group.clone(), head.clone()];
        let of_key = &head.size * &value.size;
        let [keys, values] = config.widths();
        let c = || vec![c.clone()];
        let low = |size: &Poly| vec![Axis::new("low", size)];
        let channels = |size: &Poly| vec![Axis::new(CHANNELS, size)];
        let of_keys = vec![group.clone(), key.clone()];
        let maps = match config.maps {
            DeltaMaps::Apart => vec![
                ("in_proj_qkv", c(), vec![config.channels()]),
                ("in_proj_z", c(), heads.clone()),
                ("in_proj_b", c(), each.clone()),
                ("in_proj_a", c(), each.clone()),
            ],
            DeltaMaps::ByHeads => {
                let all = Axis::new("w", (&key.size + &of_key) * Poly::from(2));
                let both = Axis::new("w", &head.size * &Poly::from(2));
                vec![
                    ("in_proj_qkvz", c(), vec![group.clone(), all]),
                    ("in_proj_ba", c(), vec![group.clone(), both]),
                ]
            }
            DeltaMaps::ByChannel => vec![
                ("q_proj", c(), channels(&keys)),
                ("k_proj", c(), channels(&keys)),
                ("v_proj", c(), channels(&values)),
                ("b_proj", c(), each.clone()),
                ("f_a_proj", c(), low(&key.size)),
                ("f_b_proj", low(&key.size), of_keys.clone()),
                ("g_a_proj", c(), low(&value.size)),
                ("g_b_proj", low(&value.size), heads.clone()),
            ],
        };
        let map = |(name, from, to): (&str, Vec<Axis>, Vec<Axis>)| {
            Linear::between(&mut g.scope(name), from, to, linear)
        };
        let maps = maps.into_iter().map(map).collect::<Result<_, _>>()?;
        let by_channel = config.maps == DeltaMaps::ByChannel;
        let [out, own] = if by_channel { ["o_proj", "o_norm"] } else { ["out_proj", "norm"] };
        let out = Linear::between(&mut g.scope(out), heads, c(), linear)?;
        let options = (false, config.frozen);
        let convolution = |(name, channels): (&str, Axis)| {
            CausalConvolution::new(&mut g.scope(name), channels, config.taps, options)
        };
        let own_channels = |size: &Poly| Axis::new(CHANNELS, size);
        let convolutions = match by_channel {
            false => vec![("conv1d", config.channels())],
            true => vec![
                ("q_conv1d", own_channels(&keys)),
                ("k_conv1d", own_channels(&keys)),
                ("v_conv1d", own_channels(&values)),
            ],
        };
        let convolutions = convolutions.into_iter().map(convolution).collect::<Result<_, _>>()?;
        let norm = NormConfig { frozen: config.frozen, ..config.norm };
        let norm = Norm::new(&mut g.scope(own), value, norm)?;
        let (of_decay, of_shift, class) = match by_channel {
            false => (each.clone(), each, Recurrence::GatedDelta),
            true => {
                let one = |name| Axis::new(name, 1);
                let of_decay = vec![one("i"), one("j"), group, one("l")];
                (of_decay, of_keys, Recurrence::DeltaByChannel)
            }
        };
        let decay = param(g, "A_log", Source::shift(), of_decay, config.frozen)?;
        let shift = param(g, "dt_bias", Source::gain(), of_shift, config.frozen)?;
        let steps = g.scope("rule").module(ModuleClass::Recurrence(class));
        let config = config.clone();
        Ok(GatedDelta { scope, steps, maps, convolutions, decay, shift, norm, out, config })
    }

    /// `[b, n, c]` to the same shape. Of the call, `state` is what the convolution was given of the tokens
    /// before, `[b, taps − 1, qkv]`, and `memory` the state of each head, `[b, g, d, r, f]`; the new ones
    /// are given back. Without them, nothing was before. What the mask keeps says which tokens are none but
    /// padding, which count as zeros.
    ///
    /// # Errors
    /// When an operand does not fit the configuration.
    pub fn forward(&self, g: &mut Graph, x: Var, call: Attend) -> Result<Attended, NnError> {
        let g = &mut *g.enter(&self.scope);
        let [items, tokens, _] = &g.shape(x).axes[..] else {
            let (layer, expected, found) = ("GatedDelta", "[b, n, c]", g.shape(x).to_string());
            return Err(NnError::Rank { layer, expected, found });
        };
        let (items, tokens) = (items.clone(), tokens.clone());
        let x = without_padding(g, x, call.mask.keep)?;
        let Mapped { channels, gate, beta, alpha } = self.map(g, x)?;
        let (mixed, state) = self.convolved(g, channels, call.state)?;
        let mixed = g.activation(mixed, self.config.activation)?;
        let g = &mut *g.enter(&self.steps);
        let beta = g.activation(beta, Activation::Sigmoid)?;
        let alpha = self.forgetting(g, alpha)?;
        let [keys, values] = self.config.widths();
        let [group, key, head, value] = self.config.axes();
        let mut part = |start: Poly, len: &Poly, into: Vec<Axis>| -> Result<Var, NnError> {
            let (axis, len) = (CHANNELS.into(), len.clone());
            let part = g.rearrange(mixed, Rearrange::Slice { axis, start, len })?;
            Ok(g.rearrange(part, Rearrange::Split { axis: CHANNELS.into(), into })?)
        };
        let query = part(Poly::zero(), &keys, vec![group.clone(), key.clone()])?;
        let own = part(keys.clone(), &keys, vec![group.clone(), key])?;
        let v = part(&keys + &keys, &values, vec![group, head, value])?;
        let query = unit(g, query)?;
        let query = g.scale(query, Factor::InverseSqrt(self.config.key_dim.clone()))?;
        let own = unit(g, own)?;
        let memory = match call.memory {
            Some(memory) => memory,
            None => {
                let axes = [&[items.clone()][..], &self.config.state()].concat();
                g.fill(axes, 0.0)?
            }
        };
        let (y, memory) = by_token(g, [&items, &tokens], [query, own, v, beta, alpha], memory)?;
        let g = &mut *g.enter(&self.scope);
        let y = self.norm.forward(g, y)?;
        let gate = match self.config.maps {
            DeltaMaps::Apart | DeltaMaps::ByHeads => g.activation(gate, Activation::Silu)?,
            DeltaMaps::ByChannel => g.activation(gate, Activation::Sigmoid)?,
        };
        let y = g.mul("gate", y, gate)?;
        g.mark(y, Role::Gate);
        let output = self.out.forward(g, y)?;
        let memory = call.memory.map(|_| memory);
        Ok(Attended { output, weights: None, present: None, state, memory })
    }

    /// The convolutions of channels, of several each of its share; and the state, as the last inputs.
    fn convolved(
        &self,
        g: &mut Graph,
        channels: Var,
        past: Option<Var>,
    ) -> Result<(Var, Option<Var>), NnError> {
        if let [one] = &self.convolutions[..] {
            return one.forward(g, channels, past);
        }
        let [keys, values] = self.config.widths();
        let places = [(Poly::zero(), &keys), (keys.clone(), &keys), (&keys + &keys, &values)];
        let (mut mixed, mut state): (Option<Var>, Option<Var>) = (None, None);
        for (own, (start, len)) in self.convolutions.iter().zip(places) {
            let share = |g: &mut Graph, x| {
                let (axis, start) = (CHANNELS.into(), start.clone());
                g.rearrange(x, Rearrange::Slice { axis, start, len: len.clone() })
            };
            let x = share(g, channels)?;
            let before = past.map(|past| share(g, past)).transpose()?;
            let (y, last) = own.forward(g, x, before)?;
            let mut behind = |first: Option<Var>, next: Var| match first {
                Some(first) => g.concat(first, next, CHANNELS),
                None => Ok(next),
            };
            mixed = Some(behind(mixed, y)?);
            state = last.map(|last| behind(state, last)).transpose()?;
        }
        Ok((mixed.unwrap_or(channels), state))
    }

    /// What the maps make of `[b, n, c]`.
    fn map(&self, g: &mut Graph, x: Var) -> Result<Mapped, NnError> {
        if let [query, key, value, beta, low, alpha, narrow, gate] = &self.maps[..] {
            let (query, key) = (query.forward(g, x)?, key.forward(g, x)?);
            let value = value.forward(g, x)?;
            let channels = g.concat(query, key, CHANNELS)?;
            let channels = g.concat(channels, value, CHANNELS)?;
            let beta = beta.forward(g, x)?;
            let low = low.forward(g, x)?;
            let alpha = alpha.forward(g, low)?;
            let narrow = narrow.forward(g, x)?;
            let gate = gate.forward(g, narrow)?;
            return Ok(Mapped { channels, gate, beta, alpha });
        }
        let made = self.maps.iter().map(|map| map.forward(g, x));
        let made: Vec<Var> = made.collect::<Result<_, NnError>>()?;
        match made[..] {
            [channels, gate, beta, alpha] => Ok(Mapped { channels, gate, beta, alpha }),
            [all, both] => self.of_heads(g, all, both),
            _ => Ok(Mapped { channels: x, gate: x, beta: x, alpha: x }),
        }
    }

    /// The parts of maps in which those of each key head stand one after another.
    fn of_heads(&self, g: &mut Graph, all: Var, both: Var) -> Result<Mapped, NnError> {
        let [_, key, head, value] = self.config.axes();
        let of_key = &head.size * &value.size;
        let mut slice = |x: Var, start: Poly, len: &Poly| {
            g.rearrange(x, Rearrange::Slice { axis: "w".into(), start, len: len.clone() })
        };
        let query = slice(all, Poly::zero(), &key.size)?;
        let own = slice(all, key.size.clone(), &key.size)?;
        let v = slice(all, &key.size + &key.size, &of_key)?;
        let gate = slice(all, &key.size + &key.size + &of_key, &of_key)?;
        let beta = slice(both, Poly::zero(), &head.size)?;
        let alpha = slice(both, head.size.clone(), &head.size)?;
        let mut flat = |x: Var| {
            let axes = vec!["g".into(), "w".into()];
            g.rearrange(x, Rearrange::Merge { axes, into: CHANNELS.into() })
        };
        let [query, own, v] = [flat(query)?, flat(own)?, flat(v)?];
        let channels = g.concat(query, own, CHANNELS)?;
        let channels = g.concat(channels, v, CHANNELS)?;
        let gate =
            g.rearrange(gate, Rearrange::Split { axis: "w".into(), into: vec![head, value] })?;
        let [beta, alpha] = [g.rename(beta, "w", "r")?, g.rename(alpha, "w", "r")?];
        Ok(Mapped { channels, gate, beta, alpha })
    }

    /// The factor of each token by which states forget, `exp(−exp(A_log)·softplus(a + dt_bias))`.
    fn forgetting(&self, g: &mut Graph, alpha: Var) -> Result<Var, NnError> {
        let alpha = g.add("shift", alpha, self.shift)?;
        let alpha = g.activation(alpha, Activation::Softplus)?;
        let decay = match self.config.maps {
            DeltaMaps::Apart | DeltaMaps::ByHeads => self.decay,
            DeltaMaps::ByChannel => {
                let axes = ["i", "j", "g", "l"].map(Into::into).to_vec();
                g.rearrange(self.decay, Rearrange::Merge { axes, into: "g".into() })?
            }
        };
        let rate = g.pointwise(decay, Pointwise::Exp)?;
        let rate = g.pointwise(rate, Pointwise::Neg)?;
        let alpha = g.mul("decay", alpha, rate)?;
        Ok(g.pointwise(alpha, Pointwise::Exp)?)
    }
}

/// `[…, d]` divided by its length, `x / √(Σx² + ε)`.
fn unit(g: &mut Graph, x: Var) -> Result<Var, NnError> {
    let squares = g.mul("squares", x, x)?;
    let sum = g.reduce(squares, Reduce::Sum("d".into()))?;
    let sum = g.pointwise(sum, Pointwise::Shift(EPSILON))?;
    let inverse = g.pointwise(sum, Pointwise::Rsqrt)?;
    Ok(g.mul("unit", x, inverse)?)
}

/// Token by token: of queries and keys `[b, n, g, d]`, values `[b, n, g, r, f]` and factors `[b, n, g, r]` the
/// results `[b, n, g, r, f]`, and the state `[b, g, d, r, f]` behind the last.
fn by_token(
    g: &mut Graph,
    [items, tokens]: [&Axis; 2],
    operands: [Var; 5],
    state: Var,
) -> Result<(Var, Var), NnError> {
    let b = &items.name;
    let read = format!("{b} g d r f, {b} g d -> {b} g r f");
    let write = format!("{b} g d, {b} g r f -> {b} g d r f");
    stepwise(g, tokens, operands, state, |g, state, [query, key, value, beta, alpha]| {
        let kept = g.mul("forget", state, alpha)?;
        let known = g.einsum_as("recall", &read, kept, key)?;
        let missing = g.arithmetic("missing", ArithmeticKind::Sub, value, known)?;
        let missing = g.mul("correct", missing, beta)?;
        let change = g.einsum_as("write", &write, key, missing)?;
        let state = g.add("remember", kept, change)?;
        Ok([state, g.einsum_as("read", &read, state, query)?])
    })
}

#[cfg(test)]
mod tests {
    use opledger_dims::Class;

    use super::*;

    fn config(maps: DeltaMaps) -> GatedDeltaConfig {
        GatedDeltaConfig {
            d_model: "c".into(),
            key_heads: "k".into(),
            values_per_key: "r".into(),
            key_dim: "d".into(),
            value_dim: "f".into(),
            taps: 4,
            activation: Activation::Silu,
            norm: NormConfig::rms(),
            maps,
            frozen: false,
        }
    }

    fn layer(maps: DeltaMaps, past: bool) -> Graph {
        let mut g = Graph::new();
        let x = g.input("x", ["b", "n", "c"]).unwrap();
        let config = config(maps);
        let layer = GatedDelta::new(&mut g.scope("linear_attn"), &config).unwrap();
        let b = [Axis::from("b")];
        let axes = [b[0].clone(), Axis::new("n", 3), config.channels()];
        let state = past.then(|| g.input("past_input", axes).unwrap());
        let axes = [&b[..], &config.state()].concat();
        let memory = past.then(|| g.input("past_memory", axes).unwrap());
        let found =
            layer.forward(&mut g, x, Attend { state, memory, ..Attend::default() }).unwrap();
        assert_eq!(g.shape(found.output).to_string(), "[b, n, c]");
        let shape = found.memory.map(|memory| g.shape(memory).to_string());
        assert_eq!(shape.as_deref(), past.then_some("[b, g=k, d, r, f]"));
        assert_eq!(found.state.is_some(), past);
        g
    }

    /// A token multiplies each element of a state four times: to forget, to recall, to write, to read. Three
    /// of them are of contractions.
    #[test]
    fn a_token_meets_every_element_of_a_state() {
        for maps in [DeltaMaps::Apart, DeltaMaps::ByChannel] {
            let graph = layer(maps, true);
            let inside = |node: &&opledger_ir::Node| node.path.contains("rule.steps");
            let muls: Poly = { graph.nodes().iter().filter(inside) }
                .map(|node| graph.fold(&(graph.node_cost(node).total()[Class::Mul].clone())))
                .sum();
            assert_eq!(muls.to_string(), "4·b·n·f·d·k·r + b·n·f·k·r", "{maps:?}");
        }
    }

    /// Maps that stand together have the parameters and the products of those apart, and states change none.
    #[test]
    fn how_maps_stand_together_changes_no_count() {
        let [apart, joined] = [DeltaMaps::Apart, DeltaMaps::ByHeads].map(|maps| layer(maps, true));
        assert_eq!(apart.parameters().0, joined.parameters().0);
        assert_eq!(apart.cost().total(), joined.cost().total());
        let none = layer(DeltaMaps::Apart, false).cost().macs();
        assert_ne!(none, apart.cost().macs(), "taps that fall on padding");
    }

    #[test]
    fn what_is_no_sequence_is_refused() {
        let mut g = Graph::new();
        let x = g.input("x", ["n", "c"]).unwrap();
        let layer = GatedDelta::new(&mut g, &config(DeltaMaps::Apart)).unwrap();
        let error = layer.forward(&mut g, x, Attend::default()).unwrap_err();
        assert!(error.to_string().contains("[b, n, c]"), "{error}");
    }
}
