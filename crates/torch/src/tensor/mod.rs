//! Tensors of a program as values of a graph: where each dimension of PyTorch's lies among the named
//! axes. Transposing, adding dimensions of one, repeating and merging move no element here, as in
//! PyTorch, until an operation needs an order.

mod aligned;
mod wholes;

use std::collections::BTreeSet;

use opledger_dims::{Poly, Symbol};
use opledger_ir::ops::Rearrange;
use opledger_ir::{Axis, Graph, GraphError, Shape, Var};

/// A part of a dimension.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum DimPart {
    /// An axis of the value.
    Axis(Axis),
    /// The value again and again.
    Repeat(Poly),
}

impl DimPart {
    pub(crate) fn size(&self) -> &Poly {
        match self {
            DimPart::Axis(axis) => &axis.size,
            DimPart::Repeat(size) => size,
        }
    }

    pub(crate) fn axis(&self) -> Option<&Axis> {
        match self {
            DimPart::Axis(axis) => Some(axis),
            DimPart::Repeat(_) => None,
        }
    }
}

/// A dimension: its parts, the outermost first; none of a dimension of one.
pub(crate) type Dim = Vec<DimPart>;

/// The size of a dimension.
pub(crate) fn size(dim: &[DimPart]) -> Poly {
    dim.iter().map(DimPart::size).product()
}

/// A value of the graph, and its dimensions in PyTorch's order. Every axis of the value stands in
/// one of them.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) var: Var,
    pub(crate) dims: Vec<Dim>,
}

impl Placed {
    pub(crate) fn sizes(&self) -> Vec<Poly> {
        self.dims.iter().map(|dim| size(dim)).collect()
    }

    /// The same repeated to these sizes, with dimensions of one in front.
    pub(crate) fn expanded(mut self, sizes: &[Poly]) -> Placed {
        let missing = sizes.len() - self.dims.len().min(sizes.len());
        self.dims.splice(0..0, vec![Dim::new(); missing]);
        for (dim, own) in self.dims.iter_mut().zip(sizes) {
            if size(dim) == Poly::one() && *own != Poly::one() {
                dim.retain(|piece| piece.axis().is_some());
                dim.insert(0, DimPart::Repeat(own.clone()));
            }
        }
        self
    }

    /// The axes that stand in its dimensions, in their order.
    pub(crate) fn axes(&self) -> Vec<Axis> {
        self.dims.iter().flatten().filter_map(DimPart::axis).cloned().collect()
    }

    fn rename(&mut self, from: &Symbol, to: &Symbol) {
        for piece in self.dims.iter_mut().flatten() {
            if let DimPart::Axis(axis) = piece
                && axis.name == *from
            {
                axis.name = to.clone();
            }
        }
    }
}

/// Why a tensor cannot be arranged as is needed.
#[derive(Debug)]
pub(crate) enum Misfit {
    Graph(GraphError),
    Sizes(String),
}

impl From<GraphError> for Misfit {
    fn from(error: GraphError) -> Self {
        Misfit::Graph(error)
    }
}

pub(crate) type Arranged<T> = Result<T, Misfit>;

/// Records movements of elements.
pub(crate) struct Movement<'g> {
    pub(crate) graph: &'g mut Graph,
    /// The sizes that have a name of their own, in the order they were met.
    pub(crate) sizes: &'g mut Vec<Poly>,
    /// The whole numbers that expressions look up in.
    pub(crate) wholes: &'g [Var],
}

