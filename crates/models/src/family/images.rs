//! Images in a text: what encodes them gives rows, which take the places of tokens of an id of their own, in
//! their order, as `masked_scatter` of PyTorch puts them.

use opledger_dims::Poly;
use opledger_ir::ops::{IndexMap, Rearrange, ScatterKind};
use opledger_ir::{Axis, Graph, GraphError, IndexExpr, Role, Var};

/// Rows of words `[b, n, c]` of which those of a token are rows of images `[rows, c]`, in their order. A text with
/// more such tokens than rows repeats the last row, which the library refuses.
pub(super) fn placed(
    g: &mut Graph,
    ids: Var,
    words: Var,
    (rows, token): (Var, u64),
) -> Result<Var, GraphError> {
    let shape = g.shape(rows);
    let count = shape.axes.first().map_or_else(Poly::zero, |axis| axis.size.clone());
    let (items, tokens) = (Poly::from("b"), Poly::from("n"));
    let n = IndexExpr::size(tokens.clone());
    let own = |at: Vec<IndexExpr>| {
        let id = IndexExpr::Lookup { operand: 0, at };
        id.equals(&IndexExpr::size(token))
    };
    let [item, position] = [0, 1].map(IndexExpr::Position);
    let axes = || ["b", "n"].map(Axis::from).to_vec();
    let value = own(vec![item.clone(), position.clone()]);
    let is_image = g.record("is_image", IndexMap { axes: axes(), value, truth: true }, &[ids])?;
    // The same of all texts one after another, and how many there are up to each.
    let at = IndexExpr::Position(0);
    let value = own(vec![at.floor_div(&n), at.modulo(&n)]);
    let line = Axis::new("line", items * tokens);
    let op = IndexMap { axes: vec![line], value, truth: true };
    let in_line = g.record("in_line", op, &[ids])?;
    let so_far = g.cumulative(in_line, "line")?;
    let at = vec![item.times(&n).plus(&position)];
    let row = IndexExpr::Lookup { operand: 0, at }.minus(&1.into());
    let row = row.is_positive().choose(&row, &0.into());
    let last = IndexExpr::size(count - Poly::one());
    let row = row.below(&last).choose(&row, &last);
    let row = g.record("row", IndexMap { axes: axes(), value: row, truth: false }, &[so_far])?;
    let axes = || [Axis::from("b"), "n".into(), Axis::new("c", "c")];
    let images = g.gather_nd(rows, axes(), &[("rows", row)])?;
    let all = g.select(axes(), is_image, images, words)?;
    Ok(g.mark(all, Role::Placed))
}

/// In which text and where in it the rows of images `[l, rows, c]` have their tokens of an id, in their order:
/// `[rows]` each.
pub(super) fn places(
    g: &mut Graph,
    ids: Var,
    (rows, token): (Var, u64),
) -> Result<[Var; 2], GraphError> {
    let shape = g.shape(rows);
    let rows = shape.axes.get(1).map_or_else(Poly::zero, |axis| axis.size.clone());
    let n = IndexExpr::size("n");
    let at = IndexExpr::Position(0);
    let id = IndexExpr::Lookup { operand: 0, at: vec![at.floor_div(&n), at.modulo(&n)] };
    // The tokens of images first, each in its order.
    let value = id.equals(&IndexExpr::size(token)).is_zero();
    let line = vec![Axis::new("line", Poly::from("b") * Poly::from("n"))];
    let op = IndexMap { axes: line, value, truth: false };
    let others = g.record("others", op, &[ids])?;
    let [_, first] = g.sort(others)?;
    let slice = Rearrange::Slice { axis: "line".into(), start: Poly::zero(), len: rows.clone() };
    let first = g.rearrange(first, slice)?;
    let own = IndexExpr::Lookup { operand: 0, at: vec![IndexExpr::Position(0)] };
    let mut place = |name: &str, value| {
        let axes = vec![Axis::new("rows", &rows)];
        g.record(name, IndexMap { axes, value, truth: false }, &[first])
    };
    Ok([place("items", own.floor_div(&n))?, place("tokens", own.modulo(&n))?])
}

/// Rows of words `[b, n, c]` to which rows `[rows, c]` are added at places.
pub(super) fn added(
    g: &mut Graph,
    x: Var,
    rows: Var,
    [items, tokens]: [Var; 2],
) -> Result<Var, GraphError> {
    let sum = g.scatter(ScatterKind::Add, x, rows, &[("b", items), ("n", tokens)])?;
    Ok(g.mark(sum, Role::Placed))
}

/// Rows `[images, n, c]` as `[rows, c]`.
pub(super) fn in_line(g: &mut Graph, x: Var, images: &str) -> Result<Var, GraphError> {
    let axes = vec![images.into(), "n".into()];
    g.rearrange(x, Rearrange::Merge { axes, into: "rows".into() })
}
