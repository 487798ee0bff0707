//! Complex numbers, as rotary embeddings are written with: a pair of real tensors, the real parts and the
//! imaginary ones.

use opledger_dims::Poly;
use opledger_ir::ops::{ArithmeticKind, Pointwise};

use super::beside::side_by_side;
use super::elementwise::combined;
use super::movement::{cut, expand, reshape, sizes_of};
use crate::call::Call;
use crate::importer::{Importer, Lowered, Meaning, Obstacle, Pair};
use crate::schema::Argument;
use crate::tensor::Placed;

/// What is done to the parts of a complex tensor as to a real one.
const BY_PART: &[&str] = &[
    "_to_copy",
    "_unsafe_view",
    "alias",
    "cat",
    "chunk",
    "clone",
    "concat",
    "contiguous",
    "detach",
    "expand",
    "expand_as",
    "flatten",
    "flip",
    "index_select",
    "lift_fresh_copy",
    "mT",
    "movedim",
    "narrow",
    "neg",
    "permute",
    "repeat",
    "reshape",
    "reshape_as",
    "select",
    "slice",
    "split",
    "split_with_sizes",
    "squeeze",
    "stack",
    "sum",
    "swapaxes",
    "swapdims",
    "t",
    "tile",
    "transpose",
    "unbind",
    "unflatten",
    "unsqueeze",
    "view",
    "view_as",
];

