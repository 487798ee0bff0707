//! Rotation by three positions of each token, in time, down and across (Wang et al. 2024, Qwen2-VL, §2.1,
//! M-RoPE): of a token of text all three are the same, those of an image stand in its grid. As in the
//! `transformers` library, whose images are one moment each.

use opledger_dims::Poly;
use opledger_ir::ops::IndexMap;
use opledger_ir::{Axis, Graph, GraphError, IndexExpr, Var};
use opledger_nn::{NnError, RopeScaling, RotaryEmbedding};

use crate::config::{ConfigError, Keys};

/// How heads turn by three positions.
pub(super) struct ThreePositions {
    /// The rows that an image takes in a text, down and across.
    pub(super) grid: [Poly; 2],
    /// Which position a pair of a head's elements turns by.
    pub(super) sections: Sections,
}

/// Which of three positions the pairs of a head turn by.
pub(super) enum Sections {
    /// So many pairs by each in turn, the first in time again behind the third (Qwen2-VL).
    InARow(Vec<u64>),
    /// They take turns, down and across up to three times as many as they have pairs; what is left turns by
    /// time (Qwen3-VL).
    TakingTurns([u64; 2]),
}

const SECTIONS: &str = "mrope_section";

/// The pairs of each section, where the keys of a model of texts say so; those that are usual else.
fn said(text: &Keys<'_>, usual: [u64; 3]) -> Result<Vec<u64>, ConfigError> {
    for place in ["rope_parameters", "rope_scaling"] {
        if let Some(own) = text.inner(place)? {
            // The family alone says whether they take turns.
            own.pass_over(&["mrope_interleaved"]);
            if own.get(SECTIONS).is_some() {
                return own.wholes(SECTIONS);
            }
        }
    }
    Ok(usual.into())
}

impl Sections {
    /// Sections one after another, which are all pairs of a head.
    pub(super) fn in_a_row(
        text: &Keys<'_>,
        usual: [u64; 3],
        pairs: u64,
    ) -> Result<Sections, ConfigError> {
        let sections = said(text, usual)?;
        match sections.iter().try_fold(0_u64, |all, own| all.checked_add(*own)) == Some(pairs) {
            true => Ok(Sections::InARow(sections)),
            false => Err(text.unsupported(SECTIONS, format!("sections of {pairs} pairs in all"))),
        }
    }

    /// Sections that take turns.
    pub(super) fn taking_turns(text: &Keys<'_>, usual: [u64; 3]) -> Result<Sections, ConfigError> {
        match said(text, usual)?[..] {
            [_, down, across, ..] => Ok(Sections::TakingTurns([down, across])),
            _ => Err(text.unsupported(SECTIONS, "three sections")),
        }
    }

    /// The number of the position that a pair turns by.
    fn of(&self, pair: &IndexExpr) -> IndexExpr {
        match self {
            Sections::InARow(sections) => {
                let mut end = 0_u64;
                let ends: Vec<(u64, usize)> = sections
                    .iter()
                    .enumerate()
                    .map(|(at, own)| {
                        end = end.saturating_add(*own);
                        (end, at % 3)
                    })
                    .collect();
                ends.iter().rev().fold(IndexExpr::from(0), |rest, (end, position)| {
                    let own = IndexExpr::size(*position as u64);
                    pair.below(&IndexExpr::size(*end)).choose(&own, &rest)
                })
            }
            Sections::TakingTurns(pairs) => {
                let turn = pair.modulo(&IndexExpr::from(3));
                pairs.iter().zip(1..).fold(IndexExpr::from(0), |rest, (pairs, own)| {
                    let own = IndexExpr::from(own);
                    let within = pair.below(&IndexExpr::size(pairs.saturating_mul(3)));
                    turn.equals(&own).and(&within).choose(&own, &rest)
                })
            }
        }
    }
}

