//! Products of several matrices, in the order in which PyTorch multiplies them.

use opledger_dims::{Integer, Poly};
use opledger_ir::IndexExpr;

use super::product::matmul;
use crate::call::Call;
use crate::importer::{Importer, Lowered, Meaning, Obstacle};
use crate::tensor::{Dim, Placed};
use crate::whole::{Whole, WholeKind};

pub(super) fn lower(own: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Vec<Meaning>> {
    let product = match base {
        "chain_matmul" => chained(own, call, "matrices")?,
        "linalg_multi_dot" => chained(own, call, "tensors")?,
        "matrix_power" | "linalg_matrix_power" => power(own, call)?,
        _ => return Err(Obstacle::Unknown),
    };
    Ok(vec![product])
}

/// A product of matrices, the first and the last of which may be vectors.
fn chained(own: &mut Importer<'_>, call: &Call<'_>, name: &str) -> Lowered<Meaning> {
    let mut matrices = Vec::new();
    for value in call.value(own, name)?.list()? {
        matrices.push(own.real(value)?);
    }
    let ends = [matrices.first(), matrices.last()];
    let is_vector = ends.map(|end| end.is_some_and(|end| end.dims.len() == 1));
    if let (true, Some(first)) = (is_vector[0], matrices.first_mut()) {
        first.dims.insert(0, Dim::new());
    }
    if let (true, Some(last)) = (is_vector[1], matrices.last_mut()) {
        last.dims.push(Dim::new());
    }
    let sizes: Vec<[Poly; 2]> = matrices
        .iter()
        .map(|matrix| <[Poly; 2]>::try_from(matrix.sizes()).map_err(|_| Obstacle::Unknown))
        .collect::<Lowered<_>>()?;
    let mut multiply = |left: Placed, right: Placed| matmul(own, &left, &right);
    let order = ProductOrder::of(&sizes)?;
    let mut product = order.fold(0, matrices.len(), &|at| matrices[at].clone(), &mut multiply)?;
    if is_vector[1] {
        product.dims.pop();
    }
    if is_vector[0] {
        product.dims.remove(0);
    }
    Ok(Meaning::Tensor(product))
}

/// Where products of neighbouring matrices are cut in two.
pub(crate) struct ProductOrder {
    /// For each first matrix and each last one, the last of the left product.
    cuts: Vec<Vec<usize>>,
}

impl ProductOrder {
    /// The order of fewest multiplications, the first of several (`aten/src/ATen/native/LinearAlgebra.cpp`,
    /// `matrix_chain_order`; of three matrices `multi_dot_impl` multiplies the first two where it is all the same).
    pub(crate) fn of(sizes: &[[Poly; 2]]) -> Lowered<ProductOrder> {
        let number = |size: &Poly| {
            let open = "the order of its products follows from sizes, which have to be numbers";
            size.as_integer().ok_or_else(|| Obstacle::Bad(open.to_owned()))
        };
        let [first, ..] = sizes else { return Err(Obstacle::Unknown) };
        let mut bounds = vec![number(&first[0])?];
        for [_, columns] in sizes {
            bounds.push(number(columns)?);
        }
        let count = sizes.len();
        let mut cuts = vec![vec![0; count]; count];
        let mut least = vec![vec![Integer::default(); count]; count];
        for span in 1..count {
            for from in 0..count - span {
                let to = from + span;
                let cost = |cut: usize| {
                    let outer = &bounds[from] * &bounds[cut + 1] * &bounds[to + 1];
                    &least[from][cut] + &least[cut + 1][to] + outer
                };
                let all: Vec<Integer> = (from..to).map(cost).collect();
                // Of three, the first two unless the others are fewer: that is the last cut of equal ones.
                let at = match count {
                    3 if span == 2 => usize::from(all[0] >= all[1]),
                    _ => (0..all.len()).min_by_key(|at| all[*at].clone()).unwrap_or(0),
                };
                least[from][to] = all[at].clone();
                cuts[from][to] = from + at;
            }
        }
        Ok(ProductOrder { cuts })
    }

    /// What the matrices of a range come to.
    pub(crate) fn fold<T>(
        &self,
        from: usize,
        end: usize,
        matrix: &dyn Fn(usize) -> T,
        multiply: &mut dyn FnMut(T, T) -> Lowered<T>,
    ) -> Lowered<T> {
        if end <= from + 1 {
            return Ok(matrix(from));
        }
        let middle = self.cuts[from][end - 1] + 1;
        let left = self.fold(from, middle, matrix, multiply)?;
        let right = self.fold(middle, end, matrix, multiply)?;
        multiply(left, right)
    }
}

/// A matrix to a whole power: squares of squares, and the products of those that the power has bits of
/// (`aten/src/ATen/native/LinearAlgebra.cpp`, `linalg_matrix_power_impl`).
fn power(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Meaning> {
    let matrix = call.tensor(own, "self")?;
    let power = u64::try_from(call.int("n", 1)).map_err(|_| {
        Obstacle::Bad(
            "a negative power takes an inverse, whose operations follow from the data".to_owned(),
        )
    })?;
    if power == 0 {
        let sizes = call.sizes(own, 0)?;
        let rank = sizes.len();
        let expr = IndexExpr::Position(rank - 2).equals(&IndexExpr::Position(rank - 1));
        let when = Whole { sizes, expr, kind: WholeKind::Truth };
        return Ok(Meaning::Choice { when, then: 1.0, otherwise: 0.0 });
    }
    let (mut square, mut product, mut rest) = (matrix, None, power);
    loop {
        if rest & 1 == 1 {
            product = Some(match product {
                Some(product) => matmul(own, &product, &square)?,
                None => square.clone(),
            });
        }
        rest >>= 1;
        if rest == 0 {
            return product.map(Meaning::Tensor).ok_or(Obstacle::Unknown);
        }
        square = matmul(own, &square.clone(), &square)?;
    }
}
