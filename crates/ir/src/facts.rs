//! What an operation says of itself beside its mathematics, for those who read, plan, shard or print
//! it. Nothing here has a default: who forgets a fact does not compile.

use opledger_dims::Poly;

use crate::masked::Masked;
use crate::{Part, Shape};

/// What an operation is to the memory, the sizes and the ledger.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// Whether the result is the operand's own buffer under other axes, so that nothing is read or
    /// written.
    pub view: bool,
    /// The parts its cost keeps apart, in their order.
    pub parts: &'static [Part],
    /// Of these parts those that compute again what a forward pass has computed: of gradients alone.
    pub again: &'static [Part],
    /// The sizes that stand in the operation itself; they need not stand in a shape.
    pub sizes: Vec<&'a Poly>,
    /// The mask of an operation other than attention that computes the allowed pairs only.
    pub masked: Option<&'a Masked>,
    /// The operands whose buffer the result may take when nothing else needs it.
    pub in_place: &'static [usize],
    /// The operand of which only some elements are read, if there is one, and which.
    pub picked: Option<(usize, Picked<'a>)>,
    /// The operand whose buffer the result continues, if there is one: it is neither read nor written.
    pub grown: Option<usize>,
}

/// Which elements are read of an operand that is looked up in.
#[derive(Clone, Copy, Debug)]
pub enum Picked<'a> {
    /// Those that the result is made of, each as often as it stands there.
    Result,
    /// At so many places, at most, along its first axis.
    Places(&'a Poly),
}

impl<'a> Facts<'a> {
    /// Work on operands of its own, counted in these parts.
    pub(crate) fn of(parts: &'static [Part]) -> Self {
        Facts {
            view: false,
            parts,
            again: &[],
            sizes: Vec::new(),
            masked: None,
            in_place: &[],
            picked: None,
            grown: None,
        }
    }

    /// The same, some parts being computed again.
    pub(crate) fn again(self, again: &'static [Part]) -> Self {
        Facts { again, ..self }
    }

    /// The same, the result being the operand under other axes.
    pub(crate) fn view(self) -> Self {
        Facts { view: true, ..self }
    }

    /// The same with sizes of its own.
    pub(crate) fn sizes(mut self, sizes: impl IntoIterator<Item = &'a Poly>) -> Self {
        self.sizes.extend(sizes);
        self
    }

    /// The same under a mask, whose sizes are the operation's.
    pub(crate) fn masked(mut self, masked: Option<&'a Masked>) -> Self {
        self.masked = masked;
        self.sizes.extend(masked.into_iter().flat_map(|m| m.rule.sizes()));
        self
    }

    /// The same, reading only some elements of an operand.
    pub(crate) fn picking(self, operand: usize, picked: Picked<'a>) -> Self {
        Facts { picked: Some((operand, picked)), ..self }
    }

    /// The same, its result continuing the buffer of an operand.
    pub(crate) fn growing(self, operand: usize) -> Self {
        Facts { grown: Some(operand), ..self }
    }

    /// How many elements it reads of an operand of this shape for a result of that one.
    pub fn elements_read(&self, operand: usize, shape: &Shape, result: &Shape) -> Poly {
        if self.grown == Some(operand) {
            return Poly::zero();
        }
        match self.picked {
            Some((picked, Picked::Result)) if picked == operand => result.elements(),
            Some((picked, Picked::Places(places))) if picked == operand => {
                places * shape.axes[1..].iter().map(|axis| &axis.size).product::<Poly>()
            }
            Some(_) | None => shape.elements(),
        }
    }

    /// The same, its result in the buffer of one of these operands.
    pub(crate) fn in_place(self, in_place: &'static [usize]) -> Self {
        Facts { in_place, ..self }
    }
}

/// Which axes run along: position i of an axis of the result depends on position i alone of the
/// operand's axis that runs along with it. An operation can be cut along such an axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AxisMap(Vec<Vec<Option<usize>>>);

impl AxisMap {
    /// For each operand and each of its axes, the axis of the result that runs along with it.
    pub(crate) fn new(operands: impl IntoIterator<Item = Vec<Option<usize>>>) -> Self {
        AxisMap(operands.into_iter().collect())
    }

    /// Axes of one name run along.
    pub(crate) fn by_name(inputs: &[&Shape], output: &Shape) -> Self {
        let places = |shape: &&Shape| {
            shape.axes.iter().map(|axis| output.position(&axis.name)).collect::<Vec<_>>()
        };
        AxisMap(inputs.iter().map(places).collect())
    }

    /// Axes of one name run along, in an operation whose result has the entries of its first operand; of
    /// the mask tensor the last does with the keys.
    pub(crate) fn of_entries(masked: Option<&Masked>, inputs: &[&Shape], output: &Shape) -> Self {
        let map = AxisMap::by_name(inputs, output);
        match masked {
            Some(masked) if masked.rule.keep => {
                map.ending(inputs.len() - 1, output.axes.len().checked_sub(1))
            }
            Some(_) | None => map,
        }
    }

    /// The same but for one axis of an operand, whose positions the operation mixes.
    pub(crate) fn mixing(mut self, operand: usize, axis: usize) -> Self {
        if let Some(entry) = self.0.get_mut(operand).and_then(|axes| axes.get_mut(axis)) {
            *entry = None;
        }
        self
    }

    /// The same but for the last axis of an operand, where there is such an operand.
    pub(crate) fn mixing_last(self, operand: usize) -> Self {
        match self.0.get(operand).map(Vec::len) {
            Some(axes) if axes > 0 => self.mixing(operand, axes - 1),
            Some(_) | None => self,
        }
    }

    /// The same but for the last axis of an operand, with which that one runs.
    pub(crate) fn ending(mut self, operand: usize, along: Option<usize>) -> Self {
        if let Some(last) = self.0.get_mut(operand).and_then(|axes| axes.last_mut()) {
            *last = along;
        }
        self
    }

    /// For each axis of an operand, the axis of the result that runs along with it.
    pub fn of(&self, operand: usize) -> &[Option<usize>] {
        self.0.get(operand).map_or(&[], Vec::as_slice)
    }
}
