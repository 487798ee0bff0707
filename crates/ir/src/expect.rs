//! What operations expect of the shapes of their operands.

use opledger_dims::Symbol;

use crate::{Axis, Kind, Shape, ShapeError};

/// Checks that no two axes of a result share a name.
pub(crate) fn expect_distinct(axes: &[Axis]) -> Result<(), ShapeError> {
    for (at, axis) in axes.iter().enumerate() {
        if axes[..at].iter().any(|other| other.name == axis.name) {
            return Err(ShapeError::Duplicate(axis.name.clone()));
        }
    }
    Ok(())
}

impl Shape {
    /// Checks what the elements are.
    pub(crate) fn expect(&self, operand: usize, expected: Kind) -> Result<(), ShapeError> {
        match self.elem.kind() == expected {
            true => Ok(()),
            false => Err(ShapeError::Elem { operand, expected, found: self.elem }),
        }
    }

    /// Checks that the axes, those left out that `except` has, are among some of these sizes.
    pub(crate) fn expect_among(
        &self,
        operand: usize,
        axes: &[Axis],
        except: &[Symbol],
    ) -> Result<(), ShapeError> {
        for axis in self.axes.iter().filter(|axis| !except.contains(&axis.name)) {
            let Some(own) = axes.iter().find(|own| own.name == axis.name) else {
                let all = Shape::real(axes.to_vec());
                return Err(ShapeError::Sizes(format!(
                    "operand {operand} has an axis `{}`, which {all} lacks",
                    axis.name
                )));
            };
            if own.size != axis.size {
                let (left, right) = (axis.size.clone(), own.size.clone());
                return Err(ShapeError::Size { axis: axis.name.clone(), left, right });
            }
        }
        Ok(())
    }

    /// Checks that the axes are these, and `more` after them.
    pub(crate) fn expect_leading(
        &self,
        operand: usize,
        axes: &[Axis],
        more: usize,
    ) -> Result<(), ShapeError> {
        if self.axes.len() != axes.len() + more {
            let (expected, found) = (axes.len() + more, self.axes.len());
            return Err(ShapeError::Rank { operand, expected, found });
        }
        for (position, (own, axis)) in self.axes.iter().zip(axes).enumerate() {
            if own.name != axis.name {
                let (expected, found) = (axis.name.clone(), own.name.clone());
                return Err(ShapeError::Name { operand, position, expected, found });
            }
            if own.size != axis.size {
                let (axis, left, right) = (own.name.clone(), own.size.clone(), axis.size.clone());
                return Err(ShapeError::Size { axis, left, right });
            }
        }
        Ok(())
    }
}
