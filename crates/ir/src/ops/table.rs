//! Tables of constants that depend on sizes only. They are known before the run: count none.

use opledger_dims::{Binding, Poly, Scalar, Symbol};
use opledger_tensor::Tensor;

use crate::distances::{DistanceBuckets, distance_row, log_coordinate};
use crate::interpolation::Interpolation;
use crate::operation::{Operation, operands};
use crate::value::indices;
use crate::{Axis, AxisMap, Call, Cost, Elem, Facts, OpError, Part, Shape, ShapeError, Value};

/// A table of constants.
#[derive(Clone, Debug, PartialEq)]
pub enum Table {
    /// For tokens i, j of a square window, the row of their displacement in a table of
    /// (2·side − 1)² rows: `(yᵢ − yⱼ + side − 1)·(2·side − 1) + xᵢ − xⱼ + side − 1` (Liu et al. 2021, §3.2).
    /// Shape `[query, key]` of ids.
    WindowDisplacement {
        /// Tokens along a side.
        side: Poly,
        /// The axis of queries, `side²` long.
        query: Axis,
        /// The axis of keys, `side²` long.
        key: Axis,
    },
    /// The coordinates of each displacement in a square window, down and across, from −(side − 1) on, as the
    /// logarithm of their share in the farthest of a window of `reach + 1` tokens:
    /// sign(d)·log₂(1 + 8·|d| / reach) / log₂ 8 (Liu et al. 2022, Swin Transformer V2, §3.3, and the authors'
    /// code). Shape `[row, pair]` of reals.
    LogDisplacement {
        /// Tokens along a side.
        side: Poly,
        /// The farthest displacement of the windows that it was made for.
        reach: Poly,
        /// The axis of displacements, `(2·side − 1)²` long.
        row: Axis,
        /// The axis of the two coordinates.
        pair: Axis,
    },
    /// For windows of an image rolled by `shift`, 0 where query and key were neighbours before the
    /// roll, −100 where not (Liu et al. 2021, figure 4 and the authors' code). Shape
    /// `[window, query, key]`.
    ShiftMask {
        /// Rows of windows.
        rows: Poly,
        /// Columns of windows.
        columns: Poly,
        /// Tokens along a side.
        side: Poly,
        /// By how many tokens the image is rolled, below `side`.
        shift: Poly,
        /// The axis of windows, `rows·columns` long.
        window: Axis,
        /// The axis of queries.
        query: Axis,
        /// The axis of keys.
        key: Axis,
    },
    /// The bucket of the distance from a query to a key, `d = key − query − offset` (Raffel et al.
    /// 2020, §2.1, and the authors' code): short distances have a bucket each, longer ones share
    /// buckets whose widths grow logarithmically up to `max_distance`, beyond which all share the
    /// last. Bidirectional, the second half of the buckets is that of `d > 0`; otherwise `d > 0` falls
    /// into bucket 0. Shape `[query, key]` of ids below `buckets`.
    RelativeBuckets {
        /// Whether keys after the query are told apart.
        bidirectional: bool,
        /// How many buckets there are in all.
        buckets: usize,
        /// From this distance on, the last bucket.
        max_distance: usize,
        /// The position of the first query; that of the first key is 0.
        offset: Poly,
        /// The axis of queries.
        query: Axis,
        /// The axis of keys.
        key: Axis,
    },
    /// Linear biases of scores (Press et al. 2022, §3): head i adds to the score of key j its slope times
    /// j, which differs from the slope times the distance by a number that softmax does not see. The
    /// slopes of h heads are a geometric sequence from 2^(−8/h) on where h is a power of two p; of others
    /// those of p heads, p the next lower, then every other one of 2·p. Shape `[head, key]` of reals.
    LinearBiases {
        /// The axis of heads.
        head: Axis,
        /// The axis of keys.
        key: Axis,
    },
    /// What queries are multiplied with, 1 + scale·ln(1 + ⌊(offset + i + 1) / every⌋) for token i (the code of
    /// Llama 4 in the `transformers` library, after Nakanishi 2025, arXiv:2501.19399). Shape `[tokens]` of
    /// reals.
    Temperature {
        /// The axis of tokens.
        tokens: Axis,
        /// The position of the first.
        offset: Poly,
        /// After how many tokens the factor grows, at least 1.
        every: u64,
        /// By how much.
        scale: f64,
    },
    /// The row of the distance d = query − key in a table of 2·span rows (He et al. 2021, §3.1, and the
    /// authors' code of version 2): span + d, within the table. Up to a `max_distance`, distances beyond
    /// half the span share rows, more of them the farther they are. Shape `[query, key]` of ids below
    /// 2·span.
    DistanceRows {
        /// Half the rows.
        span: usize,
        /// The distance that has the last row, where far ones share rows.
        max_distance: Option<usize>,
        /// The axis of queries.
        query: Axis,
        /// The axis of keys.
        key: Axis,
    },
    /// The weights of the positions that results are interpolated from: the source of result r is
    /// (a·r + b) / c. Shape `[result, tap]` of reals.
    Interpolation {
        /// How results follow from positions.
        kind: Interpolation,
        /// The sizes a, b and c.
        source: [Poly; 3],
        /// The axis of results.
        result: Axis,
        /// The axis of positions for each.
        tap: Axis,
    },
    /// The same where a result may stand for more than one position: its weights are spread over as
    /// many more, and their sum is 1; cubic convolution has the constant −1/2 (Pillow, and PyTorch after
    /// it). First come those of the positions that it reaches, then 0. Shape `[result, tap]` of reals.
    Antialiased {
        /// How weights fall.
        kind: Interpolation,
        /// So many positions for so many results.
        scale: [Poly; 2],
        /// How many positions there are.
        input: Poly,
        /// The axis of results.
        result: Axis,
        /// The axis of positions for each.
        tap: Axis,
    },
}

