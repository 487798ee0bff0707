//! What every operation must say of itself.

use opledger_dims::{Binding, Poly, Scalar, Symbol};

use crate::facts::{AxisMap, Facts};
use crate::{Call, Cost, OpError, Part, Shape, ShapeError, Value};

/// What an operation says of itself. Nothing here has a default: a new operation does not compile
/// until it says what it costs.
pub trait Operation {
    /// The name used in paths and reports.
    fn name(&self) -> &'static str;

    /// The shapes of the results.
    ///
    /// # Errors
    /// The relation between the operands' shapes that does not hold.
    fn signature(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError>;

    /// The number of scalar operations as polynomials over the sizes, part by part.
    fn cost(&self, inputs: &[&Shape], output: &Shape) -> Cost;

    /// What it is to memory, sizes and ledger.
    fn facts(&self) -> Facts<'_>;

    /// Which axes of the operands run along with axes of the result.
    fn axis_map(&self, inputs: &[&Shape], output: &Shape) -> AxisMap;

    /// What a reader needs beside the name, or nothing.
    fn detail(&self) -> String;

    /// What relation between sizes fails at a complete binding, if any.
    fn conflict(&self, inputs: &[&Shape], binding: &Binding) -> Option<String>;

    /// The axes that must not be empty, since the operation sums or compares along them.
    fn summed(&self, inputs: &[&Shape]) -> Vec<(Symbol, Poly)>;

    /// The textbook algorithm: the definition of the operation and of its count. `mark` is called
    /// after each part and ascribes to it all that was counted since the last call.
    ///
    /// # Errors
    /// When a value does not fit the operation, such as an id outside its table.
    fn reference<T: Scalar>(
        &self,
        call: &Call<'_, T>,
        mark: &mut dyn FnMut(Part),
    ) -> Result<Vec<Value<T>>, OpError>;
}

/// Checks that there are exactly `N` operands.
pub(crate) fn operands<'a, const N: usize>(
    inputs: &[&'a Shape],
) -> Result<[&'a Shape; N], ShapeError> {
    inputs.try_into().map_err(|_| ShapeError::Arity { expected: N, found: inputs.len() })
}
