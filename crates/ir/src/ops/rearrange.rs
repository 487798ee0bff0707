//! Moving without arithmetic: splitting, merging, reordering, cutting, rolling, padding, repeating
//! axes. Count: none.

use opledger_dims::{Binding, Poly, Scalar, Symbol};
use opledger_tensor::Tensor;

use crate::operation::{Operation, operands};
use crate::value::{indices, strides, to_usize};
use crate::{Axis, AxisMap, Call, Cost, Facts, OpError, Part, Picked, Shape, ShapeError, Value};

/// How elements move.
#[derive(Clone, Debug, PartialEq)]
pub enum Rearrange {
    /// One axis becomes several, the outermost first; a view.
    Split {
        /// The axis.
        axis: Symbol,
        /// What it becomes; the product of the sizes is its size.
        into: Vec<Axis>,
    },
    /// Several neighbouring axes become one; a view.
    Merge {
        /// The axes, in the order they stand in.
        axes: Vec<Symbol>,
        /// The name of the merged axis.
        into: Symbol,
    },
    /// Another name for an axis; a view.
    Rename {
        /// The present name.
        from: Symbol,
        /// The new name.
        to: Symbol,
    },
    /// Another order of the axes.
    Permute {
        /// All axes in their new order.
        order: Vec<Symbol>,
    },
    /// A run of positions of one axis.
    Slice {
        /// The axis.
        axis: Symbol,
        /// The first position.
        start: Poly,
        /// How many positions.
        len: Poly,
    },
    /// Positions shifted cyclically towards the start: position i holds what was at i + by.
    Roll {
        /// The axis.
        axis: Symbol,
        /// By how many positions.
        by: Poly,
    },
    /// Zeros after the end of an axis.
    Pad {
        /// The axis.
        axis: Symbol,
        /// Its new size.
        to: Poly,
    },
    /// A new first axis along which the value is repeated.
    Expand {
        /// The axis; its size says how often.
        axis: Axis,
    },
}

impl Rearrange {
    /// Whether the elements stay where they are.
    pub fn is_view(&self) -> bool {
        matches!(self, Rearrange::Split { .. } | Rearrange::Merge { .. } | Rearrange::Rename { .. })
    }

    /// The operand's stride along each axis of the result, for a permutation and a repetition; `None`
    /// for all others.
    ///
    /// # Errors
    /// When the operand or an axis is missing.
    pub fn strides<T>(&self, call: &Call<'_, T>) -> Result<Option<Vec<usize>>, OpError> {
        let own = strides(call.inputs.first().ok_or(OpError::Operand(0))?.shape());
        let stride =
            |axis| call.shapes[0].position(axis).map(|at| own[at]).ok_or(OpError::Operand(0));
        match self {
            Rearrange::Permute { order } => {
                order.iter().map(stride).collect::<Result<_, _>>().map(Some)
            }
            Rearrange::Expand { .. } => Ok(Some([&[0], &own[..]].concat())),
            _ => Ok(None),
        }
    }

    /// How elements are copied: the operand and the result fall into blocks of these lengths, and each
    /// block of the result takes these runs of its operand block, the rest being padding. `None` for a
    /// view and for what [`Rearrange::strides`] describes.
    ///
    /// # Errors
    /// When a size is unbound or does not fit the machine.
    pub fn runs<T>(&self, call: &Call<'_, T>) -> Result<Option<Runs>, OpError> {
        let sizes = call.inputs.first().ok_or(OpError::Operand(0))?.shape();
        let (Rearrange::Slice { axis, .. }
        | Rearrange::Roll { axis, .. }
        | Rearrange::Pad { axis, .. }) = self
        else {
            return Ok(None);
        };
        let at = call.shapes[0].position(axis).ok_or(OpError::Operand(0))?;
        let inner: usize = sizes[at + 1..].iter().product();
        let size = sizes[at];
        let copied = match self {
            Rearrange::Slice { start, len, .. } => vec![(0, call.size(start)?, call.size(len)?)],
            Rearrange::Roll { by, .. } if size > 0 => {
                let by = to_usize(&modulo(&by.at(call.binding)?, size))?;
                vec![(0, by, size - by), (size - by, 0, by)]
            }
            _ => vec![(0, 0, size)],
        };
        let copied = copied.into_iter().map(|(to, from, len)| Run {
            to: to * inner,
            from: from * inner,
            len: len * inner,
        });
        Ok(Some(Runs { from: size * inner, to: call.output[at] * inner, copied: copied.collect() }))
    }