impl ThreePositions {
    /// The positions `[positions=3, b, n]` of tokens `ids [b, n]`, of which those of an id are images, and those
    /// that `visible [b, n]` hides stand at 0.
    pub(super) fn of_tokens(
        &self,
        g: &mut Graph,
        ids: Var,
        token: u64,
        visible: Option<Var>,
    ) -> Result<Var, GraphError> {
        let [item, at] = [0, 1].map(IndexExpr::Position);
        let looked_up = |operand, item: &IndexExpr, at: &IndexExpr| IndexExpr::Lookup {
            operand,
            at: vec![item.clone(), at.clone()],
        };
        let tokens = || ["b", "n"].map(Axis::from).to_vec();
        let own = looked_up(0, &item, &at).equals(&IndexExpr::size(token));
        let (own, inputs) = match visible {
            Some(visible) => (own.and(&looked_up(1, &item, &at)), vec![ids, visible]),
            None => (own, vec![ids]),
        };
        let images =
            g.record("images", IndexMap { axes: tokens(), value: own, truth: true }, &inputs)?;
        // How many there are up to each token, itself included.
        let images_so_far = g.cumulative(images, "n")?;
        let mut inputs = vec![images, images_so_far];
        if let Some(visible) = visible {
            inputs.extend([visible, g.cumulative(visible, "n")?]);
        }
        let [axis, item, at] = [0, 1, 2].map(IndexExpr::Position);
        let there = |operand| looked_up(operand, &item, &at);
        let before = match visible {
            Some(_) => there(3).minus(&there(2)),
            None => at.clone(),
        };
        let of_images = there(1).minus(&there(0));
        let [down, across] = self.grid.clone().map(IndexExpr::size);
        let rows = down.times(&across);
        let longer = down.below(&across).choose(&across, &down);
        // An image takes as many positions as its longer side.
        let whole = of_images.floor_div(&rows).times(&longer);
        let start = before.minus(&of_images).plus(&whole);
        let within = of_images.modulo(&rows);
        let [row, column] = [within.floor_div(&across), within.modulo(&across)];
        let is = |position: i64| axis.equals(&IndexExpr::from(position));
        let in_grid = is(1).choose(&row, &is(2).choose(&column, &0.into()));
        let place = start.plus(&there(0).choose(&in_grid, &0.into()));
        let value = match visible {
            Some(_) => there(2).choose(&place, &0.into()),
            None => place,
        };
        let axes = vec![Axis::new("positions", 3), "b".into(), "n".into()];
        g.record("positions", IndexMap { axes, value, truth: false }, &inputs)
    }

    /// The table `[b, n, cos_sin=2, e]` by which a head of `width` elements turns, looked up in that of as many
    /// positions as there are tokens.
    pub(super) fn table(
        &self,
        g: &mut Graph,
        rope: &RotaryEmbedding,
        positions: Var,
        width: &Poly,
    ) -> Result<Var, NnError> {
        let by_tokens = match &rope.scaling {
            RopeScaling::Dynamic { .. } => Some("dynamic"),
            RopeScaling::LongRope { .. } => Some("longrope"),
            RopeScaling::None
            | RopeScaling::Linear { .. }
            | RopeScaling::Llama3 { .. }
            | RopeScaling::Yarn { .. }
            | RopeScaling::Proportional { .. } => None,
        };
        if let Some(kind) = by_tokens {
            let why = "depends on the number of tokens, of which images take other positions";
            return Err(NnError::Config(format!("the rotation `{kind}` {why}")));
        }
        let table = rope.angles(g, Axis::new("position", "n"), width)?;
        let [item, token, element] = [0, 1, 2].map(IndexExpr::Position);
        let pairs = IndexExpr::size(width.clone().ratio(1, 2));
        let number = self.sections.of(&element.modulo(&pairs));
        let value = IndexExpr::Lookup { operand: 0, at: vec![number, item, token] };
        let axes = || [Axis::from("b"), "n".into(), Axis::new("e", width)];
        let op = IndexMap { axes: axes().to_vec(), value, truth: false };
        let rows = g.record("rows", op, &[positions])?;
        let [items, tokens, width] = axes();
        let all = [items, tokens, Axis::new("cos_sin", 2), width];
        Ok(g.gather_nd(table, all, &[("position", rows)])?)
    }
}
