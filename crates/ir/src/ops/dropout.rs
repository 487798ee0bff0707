//! Dropout (Srivastava et al. 2014) in its inverted form: in training each element is multiplied by
//! 0 with probability p, else by 1/(1 − p); in inference it is the identity.
//!
//! Count: in training one mul per element; drawing the multiplier is none. In inference none.

use opledger_dims::{Binding, Class, Counts, Poly, Scalar, Symbol};
use opledger_tensor::seed_of;

use crate::operation::{Operation, operands};
use crate::{AxisMap, Call, Cost, Facts, Kind, OpError, Part, Shape, ShapeError, Value};

/// Dropout with a seed. The seed and the concrete path of the node, such as `layers.2.dropout`, decide
/// what is dropped: places and iterations differ, runs do not.
#[derive(Clone, Debug, PartialEq)]
pub struct Dropout {
    /// The probability of dropping an element.
    pub p: f64,
    /// The seed.
    pub seed: u64,
    /// Whether elements are dropped at all.
    pub training: bool,
}

impl Dropout {
    /// The multiplier of each element, by position, at a concrete path: 0 with probability `p`, else
    /// 1/(1 − p).
    ///
    /// The draw is a hash of seed and position (the finaliser of SplitMix64, Steele et al. 2014), so
    /// it does not depend on the order in which elements are visited.
    pub fn multiplier(&self, path: &str) -> impl Fn(usize) -> f64 + use<> {
        let (seed, p) = (seed_of(self.seed, path), self.p);
        move |flat| {
            let mut x = seed.wrapping_add((flat as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            x ^= x >> 31;
            let uniform = (x >> 11) as f64 / (1_u64 << 53) as f64;
            if uniform < p { 0.0 } else { 1.0 / (1.0 - p) }
        }
    }
}

impl Operation for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn signature(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [x] = operands(inputs)?;
        x.expect(0, Kind::Real)?;
        if !(0.0..1.0).contains(&self.p) {
            return Err(ShapeError::Sizes(format!(
                "dropout probability {} is not in [0, 1)",
                self.p
            )));
        }
        Ok(vec![x.clone()])
    }

    fn cost(&self, _: &[&Shape], output: &Shape) -> Cost {
        if !self.training {
            return Cost::free();
        }
        Cost::of(Part::Pointwise, Counts::zero().with(Class::Mul, output.elements()))
    }

    fn summed(&self, _: &[&Shape]) -> Vec<(Symbol, Poly)> {
        Vec::new()
    }

    fn facts(&self) -> Facts<'_> {
        if self.training {
            Facts::of(&[Part::Pointwise]).in_place(&[0])
        } else {
            Facts::of(&[]).view()
        }
    }

    fn axis_map(&self, inputs: &[&Shape], output: &Shape) -> AxisMap {
        // What is dropped depends on an element's place.
        AxisMap::by_name(inputs, output)
    }

    fn detail(&self) -> String {
        if self.training { format!("p={}", self.p) } else { String::new() }
    }

    fn conflict(&self, _: &[&Shape], _: &Binding) -> Option<String> {
        None
    }

    fn reference<T: Scalar>(
        &self,
        call: &Call<'_, T>,
        mark: &mut dyn FnMut(Part),
    ) -> Result<Vec<Value<T>>, OpError> {
        if !self.training {
            return Ok(vec![call.inputs[0].clone()]);
        }
        let multiplier = self.multiplier(call.path);
        let elements = call.real(0)?.data().iter().enumerate();
        let out = elements.map(|(i, x)| *x * T::from_f64(multiplier(i))).collect();
        mark(Part::Pointwise);
        call.result(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Graph;
    use crate::ops::proof::{evaluate, prove};

    #[test]
    fn counted_reference_equals_cost_in_both_modes() {
        let mut g = Graph::new();
        let x = g.input("x", ["b", "n"]).unwrap();
        for training in [false, true] {
            g.dropout("", x, Dropout { p: 0.25, seed: 1, training }).unwrap();
        }
        for (b, n) in [(0, 3), (1, 1), (4, 5)] {
            prove(&g, &[("b", b), ("n", n)]);
        }
    }

    #[test]
    fn each_place_drops_elements_of_its_own() {
        let mut g = Graph::new();
        let x = g.input("x", [("n", 64)]).unwrap();
        let dropout = Dropout { p: 0.5, seed: 9, training: true };
        let [a, b] = [0, 1].map(|_| g.dropout("", x, dropout.clone()).unwrap());
        let drop = |var| evaluate(&g, var, &[("x", &[1.0; 64])]);
        assert_eq!(drop(a), drop(a));
        assert_ne!(drop(a), drop(b));
    }

    #[test]
    fn a_quarter_is_dropped_and_the_rest_scaled() {
        let mut g = Graph::new();
        let x = g.input("x", [("n", 4000)]).unwrap();
        let y = g.dropout("", x, Dropout { p: 0.25, seed: 9, training: true }).unwrap();
        let out = evaluate(&g, y, &[("x", &[3.0; 4000])]);
        let dropped = out.iter().filter(|v| **v == 0.0).count();
        assert!((900..1100).contains(&dropped), "{dropped}");
        assert!(out.iter().all(|v| *v == 0.0 || (*v - 4.0).abs() < 1e-12));
        assert!(g.dropout("", x, Dropout { p: 1.0, seed: 9, training: true }).is_err());
    }
}
