//! Named axes and shapes.

use std::fmt;

use opledger_dims::{Poly, Symbol};

use crate::Elem;

/// An axis: its name and its size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axis {
    /// The name, unique within a shape.
    pub name: Symbol,
    /// The size, in elements.
    pub size: Poly,
}

impl Axis {
    /// An axis of a name and a size.
    pub fn new(name: impl Into<Symbol>, size: impl Into<Poly>) -> Self {
        Axis { name: name.into(), size: size.into() }
    }

    /// The name without its primes: `c'` and `c` are two indices over the same kind of axis.
    pub(crate) fn base(name: &Symbol) -> &str {
        name.as_str().trim_end_matches('\'')
    }
}

impl From<&str> for Axis {
    /// An axis whose size is the symbol of its own name.
    fn from(name: &str) -> Self {
        Axis::new(name, Axis::base(&Symbol::new(name)))
    }
}

impl<N: Into<Symbol>, S: Into<Poly>> From<(N, S)> for Axis {
    fn from((name, size): (N, S)) -> Self {
        Axis::new(name, size)
    }
}

impl fmt::Display for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.size.as_symbol() {
            Some(symbol) if symbol.as_str() == self.name.as_str() => write!(f, "{}", self.name),
            _ => write!(f, "{}={}", self.name, self.size),
        }
    }
}

/// Named axes in order, and what the elements are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The axes, outermost first.
    pub axes: Vec<Axis>,
    /// The kind of element.
    pub elem: Elem,
}

impl Shape {
    /// A shape of reals, as `f32`.
    pub fn real(axes: Vec<Axis>) -> Self {
        Shape { axes, elem: Elem::F32 }
    }

    /// The same elements over other axes.
    pub(crate) fn with_axes(&self, axes: Vec<Axis>) -> Self {
        Shape { axes, elem: self.elem }
    }

    /// How many elements.
    pub fn elements(&self) -> Poly {
        self.axes.iter().map(|a| &a.size).product()
    }

    /// Where an axis stands.
    pub fn position(&self, name: &Symbol) -> Option<usize> {
        self.axes.iter().position(|a| a.name == *name)
    }

    /// The last axis.
    pub fn last(&self) -> Option<&Axis> {
        self.axes.last()
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, axis) in self.axes.iter().enumerate() {
            write!(f, "{}{axis}", if i == 0 { "" } else { ", " })?;
        }
        f.write_str("]")
    }
}