/// What the shift mask adds to hidden scores, as in the authors' code.
const HIDDEN: f64 = -100.0;

/// In a rolled image of `size` positions, whether a position belongs to the body, to the last window
/// up to the seam, or to what came round: the three runs that the authors label apart.
fn region(position: usize, size: usize, side: usize, shift: usize) -> usize {
    usize::from(position + side >= size) + usize::from(position + shift >= size && shift > 0)
}

/// The slope of a head of so many: by powers of two in the authors' code.
fn slope(head: usize, heads: usize) -> f64 {
    let power = 1_usize << heads.ilog2();
    match head.checked_sub(power) {
        None => 2_f64.powf(-8.0 / power as f64).powi(head as i32 + 1),
        Some(more) => 2_f64.powf(-4.0 / power as f64).powi(2 * more as i32 + 1),
    }
}

impl Table {
    /// The three sizes of a source as numbers, the last of which is divided by.
    ///
    /// # Errors
    /// When one has no value or does not fit the machine, or the last is not above 0.
    pub fn source(sizes: &[Poly; 3], binding: &Binding) -> Result<[i128; 3], OpError> {
        let number = |size: &Poly| {
            let value = size.at(binding)?;
            i64::try_from(&value).map(i128::from).map_err(|_| OpError::TooLarge(value.to_string()))
        };
        let [a, b, c] = sizes;
        let divisor = number(c)?;
        if divisor <= 0 {
            return Err(OpError::TooLarge(format!("a place divided by {divisor}")));
        }
        Ok([number(a)?, number(b)?, divisor])
    }

