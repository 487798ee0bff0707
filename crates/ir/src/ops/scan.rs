//! The two ends of a repeated body. The driver of a run executes them: a carry hands the values of an
//! iteration in, an exit takes those of the last one out.
//!
//! What is carried goes from iteration to iteration. A *stack* has the loop's axis first: an iteration
//! is given its slice of each stack that enters, and what it gives is stacked in turn. A parameter, an
//! input or a named result of the body is another matter: there is one for each iteration.

use opledger_dims::{Binding, Poly, Scalar, Symbol};

use crate::operation::Operation;
use crate::{Axis, AxisMap, Call, Cost, Facts, OpError, Part, Shape, ShapeError, Value};

/// Where an iteration begins. Operands: the values carried in, then stacks. Results: the values
/// carried, then the iteration's slice of each stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carry {
    /// How many values are carried.
    pub carried: usize,
    /// The axis along which stacks are cut.
    pub axis: Axis,
}

/// Where a repetition ends. Operands: the values carried in, which are the results where nothing is
/// repeated; the values that an iteration hands to the next; the values that are stacked. Results: the
/// values carried out, then the stacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// How many values are carried.
    pub carried: usize,
    /// The axis along which values are stacked.
    pub axis: Axis,
}

impl Operation for Carry {
    fn name(&self) -> &'static str {
        "carry"
    }

    fn signature(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let (carried, stacks) = inputs
            .split_at_checked(self.carried)
            .ok_or(ShapeError::Arity { expected: self.carried, found: inputs.len() })?;
        let mut results: Vec<Shape> = carried.iter().map(|shape| (*shape).clone()).collect();
        for (at, stack) in stacks.iter().enumerate() {
            let operand = self.carried + at;
            stack.expect_leading(operand, std::slice::from_ref(&self.axis), rest(stack))?;
            results.push(stack.with_axes(stack.axes[1..].to_vec()));
        }
        Ok(results)
    }

    fn cost(&self, _: &[&Shape], _: &Shape) -> Cost {
        Cost::free()
    }

    fn summed(&self, _: &[&Shape]) -> Vec<(Symbol, Poly)> {
        Vec::new()
    }

    fn facts(&self) -> Facts<'_> {
        Facts::of(&[]).view()
    }

    fn axis_map(&self, inputs: &[&Shape], output: &Shape) -> AxisMap {
        AxisMap::by_name(inputs, output)
    }

    fn detail(&self) -> String {
        String::new()
    }

    fn conflict(&self, _: &[&Shape], _: &Binding) -> Option<String> {
        None
    }

    fn reference<T: Scalar>(
        &self,
        call: &Call<'_, T>,
        _: &mut dyn FnMut(Part),
    ) -> Result<Vec<Value<T>>, OpError> {
        // The first iteration, where nothing is stacked.
        Ok(call.inputs.iter().map(|value| (*value).clone()).collect())
    }
}

impl Operation for Exit {
    fn name(&self) -> &'static str {
        "exit"
    }

    fn signature(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let k = self.carried;
        let arity = ShapeError::Arity { expected: 2 * k, found: inputs.len() };
        let (entered, rest) = inputs.split_at_checked(k).ok_or(arity.clone())?;
        let (left, stacked) = rest.split_at_checked(k).ok_or(arity)?;
        for (before, after) in entered.iter().zip(left) {
            if before != after {
                let problem = format!("the repeated body turns {before} into {after}");
                return Err(ShapeError::Sizes(problem));
            }
        }
        let mut results: Vec<Shape> = left.iter().map(|shape| (*shape).clone()).collect();
        for shape in stacked {
            if shape.position(&self.axis.name).is_some() {
                return Err(ShapeError::Duplicate(self.axis.name.clone()));
            }
            let own = std::slice::from_ref(&self.axis);
            results.push(shape.with_axes([own, &shape.axes].concat()));
        }
        Ok(results)
    }

    fn cost(&self, _: &[&Shape], _: &Shape) -> Cost {
        Cost::free()
    }

    fn summed(&self, _: &[&Shape]) -> Vec<(Symbol, Poly)> {
        Vec::new()
    }

    fn facts(&self) -> Facts<'_> {
        Facts::of(&[]).view()
    }

    fn axis_map(&self, inputs: &[&Shape], output: &Shape) -> AxisMap {
        AxisMap::by_name(inputs, output)
    }

    fn detail(&self) -> String {
        String::new()
    }

    fn conflict(&self, _: &[&Shape], _: &Binding) -> Option<String> {
        None
    }

    fn reference<T: Scalar>(
        &self,
        call: &Call<'_, T>,
        _: &mut dyn FnMut(Part),
    ) -> Result<Vec<Value<T>>, OpError> {
        // The only iteration, where nothing is stacked.
        Ok(call.inputs[self.carried..].iter().map(|value| (*value).clone()).collect())
    }
}

/// The axes of a stack behind the first.
fn rest(stack: &Shape) -> usize {
    stack.axes.len().saturating_sub(1)
}
