//! Products of matrices as PyTorch makes them of `matmul`, `einsum` and `tensordot`: by sizes, strides and
//! what is trained.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use opledger_conventions::ProductPart;
use opledger_dims::Poly;

use super::{Seen, Sizes, first, last};
use crate::importer::{Lowered, Obstacle};
use crate::schema::Argument;

impl Seen<'_, '_, '_> {
    /// A batched product of matrices. What is no matrix is a product of vectors, which PyTorch has other
    /// operators for (`aten/src/ATen/native/LinearAlgebra.cpp`, `_matmul_impl`).
    pub(super) fn product(
        &mut self,
        name: &'static str,
        operands: [&str; 2],
    ) -> Lowered<(Cow<'static, str>, Sizes)> {
        let [left, right] = [self.tensor(operands[0])?, self.tensor(operands[1])?];
        let out: Vec<Poly> = self.call.sizes(self.own, 0)?;
        Ok(match (&left[..], &right[..]) {
            ([k], [_, n]) => (name.into(), matrices(Poly::one(), [&Poly::one(), n, k])),
            (_, [_]) | ([_], _) => {
                // What tools make of it that ask for matrices.
                let all = &left.iter().product::<Poly>() * &last(&right);
                let elements: Poly = out.iter().product();
                let of_matrices = match self.folds(operands, [&left, &right])? {
                    true => Poly::zero(),
                    false => &elements * &first(if left.len() == 1 { &left } else { &right }),
                };
                let sizes = [("elements", elements), ("left", all), ("products", of_matrices)];
                ("matmul_vector".into(), sizes.into())
            }
            ([.., m, k], [.., n]) => {
                (name.into(), matrices(out.iter().rev().skip(2).product(), [m, n, k]))
            }
            _ => (name.into(), Vec::new()),
        })
    }

    /// Whether a product by a vector is one of a single matrix and it: where the vector is trained, or the
    /// matrices lie one after the other (`aten/src/ATen/native/LinearAlgebra.cpp`, `should_fold`).
    fn folds(&mut self, operands: [&str; 2], [left, right]: [&[Poly]; 2]) -> Lowered<bool> {
        let vector_first = left.len() == 1;
        let (matrices, vector) = if vector_first { (1, 0) } else { (0, 1) };
        let mut dims = [left, right][matrices].to_vec();
        if dims.len() < 3 {
            return Ok(true);
        }
        let name = |at: usize| {
            let input = self.call.node.inputs.iter().find(|input| input.name == operands[at]);
            input.and_then(|input| input.arg.tensors().first().copied())
        };
        let (Some(matrices), Some(vector)) = (name(matrices), name(vector)) else {
            return Ok(true);
        };
        if self.trained.contains(vector) {
            return Ok(true);
        }
        let mut strides = self.own.strides_of(matrices)?;
        let rank = dims.len();
        if vector_first {
            dims.swap(rank - 1, rank - 2);
            strides.swap(rank - 1, rank - 2);
        }
        let rows = dims.iter().zip(&strides).take(rank - 1);
        let rows: Vec<_> = rows.filter(|(size, _)| **size != Poly::one()).collect();
        Ok(rows.windows(2).all(|near| *near[0].1 == near[1].1 * near[1].0))
    }

    /// A product by an equation, operand by operand from the first: letters that nothing later has are
    /// contracted by a batched product of matrices, unless they are of size 1; where none is, the operands
    /// are multiplied (`aten/src/ATen/native/Linear.cpp`, `einsum`, `sumproduct_pair`; without the package
    /// opt_einsum, which would choose another order of three operands or more).
    pub(super) fn einsum(&mut self) -> Lowered<(Cow<'static, str>, Sizes)> {
        let equation = self.call.text("equation").unwrap_or_default().replace(' ', "");
        let operands = self.call.node.inputs.iter().find_map(|input| match &input.arg {
            Argument::Tensors(names) => Some(names.clone()),
            _ => None,
        });
        let operands = operands.unwrap_or_default();
        let (given, result) = match equation.split_once("->") {
            Some((given, result)) => (given, result.to_owned()),
            None => (&*equation, implied(&equation)),
        };
        let odd = |problem: &str| Obstacle::Bad(format!("`{equation}` {problem}"));
        let mut terms: VecDeque<Letters> = VecDeque::new();
        let mut dotted = String::new();
        for (term, name) in given.split(',').zip(&operands) {
            let dims = self.own.sizes_of(name)?;
            // Dimensions under dots, counted from the last, are digits.
            let under = dims.len().checked_sub(term.replace("...", "").chars().count());
            let under = under.ok_or_else(|| odd("has more letters than an operand dimensions"))?;
            let digits: String =
                (0..under as u32).rev().filter_map(|at| char::from_digit(at, 36)).collect();
            let letters = term.replacen("...", &digits, 1);
            if letters.chars().count() != dims.len() {
                return Err(odd("has fewer letters than an operand dimensions"));
            }
            if digits.len() > dotted.len() {
                dotted = digits;
            }
            terms.push_back(letters.chars().zip(dims).collect());
        }
        let result = result.replacen("...", &dotted, 1);
        let read_as_one = read_as_one(&terms, &result);
        let mut parts = Vec::new();
        while let (Some(left), Some(right)) = (terms.pop_front(), terms.pop_front()) {
            let is_later = |c: char| {
                terms.iter().filter_map(|term| term.get(&c)).any(|size| *size != Poly::one())
            };
            let is_kept = |c: char| result.contains(c) || is_later(c);
            let (product, part) = pair(&left, &right, is_kept);
            parts.extend(part);
            terms.push_front(product);
        }
        self.parts = parts;
        let elements = self.call.sizes(self.own, 0)?.iter().product();
        let mut sizes = with_parts(elements);
        sizes.extend(read_as_one);
        sizes.push(("of_matrices", u32::from(is_of_matrices(&equation)).into()));
        Ok(("einsum".into(), sizes))
    }

    /// A product over pairs of dimensions, as one of matrices; one that leaves none is a sum of products
    /// (`aten/src/ATen/native/Linear.cpp`, `tensordot`).
    pub(super) fn by_dims(&mut self, name: &'static str) -> Lowered<(Cow<'static, str>, Sizes)> {
        let [left, right] = [self.tensor("self")?, self.tensor("other")?];
        let [of_left, of_right] = [("dims_self", left.len()), ("dims_other", right.len())].map(
            |(name, rank)| -> Lowered<Vec<usize>> {
                // `inner` names none.
                let dims = self.call.ints(name).unwrap_or_else(|| vec![-1]).into_iter();
                dims.map(|dim| crate::call::place(dim, rank)).collect()
            },
        );
        let (of_left, of_right) = (of_left?, of_right?);
        // What is of size 1 on one side is summed on the other beforehand.
        let one = Poly::one();
        let summed = of_left.iter().zip(&of_right).map(|(a, b)| (&left[*a], &right[*b]));
        let summed = summed.filter(|(a, b)| **a != one && **b != one);
        let contracted: Poly = summed.map(|(size, _)| size).product();
        let elements: Poly = self.call.sizes(self.own, 0)?.iter().product();
        if elements != one {
            self.parts
                .push(ProductPart { size: elements.clone(), products: &elements * &contracted });
        }
        Ok((name.into(), with_parts(elements)))
    }
}

