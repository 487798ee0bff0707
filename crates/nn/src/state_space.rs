//! Mamba-2 (Dao, Gu 2024, arXiv:2405.21060): a layer whose state, a matrix for each head, forgets by a factor
//! of each token and takes up the token under a key, `S ← exp(Δ·A)·S + Δ·x ⊗ B`, `y = S·C + D·x`. What the
//! token is, its key `B` and its query `C` come from a short convolution; heads of a group share both.

use opledger_dims::Poly;
use opledger_ir::ops::{self, Activation, Pointwise, Rearrange, Source};
use opledger_ir::{Axis, Graph, ModuleClass, Recurrence, Role, Scope, Var};

use crate::causal_convolution::{CausalConvolution, without_padding};
use crate::linear::param;
use crate::recurrence::stepwise;
use crate::sizes::positive;
use crate::{Attend, Attended, Linear, LinearConfig, NnError};

/// Options of a [`StateSpace`].
#[derive(Clone, Debug, PartialEq)]
pub struct StateSpaceConfig {
    /// The width of input and output.
    pub d_model: Poly,
    /// Groups of heads that share keys and queries.
    pub groups: Poly,
    /// Heads of a group, each with a state.
    pub heads_per_group: Poly,
    /// The width of a head.
    pub head_dim: Poly,
    /// The width of a key and of a query.
    pub state: Poly,
    /// How many tokens a result of the convolution is made of.
    pub taps: usize,
    /// The function of its results.
    pub activation: Activation,
    /// Whether the two maps have biases.
    pub bias: bool,
    /// Whether the convolution has.
    pub convolution_bias: bool,
    /// ε of the norm of each group's result.
    pub eps: f64,
    /// How many tokens others take at once, by products; here it is one.
    pub chunk: u64,
    /// What Δ is kept from on, where it is.
    pub least: Option<f64>,
    /// Whether training leaves the parameters alone.
    pub frozen: bool,
}

impl StateSpaceConfig {
    /// How many inputs of the convolution a token needs of those before it.
    pub fn reach(&self) -> usize {
        self.taps.saturating_sub(1)
    }

    /// The axis of the convolution's channels: tokens, keys and queries one after another.
    pub fn channels(&self) -> Axis {
        let [inner, keys, _] = self.widths();
        Axis::new(CHANNELS, inner + &keys + keys.clone())
    }

    /// The axes of a state behind the items.
    pub fn state(&self) -> [Axis; 4] {
        let [group, head, width, key] = self.axes();
        [group, head, width, key]
    }

    /// How many elements all heads, the keys of all groups, and a factor of each head have.
    fn widths(&self) -> [Poly; 3] {
        let heads = &self.groups * &self.heads_per_group;
        [&heads * &self.head_dim, &self.groups * &self.state, heads]
    }

    /// Of groups, of a group's heads, of a head, of a key.
    fn axes(&self) -> [Axis; 4] {
        [
            Axis::new("g", &self.groups),
            Axis::new("r", &self.heads_per_group),
            Axis::new("d", &self.head_dim),
            Axis::new("s", &self.state),
        ]
    }
}

/// The channels of the convolution.
const CHANNELS: &str = "xbc";

/// What the map of the input gives: the gate, the channels of the convolution, and Δ of each head.
const MAPPED: &str = "zxbcd";

/// A layer with a state space. Parameters `A_log`, `D` and `dt_bias [g, r]`, `in_proj.weight [zxbcd, c]`,
/// `conv1d.weight [xbc, 1, taps]`, `norm.weight [g, r, d]`, `out_proj.weight [c, g, r, d]`, and biases.
#[derive(Clone, Debug)]
pub struct StateSpace {
    scope: Scope,
    steps: Scope,
    input: Linear,
    convolution: CausalConvolution,
    decay: Var,
    past: Var,
    shift: Var,
    norm: Scope,
    gain: Var,
    output: Linear,
    config: StateSpaceConfig,
}

