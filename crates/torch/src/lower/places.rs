//! Elements at places that expressions give: looked up, written, added.

use std::collections::BTreeSet;

use opledger_dims::{Poly, Symbol};
use opledger_ir::ops::{ScatterKind, Source};
use opledger_ir::{Axis, IndexExpr, Op, Var};

use crate::importer::{Importer, Lowered, Meaning};
use crate::tensor::{Dim, DimPart, Placed, names};
use crate::whole::{Whole, WholeKind};

/// Where in a dimension of a tensor an element stands, among dimensions of others.
#[derive(Clone, Debug)]
pub(super) enum At {
    /// Where it stands in one of these.
    Along(usize),
    /// At a place that follows from where it stands in all of them.
    Place(IndexExpr),
}

/// The same with 0 for positions along dimensions of one element.
fn settled(at: &[At], sizes: &[Poly]) -> Vec<At> {
    let one = Poly::one();
    let position = |dim: usize| match sizes.get(dim) {
        Some(size) if *size == one => IndexExpr::from(0),
        Some(_) | None => IndexExpr::Position(dim),
    };
    let each = at.iter().map(|at| match at {
        At::Along(dim) => At::Along(*dim),
        At::Place(expr) => At::Place(expr.at(&position)),
    });
    each.collect()
}

/// Records the whole numbers of a place, whose axes are called as those of `dims`.
fn recorded(
    own: &mut Importer<'_>,
    expr: &IndexExpr,
    sizes: &[Poly],
    dims: &[Dim],
) -> Lowered<Var> {
    let mut movement = own.movement();
    let mut found = movement.whole(sizes, expr, false)?;
    let axis = |dim: &Dim| dim.first().and_then(DimPart::axis).map(|axis| axis.name.clone());
    let used = (0..sizes.len()).filter(|dim| expr.uses(*dim));
    let renames: Vec<(Symbol, Symbol)> =
        used.filter_map(|dim| Some((axis(&found.dims[dim])?, axis(&dims[dim])?))).collect();
    movement.renamed(&mut found, &renames)?;
    Ok(found.var)
}

/// The elements of `x` at places over dimensions of these sizes.
pub(super) fn picked(
    own: &mut Importer<'_>,
    x: &Placed,
    sizes: &[Poly],
    at: &[At],
) -> Lowered<Placed> {
    let (mut x, at) = (x.clone(), settled(at, sizes));
    // Where there is one element, it is the same everywhere, whatever the place.
    let several: Vec<bool> =
        x.dims.iter().map(|dim| dim.iter().any(|part| part.axis().is_some())).collect();
    let is_used = |dim: usize| {
        let mut looked_up = at.iter().zip(&several).filter(|(_, several)| **several);
        looked_up.any(|(at, _)| matches!(at, At::Place(expr) if expr.uses(dim)))
    };
    let mut movement = own.movement();
    let mut looked_up: Vec<(Symbol, &IndexExpr)> = Vec::new();
    for (dim, at) in at.iter().enumerate() {
        match at {
            At::Along(result) if !is_used(*result) || x.dims[dim].is_empty() => {}
            At::Along(_) => drop(movement.axis(&mut x, dim)?),
            At::Place(_) if !several[dim] => x.dims[dim].clear(),
            At::Place(_) => drop(movement.axis(&mut x, dim)?),
        }
    }
    for (dim, at) in at.iter().enumerate() {
        if let (At::Place(expr), Some(axis)) = (at, x.dims[dim].first().and_then(DimPart::axis)) {
            looked_up.push((axis.name.clone(), expr));
        }
    }
    let mut taken: BTreeSet<Symbol> = names(movement.graph.shape(x.var)).into_iter().collect();
    let mut dims = vec![Dim::new(); sizes.len()];
    for (dim, at) in at.iter().enumerate() {
        if let At::Along(result) = at {
            dims[*result] = x.dims[dim].clone();
        }
    }
    for (dim, wanted) in sizes.iter().enumerate() {
        if !dims[dim].is_empty() || *wanted == Poly::one() {
            continue;
        }
        dims[dim] = match is_used(dim) {
            false => vec![DimPart::Repeat(wanted.clone())],
            true => {
                let name = movement.name(wanted, &taken);
                taken.insert(name.clone());
                vec![DimPart::Axis(Axis::new(name, wanted.clone()))]
            }
        };
    }
    if looked_up.is_empty() {
        return Ok(Placed { var: x.var, dims });
    }
    let mut along = Vec::new();
    for (name, expr) in looked_up {
        along.push((name, recorded(own, expr, sizes, &dims)?));
    }
    let axes: Vec<Axis> = dims.iter().flatten().filter_map(DimPart::axis).cloned().collect();
    let var = own.graph.gather_nd(x.var, axes, &along)?;
    Ok(Placed { var, dims })
}