impl Movement<'_> {
    /// A name for an axis of a size, none of those taken: the size's own symbol, or `d` with a
    /// number, and another number where that is taken.
    pub(crate) fn name(&mut self, size: &Poly, taken: &BTreeSet<Symbol>) -> Symbol {
        let stem = match size.as_symbol() {
            Some(symbol) => symbol.as_str().to_owned(),
            None => {
                let at = self.sizes.iter().position(|own| own == size).unwrap_or_else(|| {
                    self.sizes.push(size.clone());
                    self.sizes.len() - 1
                });
                format!("d{at}")
            }
        };
        let mut name = Symbol::new(&stem);
        let mut number = 2;
        while taken.contains(&name) {
            name = Symbol::from(format!("{stem}_{number}"));
            number += 1;
        }
        name
    }

    /// Axes of these sizes: the last of several equal ones has the plain name.
    pub(crate) fn axes(&mut self, sizes: &[Poly]) -> Vec<Axis> {
        let mut taken = BTreeSet::new();
        let mut axes: Vec<Axis> = Vec::new();
        for size in sizes.iter().rev() {
            let name = self.name(size, &taken);
            taken.insert(name.clone());
            axes.push(Axis::new(name, size.clone()));
        }
        axes.reverse();
        axes
    }

    /// The dimensions of a value whose axes are PyTorch's; dimensions of one are dropped.
    pub(crate) fn tensor(&mut self, var: Var) -> Arranged<Placed> {
        let mut tensor = self.tensor_of_all(var);
        self.dropped(&mut tensor)?;
        Ok(tensor)
    }

    /// The dimensions of a value, those of one element as axes too.
    pub(crate) fn tensor_of_all(&self, var: Var) -> Placed {
        let axes = &self.graph.shape(var).axes;
        Placed { var, dims: axes.iter().map(|axis| vec![DimPart::Axis(axis.clone())]).collect() }
    }

    /// Takes all axes of one out of the value, but its last.
    pub(crate) fn dropped(&mut self, tensor: &mut Placed) -> Arranged<()> {
        for dim in 0..tensor.dims.len() {
            if size(&tensor.dims[dim]) == Poly::one() && tensor.axes().len() > 1 {
                self.drop_axis(tensor, dim)?;
            }
        }
        Ok(())
    }

    /// Takes an axis of one out of the value.
    pub(crate) fn drop_axis(&mut self, tensor: &mut Placed, dim: usize) -> Arranged<()> {
        let Some(DimPart::Axis(axis)) = tensor.dims[dim].first().cloned() else { return Ok(()) };
        let axes = &self.graph.shape(tensor.var).axes;
        let at = axes.iter().position(|own| own.name == axis.name);
        let at =
            at.ok_or_else(|| Misfit::Sizes(format!("no axis `{}` in the value", axis.name)))?;
        let pair = if at + 1 < axes.len() { [at, at + 1] } else { [at - 1, at] };
        let kept = axes[if at + 1 < axes.len() { at + 1 } else { at - 1 }].name.clone();
        let merged = pair.map(|at| axes[at].name.clone()).to_vec();
        let how = Rearrange::Merge { axes: merged, into: kept };
        tensor.var = self.graph.rearrange(tensor.var, how)?;
        tensor.dims[dim].clear();
        Ok(())
    }

    /// Takes what stands in a dimension of one element out of the value.
    fn scalar(&mut self, tensor: &mut Placed, dim: usize) -> Arranged<()> {
        tensor.dims[dim].retain(|piece| piece.axis().is_some());
        while let Some(DimPart::Axis(axis)) = tensor.dims[dim].first().cloned() {
            if tensor.axes().len() > 1 {
                let mut rest = tensor.dims[dim].split_off(1);
                self.drop_axis(tensor, dim)?;
                tensor.dims[dim].append(&mut rest);
            } else {
                // A sum of one term.
                let sum = opledger_ir::ops::Reduce::Sum(axis.name);
                tensor.var = self.graph.reduce(tensor.var, sum)?;
                tensor.dims[dim].clear();
            }
        }
        Ok(())
    }

    /// Splits a part of a dimension into sizes whose product it is.
    fn split(&mut self, tensor: &mut Placed, dim: usize, at: usize, into: &[Poly]) -> Arranged<()> {
        let pieces: Vec<DimPart> = match &tensor.dims[dim][at] {
            DimPart::Repeat(_) => into.iter().cloned().map(DimPart::Repeat).collect(),
            DimPart::Axis(axis) => {
                let axis = axis.clone();
                let mut taken: BTreeSet<Symbol> =
                    tensor.axes().into_iter().map(|axis| axis.name).collect();
                taken.remove(&axis.name);
                let mut axes = Vec::new();
                for size in into.iter().rev() {
                    let name = self.name(size, &taken);
                    taken.insert(name.clone());
                    axes.push(Axis::new(name, size.clone()));
                }
                axes.reverse();
                let how = Rearrange::Split { axis: axis.name, into: axes.clone() };
                tensor.var = self.graph.rearrange(tensor.var, how)?;
                axes.into_iter().map(DimPart::Axis).collect()
            }
        };
        tensor.dims[dim].splice(at..=at, pieces);
        Ok(())
    }

    /// The same elements in dimensions of other sizes.
    pub(crate) fn reshape(&mut self, tensor: &Placed, sizes: &[Poly]) -> Arranged<Placed> {
        let one = Poly::one();
        let mut of = tensor.clone();
        // All parts in one dimension, taken one after another from `next` on.
        of.dims = vec![of.dims.into_iter().flatten().collect()];
        let pieces: Vec<Poly> = of.dims[0].iter().map(|part| part.size().clone()).collect();
        let known = [products(sizes), products(&pieces)].concat();
        let (mut next, mut ends) = (0, Vec::new());
        for size in sizes {
            let mut left = size.clone();
            while left != one {
                let Some(piece) = of.dims[0].get(next) else {
                    return Err(misfit(tensor, sizes));
                };
                let own = piece.size().clone();
                if own == one {
                    next += 1;
                } else if let Some(rest) = quotient(&left, &own, &known) {
                    (left, next) = (rest, next + 1);
                } else if let Some(rest) = quotient(&own, &left, &known) {
                    self.split(&mut of, 0, next, &[left, rest])?;
                    (left, next) = (one.clone(), next + 1);
                } else {
                    self.join_until(&mut of, next, &left)
                        .ok_or_else(|| misfit(tensor, sizes))??;
                }
            }
            ends.push(next);
        }
        // What is left has one element along it.
        let pieces = of.dims.remove(0);
        if pieces[next..].iter().map(DimPart::size).product::<Poly>() != one {
            return Err(misfit(tensor, sizes));
        }
        match ends.last_mut() {
            Some(last) => *last = pieces.len(),
            // No dimension is left for them.
            None => {
                of.dims = vec![pieces];
                self.scalar(&mut of, 0)?;
                return Ok(Placed { var: of.var, dims: Vec::new() });
            }
        }
        let mut start = 0;
        let dims = ends.into_iter().map(|end| {
            let own = pieces[start..end].to_vec();
            start = end;
            own
        });
        Ok(Placed { var: of.var, dims: dims.collect() })
    }

    /// Makes one axis of parts from `at` on, as few as have a size that `size` divides; none where no
    /// number of parts has.
    fn join_until(&mut self, of: &mut Placed, at: usize, size: &Poly) -> Option<Arranged<()>> {
        let parts = of.dims[0].len() - at;
        let product = |count: usize| -> Poly {
            of.dims[0][at..at + count].iter().map(DimPart::size).product()
        };
        let count = (2..=parts).find(|count| product(*count).divided_by(size).is_some())?;
        let joined: Dim = of.dims[0][at..at + count].to_vec();
        Some(self.join(of, &joined).map(|axis| {
            of.dims[0].splice(at..at + count, [DimPart::Axis(axis)]);
        }))
    }

    /// Makes one axis of parts of dimensions, the value being put in such an order; the caller puts it
    /// in their place.
    fn join(&mut self, of: &mut Placed, parts: &[DimPart]) -> Arranged<Axis> {
        let mut names = Vec::new();
        for piece in parts {
            names.push(match piece {
                DimPart::Axis(axis) => axis.name.clone(),
                DimPart::Repeat(size) => self.expand(of, size)?.name,
            });
        }
        if let [only] = &names[..] {
            let axis = self.graph.shape(of.var).axes.iter().find(|axis| axis.name == *only);
            return axis.cloned().ok_or_else(|| Misfit::Sizes("a lost axis".to_owned()));
        }
        let own: Vec<Symbol> =
            self.graph.shape(of.var).axes.iter().map(|axis| axis.name.clone()).collect();
        if !own.windows(names.len()).any(|window| window == names) {
            let first = own.iter().position(|name| names.contains(name)).unwrap_or(0);
            let (before, after) = own.split_at(first);
            let others = |all: &[Symbol]| -> Vec<Symbol> {
                all.iter().filter(|name| !names.contains(name)).cloned().collect()
            };
            let order = [others(before), names.clone(), others(after)].concat();
            of.var = self.graph.rearrange(of.var, Rearrange::Permute { order })?;
        }
        let size: Poly = parts.iter().map(DimPart::size).product();
        let taken = own.iter().filter(|name| !names.contains(name)).cloned().collect();
        let into = self.name(&size, &taken);
        let how = Rearrange::Merge { axes: names, into: into.clone() };
        of.var = self.graph.rearrange(of.var, how)?;
        Ok(Axis::new(into, size))
    }

    /// Gives the value a first axis along which it is repeated.
    fn expand(&mut self, of: &mut Placed, size: &Poly) -> Arranged<Axis> {
        let taken = self.graph.shape(of.var).axes.iter().map(|axis| axis.name.clone()).collect();
        let axis = Axis::new(self.name(size, &taken), size.clone());
        of.var = self.graph.rearrange(of.var, Rearrange::Expand { axis: axis.clone() })?;
        Ok(axis)
    }

    /// The tensor with a dimension that is one axis, if it is not of one element.
    pub(crate) fn single(&mut self, tensor: &mut Placed, dim: usize) -> Arranged<Option<Axis>> {
        let parts = tensor.dims[dim].clone();
        match &parts[..] {
            [] => Ok(None),
            [DimPart::Axis(axis)] => Ok(Some(axis.clone())),
            parts => {
                let axis = self.join(tensor, parts)?;
                tensor.dims[dim] = vec![DimPart::Axis(axis.clone())];
                Ok(Some(axis))
            }
        }
    }

    /// The tensor with an axis for a dimension, of one element too.
    pub(crate) fn axis(&mut self, tensor: &mut Placed, dim: usize) -> Arranged<Axis> {
        if let Some(axis) = self.single(tensor, dim)? {
            return Ok(axis);
        }
        let axis = self.expand(tensor, &Poly::one())?;
        tensor.dims[dim] = vec![DimPart::Axis(axis.clone())];
        Ok(axis)
    }

    /// The tensor with every repeated part made real.
    pub(crate) fn real(&mut self, tensor: &mut Placed) -> Arranged<()> {
        for dim in 0..tensor.dims.len() {
            for at in 0..tensor.dims[dim].len() {
                if let DimPart::Repeat(size) = &tensor.dims[dim][at] {
                    let size = size.clone();
                    let axis = self.expand(tensor, &size)?;
                    tensor.dims[dim][at] = DimPart::Axis(axis);
                }
            }
        }
        Ok(())
    }

    /// The value with an axis for each dimension, in their order.
    pub(crate) fn dense(&mut self, tensor: &Placed) -> Arranged<Placed> {
        let mut tensor = tensor.clone();
        let mut order = Vec::new();
        for dim in 0..tensor.dims.len() {
            order.push(self.axis(&mut tensor, dim)?.name);
        }
        self.order(&mut tensor, order)?;
        Ok(tensor)
    }

    /// Puts the axes of the value in an order, all of them named.
    pub(crate) fn order(&mut self, tensor: &mut Placed, order: Vec<Symbol>) -> Arranged<()> {
        let own = self.graph.shape(tensor.var).axes.iter().map(|axis| &axis.name);
        if !own.eq(order.iter()) {
            tensor.var = self.graph.rearrange(tensor.var, Rearrange::Permute { order })?;
        }
        Ok(())
    }

    /// Puts some axes last, in this order; the others stay as they are.
    pub(crate) fn last(&mut self, tensor: &mut Placed, last: &[Symbol]) -> Arranged<()> {
        let axes = &self.graph.shape(tensor.var).axes;
        let mut order: Vec<Symbol> =
            axes.iter().map(|axis| axis.name.clone()).filter(|name| !last.contains(name)).collect();
        order.extend_from_slice(last);
        self.order(tensor, order)
    }

    /// Renames axes of the value, all at once.
    pub(crate) fn renamed(
        &mut self,
        tensor: &mut Placed,
        names: &[(Symbol, Symbol)],
    ) -> Arranged<()> {
        let mut left: Vec<(Symbol, Symbol)> =
            names.iter().filter(|(from, to)| from != to).cloned().collect();
        while !left.is_empty() {
            let taken: BTreeSet<Symbol> =
                self.graph.shape(tensor.var).axes.iter().map(|axis| axis.name.clone()).collect();
            let free = left.iter().position(|(_, to)| !taken.contains(to));
            let (from, to) = match free {
                Some(at) => left.remove(at),
                // Names go round in a circle, or one that stays is in the way: a free one first.
                None => {
                    let (_, wanted) = left[0].clone();
                    let mut aside = Symbol::from(format!("{wanted}'"));
                    while taken.contains(&aside) || left.iter().any(|(_, to)| *to == aside) {
                        aside = Symbol::from(format!("{aside}'"));
                    }
                    if let Some((from, _)) = left.iter_mut().find(|(from, _)| *from == wanted) {
                        *from = aside.clone();
                    }
                    (wanted, aside)
                }
            };
            let how = Rearrange::Rename { from: from.clone(), to: to.clone() };
            tensor.var = self.graph.rearrange(tensor.var, how)?;
            tensor.rename(&from, &to);
        }
        Ok(())
    }
}

/// Neighbouring sizes, multiplied: whole numbers all of them.
fn products(sizes: &[Poly]) -> Vec<Poly> {
    let from = |start: usize| {
        let rest = sizes[start..].iter();
        rest.scan(Poly::one(), |all, size| {
            *all = &*all * size;
            Some(all.clone())
        })
    };
    (0..sizes.len()).flat_map(from).collect()
}

/// A size divided by another; a quotient with fractions only where it is one of those known to be whole.
fn quotient(size: &Poly, by: &Poly, known: &[Poly]) -> Option<Poly> {
    let even = || known.iter().find(|known| *known * by == *size).cloned();
    size.divided_by(by).or_else(even)
}

/// The names of a shape's axes.
pub(crate) fn names(shape: &Shape) -> Vec<Symbol> {
    shape.axes.iter().map(|axis| axis.name.clone()).collect()
}

fn misfit(tensor: &Placed, sizes: &[Poly]) -> Misfit {
    let list = |sizes: &[Poly]| sizes.iter().map(Poly::to_string).collect::<Vec<_>>().join(", ");
    Misfit::Sizes(format!(
        "elements of [{}] cannot be arranged as [{}] for all sizes",
        list(&tensor.sizes()),
        list(sizes)
    ))
}