impl StateSpace {
    /// A layer in the present scope.
    ///
    /// # Errors
    /// When a size is below one, or ε is negative or not a number.
    pub fn new(g: &mut Graph, config: &StateSpaceConfig) -> Result<Self, NnError> {
        if !(config.eps >= 0.0 && config.eps.is_finite()) {
            return Err(NnError::Config(format!("eps = {} is no number from 0 on", config.eps)));
        }
        let scope = g.here();
        let c = Axis::new("c", &config.d_model);
        let [group, head, width, key] = config.axes();
        [&group, &head, &width, &key]
            .into_iter()
            .try_for_each(|axis| positive("axis", &axis.size))?;
        let frozen = config.frozen;
        let linear = LinearConfig { frozen, ..LinearConfig::bias(config.bias) };
        let [inner, _, heads] = config.widths();
        let channels = config.channels();
        let all = Axis::new(MAPPED, inner + &channels.size + heads);
        let input = Linear::new(&mut g.scope("in_proj"), c.clone(), all, linear)?;
        let options = (config.convolution_bias, frozen);
        let convolution =
            CausalConvolution::new(&mut g.scope("conv1d"), channels, config.taps, options)?;
        let each = vec![group.clone(), head.clone()];
        let mut of_heads = |name, source| param(g, name, source, each.clone(), frozen);
        let decay = of_heads("A_log", Source::shift())?;
        let past = of_heads("D", Source::gain())?;
        let shift = of_heads("dt_bias", Source::gain())?;
        let inner = vec![group, head, width];
        let norm = g.scope("norm").module(ModuleClass::RmsNorm);
        let gain = param(&mut g.enter(&norm), "weight", Source::gain(), inner.clone(), frozen)?;
        let output = Linear::between(&mut g.scope("out_proj"), inner, vec![c], linear)?;
        let class = ModuleClass::Recurrence(Recurrence::StateSpace { chunk: config.chunk });
        let steps = g.scope("scan").module(class);
        let config = config.clone();
        Ok(StateSpace {
            scope,
            steps,
            input,
            convolution,
            decay,
            past,
            shift,
            norm,
            gain,
            output,
            config,
        })
    }

    /// `[b, n, c]` to the same shape. Of the call, `state` is what the convolution was given of the tokens
    /// before, `[b, taps − 1, xbc]`, and `memory` the state of each head, `[b, g, r, d, s]`; the new ones are
    /// given back. Without them, nothing was before. What the mask keeps says which tokens are none but
    /// padding, which count as zeros, before the convolution and behind it.
    ///
    /// # Errors
    /// When an operand does not fit the configuration.
    pub fn forward(&self, g: &mut Graph, x: Var, call: Attend) -> Result<Attended, NnError> {
        let g = &mut *g.enter(&self.scope);
        let [items, tokens, _] = &g.shape(x).axes[..] else {
            let (layer, expected, found) = ("StateSpace", "[b, n, c]", g.shape(x).to_string());
            return Err(NnError::Rank { layer, expected, found });
        };
        let (items, tokens) = (items.clone(), tokens.clone());
        let x = without_padding(g, x, call.mask.keep)?;
        let all = self.input.forward(g, x)?;
        let [inner, keys, heads] = self.config.widths();
        let [group, head, width, key] = self.config.axes();
        let channels = self.config.channels();
        let behind = &inner + &channels.size;
        let of_heads = [group.clone(), head.clone(), width];
        let gate = part(g, (all, MAPPED), (Poly::zero(), &inner), &of_heads)?;
        let place = (inner.clone(), &channels.size);
        let mixed = part(g, (all, MAPPED), place, std::slice::from_ref(&channels))?;
        let delta = part(g, (all, MAPPED), (behind, &heads), &[group.clone(), head])?;
        let (mixed, state) = self.convolution.forward(g, mixed, call.state)?;
        let mixed = g.activation(mixed, self.config.activation)?;
        let mixed = without_padding(g, mixed, call.mask.keep)?;
        let g = &mut *g.enter(&self.steps);
        let own = part(g, (mixed, CHANNELS), (Poly::zero(), &inner), &of_heads)?;
        let under = [group, key];
        let write = part(g, (mixed, CHANNELS), (inner.clone(), &keys), &under)?;
        let read = part(g, (mixed, CHANNELS), (&inner + &keys, &keys), &under)?;
        let delta = g.add("shift", delta, self.shift)?;
        let delta = g.activation(delta, Activation::Softplus)?;
        let delta = match self.config.least {
            Some(least) => g.pointwise(delta, Pointwise::Clamp { min: Some(least), max: None })?,
            None => delta,
        };
        let rate = g.pointwise(self.decay, Pointwise::Exp)?;
        let rate = g.pointwise(rate, Pointwise::Neg)?;
        let alpha = g.mul("decay", delta, rate)?;
        let alpha = g.pointwise(alpha, Pointwise::Exp)?;
        let taken = g.mul("take", own, delta)?;
        let memory = match call.memory {
            Some(memory) => memory,
            None => {
                let axes = [&[items.clone()][..], &self.config.state()].concat();
                g.fill(axes, 0.0)?
            }
        };
        let (y, memory) = by_token(g, [&items, &tokens], [taken, write, read, alpha], memory)?;
        let past = g.mul("pass", own, self.past)?;
        let y = g.add("skip", y, past)?;
        let g = &mut *g.enter(&self.scope);
        let gate = g.activation(gate, Activation::Silu)?;
        let y = g.mul("gate", y, gate)?;
        g.mark(y, Role::Gate);
        let y = {
            let g = &mut *g.enter(&self.norm);
            let y = g.norm(y, ops::Norm::rms(self.config.eps).over(2), None, None)?;
            g.mul("gain", y, self.gain)?
        };
        let output = self.output.forward(g, y)?;
        let memory = call.memory.map(|_| memory);
        Ok(Attended { output, weights: None, present: None, state, memory })
    }
}