/// `x` with each element of `v` written or added where it stands, by the dimensions of `v`.
pub(super) fn put(
    own: &mut Importer<'_>,
    kind: ScatterKind,
    x: &Placed,
    v: &Placed,
    at: &[At],
) -> Lowered<Placed> {
    let sizes = v.sizes();
    let at = settled(at, &sizes);
    let mut movement = own.movement();
    let (x, mut v) = (movement.dense(x)?, movement.dense(v)?);
    let axis = |tensor: &Placed, dim: usize| -> Vec<Symbol> {
        tensor.dims[dim].iter().filter_map(DimPart::axis).map(|axis| axis.name.clone()).collect()
    };
    let mut taken: BTreeSet<Symbol> = names(movement.graph.shape(x.var)).into_iter().collect();
    let mut renames = Vec::new();
    for (dim, size) in sizes.iter().enumerate() {
        let along = at.iter().position(|at| matches!(at, At::Along(own) if *own == dim));
        let name = match along.map(|own| axis(&x, own)) {
            Some(names) => names.into_iter().next(),
            None => Some(movement.name(size, &taken)),
        };
        if let (Some(from), Some(to)) = (axis(&v, dim).into_iter().next(), name) {
            taken.insert(to.clone());
            renames.push((from, to));
        }
    }
    movement.renamed(&mut v, &renames)?;
    let mut along = Vec::new();
    for (dim, at) in at.iter().enumerate() {
        if let (At::Place(expr), Some(name)) = (at, axis(&x, dim).into_iter().next()) {
            along.push((name, recorded(own, expr, &sizes, &v.dims)?));
        }
    }
    let var = own.graph.scatter(kind, x.var, v.var, &along)?;
    let mut result = Placed { var, ..x };
    own.movement().dropped(&mut result)?;
    Ok(result)
}

/// The same for values of either kind: whole numbers where the result is of whole numbers.
pub(super) fn put_into(
    own: &mut Importer<'_>,
    kind: ScatterKind,
    x: Meaning,
    v: Meaning,
    at: &[At],
    of: WholeKind,
) -> Lowered<Meaning> {
    if let (Meaning::Whole(x), Meaning::Whole(v)) = (&x, &v)
        && of != WholeKind::Real
    {
        let truth = of == WholeKind::Truth;
        let mut movement = own.movement();
        let whole = movement.whole(&x.sizes, &x.expr, truth)?;
        let values = movement.whole(&v.sizes, &v.expr, truth)?;
        let written = put(own, kind, &whole, &values, at)?;
        return own.computed(written.var, written.dims, of);
    }
    let (x, v) = (own.real(x)?, own.real(v)?);
    put(own, kind, &x, &v, at).map(Meaning::Tensor)
}

/// Where elements stand when a dimension is looked up at a place and all others run along; those that
/// are not all there go by their positions.
pub(super) fn only(dim: usize, place: IndexExpr, x: &[Poly], sizes: &[Poly]) -> Vec<At> {
    let each = (0..x.len()).map(|own| match own == dim {
        true => At::Place(place.clone()),
        false if x[own] == sizes[own] => At::Along(own),
        false => At::Place(IndexExpr::Position(own)),
    });
    each.collect()
}

