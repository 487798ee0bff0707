//! Values that come from outside: inputs and parameters. They cost nothing.

use std::sync::Arc;

use opledger_dims::{Binding, Poly, Scalar, Symbol};
use opledger_tensor::Tensor;

use crate::expect::expect_distinct;
use crate::operation::{Operation, operands};
use crate::{Axis, AxisMap, Call, Cost, Elem, Facts, OpError, Part, Shape, ShapeError, Value};

/// How a parameter is drawn when no weights are given.
#[derive(Clone, Debug, PartialEq)]
pub enum Draw {
    /// Uniform within ±1/√fan_in, as PyTorch draws a Linear.
    Weight {
        /// How many terms each dot product has.
        fan_in: Poly,
    },
    /// Near one: gains of norms.
    Gain,
    /// Near zero: shifts and biases.
    Shift,
    /// Within ±1: embedding tables.
    Table,
}

/// An input or a parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// Reals given by the caller.
    Input {
        /// The axes.
        axes: Vec<Axis>,
    },
    /// Reals that the model keeps and that are no parameter, such as the mean and the variance of
    /// batch norm; drawn near one.
    Buffer {
        /// The axes.
        axes: Vec<Axis>,
    },
    /// Ids given by the caller.
    Ids {
        /// The axes.
        axes: Vec<Axis>,
        /// Every id is below this.
        below: Poly,
    },
    /// Whole numbers of any size given by the caller; drawn, 0 and 1.
    Whole {
        /// The axes.
        axes: Vec<Axis>,
    },
    /// 0 (hidden) and 1 (visible), given by the caller.
    Visible {
        /// The axes.
        axes: Vec<Axis>,
    },
    /// Whole numbers that are the same in every run, in the order of their places.
    Known {
        /// The axes.
        axes: Vec<Axis>,
        /// One for each element.
        values: Arc<[i64]>,
    },
    /// A parameter of the model.
    Param {
        /// The axes.
        axes: Vec<Axis>,
        /// Whether training changes it.
        trainable: bool,
        /// How it is drawn.
        draw: Draw,
    },
}

impl Source {
    /// The elements, of numbers that are known, at such sizes; none of other sources.
    pub fn known(&self, sizes: &[usize]) -> Option<Tensor<i64>> {
        match self {
            Source::Known { values, .. } => Tensor::new(sizes, values.to_vec()).ok(),
            Source::Input { .. }
            | Source::Buffer { .. }
            | Source::Ids { .. }
            | Source::Whole { .. }
            | Source::Visible { .. }
            | Source::Param { .. } => None,
        }
    }

    /// A trainable weight whose dot products have `fan_in` terms.
    pub fn weight(fan_in: impl Into<Poly>) -> Self {
        Source::drawn(Draw::Weight { fan_in: fan_in.into() })
    }

    /// A trainable gain, drawn near one.
    pub fn gain() -> Self {
        Source::drawn(Draw::Gain)
    }

    /// A trainable shift or bias, drawn near zero.
    pub fn shift() -> Self {
        Source::drawn(Draw::Shift)
    }

    /// A trainable embedding table.
    pub fn embedding() -> Self {
        Source::drawn(Draw::Table)
    }

    fn drawn(draw: Draw) -> Self {
        Source::Param { axes: Vec::new(), trainable: true, draw }
    }

    /// The same parameter, not changed by training.
    #[must_use]
    pub fn frozen(mut self) -> Self {
        if let Source::Param { trainable, .. } = &mut self {
            *trainable = false;
        }
        self
    }

    pub(crate) fn with_axes(mut self, new: Vec<Axis>) -> Self {
        *self.axes_mut() = new;
        self
    }

    fn axes_mut(&mut self) -> &mut Vec<Axis> {
        match self {
            Source::Input { axes, .. }
            | Source::Buffer { axes }
            | Source::Ids { axes, .. }
            | Source::Whole { axes }
            | Source::Visible { axes }
            | Source::Known { axes, .. }
            | Source::Param { axes, .. } => axes,
        }
    }

    /// The axes.
    pub fn axes(&self) -> &[Axis] {
        match self {
            Source::Input { axes, .. }
            | Source::Buffer { axes }
            | Source::Ids { axes, .. }
            | Source::Whole { axes }
            | Source::Visible { axes }
            | Source::Known { axes, .. }
            | Source::Param { axes, .. } => axes,
        }
    }
}

impl Operation for Source {
    fn name(&self) -> &'static str {
        match self {
            Source::Param { .. } => "param",
            Source::Buffer { .. } | Source::Known { .. } => "buffer",
            Source::Input { .. }
            | Source::Ids { .. }
            | Source::Whole { .. }
            | Source::Visible { .. } => "input",
        }
    }

    fn signature(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [] = operands(inputs)?;
        let axes = self.axes();
        expect_distinct(axes)?;
        let elem = match self {
            Source::Ids { .. }
            | Source::Whole { .. }
            | Source::Visible { .. }
            | Source::Known { .. } => Elem::I64,
            Source::Input { .. } | Source::Buffer { .. } | Source::Param { .. } => Elem::F32,
        };
        Ok(vec![Shape { axes: axes.to_vec(), elem }])
    }

    fn cost(&self, _: &[&Shape], _: &Shape) -> Cost {
        Cost::free()
    }

    fn summed(&self, _: &[&Shape]) -> Vec<(Symbol, Poly)> {
        Vec::new()
    }

    fn facts(&self) -> Facts<'_> {
        Facts::of(&[]).view().sizes(match self {
            Source::Ids { below, .. } => Some(below),
            Source::Input { .. }
            | Source::Buffer { .. }
            | Source::Whole { .. }
            | Source::Visible { .. }
            | Source::Known { .. }
            | Source::Param { .. } => None,
        })
    }

    fn axis_map(&self, _: &[&Shape], _: &Shape) -> AxisMap {
        AxisMap::new([])
    }

    fn detail(&self) -> String {
        match self {
            Source::Param { trainable: false, .. } => "frozen".to_owned(),
            Source::Param { trainable: true, .. }
            | Source::Input { .. }
            | Source::Buffer { .. }
            | Source::Ids { .. }
            | Source::Whole { .. }
            | Source::Visible { .. }
            | Source::Known { .. } => String::new(),
        }
    }

    fn conflict(&self, _: &[&Shape], _: &Binding) -> Option<String> {
        None
    }

    fn reference<T: Scalar>(
        &self,
        _: &Call<'_, T>,
        _: &mut dyn FnMut(Part),
    ) -> Result<Vec<Value<T>>, OpError> {
        // A source is fed, not computed.
        Err(OpError::Operand(0))
    }
}