    /// The bucket of each pair of query and key.
    fn buckets<T>(&self, call: &Call<'_, T>) -> Result<Vec<i64>, OpError> {
        let Table::RelativeBuckets { bidirectional, buckets, max_distance, offset, .. } = self
        else {
            return Err(OpError::Operand(0));
        };
        let offset = call.size(offset)?;
        let [queries, keys] = call.output[..] else { return Err(OpError::Operand(0)) };
        let rule = DistanceBuckets::new(*bidirectional, *buckets, *max_distance);
        let last = offset + queries;
        // From the last query to the first key, up to the first query and the last key.
        let by_distance: Vec<i64> = (1..queries + keys)
            .map(|key| match (key > last, bidirectional) {
                (true, true) => rule.all + rule.of(key - last),
                (true, false) => 0,
                (false, _) => rule.of(last - key),
            })
            .map(|bucket| bucket as i64)
            .collect();
        let rows = (0..queries).rev().map(|row| &by_distance[row..row + keys]);
        Ok(rows.flatten().copied().collect())
    }

    fn ids<T>(&self, call: &Call<'_, T>, side: &Poly) -> Result<Vec<i64>, OpError> {
        let side = call.size(side)?;
        let displacement = |i: usize, j: usize| i + side - 1 - j;
        let id = |index: Vec<usize>| {
            let (i, j) = (index[0], index[1]);
            let y = displacement(i / side, j / side);
            (y * (2 * side - 1) + displacement(i % side, j % side)) as i64
        };
        Ok(indices(call.output).map(id).collect())
    }
}