/// Records an operation that reads or makes complex numbers.
pub(crate) fn lower(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Vec<Meaning>> {
    let base = call.operation.strip_prefix("aten.").and_then(|rest| rest.split('.').next());
    let base = base.ok_or(Obstacle::Unknown)?;
    let real = |value: Placed| Ok(vec![Meaning::Tensor(value)]);
    let pair = match base {
        "view_as_complex" => {
            let value = call.value(own, "self")?;
            parts(own, value)?
        }
        "complex" => [call.value(own, "real")?, call.value(own, "imag")?],
        "polar" => polar(own, call)?,
        "view_as_real" => {
            let pair = complex(own, call, "self")?;
            return real(as_real(own, pair)?);
        }
        "real" => return Ok(vec![complex(own, call, "self")?[0].clone()]),
        "imag" => return Ok(vec![complex(own, call, "self")?[1].clone()]),
        "abs" => {
            let pair = complex(own, call, "self")?;
            return real(length(own, pair)?);
        }
        "angle" => {
            let [re, im] = complex(own, call, "self")?;
            return Ok(vec![super::defined::direction(own, call, im, re)?]);
        }
        "resolve_conj" => complex(own, call, "self")?,
        "conj" | "_conj" | "conj_physical" => {
            let [re, im] = complex(own, call, "self")?;
            let mut im = own.real(im)?;
            im.var = own.graph.pointwise(im.var, Pointwise::Neg)?;
            [re, Meaning::Tensor(im)]
        }
        "mul" | "multiply" => product(own, call)?,
        "add" | "sub" if call.float("alpha").unwrap_or(1.0) == 1.0 => {
            let kind = if base == "add" { ArithmeticKind::Add } else { ArithmeticKind::Sub };
            let [[a, b], [c, d]] = [complex(own, call, "self")?, complex(own, call, "other")?];
            [sum(own, kind, a, c)?, sum(own, kind, b, d)?]
        }
        // Sizes, and what is asserted of them.
        _ if base.starts_with("sym_") || base.starts_with("_assert") => {
            return of_part(own, call, 0);
        }
        _ if BY_PART.contains(&base) => return by_part(own, call),
        _ => return Err(Obstacle::Unknown),
    };
    own.complex.insert(call.result(0)?.to_owned(), pair);
    Ok(vec![Meaning::None])
}

/// The real and the imaginary parts, which lie beside each other in a last dimension of two.
pub(crate) fn parts(own: &mut Importer<'_>, value: Meaning) -> Lowered<Pair> {
    let sizes = sizes_of(&value)?;
    let Some((_, outer)) = sizes.split_last() else {
        return Err(Obstacle::Bad("a number alone has no two parts".to_owned()));
    };
    let mut part = |at: i64| {
        let part = cut(own, value.clone(), outer.len(), &Poly::from(at), &Poly::one())?;
        reshape(own, part, outer)
    };
    Ok([part(0)?, part(1)?])
}

/// Both parts beside each other in a last dimension.
pub(crate) fn as_real(own: &mut Importer<'_>, pair: Pair) -> Lowered<Placed> {
    let sizes = sizes_of(&pair[0])?;
    let last = [&sizes[..], &[Poly::one()]].concat();
    let [re, im] = pair.map(|part| {
        let part = reshape(own, part, &last)?;
        own.real(part)
    });
    side_by_side(own, &re?, &im?, sizes.len())
}

/// An argument that is complex.
fn complex(own: &Importer<'_>, call: &Call<'_>, name: &str) -> Lowered<Pair> {
    let pair = match call.argument(name) {
        Some(Argument::Tensor(tensor)) => own.complex.get(tensor).cloned(),
        _ => None,
    };
    pair.ok_or(Obstacle::Unknown)
}

fn sum(own: &mut Importer<'_>, kind: ArithmeticKind, a: Meaning, b: Meaning) -> Lowered<Meaning> {
    combined(own, kind, a, b).map(Meaning::Tensor)
}

/// The product of two numbers, one of which may be real.
fn product(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Pair> {
    let times = |own: &mut Importer<'_>, a: &Meaning, b: &Meaning| {
        sum(own, ArithmeticKind::Mul, a.clone(), b.clone())
    };
    match [complex(own, call, "self"), complex(own, call, "other")] {
        [Ok([a, b]), Ok([c, d])] => {
            let [ac, bd] = [times(own, &a, &c)?, times(own, &b, &d)?];
            let [ad, bc] = [times(own, &a, &d)?, times(own, &b, &c)?];
            Ok([sum(own, ArithmeticKind::Sub, ac, bd)?, sum(own, ArithmeticKind::Add, ad, bc)?])
        }
        [Ok([a, b]), Err(_)] => {
            let by = call.value(own, "other")?;
            Ok([times(own, &a, &by)?, times(own, &b, &by)?])
        }
        [Err(_), Ok([a, b])] => {
            let by = call.value(own, "self")?;
            Ok([times(own, &a, &by)?, times(own, &b, &by)?])
        }
        [Err(_), Err(_)] => Err(Obstacle::Unknown),
    }
}

/// Numbers of given lengths and angles.
fn polar(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Pair> {
    let (length, angle) = (call.value(own, "abs")?, call.tensor(own, "angle")?);
    let sizes = call.sizes(own, 0)?;
    let angle = expand(Meaning::Tensor(angle), &sizes)?.placed()?;
    let mut part = |function| {
        let mut part = angle.clone();
        own.movement().real(&mut part)?;
        part.var = own.graph.pointwise(part.var, function)?;
        sum(own, ArithmeticKind::Mul, Meaning::Tensor(part), length.clone())
    };
    Ok([part(Pointwise::Cos)?, part(Pointwise::Sin)?])
}

/// How far numbers are from 0.
fn length(own: &mut Importer<'_>, pair: Pair) -> Lowered<Placed> {
    let [re, im] = pair.map(|part| {
        let mut part = own.real(part)?;
        own.movement().real(&mut part)?;
        part.var = own.graph.pointwise(part.var, Pointwise::Power(2.0))?;
        Ok::<_, Obstacle>(Meaning::Tensor(part))
    });
    let mut all = combined(own, ArithmeticKind::Add, re?, im?)?;
    all.var = own.graph.pointwise(all.var, Pointwise::Sqrt)?;
    Ok(all)
}

/// Does to each part what is done to the whole.
fn by_part(own: &mut Importer<'_>, call: &Call<'_>) -> Lowered<Vec<Meaning>> {
    let (re, im) = (of_part(own, call, 0)?, of_part(own, call, 1)?);
    let count = re.len();
    for (at, pair) in re.into_iter().zip(im).enumerate() {
        own.complex.insert(call.result(at)?.to_owned(), pair.into());
    }
    Ok(vec![Meaning::None; count])
}

/// The results of a call with the parts of one kind in the place of what is complex.
fn of_part(own: &mut Importer<'_>, call: &Call<'_>, at: usize) -> Lowered<Vec<Meaning>> {
    let read = call.node.inputs.iter().flat_map(|input| input.arg.tensors());
    let read: Vec<&str> = read.filter(|name| own.complex.contains_key(*name)).collect();
    for name in &read {
        let part = own.complex.get(*name).map(|pair| pair[at].clone());
        own.values.insert((*name).to_owned(), part.unwrap_or(Meaning::None));
    }
    let values = super::lower(own, call);
    for name in &read {
        own.values.insert((*name).to_owned(), Meaning::None);
    }
    let flat = values?.into_iter().flat_map(|value| match value {
        Meaning::List(values) => values,
        value => vec![value],
    });
    Ok(flat.collect())
}
