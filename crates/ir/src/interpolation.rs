//! Values between positions, by the weights of those around them.

/// How a value between positions follows from those beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    /// From two: 1 − t and t, where t is how far the source is beyond the first. A source before the first
    /// position is that position.
    Linear,
    /// From four, the second of which is the last at or before the source, by cubic convolution
    /// (Keys 1981) with the constant −3/4, as PyTorch has it.
    Cubic,
}

impl Interpolation {
    /// How many positions a value follows from.
    pub fn taps(self) -> usize {
        match self {
            Interpolation::Linear => 2,
            Interpolation::Cubic => 4,
        }
    }

    /// How far from it a position has weight, in positions or in what one result stands for.
    pub fn reach(self) -> usize {
        self.taps() / 2
    }

    /// The weight of what is `x` away; of cubic convolution by its constant.
    fn weight(self, x: f64, a: f64) -> f64 {
        match (self, x.abs()) {
            (Interpolation::Linear, x) => (1.0 - x).max(0.0),
            (Interpolation::Cubic, x) if x < 1.0 => ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0,
            (Interpolation::Cubic, x) if x < 2.0 => ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a,
            (Interpolation::Cubic, _) => 0.0,
        }
    }

    /// The weights where the source lies at `t` of the way from a position to the next.
    pub(crate) fn weights(self, t: f64) -> Vec<f64> {
        const CONSTANT: f64 = -0.75;
        let first = 1 - self.reach() as i64;
        let places = (first..).take(self.taps());
        places.map(|place| self.weight(place as f64 - t, CONSTANT)).collect()
    }

    /// The weights of the positions around a result, of `input` positions that are `from` for every `to`
    /// results.
    pub(crate) fn spread(self, [input, from, to]: [i128; 3], result: i128) -> Vec<f64> {
        const CONSTANT: f64 = -0.5;
        // In halves of a position, times `to`.
        let middle = from * (2 * result + 1);
        let wide = 2 * from.max(to);
        let reach = wide * self.reach() as i128;
        let first = (middle - reach + to).div_euclid(2 * to).max(0);
        let end = (middle + reach + to).div_euclid(2 * to).min(input);
        let away = |position: i128| ((2 * position + 1) * to - middle) as f64 / wide as f64;
        let positions = first..end;
        let weights: Vec<f64> = positions.map(|own| self.weight(away(own), CONSTANT)).collect();
        let sum: f64 = weights.iter().sum();
        weights.into_iter().map(|weight| weight / sum).collect()
    }
}