impl Seen<'_, '_, '_> {
    /// A product of several matrices, two by two.
    pub(super) fn chained(&mut self, name: &'static str) -> Lowered<(Cow<'static, str>, Sizes)> {
        let operands = self.call.node.inputs.iter().find_map(|input| match &input.arg {
            Argument::Tensors(names) => Some(names.clone()),
            _ => None,
        });
        let mut sizes: Vec<[Poly; 2]> = Vec::new();
        for (at, operand) in operands.unwrap_or_default().iter().enumerate() {
            sizes.push(match (&self.own.sizes_of(operand)?[..], at) {
                ([rows, columns], _) => [rows.clone(), columns.clone()],
                ([terms], 0) => [Poly::one(), terms.clone()],
                ([terms], _) => [terms.clone(), Poly::one()],
                _ => return Err(Obstacle::Unknown),
            });
        }
        let mut parts = Vec::new();
        let mut multiply = |[rows, terms]: [Poly; 2], [_, columns]: [Poly; 2]| {
            parts.push(always(&(&rows * &terms) * &columns));
            Ok([rows, columns])
        };
        let order = crate::lower::chained::ProductOrder::of(&sizes)?;
        order.fold(0, sizes.len(), &|at| sizes[at].clone(), &mut multiply)?;
        self.parts = parts;
        let elements = self.call.sizes(self.own, 0)?.iter().product();
        Ok((name.into(), with_parts(elements)))
    }

    /// A power of a matrix, as products of squares.
    pub(super) fn power(&mut self) -> Lowered<(Cow<'static, str>, Sizes)> {
        let matrix = self.tensor("self")?;
        let power = u64::try_from(self.call.int("n", 1)).map_err(|_| Obstacle::Unknown)?;
        let products = power.checked_ilog2().map_or(0, |squares| squares + power.count_ones() - 1);
        let elements: Poly = matrix.iter().product();
        let each = &elements * &last(&matrix);
        self.parts.extend((0..products).map(|_| always(each.clone())));
        Ok(("linalg_matrix_power".into(), with_parts(elements)))
    }
}