/// A place that is counted from the end where it is below 0.
pub(super) fn from_either_end(own: &Importer<'_>, place: &IndexExpr, length: &Poly) -> IndexExpr {
    let from_end = place.plus(&IndexExpr::size(length.clone()));
    match place.as_number() {
        Some(number) if number < 0 => from_end,
        _ if is_never_negative(own, place) => place.clone(),
        _ => place.below(&0.into()).choose(&from_end, place),
    }
}

/// Whether a number is seen to be 0 or more wherever it is.
fn is_never_negative(own: &Importer<'_>, expr: &IndexExpr) -> bool {
    let both = |of: &[IndexExpr; 2]| of.iter().all(|of| is_never_negative(own, of));
    let (constant, terms) = expr.parts();
    let of_term = |term: &IndexExpr| match term {
        IndexExpr::Position(_)
        | IndexExpr::IsZero(_)
        | IndexExpr::IsPositive(_)
        | IndexExpr::And(_)
        | IndexExpr::Or(_) => true,
        IndexExpr::Lookup { operand, .. } => own.whole_var(*operand).is_some_and(|var| {
            let op = &own.graph.node(var).op;
            let below =
                |source: &Source| matches!(source, Source::Ids { .. } | Source::Visible { .. });
            matches!(op, Op::ArgMax(_) | Op::TopK(_) | Op::Compare(_))
                || matches!(op, Op::Source(source) if below(source))
                || super::sorted::is_permutation(own, *operand)
        }),
        IndexExpr::Product(of) | IndexExpr::FloorDiv(of) => both(of),
        IndexExpr::Mod(of) => is_never_negative(own, &of[1]),
        IndexExpr::Choose(of) => of[1..].iter().all(|of| is_never_negative(own, of)),
        IndexExpr::Sum { .. } => false,
    };
    let of_terms = |(term, factor): &(IndexExpr, Poly)| factor.is_never_negative() && of_term(term);
    constant.is_never_negative() && terms.iter().all(of_terms)
}

/// The larger of an expression and 0, and the smaller of that and the last place of a length.
pub(super) fn within(expr: &IndexExpr, length: &Poly) -> IndexExpr {
    let above = expr.is_positive().choose(expr, &0.into());
    let last = IndexExpr::size(length - &Poly::one());
    above.below(&last).choose(&above, &last)
}

/// The absolute value.
pub(super) fn absolute(expr: &IndexExpr) -> IndexExpr {
    expr.is_positive().choose(expr, &IndexExpr::from(0).minus(expr))
}

/// Elements of a value of either kind at places over dimensions of these sizes.
pub(super) fn taken(
    own: &mut Importer<'_>,
    value: Meaning,
    sizes: &[Poly],
    at: &[At],
) -> Lowered<Meaning> {
    let place = |dim: usize| match &at[dim] {
        At::Along(result) => IndexExpr::Position(*result),
        At::Place(expr) => expr.clone(),
    };
    match value {
        Meaning::Whole(whole) => Ok(Meaning::Whole(whole.moved(sizes.to_vec(), place))),
        Meaning::Choice { when, then, otherwise } => {
            let when: Whole = when.moved(sizes.to_vec(), place);
            Ok(Meaning::Choice { when, then, otherwise })
        }
        value => {
            let x = own.real(value)?;
            picked(own, &x, sizes, at).map(Meaning::Tensor)
        }
    }
}

/// A value repeated to these sizes, a number too.
pub(super) fn spread(value: Meaning, sizes: &[Poly]) -> Lowered<Meaning> {
    let sizes = sizes.to_vec();
    match value {
        Meaning::Size(size) => {
            let expr = IndexExpr::size(size);
            Ok(Meaning::Whole(Whole { sizes, expr, kind: WholeKind::Whole }))
        }
        Meaning::Number(number) => Ok(super::create::numbers(sizes, number, WholeKind::Real)),
        value => super::movement::expand(value, &sizes),
    }
}