/// So many elements of an axis from one on, as other axes.
fn part(
    g: &mut Graph,
    (x, axis): (Var, &str),
    (start, len): (Poly, &Poly),
    into: &[Axis],
) -> Result<Var, NnError> {
    let len = len.clone();
    let part = g.rearrange(x, Rearrange::Slice { axis: axis.into(), start, len })?;
    match into {
        [own] => Ok(g.rename(part, axis, own.name.clone())?),
        _ => Ok(g.rearrange(part, Rearrange::Split { axis: axis.into(), into: into.to_vec() })?),
    }
}

/// Token by token: of what is written `[b, n, g, r, d]`, keys and queries `[b, n, g, s]` and factors
/// `[b, n, g, r]` the results `[b, n, g, r, d]`, and the state `[b, g, r, d, s]` behind the last.
fn by_token(
    g: &mut Graph,
    [items, tokens]: [&Axis; 2],
    operands: [Var; 4],
    state: Var,
) -> Result<(Var, Var), NnError> {
    let b = &items.name;
    let write = format!("{b} g r d, {b} g s -> {b} g r d s");
    let read = format!("{b} g r d s, {b} g s -> {b} g r d");
    stepwise(g, tokens, operands, state, |g, state, [taken, key, query, alpha]| {
        let kept = g.mul("forget", state, alpha)?;
        let change = g.einsum_as("write", &write, taken, key)?;
        let state = g.add("remember", kept, change)?;
        Ok([state, g.einsum_as("read", &read, state, query)?])
    })
}

#[cfg(test)]
mod tests {
    use opledger_dims::Class;

    use super::*;

    fn config() -> StateSpaceConfig {
        StateSpaceConfig {
            d_model: "c".into(),
            groups: "q".into(),
            heads_per_group: "r".into(),
            head_dim: "d".into(),
            state: "s".into(),
            taps: 4,
            activation: Activation::Silu,
            bias: false,
            convolution_bias: true,
            eps: 1e-5,
            chunk: 256,
            least: None,
            frozen: false,
        }
    }

    fn layer(past: bool) -> Graph {
        let mut g = Graph::new();
        let x = g.input("x", ["b", "n", "c"]).unwrap();
        let config = config();
        let layer = StateSpace::new(&mut g.scope("mixer"), &config).unwrap();
        let b = [Axis::from("b")];
        let axes = [b[0].clone(), Axis::new("n", 3), config.channels()];
        let state = past.then(|| g.input("past_input", axes).unwrap());
        let axes = [&b[..], &config.state()].concat();
        let memory = past.then(|| g.input("past_memory", axes).unwrap());
        let call = Attend { state, memory, ..Attend::default() };
        let found = layer.forward(&mut g, x, call).unwrap();
        assert_eq!(g.shape(found.output).to_string(), "[b, n, c]");
        let shape = found.memory.map(|memory| g.shape(memory).to_string());
        assert_eq!(shape.as_deref(), past.then_some("[b, g=q, r, d, s]"));
        assert_eq!(found.state.is_some(), past);
        g
    }

    /// A token multiplies each element of a state three times: to forget, to write, to read. The last two are
    /// of contractions, and the last adds up over keys.
    #[test]
    fn a_token_meets_every_element_of_a_state() {
        let graph = layer(true);
        let inside = |node: &&opledger_ir::Node| node.path.contains("scan.steps");
        let of = |class: Class| -> Poly {
            { graph.nodes().iter().filter(inside) }
                .map(|node| graph.fold(&(graph.node_cost(node).total()[class].clone())))
                .sum()
        };
        assert_eq!(of(Class::Mul).to_string(), "3·b·n·d·q·r·s");
        assert_eq!(of(Class::Add).to_string(), "2·b·n·d·q·r·s - b·n·d·q·r");
    }

    /// Maps to the gate, the token, two keys of each group, Δ; convolution, three numbers of each head, a gain.
    #[test]
    fn parameters_are_those_of_the_paper() {
        let expected = "3·c·d·q·r + 6·d·q·r + 2·c·q·s + c·q·r + 10·q·s + 3·q·r";
        assert_eq!(layer(false).parameters().0.to_string(), expected);
    }

    #[test]
    fn what_is_no_sequence_is_refused() {
        let mut g = Graph::new();
        let x = g.input("x", ["n", "c"]).unwrap();
        let layer = StateSpace::new(&mut g, &config()).unwrap();
        let error = layer.forward(&mut g, x, Attend::default()).unwrap_err();
        assert!(error.to_string().contains("[b, n, c]"), "{error}");
        let none = StateSpaceConfig { eps: f64::NAN, ..config() };
        let error = StateSpace::new(&mut g.scope("none"), &none).unwrap_err();
        assert!(error.to_string().starts_with("eps = NaN"), "{error}");
    }
}
