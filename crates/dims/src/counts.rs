//! One number per class of scalar operation.

use std::fmt;
use std::ops::{Add, AddAssign, Index, IndexMut};

use num_traits::Zero;

use crate::{Binding, EvalError, Integer, Poly};

/// A kind of scalar operation. Moving, indexing, sign change and table look-up are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Addition or subtraction.
    Add,
    /// Multiplication.
    Mul,
    /// Division.
    Div,
    /// Maximum or any other comparison.
    Max,
    /// Exponential.
    Exp,
    /// Logarithm.
    Log,
    /// Square root.
    Sqrt,
    /// Hyperbolic tangent.
    Tanh,
    /// Error function.
    Erf,
    /// Sine.
    Sin,
    /// Cosine.
    Cos,
    /// Arc tangent.
    Atan,
}

impl Class {
    /// Every class, in the order of reports.
    pub const ALL: [Class; 12] = [
        Class::Add,
        Class::Mul,
        Class::Div,
        Class::Max,
        Class::Exp,
        Class::Log,
        Class::Sqrt,
        Class::Tanh,
        Class::Erf,
        Class::Sin,
        Class::Cos,
        Class::Atan,
    ];

    /// The name used in reports and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Class::Add => "add",
            Class::Mul => "mul",
            Class::Div => "div",
            Class::Max => "max",
            Class::Exp => "exp",
            Class::Log => "log",
            Class::Sqrt => "sqrt",
            Class::Tanh => "tanh",
            Class::Erf => "erf",
            Class::Sin => "sin",
            Class::Cos => "cos",
            Class::Atan => "atan",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One number per [`Class`]: an integer when counted, a [`Poly`] when derived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Counts<N>([N; 12]);

impl<N> Counts<N> {
    /// Counts made class by class.
    pub fn from_fn(mut f: impl FnMut(Class) -> N) -> Self {
        Counts(Class::ALL.map(&mut f))
    }

    /// Applies `f` to each number.
    pub fn map<M>(&self, mut f: impl FnMut(&N) -> M) -> Counts<M> {
        Counts::from_fn(|class| f(&self[class]))
    }

    /// Each class with its number.
    pub fn iter(&self) -> impl Iterator<Item = (Class, &N)> {
        Class::ALL.into_iter().zip(&self.0)
    }
}

impl<N: Clone + Zero> Counts<N> {
    /// No operation of any class.
    pub fn zero() -> Self {
        Counts::from_fn(|_| N::zero())
    }

    /// Zero but for one class.
    #[must_use]
    pub fn with(mut self, class: Class, number: N) -> Self {
        self[class] = number;
        self
    }

    /// Whether all numbers are zero.
    pub fn is_zero(&self) -> bool {
        self.0.iter().all(N::is_zero)
    }

    /// The sum over the classes: every scalar operation worth one (the convention `flops`).
    pub fn total(&self) -> N {
        self.0.iter().cloned().fold(N::zero(), N::add)
    }

    /// All scalar operations: another name of [`Counts::total`].
    pub fn flops(&self) -> N {
        self.total()
    }

    /// The classes that occur, with their numbers.
    pub fn nonzero(&self) -> impl Iterator<Item = (Class, &N)> {
        self.iter().filter(|(_, n)| !n.is_zero())
    }
}

impl Counts<Poly> {
    /// The exact counts at a binding.
    ///
    /// # Errors
    /// As [`Poly::at`].
    pub fn at(&self, binding: &Binding) -> Result<Counts<Integer>, EvalError> {
        let mut counts = Counts::zero();
        for (class, poly) in self.iter() {
            counts[class] = poly.at(binding)?;
        }
        Ok(counts)
    }

    /// Every count times `factor`.
    #[must_use]
    pub fn times(&self, factor: &Poly) -> Self {
        self.map(|p| p * factor)
    }
}

impl Counts<u64> {
    /// The same numbers as unbounded integers, to compare with a formula's.
    pub fn widen(&self) -> Counts<Integer> {
        self.map(|n| Integer::from(*n))
    }
}

impl<N> Index<Class> for Counts<N> {
    type Output = N;
    fn index(&self, class: Class) -> &N {
        &self.0[class as usize]
    }
}

impl<N> IndexMut<Class> for Counts<N> {
    fn index_mut(&mut self, class: Class) -> &mut N {
        &mut self.0[class as usize]
    }
}

impl<N: for<'a> AddAssign<&'a N>> AddAssign<&Counts<N>> for Counts<N> {
    fn add_assign(&mut self, other: &Counts<N>) {
        for class in Class::ALL {
            self[class] += &other[class];
        }
    }
}

impl<N: for<'a> AddAssign<&'a N>> Add for Counts<N> {
    type Output = Counts<N>;
    fn add(mut self, other: Counts<N>) -> Counts<N> {
        self += &other;
        self
    }
}

impl<N: fmt::Display + Clone + Zero> fmt::Display for Counts<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut any = false;
        for (class, number) in self.nonzero() {
            write!(f, "{}{class} = {number}", if any { ", " } else { "" })?;
            any = true;
        }
        f.write_str(if any { "" } else { "none" })
    }
}
