//! Forward mode by dual numbers through the references: ⟨v, J·u⟩ = ⟨Jᵀ·v, u⟩ (Griewank and Walther 2008, chapter 3).

use std::ops::{Add, Div, Mul, Neg, Sub};

use opledger_dims::{Binding, Scalar};
use opledger_interp::{Interpreter, NodeCall, Quiet, in_turn};
use opledger_ir::{Graph, OpError, Operation, Value};
use opledger_tensor::Tensor;

use crate::differences::prepared;

/// A number and how fast it changes: `x + ε·dx`, ε² being 0.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dual {
    x: f64,
    dx: f64,
}

impl Dual {
    /// A function of the number with its derivative there; what does not change has no slope, even where the
    /// function has none.
    fn of(self, x: f64, slope: f64) -> Dual {
        Dual { x, dx: if self.dx == 0.0 { 0.0 } else { slope * self.dx } }
    }
}

impl Add for Dual {
    type Output = Dual;
    fn add(self, other: Dual) -> Dual {
        Dual { x: self.x + other.x, dx: self.dx + other.dx }
    }
}

impl Sub for Dual {
    type Output = Dual;
    fn sub(self, other: Dual) -> Dual {
        self + -other
    }
}

impl Mul for Dual {
    type Output = Dual;
    fn mul(self, other: Dual) -> Dual {
        let x = self.x * other.x;
        Dual { x, dx: self.of(x, other.x).dx + other.of(x, self.x).dx }
    }
}

impl Div for Dual {
    type Output = Dual;
    fn div(self, other: Dual) -> Dual {
        let x = self.x / other.x;
        Dual { x, dx: self.of(x, 1.0 / other.x).dx + other.of(x, -x / other.x).dx }
    }
}

impl Neg for Dual {
    type Output = Dual;
    fn neg(self) -> Dual {
        Dual { x: -self.x, dx: -self.dx }
    }
}

impl Scalar for Dual {
    fn from_f64(x: f64) -> Dual {
        Dual { x, dx: 0.0 }
    }
    fn to_f64(self) -> f64 {
        self.x
    }
    fn max(self, other: Dual) -> Dual {
        if self.x.is_nan() || self.x > other.x { self } else { other }
    }
    fn exp(self) -> Dual {
        let x = self.x.exp();
        self.of(x, x)
    }
    fn ln(self) -> Dual {
        self.of(self.x.ln(), 1.0 / self.x)
    }
    fn sqrt(self) -> Dual {
        let x = self.x.sqrt();
        self.of(x, 0.5 / x)
    }
    fn tanh(self) -> Dual {
        let x = self.x.tanh();
        self.of(x, 1.0 - x * x)
    }
    fn erf(self) -> Dual {
        let slope = std::f64::consts::FRAC_2_SQRT_PI * (-self.x * self.x).exp();
        self.of(Scalar::erf(self.x), slope)
    }
    fn sin(self) -> Dual {
        self.of(self.x.sin(), self.x.cos())
    }
    fn cos(self) -> Dual {
        self.of(self.x.cos(), -self.x.sin())
    }
    fn atan(self) -> Dual {
        self.of(self.x.atan(), 1.0 / (1.0 + self.x * self.x))
    }
}

/// How fast each element of a tensor changes: between −1 and 1, from its place and its bits.
pub(crate) fn direction(tensor: &Tensor<f32>) -> Vec<f64> {
    let each = tensor.data().iter().enumerate().map(|(at, x)| {
        let mut bits =
            (u64::from(x.to_bits()) << 20 ^ at as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    });
    each.collect()
}

/// The references on dual numbers, of which those of some tensors change.
struct Tangents<'a>(&'a [Tensor<f32>]);

impl Interpreter for Tangents<'_> {
    type Scalar = Dual;

    fn adopt(&self, value: &Value<f32>) -> Value<Dual> {
        let real = match value {
            Value::Real(real) => real,
            Value::Index(whole) => return Value::Index(whole.clone()),
        };
        let same = |own: &&Tensor<f32>| own.shape() == real.shape() && own.data() == real.data();
        let rates = match self.0.iter().find(same) {
            Some(own) => direction(own),
            None => vec![0.0; real.data().len()],
        };
        let pairs = real.data().iter().zip(rates);
        let data = pairs.map(|(x, dx)| Dual { x: f64::from(*x), dx }).collect();
        Value::Real(Tensor::new(real.shape(), data).unwrap())
    }

    fn apply(&mut self, group: &mut [NodeCall<'_, Dual>]) -> Result<Vec<Value<Dual>>, OpError> {
        in_turn(group, |node, call, _| node.op.reference(call, &mut |_| {}))
    }
}

/// How fast the elements of a result change while those of some tensors do.
pub(crate) fn slopes(
    g: &Graph,
    sizes: &Binding,
    given: &[(String, Tensor<f32>)],
    (changing, result): (&[Tensor<f32>], &str),
) -> Vec<f64> {
    let run = prepared(g, sizes, given).run(&mut Tangents(changing), &mut Quiet).unwrap();
    let (_, value) = run.outputs.iter().find(|(name, _)| name == result).unwrap();
    value.real().unwrap().data().iter().map(|dual| dual.dx).collect()
}