/// A product of matrices that is one whatever its sizes.
fn always(products: Poly) -> ProductPart {
    ProductPart { size: 2.into(), products }
}

/// The dimensions of an operand of an equation, by letters.
type Letters = BTreeMap<char, Poly>;

/// The dimensions of the product of two operands of an equation, and what is multiplied in matrices, if
/// something is contracted.
fn pair(
    left: &Letters,
    right: &Letters,
    is_kept: impl Fn(char) -> bool,
) -> (Letters, Option<ProductPart>) {
    let one = Poly::one();
    let (mut product, mut contracted, mut all) = (Letters::new(), Poly::one(), Poly::one());
    let letters: BTreeSet<char> = left.keys().chain(right.keys()).copied().collect();
    for letter in letters {
        let [of_left, of_right] = [left, right].map(|own| own.get(&letter).unwrap_or(&one));
        let size = if *of_left == one { of_right } else { of_left };
        if is_kept(letter) {
            all = &all * size;
            product.insert(letter, size.clone());
        } else if *of_left != one && *of_right != one {
            all = &all * size;
            contracted = &contracted * size;
        }
    }
    let part = (contracted != one).then_some(ProductPart { size: contracted, products: all });
    (product, part)
}

/// What numpy's `einsum_path` takes an equation of one or two operands for: loops over all letters, in which
/// something is summed or nothing is. Of more operands it looks for an order.
fn read_as_one(terms: &VecDeque<Letters>, result: &str) -> Sizes {
    if terms.len() > 2 {
        return Vec::new();
    }
    let all: Letters = terms.iter().flatten().map(|(c, size)| (*c, size.clone())).collect();
    let sums = all.keys().any(|letter| !result.contains(*letter));
    vec![("loops", all.values().product()), ("sums", u32::from(sums).into())]
}

/// Whether an equation is, in whatever letters, one of the two that fvcore has a formula for
/// (`fvcore/nn/jit_handles.py`, `einsum_flop_jit`).
fn is_of_matrices(equation: &str) -> bool {
    let mut letters: Vec<char> = Vec::new();
    let plain = |c: char| {
        if !c.is_ascii_alphabetic() {
            return c;
        }
        let at = letters.iter().position(|own| *own == c).unwrap_or_else(|| {
            letters.push(c);
            letters.len() - 1
        });
        char::from(b'a' + u8::try_from(at).unwrap_or(25).min(25))
    };
    let plain: String = equation.chars().map(plain).collect();
    matches!(plain.as_str(), "abc,abd->acd" | "abc,adc->adb")
}

/// The letters of an equation that occur once, in the order of the alphabet.
fn implied(equation: &str) -> String {
    let letters: BTreeSet<char> = equation.chars().filter(char::is_ascii_alphabetic).collect();
    let dots = if equation.contains("...") { "..." } else { "" };
    let once = letters.into_iter().filter(|c| equation.matches(*c).count() == 1);
    dots.chars().chain(once).collect()
}

/// The sizes of what is multiplied in matrices by its parts, if it has any.
fn with_parts(elements: Poly) -> Sizes {
    vec![("elements", elements), ("products", Poly::zero())]
}

fn matrices(batch: Poly, [m, n, k]: [&Poly; 3]) -> Sizes {
    vec![("batch", batch), ("m", m.clone()), ("n", n.clone()), ("k", k.clone())]
}