    /// The elements of the result in order, padding being `zero`.
    fn moved<T, E: Copy>(
        &self,
        call: &Call<'_, T>,
        data: &[E],
        zero: E,
    ) -> Result<Vec<E>, OpError> {
        if let Some(along) = self.strides(call)? {
            call.reads.all(0, data.len());
            let at = |index: Vec<usize>| {
                data[index.iter().zip(&along).map(|(i, s)| i * s).sum::<usize>()]
            };
            return Ok(indices(call.output).map(at).collect());
        }
        let Some(runs) = self.runs(call)? else { return Err(OpError::Operand(0)) };
        let mut out = vec![zero; call.output_len()];
        for (block, out) in out.chunks_mut(runs.to.max(1)).enumerate() {
            for Run { to, from, len } in &runs.copied {
                call.reads.some(0, *len);
                out[*to..][..*len].copy_from_slice(&data[block * runs.from + from..][..*len]);
            }
        }
        Ok(out)
    }
}

/// Blocks of operand and result, and what is copied from one to the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runs {
    /// Elements of an operand block.
    pub from: usize,
    /// Elements of a result block.
    pub to: usize,
    /// What each result block takes from its operand block.
    pub copied: Vec<Run>,
}

/// A run of neighbouring elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Where it starts in the result block.
    pub to: usize,
    /// Where it starts in the operand block.
    pub from: usize,
    /// How many elements.
    pub len: usize,
}

/// `value` modulo `size`, never negative.
fn modulo(value: &opledger_dims::Integer, size: usize) -> opledger_dims::Integer {
    let size = opledger_dims::Integer::from(size);
    ((value % &size) + &size) % size
}