impl Operation for Table {
    fn name(&self) -> &'static str {
        match self {
            Table::WindowDisplacement { .. } => "window_displacement",
            Table::LogDisplacement { .. } => "log_displacement",
            Table::ShiftMask { .. } => "shift_mask",
            Table::RelativeBuckets { .. } => "relative_buckets",
            Table::LinearBiases { .. } => "linear_biases",
            Table::Temperature { .. } => "temperature",
            Table::DistanceRows { .. } => "distance_rows",
            Table::Interpolation { .. } => "interpolation",
            Table::Antialiased { .. } => "antialiased_interpolation",
        }
    }

    fn signature(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [] = operands(inputs)?;
        let shape = match self {
            Table::WindowDisplacement { query, key, .. } => {
                Shape { axes: vec![query.clone(), key.clone()], elem: Elem::I64 }
            }
            Table::ShiftMask { window, query, key, .. } => {
                Shape::real(vec![window.clone(), query.clone(), key.clone()])
            }
            Table::LogDisplacement { row, pair, .. } => {
                Shape::real(vec![row.clone(), pair.clone()])
            }
            Table::LinearBiases { head, key } => Shape::real(vec![head.clone(), key.clone()]),
            Table::Temperature { every: 0, .. } => {
                let problem = "temperatures grow after at least 1 token, not after 0".to_owned();
                return Err(ShapeError::Sizes(problem));
            }
            Table::Temperature { tokens, .. } => Shape::real(vec![tokens.clone()]),
            Table::Interpolation { kind, result, tap, .. } => {
                let taps = kind.taps();
                if tap.size.as_integer() != Some(taps.into()) {
                    return Err(ShapeError::Sizes(format!(
                        "{taps} positions for each result are needed, {} are given",
                        tap.size
                    )));
                }
                Shape::real(vec![result.clone(), tap.clone()])
            }
            Table::DistanceRows { span, max_distance, query, key } => {
                let middle = span / 2;
                if *span == 0 || max_distance.is_some_and(|most| middle == 0 || most <= middle + 1)
                {
                    return Err(ShapeError::Sizes(format!(
                        "{span} rows to either side leave {middle} for short distances; at least 1, \
                         and fewer than the distance that has the last row, are needed"
                    )));
                }
                Shape { axes: vec![query.clone(), key.clone()], elem: Elem::I64 }
            }
            Table::Antialiased { result, tap, .. } => {
                Shape::real(vec![result.clone(), tap.clone()])
            }
            Table::RelativeBuckets { bidirectional, buckets, max_distance, query, key, .. } => {
                let DistanceBuckets { exact, .. } =
                    DistanceBuckets::new(*bidirectional, *buckets, *max_distance);
                if exact == 0 || *max_distance <= exact {
                    return Err(ShapeError::Sizes(format!(
                        "{buckets} buckets up to distance {max_distance} leave {exact} for short \
                         distances; at least 1, and fewer than the distance, are needed"
                    )));
                }
                Shape { axes: vec![query.clone(), key.clone()], elem: Elem::I64 }
            }
        };
        Ok(vec![shape])
    }

    fn cost(&self, _: &[&Shape], _: &Shape) -> Cost {
        Cost::free()
    }

    fn summed(&self, _: &[&Shape]) -> Vec<(Symbol, Poly)> {
        Vec::new()
    }

    fn facts(&self) -> Facts<'_> {
        Facts::of(&[]).sizes(match self {
            Table::WindowDisplacement { side, .. } => vec![side],
            Table::LogDisplacement { side, reach, .. } => vec![side, reach],
            Table::ShiftMask { rows, columns, side, shift, .. } => {
                vec![rows, columns, side, shift]
            }
            Table::RelativeBuckets { offset, .. } | Table::Temperature { offset, .. } => {
                vec![offset]
            }
            Table::LinearBiases { .. } => Vec::new(),
            Table::DistanceRows { .. } => Vec::new(),
            Table::Interpolation { source, .. } => source.iter().collect(),
            Table::Antialiased { scale: [from, to], input, .. } => vec![from, to, input],
        })
    }

    fn axis_map(&self, _: &[&Shape], _: &Shape) -> AxisMap {
        AxisMap::new([])
    }

    fn detail(&self) -> String {
        match self {
            Table::RelativeBuckets { bidirectional, buckets, max_distance, .. } => {
                let ways = if *bidirectional { "both ways" } else { "to earlier keys" };
                format!("{buckets} up to distance {max_distance}, {ways}")
            }
            Table::DistanceRows { span, max_distance: None, .. } => {
                format!("{span} to either side")
            }
            Table::DistanceRows { span, max_distance: Some(most), .. } => {
                format!("{span} to either side, up to distance {most}")
            }
            Table::Temperature { every, scale, .. } => format!("every {every} tokens, by {scale}"),
            Table::Interpolation { kind, .. } | Table::Antialiased { kind, .. } => match kind {
                Interpolation::Linear => "linear".to_owned(),
                Interpolation::Cubic => "cubic".to_owned(),
            },
            Table::WindowDisplacement { .. }
            | Table::LogDisplacement { .. }
            | Table::ShiftMask { .. }
            | Table::LinearBiases { .. } => String::new(),
        }
    }

    fn conflict(&self, _: &[&Shape], _: &Binding) -> Option<String> {
        None
    }

    fn reference<T: Scalar>(
        &self,
        call: &Call<'_, T>,
        _: &mut dyn FnMut(Part),
    ) -> Result<Vec<Value<T>>, OpError> {
        match self {
            Table::WindowDisplacement { side, .. } => {
                let ids = self.ids(call, side)?;
                Ok(vec![Value::Index(Tensor::new(call.output, ids)?)])
            }
            Table::LogDisplacement { side, reach, .. } => {
                let (side, reach) = (call.size(side)?, call.size(reach)?);
                let entry = |i: Vec<usize>| {
                    let [y, x] = [i[0] / (2 * side - 1), i[0] % (2 * side - 1)];
                    let displacement = if i[1] == 0 { y } else { x } as i64 - (side as i64 - 1);
                    T::from_f64(log_coordinate(displacement, reach))
                };
                call.result(indices(call.output).map(entry).collect())
            }
            Table::RelativeBuckets { .. } => {
                Ok(vec![Value::Index(Tensor::new(call.output, self.buckets(call)?)?)])
            }
            Table::LinearBiases { .. } => {
                let [heads, keys] = call.output[..] else { return Err(OpError::Operand(0)) };
                let slopes = (0..heads).map(|head| slope(head, heads));
                let row = |slope: f64| (0..keys).map(move |key| T::from_f64(slope * key as f64));
                call.result(slopes.flat_map(row).collect())
            }
            Table::Temperature { offset, every, scale, .. } => {
                let first = call.size(offset)? as u64;
                let steps = |token: usize| (first + token as u64 + 1) / every;
                let factor = |token| scale * (steps(token) as f64).ln_1p() + 1.0;
                call.result((0..call.output_len()).map(|i| T::from_f64(factor(i))).collect())
            }
            Table::DistanceRows { span, max_distance, .. } => {
                let row = |at: Vec<usize>| {
                    distance_row(at[0] as i64 - at[1] as i64, *span, *max_distance)
                };
                let rows = indices(call.output).map(row).collect();
                Ok(vec![Value::Index(Tensor::new(call.output, rows)?)])
            }
            Table::Interpolation { kind, source, .. } => {
                let [a, b, c] = Table::source(source, call.binding)?;
                let mut weights = Vec::with_capacity(call.output_len());
                for result in 0..call.output.first().copied().unwrap_or(0) {
                    let above = a * result as i128 + b;
                    let above = if *kind == Interpolation::Linear { above.max(0) } else { above };
                    let t = above.rem_euclid(c) as f64 / c as f64;
                    weights.extend(kind.weights(t).into_iter().map(T::from_f64));
                }
                call.result(weights)
            }
            Table::Antialiased { kind, scale: [from, to], input, .. } => {
                let sizes = [input.clone(), from.clone(), to.clone()];
                let sizes = Table::source(&sizes, call.binding)?;
                let [results, taps] = call.output[..] else { return Err(OpError::Operand(0)) };
                let mut weights = Vec::with_capacity(call.output_len());
                for result in 0..results {
                    let mut own = kind.spread(sizes, result as i128);
                    own.resize(taps, 0.0);
                    weights.extend(own.into_iter().map(T::from_f64));
                }
                call.result(weights)
            }
            Table::ShiftMask { rows, columns, side, shift, .. } => {
                let [rows, columns] = [call.size(rows)?, call.size(columns)?];
                let [side, shift] = [call.size(side)?, call.size(shift)?];
                let label = |window: usize, token: usize| {
                    let y = window / columns * side + token / side;
                    let x = window % columns * side + token % side;
                    (region(y, rows * side, side, shift), region(x, columns * side, side, shift))
                };
                let hidden = |i: &[usize]| label(i[0], i[1]) != label(i[0], i[2]);
                let entry = |i: Vec<usize>| T::from_f64(if hidden(&i) { HIDDEN } else { 0.0 });
                call.result(indices(call.output).map(entry).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Graph;
    use crate::ops::proof::{evaluate, evaluate_at, prove};

    #[test]
    fn temperatures_grow_step_by_step() {
        let mut g = Graph::new();
        let table = |offset: Poly, every| {
            let tokens = Axis::new("n", 4);
            Table::Temperature { tokens, offset, every, scale: 0.5 }
        };
        let of = g.table("", table("p".into(), 3)).unwrap();
        prove(&g, &[("p", 4)]);
        let factor = |steps: f64| 1.0 + 0.5 * (1.0 + steps).ln();
        // Positions 4 to 7, of which the second completes six tokens.
        let expected = [1.0, 2.0, 2.0, 2.0].map(factor);
        for (found, expected) in evaluate_at(&g, of, &[], [("p", 4)]).iter().zip(expected) {
            assert!((found - expected).abs() < 1e-15, "{found} {expected}");
        }
        let problem = g.table("", table(0.into(), 0)).unwrap_err().problem.to_string();
        assert_eq!(problem, "temperatures grow after at least 1 token, not after 0");
    }

    #[test]
    fn displacements_of_a_window_of_two() {
        let mut g = Graph::new();
        let (query, key) = (Axis::new("n", 4), Axis::new("m", 4));
        let ids = g.table("", Table::WindowDisplacement { side: 2.into(), query, key }).unwrap();
        prove(&g, &[]);
        let out = evaluate(&g, ids, &[]);
        // The authors' relative_position_index for a 2 × 2 window.
        assert_eq!(out, [4., 3., 1., 0., 5., 4., 2., 1., 7., 6., 4., 3., 8., 7., 5., 4.]);
    }

    #[test]
    fn coordinates_of_displacements_grow_as_logarithms() {
        let mut g = Graph::new();
        let (row, pair) = (Axis::new("t", 9), Axis::new("s", 2));
        let table = Table::LogDisplacement { side: 2.into(), reach: 8.into(), row, pair };
        let table = g.table("", table).unwrap();
        prove(&g, &[]);
        let out = evaluate(&g, table, &[]);
        // One token in eight: log₂ 2 / log₂ 8.
        let third = 1.0 / 3.0;
        assert_eq!(out[..6], [-third, -third, -third, 0.0, -third, third]);
        assert_eq!(
            out[6..],
            [0., -third, 0., 0., 0., third, third, -third, third, 0., third, third]
        );
    }

    #[test]
    fn interpolation_is_between_neighbours() {
        let mut g = Graph::new();
        let mut weights = |kind: Interpolation, source: [i64; 3], results: i64| {
            let (result, tap) = (Axis::new("r", results), Axis::new("k", kind.taps()));
            let source = source.map(Poly::from);
            let table = g.table("", Table::Interpolation { kind, source, result, tap }).unwrap();
            prove(&g, &[]);
            evaluate(&g, table, &[])
        };
        // Two positions to four results: sources −1/4, 1/4, 3/4, 5/4.
        let linear = weights(Interpolation::Linear, [4, -2, 8], 4);
        assert_eq!(linear, [1., 0., 0.75, 0.25, 0.25, 0.75, 0.75, 0.25]);
        let cubic = weights(Interpolation::Cubic, [4, -2, 8], 2);
        assert_eq!(cubic[4..], [-0.10546875, 0.87890625, 0.26171875, -0.03515625]);
        for row in cubic.chunks(4) {
            assert_eq!(row.iter().sum::<f64>(), 1.0);
        }
        // Four positions to two results: each stands for two, and has weight up to two away from it.
        let mut spread = |kind: Interpolation, scale: [i64; 2], taps: i64| {
            let (result, tap) = (Axis::new("r", scale[1]), Axis::new("k", taps));
            let [from, to] = scale.map(Poly::from);
            let input = from.clone();
            let table = Table::Antialiased { kind, scale: [from, to], input, result, tap };
            let table = g.table("", table).unwrap();
            prove(&g, &[]);
            evaluate(&g, table, &[])
        };
        let linear = spread(Interpolation::Linear, [4, 2], 5);
        let [near, far] = [3. / 7., 1. / 7.];
        assert_eq!(linear, [near, near, far, 0., 0., far, near, near, 0., 0.]);
        // No more positions than results: every one as it is.
        let same = spread(Interpolation::Cubic, [3, 3], 5);
        assert_eq!(same[5..10], [0., 1., 0., 0., 0.]);
        let tap = Axis::new("k", 3);
        let (kind, source) = (Interpolation::Linear, [1, 0, 1].map(Poly::from));
        let error =
            g.table("", Table::Interpolation { kind, source, result: Axis::from("r"), tap });
        let error = error.unwrap_err().problem.to_string();
        assert_eq!(error, "2 positions for each result are needed, 3 are given");
    }

    /// The slopes that `_get_alibi_slopes` of BLOOM gives in PyTorch, for 8 heads and for 6.
    #[test]
    fn linear_biases_are_those_of_bloom() {
        let mut g = Graph::new();
        let mut last = |heads: i64| {
            let (head, key) = (Axis::new("h", heads), Axis::new("m", 3));
            let biases = g.table("", Table::LinearBiases { head, key }).unwrap();
            prove(&g, &[]);
            let out = evaluate(&g, biases, &[]);
            out.chunks(3).map(|row| (row[0], row[1], row[2] / 2.0)).collect::<Vec<_>>()
        };
        let eighths = (1..=8).map(|i| 0.5_f64.powi(i)).map(|slope| (0.0, slope, slope));
        assert_eq!(last(8), eighths.collect::<Vec<_>>());
        let six = [0.25, 0.0625, 0.015625, 0.00390625, 0.5, 0.125];
        assert_eq!(last(6), six.map(|slope| (0.0, slope, slope)));
    }

    #[test]
    fn a_shift_hides_what_came_round() {
        let mut g = Graph::new();
        let [window, query, key] = [("w", 4), ("n", 4), ("m", 4)].map(Axis::from);
        let (rows, columns, side, shift) = (2.into(), 2.into(), 2.into(), 1.into());
        let mask = g
            .table("", Table::ShiftMask { rows, columns, side, shift, window, query, key })
            .unwrap();
        prove(&g, &[]);
        let out = evaluate(&g, mask, &[]);
        assert!(out[..16].iter().all(|x| *x == 0.0), "the first window holds neighbours only");
        assert_eq!(out[16..20], [0.0, -100.0, 0.0, -100.0], "a column came round");
        assert_eq!(out[48..52], [0.0, -100.0, -100.0, -100.0], "row and column came round");
    }

    fn buckets(
        bidirectional: bool,
        (buckets, max_distance): (usize, usize),
        offset: i64,
        (queries, keys): (i64, i64),
    ) -> Result<Vec<f64>, crate::GraphError> {
        let mut g = Graph::new();
        let (query, key) = (Axis::new("n", queries), Axis::new("m", keys));
        let offset = offset.into();
        let table =
            Table::RelativeBuckets { bidirectional, buckets, max_distance, offset, query, key };
        let ids = g.table("", table)?;
        prove(&g, &[]);
        Ok(evaluate(&g, ids, &[]))
    }

    /// From distance −1000 to 1000 between key and query, the distances at which the bucket changes
    /// that `T5Attention._relative_position_bucket` gives in PyTorch: down to 0, then up.
    #[test]
    fn relative_buckets_are_those_of_t5() {
        let short = [-7, -6, -5, -4, -3, -2, -1, 0];
        let middle = [-15, -14, -13, -12, -11, -10, -9, -8];
        let both = [&[-90, -63, -45, -31, -22, -15, -11][..], &short].concat();
        let after = [1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91];
        let far = [-112, -98, -86, -76, -66, -58, -51, -45, -39, -34, -30, -26, -23, -20, -18];
        let past = [&far[..], &middle, &short].concat();
        let other = [&[-72, -53, -38, -28, -20, -15, -10][..], &short].concat();
        for (bidirectional, sizes, before, after) in [
            (true, (32, 128), both, &after[..]),
            (false, (32, 128), past, &[]),
            (false, (16, 100), other, &[]),
        ] {
            let found = buckets(bidirectional, sizes, 1000, (1, 2001)).unwrap();
            let expected = (-1000..=1000).map(|distance| {
                let passed = |begins: &[i64]| begins.iter().filter(|b| **b <= distance).count();
                match passed(after) {
                    0 => before.len() - passed(&before),
                    passed => sizes.0 / 2 + passed,
                }
            });
            assert_eq!(
                found,
                expected.map(|bucket| bucket as f64).collect::<Vec<_>>(),
                "{sizes:?}"
            );
        }
    }

    #[test]
    fn relative_buckets_depend_on_the_distance_from_the_offset() {
        let whole = buckets(true, (8, 16), 0, (6, 9)).unwrap();
        assert_eq!(buckets(true, (8, 16), 4, (2, 9)).unwrap(), whole[4 * 9..]);
        assert_eq!(whole[..4], [0., 5., 6., 6.]);
        let error = buckets(true, (2, 16), 0, (1, 1)).unwrap_err().problem.to_string();
        assert!(error.starts_with("2 buckets up to distance 16 leave 0"), "{error}");
        assert!(buckets(false, (32, 16), 0, (1, 1)).is_err());
    }

    /// From distance −60 to 60, the distances at which the row changes that `make_log_bucket_position` of
    /// DeBERTa-v2 gives in PyTorch for 16 buckets up to 40.
    #[test]
    fn rows_of_distances_are_those_of_deberta() {
        let rows = |span, max_distance, far: i64| {
            let mut g = Graph::new();
            let (query, key) = (Axis::new("n", 2 * far + 1), Axis::new("m", 2 * far + 1));
            let table = Table::DistanceRows { span, max_distance, query, key };
            let ids = g.table("", table).unwrap();
            prove(&g, &[]);
            let of_middle = evaluate(&g, ids, &[]).split_off((far * (2 * far + 1)) as usize);
            of_middle[..(2 * far + 1) as usize].to_vec()
        };
        let begins = [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 16, 20, 25, 32];
        let expected = (-60_i64..=60).rev().map(|distance| {
            let passed = begins.iter().filter(|begin| **begin <= distance.abs()).count();
            // The row of −40 and beyond is one further than that of −32, that of 40 the same.
            let more = usize::from(distance <= -40);
            if distance < 0 { 16 - (passed + more) as i64 } else { 16 + passed as i64 }
        });
        assert_eq!(rows(16, Some(40), 60), expected.map(|row| row as f64).collect::<Vec<_>>());
        assert_eq!(rows(2, None, 3), [3., 3., 3., 2., 1., 0., 0.]);
        let mut g = Graph::new();
        let (span, query, key) = (1, Axis::new("n", 1), Axis::new("m", 1));
        let error = g.table("", Table::DistanceRows { span, max_distance: Some(9), query, key });
        let error = error.unwrap_err().problem.to_string();
        assert!(error.starts_with("1 rows to either side leave 0"), "{error}");
    }

    /// The authors' construction: label the rolled image by slices, cut it into windows, compare.
    #[test]
    fn the_shift_mask_is_the_authors() {
        let (rows, columns, side, shift) = (2, 3, 3, 2);
        let (height, width) = (rows * side, columns * side);
        let slices = |size: usize| [0..size - side, size - side..size - shift, size - shift..size];
        let mut image = vec![0; height * width];
        for (label, (ys, xs)) in slices(height)
            .iter()
            .flat_map(|ys| slices(width).map(|xs| (ys.clone(), xs)))
            .enumerate()
        {
            for (y, x) in ys.flat_map(|y| xs.clone().map(move |x| (y, x))) {
                image[y * width + x] = label;
            }
        }
        let mut expected = Vec::new();
        for (top, left) in (0..rows).flat_map(|r| (0..columns).map(move |c| (r * side, c * side))) {
            let tokens =
                (0..side).flat_map(|y| (0..side).map(move |x| (top + y) * width + left + x));
            let labels: Vec<usize> = tokens.map(|at| image[at]).collect();
            for query in &labels {
                expected.extend(labels.iter().map(|key| if key == query { 0.0 } else { HIDDEN }));
            }
        }
        let mut g = Graph::new();
        let [window, query, key] =
            [("w", rows * columns), ("n", side * side), ("m", side * side)].map(Axis::from);
        let [rows, columns, side, shift] = [rows, columns, side, shift].map(Poly::from);
        let mask = Table::ShiftMask { rows, columns, side, shift, window, query, key };
        let mask = g.table("", mask).unwrap();
        assert_eq!(evaluate(&g, mask, &[]), expected);
    }
}
