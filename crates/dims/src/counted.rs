//! The scalar that counts itself: each operation on it is executed and tallied one by one.

use std::cell::Cell;
use std::cmp::Ordering;
use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub};

use crate::{Class, Counts, Scalar};

thread_local! {
    static TALLY: [Cell<u64>; Class::ALL.len()] = const { [const { Cell::new(0) }; Class::ALL.len()] };
}

fn tick(class: Class) {
    count(class, 1);
}

/// What this thread has counted since the last call; the count restarts at zero.
pub fn take_counts() -> Counts<u64> {
    TALLY.with(|tally| Counts::from_fn(|class| tally[class as usize].take()))
}

/// Runs `work` and returns what it counted on this thread beside its result.
pub fn counted<R>(work: impl FnOnce() -> R) -> (R, Counts<u64>) {
    take_counts();
    let result = work();
    (result, take_counts())
}

/// Adds `number` operations of a class to what this thread has counted.
pub fn count(class: Class, number: u64) {
    TALLY.with(|tally| {
        let cell = &tally[class as usize];
        cell.set(cell.get() + number);
    });
}

/// A number each of whose operations adds one to this thread's count of its class; a comparison is one
/// of [`Class::Max`].
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct Counted<T>(pub T);

macro_rules! operator {
    ($($op:ident $method:ident $class:ident)*) => {$(
        impl<T: Scalar> $op for Counted<T> {
            type Output = Self;
            fn $method(self, other: Self) -> Self {
                tick(Class::$class);
                Counted(self.0.$method(other.0))
            }
        }
    )*};
}
operator!(Add add Add  Sub sub Add  Mul mul Mul  Div div Div);

impl<T: Scalar> Neg for Counted<T> {
    type Output = Self;
    fn neg(self) -> Self {
        Counted(-self.0)
    }
}

macro_rules! assignment {
    ($($op:ident $method:ident $class:ident $by:ident)*) => {$(
        impl<T: Scalar> $op for Counted<T> {
            fn $method(&mut self, other: Self) {
                tick(Class::$class);
                self.0 = self.0.$by(other.0);
            }
        }
    )*};
}
assignment!(AddAssign add_assign Add add  MulAssign mul_assign Mul mul);

impl<T: PartialEq> PartialEq for Counted<T> {
    fn eq(&self, other: &Self) -> bool {
        tick(Class::Max);
        self.0 == other.0
    }
}

impl<T: PartialOrd> PartialOrd for Counted<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        tick(Class::Max);
        self.0.partial_cmp(&other.0)
    }
}

macro_rules! functions {
    ($($method:ident $class:ident)*) => {$(
        fn $method(self) -> Self {
            tick(Class::$class);
            Counted(self.0.$method())
        }
    )*};
}

impl<T: Scalar> Scalar for Counted<T> {
    fn from_f64(value: f64) -> Self {
        Counted(T::from_f64(value))
    }
    fn to_f64(self) -> f64 {
        self.0.to_f64()
    }
    fn max(self, other: Self) -> Self {
        tick(Class::Max);
        Counted(self.0.max(other.0))
    }
    functions!(exp Exp  ln Log  sqrt Sqrt  tanh Tanh  erf Erf  sin Sin  cos Cos  atan Atan);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operation_counts_in_its_class() {
        let x = Counted(0.5_f32);
        let cases: [(Class, &dyn Fn() -> Counted<f32>); 13] = [
            (Class::Add, &|| x + x),
            (Class::Add, &|| x - x),
            (Class::Mul, &|| x * x),
            (Class::Div, &|| x / x),
            (Class::Max, &|| x.max(x)),
            (Class::Exp, &|| x.exp()),
            (Class::Log, &|| x.ln()),
            (Class::Sqrt, &|| x.sqrt()),
            (Class::Tanh, &|| x.tanh()),
            (Class::Erf, &|| x.erf()),
            (Class::Sin, &|| x.sin()),
            (Class::Cos, &|| x.cos()),
            (Class::Atan, &|| x.atan()),
        ];
        for (class, operation) in cases {
            assert_eq!(counted(operation).1, Counts::zero().with(class, 1));
        }
        assert!(counted(|| -x).1.is_zero());
        let compared = counted(|| (x < x, x >= x, x == x));
        assert_eq!(compared, ((false, true, true), Counts::zero().with(Class::Max, 3)));
        let (changed, counts) = counted(|| {
            let mut y = x;
            y += x;
            y *= x;
            y
        });
        assert_eq!(changed.0, 0.5);
        assert_eq!(counts, Counts::zero().with(Class::Add, 1).with(Class::Mul, 1));
    }

    #[test]
    fn values_are_those_of_the_plain_number() {
        let (x, y) = (0.75_f64, -1.25_f64);
        let (a, b) = (Counted(x), Counted(y));
        assert_eq!((a + b).0, x + y);
        assert_eq!((a - b).0, x - y);
        assert_eq!((a * b).0, x * y);
        assert_eq!((a / b).0, x / y);
        assert_eq!((-a).0, -x);
        assert_eq!((a.max(b).0, b.max(a).0), (x, x));
        assert_eq!(a.exp().0, x.exp());
        assert_eq!(a.ln().0, x.ln());
        assert_eq!(a.sqrt().0, x.sqrt());
        assert_eq!(a.tanh().0, x.tanh());
        assert_eq!((a.sin().0, a.cos().0, a.atan().0), (x.sin(), x.cos(), x.atan()));
        assert!((a.erf().0 - 0.711_155_633_653_515).abs() < 1e-12);
        assert!(Scalar::max(x, f64::NAN).is_nan() && Scalar::max(f64::NAN, x).is_nan());
    }
}