impl Operation for Rearrange {
    fn name(&self) -> &'static str {
        match self {
            Rearrange::Split { .. } => "split",
            Rearrange::Merge { .. } => "merge",
            Rearrange::Rename { .. } => "rename",
            Rearrange::Permute { .. } => "permute",
            Rearrange::Slice { .. } => "slice",
            Rearrange::Roll { .. } => "roll",
            Rearrange::Pad { .. } => "pad",
            Rearrange::Expand { .. } => "expand",
        }
    }

    fn signature(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [x] = operands(inputs)?;
        let at = |axis: &Symbol| {
            x.position(axis).ok_or_else(|| ShapeError::Missing { operand: 0, axis: axis.clone() })
        };
        let mut axes = x.axes.clone();
        match self {
            Rearrange::Split { axis, into } => {
                let at = at(axis)?;
                let product: Poly = into.iter().map(|a| &a.size).product();
                if product != axes[at].size {
                    let (left, right) = (axes[at].size.clone(), product);
                    return Err(ShapeError::Size { axis: axis.clone(), left, right });
                }
                axes.splice(at..=at, into.iter().cloned());
            }
            Rearrange::Merge { axes: merged, into } => {
                let first =
                    at(merged.first().ok_or(ShapeError::Sizes("no axes to merge".into()))?)?;
                let range = first..first + merged.len();
                let run = axes.get(range.clone()).unwrap_or_default();
                if !run.iter().map(|a| &a.name).eq(merged) {
                    return Err(ShapeError::Sizes(
                        "the axes to merge are not neighbours in this order".into(),
                    ));
                }
                let size = run.iter().map(|a| &a.size).product::<Poly>();
                axes.splice(range, [Axis { name: into.clone(), size }]);
            }
            Rearrange::Rename { from, to } => axes[at(from)?].name = to.clone(),
            Rearrange::Permute { order } => {
                if order.len() != axes.len() {
                    let (expected, found) = (order.len(), axes.len());
                    return Err(ShapeError::Rank { operand: 0, expected, found });
                }
                axes = order
                    .iter()
                    .map(|a| at(a).map(|at| x.axes[at].clone()))
                    .collect::<Result<_, _>>()?;
            }
            Rearrange::Slice { axis, start, len } => {
                let size = &x.axes[at(axis)?].size;
                if let (Some(size), Some(end)) = (size.as_integer(), (start + len).as_integer())
                    && end > size
                {
                    return Err(ShapeError::Sizes(format!(
                        "axis `{axis}` has {size} positions, {end} are used"
                    )));
                }
                axes[at(axis)?].size = len.clone();
            }
            Rearrange::Roll { axis, .. } => {
                at(axis)?;
            }
            Rearrange::Pad { axis, to } => axes[at(axis)?].size = to.clone(),
            Rearrange::Expand { axis } => axes.insert(0, axis.clone()),
        }
        for (i, axis) in axes.iter().enumerate() {
            if axes[..i].iter().any(|a| a.name == axis.name) {
                return Err(ShapeError::Duplicate(axis.name.clone()));
            }
        }
        Ok(vec![x.with_axes(axes)])
    }

    fn cost(&self, _: &[&Shape], _: &Shape) -> Cost {
        Cost::free()
    }

    fn summed(&self, _: &[&Shape]) -> Vec<(Symbol, Poly)> {
        Vec::new()
    }

    fn facts(&self) -> Facts<'_> {
        let facts = Facts::of(&[]);
        match self {
            Rearrange::Split { .. } | Rearrange::Merge { .. } | Rearrange::Rename { .. } => {
                facts.view()
            }
            Rearrange::Slice { start, len, .. } => {
                facts.sizes([start, len]).picking(0, Picked::Result)
            }
            Rearrange::Roll { by, .. } => facts.sizes([by]),
            Rearrange::Permute { .. } | Rearrange::Pad { .. } | Rearrange::Expand { .. } => facts,
        }
    }

    fn axis_map(&self, inputs: &[&Shape], output: &Shape) -> AxisMap {
        let along = |axis: &Axis| match self {
            Rearrange::Rename { from, to } if axis.name == *from => output.position(to),
            Rearrange::Split { axis: moved, .. }
            | Rearrange::Slice { axis: moved, .. }
            | Rearrange::Roll { axis: moved, .. }
            | Rearrange::Pad { axis: moved, .. }
                if axis.name == *moved =>
            {
                None
            }
            Rearrange::Merge { axes, .. } if axes.contains(&axis.name) => None,
            Rearrange::Rename { .. }
            | Rearrange::Split { .. }
            | Rearrange::Merge { .. }
            | Rearrange::Permute { .. }
            | Rearrange::Slice { .. }
            | Rearrange::Roll { .. }
            | Rearrange::Pad { .. }
            | Rearrange::Expand { .. } => output.position(&axis.name),
        };
        AxisMap::new([inputs[0].axes.iter().map(along).collect()])
    }

    fn detail(&self) -> String {
        String::new()
    }

    fn conflict(&self, inputs: &[&Shape], binding: &Binding) -> Option<String> {
        let Rearrange::Slice { axis, start, len } = self else { return None };
        let size = inputs[0].axes.iter().find(|a| a.name == *axis)?.size.at(binding).ok()?;
        let end = (start + len).at(binding).ok()?;
        (end > size).then(|| format!("axis `{axis}` has {size} positions, {end} are used"))
    }

    fn reference<T: Scalar>(
        &self,
        call: &Call<'_, T>,
        _: &mut dyn FnMut(Part),
    ) -> Result<Vec<Value<T>>, OpError> {
        match call.inputs.first().ok_or(OpError::Operand(0))? {
            Value::Real(x) if self.is_view() => Ok(vec![x.reshape(call.output)?.into()]),
            Value::Index(x) if self.is_view() => Ok(vec![Value::Index(x.reshape(call.output)?)]),
            Value::Real(x) => call.result(self.moved(call, x.data(), T::from_f64(0.0))?),
            Value::Index(x) => {
                let moved = self.moved(call, x.data(), 0)?;
                Ok(vec![Value::Index(Tensor::new(call.output, moved)?)])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Graph;
    use crate::ops::proof::{evaluate, prove};

    fn run(how: Rearrange) -> Vec<f64> {
        let mut g = Graph::new();
        let x = g.input("x", [("i", 2), ("j", 3)]).unwrap();
        let y = g.rearrange(x, how).unwrap();
        prove(&g, &[]);
        evaluate(&g, y, &[("x", &[1., 2., 3., 4., 5., 6.])])
    }

    #[test]
    fn elements_move_as_named() {
        let same = [1., 2., 3., 4., 5., 6.];
        let (i, j) = (Symbol::new("i"), Symbol::new("j"));
        assert_eq!(run(Rearrange::Rename { from: i.clone(), to: "k".into() }), same);
        assert_eq!(
            run(Rearrange::Merge { axes: vec![i.clone(), j.clone()], into: "k".into() }),
            same
        );
        let into = vec![Axis::new("p", 3), Axis::new("q", 1)];
        assert_eq!(run(Rearrange::Split { axis: j.clone(), into }), same);
        assert_eq!(
            run(Rearrange::Permute { order: vec![j.clone(), i.clone()] }),
            [1., 4., 2., 5., 3., 6.]
        );
        let (start, len) = (1.into(), 2.into());
        assert_eq!(run(Rearrange::Slice { axis: j.clone(), start, len }), [2., 3., 5., 6.]);
        assert_eq!(
            run(Rearrange::Roll { axis: j.clone(), by: 1.into() }),
            [2., 3., 1., 5., 6., 4.]
        );
        assert_eq!(
            run(Rearrange::Roll { axis: j.clone(), by: (-1).into() }),
            [3., 1., 2., 6., 4., 5.]
        );
        assert_eq!(run(Rearrange::Pad { axis: j, to: 4.into() }), [1., 2., 3., 0., 4., 5., 6., 0.]);
        assert_eq!(run(Rearrange::Expand { axis: Axis::new("b", 2) }), [same, same].concat());
        assert!(run(Rearrange::Expand { axis: Axis::new("b", 0) }).is_empty());
    }

    #[test]
    fn axes_that_stay_run_along() {
        let along = |how: Rearrange| {
            let mut g = Graph::new();
            let x = g.input("x", ["i", "j", "k"]).unwrap();
            let y = g.rearrange(x, how.clone()).unwrap();
            how.axis_map(&[g.shape(x)], g.shape(y)).of(0).to_vec()
        };
        let (i, j, k) = (Symbol::new("i"), Symbol::new("j"), Symbol::new("k"));
        let merge = Rearrange::Merge { axes: vec![i.clone(), j.clone()], into: "m".into() };
        assert_eq!(along(merge), [None, None, Some(1)]);
        let into = vec![Axis::new("p", "j"), Axis::new("q", 1)];
        assert_eq!(along(Rearrange::Split { axis: j.clone(), into }), [Some(0), None, Some(3)]);
        let rename = Rearrange::Rename { from: j.clone(), to: "m".into() };
        assert_eq!(along(rename), [Some(0), Some(1), Some(2)]);
        let order = vec![k, i, j.clone()];
        assert_eq!(along(Rearrange::Permute { order }), [Some(1), Some(2), Some(0)]);
        assert_eq!(along(Rearrange::Pad { axis: j, to: "m".into() }), [Some(0), None, Some(2)]);
    }

    #[test]
    fn what_lies_inside_an_axis_moves_with_it() {
        let run = |size: i64, how: Rearrange| {
            let mut g = Graph::new();
            let x = g.input("x", [("i", 2), ("j", size), ("k", 2)]).unwrap();
            let y = g.rearrange(x, how).unwrap();
            let data: Vec<f64> = (0..4 * size).map(|v| v as f64).collect();
            evaluate(&g, y, &[("x", &data)])
        };
        let axis = Symbol::new("j");
        let slice = Rearrange::Slice { axis: axis.clone(), start: 1.into(), len: 2.into() };
        assert_eq!(run(3, slice), [2., 3., 4., 5., 8., 9., 10., 11.]);
        let roll = |by: i64| Rearrange::Roll { axis: axis.clone(), by: by.into() };
        assert_eq!(run(3, roll(1)), [2., 3., 4., 5., 0., 1., 8., 9., 10., 11., 6., 7.]);
        assert_eq!(run(3, roll(2)), [4., 5., 0., 1., 2., 3., 10., 11., 6., 7., 8., 9.]);
        assert_eq!(run(1, roll(5)), [0., 1., 2., 3.]);
        assert!(run(0, roll(1)).is_empty());
        let pad = Rearrange::Pad { axis: axis.clone(), to: 3.into() };
        assert_eq!(run(2, pad), [0., 1., 2., 3., 0., 0., 4., 5., 6., 7., 0., 0.]);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let mut g = Graph::new();
        let x = g.input("x", [("i", 2), ("j", 3)]).unwrap();
        let mut error = |how| g.rearrange(x, how).unwrap_err().problem.to_string();
        let into = vec![Axis::new("p", 2), Axis::new("q", 2)];
        assert_eq!(
            error(Rearrange::Split { axis: "j".into(), into }),
            "axis `j` is 3 in one operand and 4 in another"
        );
        let axes = vec!["j".into(), "i".into()];
        assert!(error(Rearrange::Merge { axes, into: "k".into() }).contains("not neighbours"));
        assert!(
            error(Rearrange::Rename { from: "i".into(), to: "j".into() }).contains("two axes `j`")
        );
        assert!(error(Rearrange::Roll { axis: "z".into(), by: 1.into() }).contains("no axis `z`"));
        assert!(error(Rearrange::Expand { axis: Axis::new("j", 4) }).contains("two axes `j`"));
        let slice = Rearrange::Slice { axis: "j".into(), start: 2.into(), len: 2.into() };
        assert_eq!(error(slice), "axis `j` has 3 positions, 4 are used");
        assert!(error(Rearrange::Permute { order: vec!["i".into()] }).contains("2 axes where 1"));
    }

    #[test]
    fn a_slice_of_open_sizes_is_checked_when_they_are_known() {
        let mut g = Graph::new();
        let x = g.input("x", ["n"]).unwrap();
        let slice = Rearrange::Slice { axis: "n".into(), start: 2.into(), len: "k".into() };
        g.rearrange(x, slice).unwrap();
        let sizes = |n: usize, k: usize| opledger_dims::Binding::from_iter([("n", n), ("k", k)]);
        assert!(g.check(&sizes(5, 2)).is_ok() && g.check(&sizes(5, 3)).is_ok());
        let error = g.check(&sizes(5, 4)).unwrap_err().to_string();
        assert!(error.contains("axis `n` has 5 positions, 6 are used"), "{error}");
    }
}
