//! A graph executed by both interpreters: counts against the formulas, values against the definitions.

use opledger_dims::{Binding, Class, Counted, Scalar};
use opledger_ir::ops::Reduce;
use opledger_ir::{Call, Graph, Op, OpError, Operation, Reads, Value};

use crate::theorem::{Formulas, Mismatch, Theorem};
use crate::{Fast, Feeds, Interpreter, NodeCall, Operand, Oracle, Prepared, Quiet, Run, RunError};

/// A graph executed by both interpreters at one binding.
#[derive(Clone, Debug)]
pub struct Proof {
    /// All ledgers against the derived cost, and the values of the kernels against the definitions.
    pub theorem: Theorem,
    /// What the oracle did.
    pub oracle: Run<Counted<f32>>,
    /// What the kernels did, node by node.
    pub node_by_node: Run<f32>,
    /// What the kernels did, nodes together where they go together.
    pub fast: Run<f32>,
}

/// Executes a graph by the oracle and by the kernels, these node by node and as they are used, at
/// values of its free symbols. Holds all three against the derived cost, each value that the kernels
/// made node by node against the definition of its node, and both runs of the kernels against each
/// other: the bits of their results, and what they executed.
///
/// # Errors
/// When a run fails.
pub fn prove(graph: &Graph, sizes: &Binding, feeds: &Feeds) -> Result<Proof, RunError> {
    let [single, together] = [Fast::new()?.node_by_node(), Fast::new()?];
    prove_by(graph, sizes, feeds, Oracle::new(), single, together)
}

/// The same by other interpreters.
pub(crate) fn prove_by(
    graph: &Graph,
    sizes: &Binding,
    feeds: &Feeds,
    mut oracle: impl Interpreter<Scalar = Counted<f32>>,
    node_by_node: impl Interpreter<Scalar = f32>,
    mut fast: impl Interpreter<Scalar = f32>,
) -> Result<Proof, RunError> {
    let prepared = Prepared::new(graph, sizes, feeds)?;
    let oracle = prepared.run(&mut oracle, &mut Quiet)?;
    let mut checked = Checked { interpreter: node_by_node, wrong: Vec::new() };
    let node_by_node = prepared.run(&mut checked, &mut Quiet)?;
    let fast = prepared.run(&mut fast, &mut Quiet)?;
    let graph = prepared.graph();
    let formulas = Formulas::new(graph);
    let mut theorem = formulas.compare(&oracle.binding, &oracle.ledger, "the oracle")?;
    for (run, by) in [(&node_by_node, "the kernels node by node"), (&fast, "the kernels")] {
        theorem.mismatches.extend(formulas.compare(&run.binding, &run.ledger, by)?.mismatches);
    }
    let wrong = checked.wrong.into_iter();
    theorem.mismatches.extend(wrong.map(|wrong| wrong.mismatch(&oracle.binding)));
    // Definitions execute what they ask for, and kernels the same whatever runs together.
    let executed = |run: &Run<f32>, at: usize| run.ledger.row(at).counts().executed;
    for (at, row) in oracle.ledger.rows().iter().enumerate() {
        let counts = row.counts();
        let pairs = [
            (counts.useful, counts.executed, "the oracle"),
            (executed(&node_by_node, at), executed(&fast, at), "the kernels"),
        ];
        for (expected, found, interpreter) in pairs {
            let parts = found.parts().flat_map(|part| Class::ALL.map(|class| (part, class)));
            for (part, class) in parts {
                let (expected, found) = (expected.part(part)[class], found.part(part)[class]);
                if expected != found {
                    theorem.mismatches.push(Mismatch {
                        path: row.path().to_owned(),
                        op: row.op(),
                        what: format!("executed {class} of {}", part.name()),
                        binding: fast.binding.clone(),
                        derived: expected.to_string(),
                        interpreter,
                        measured: found.to_string(),
                    });
                }
            }
        }
    }
    for ((name, single), (_, together)) in node_by_node.outputs.iter().zip(&fast.outputs) {
        let Some(element) = first_difference(single, together) else { continue };
        let node = graph.outputs().iter().find(|(own, _)| own == name);
        let node = node.map(|(_, var)| graph.node(*var));
        theorem.mismatches.push(Mismatch {
            path: node.map_or(name, |node| &node.path).clone(),
            op: node.map_or("result", |node| node.op.name()),
            what: format!("bits of element {element}"),
            binding: fast.binding.clone(),
            derived: number(single, element).to_string(),
            interpreter: "the kernels",
            measured: number(together, element).to_string(),
        });
    }
    Ok(Proof { theorem, oracle, node_by_node, fast })
}

/// An interpreter of single nodes, each of whose results is held against the definition on the same
/// operands.
struct Checked<I> {
    interpreter: I,
    wrong: Vec<Wrong>,
}

/// What is not as the definition does it.
struct Wrong {
    path: String,
    op: &'static str,
    what: String,
    derived: String,
    found: String,
}

impl Wrong {
    fn mismatch(self, binding: &Binding) -> Mismatch {
        Mismatch {
            path: self.path,
            op: self.op,
            what: self.what,
            binding: binding.clone(),
            derived: self.derived,
            interpreter: "the kernels node by node",
            measured: self.found,
        }
    }
}

impl<I: Interpreter<Scalar = f32>> Interpreter for Checked<I> {
    type Scalar = f32;

    fn begin(&mut self, computed_bytes: u64) {
        self.interpreter.begin(computed_bytes);
    }

    fn peak(&self) -> Option<crate::Peak> {
        self.interpreter.peak()
    }

    fn adopt(&self, value: &Value<f32>) -> Value<f32> {
        self.interpreter.adopt(value)
    }

    fn reads_weights(&self) -> bool {
        self.interpreter.reads_weights()
    }

    fn apply(&mut self, group: &mut [NodeCall<'_, f32>]) -> Result<Vec<Value<f32>>, OpError> {
        let before: Vec<u64> = group.iter().map(|call| call.row.counts().bytes_read).collect();
        let results = self.interpreter.apply(group)?;
        if let ([call], [before]) = (group, &before[..]) {
            self.wrong.extend(first_wrong(call, &results)?);
            self.wrong.extend(wrong_bytes(call, call.row.counts().bytes_read - before)?);
        }
        Ok(results)
    }

    fn hold(&mut self, bytes: u64) {
        self.interpreter.hold(bytes);
    }

    fn retire(&mut self, value: Value<f32>) {
        self.interpreter.retire(value);
    }
}

/// How far a kernel may be off, in roundings of the largest element: what the definition in single
/// precision is off, several times over since sums are taken in another order, and these.
const SLACK: f64 = 8.0;
const ROUNDINGS: f64 = 64.0;

/// A rounding of the largest finite element.
fn rounding(value: &Value<f64>) -> f64 {
    let len = value.shape().iter().product::<usize>();
    let finite = (0..len).map(|at| number(value, at)).filter(|x| x.is_finite());
    f64::from(f32::EPSILON) * finite.fold(0.0, |a: f64, b| a.max(b.abs()))
}

/// Whether results are sums of the operands' numbers, or of their products.
fn adds_up(op: &Op) -> bool {
    matches!(op, Op::Reduce(Reduce::Sum(_) | Reduce::Mean(_)) | Op::Einsum(_))
}

fn itself(x: f64) -> f64 {
    x
}

/// The first element of the results that is further off than rounding explains.
fn first_wrong(call: &NodeCall<'_, f32>, results: &[Value<f32>]) -> Result<Option<Wrong>, OpError> {
    let (exact, _) = defined::<f64>(call, itself)?;
    let mut single = None;
    for (result, (found, exact)) in results.iter().zip(&exact).enumerate() {
        let len = exact.shape().iter().product::<usize>();
        let numbers = || (0..len).map(|at| number(exact, at));
        let allowed = ROUNDINGS * rounding(exact);
        let same_shape = found.shape() == exact.shape();
        let close = |(at, x)| off(number(found, at), x).is_some_and(|off| off <= allowed);
        if same_shape && numbers().enumerate().all(close) {
            continue;
        }
        let single = match &mut single {
            Some(single) => single,
            none => none.insert(defined::<f32>(call, itself)?.0),
        };
        // Where single precision overflows, so may the kernels, and there alone.
        let errors: Vec<f64> = single.get(result).map_or_else(Vec::new, |single| {
            let error = |(at, x)| off(number(single, at), x).unwrap_or(f64::INFINITY);
            numbers().enumerate().map(error).collect()
        });
        let finite = errors.iter().copied().filter(|error| error.is_finite());
        // Where terms cancel, the definition is off by a rounding of their magnitudes, or by chance less.
        let expected = match adds_up(&call.node.op) {
            true => rounding(&defined::<f64>(call, f64::abs)?.0[result]),
            false => 0.0,
        };
        let bound = allowed + SLACK * finite.fold(expected, f64::max);
        let wrong = numbers().enumerate().find(|(at, x)| {
            let found = number(found, *at);
            let overflows = errors.get(*at).is_some_and(|e| !e.is_finite()) && !found.is_finite();
            !same_shape || off(found, *x).is_none_or(|off| off > bound) && !overflows
        });
        if let Some((element, exact)) = wrong {
            return Ok(Some(Wrong {
                path: call.node.path.clone(),
                op: call.node.op.name(),
                what: format!("value of element {element}"),
                derived: exact.to_string(),
                found: number(found, element).to_string(),
            }));
        }
    }
    Ok(None)
}

/// The bytes read by experts, of which the formula only says the most that can be, where they are not
/// those of the experts that the definition meets for the same choices.
fn wrong_bytes(call: &NodeCall<'_, f32>, found: u64) -> Result<Option<Wrong>, OpError> {
    if !matches!(call.node.op, Op::Experts(_)) {
        return Ok(None);
    }
    let (_, derived) = defined::<f32>(call, itself)?;
    Ok((found != derived).then(|| Wrong {
        path: call.node.path.clone(),
        op: call.node.op.name(),
        what: "bytes read".to_owned(),
        derived: derived.to_string(),
        found: found.to_string(),
    }))
}

/// The results of a node by its definition, in another precision, of a function of its operands' numbers, and
/// the bytes that it reads.
fn defined<T: Scalar>(
    call: &NodeCall<'_, f32>,
    of: fn(f64) -> f64,
) -> Result<(Vec<Value<T>>, u64), OpError> {
    let convert = |value: &&Value<f32>| match value {
        Value::Real(t) => Value::Real(t.map(|x| T::from_f64(of(f64::from(*x))))),
        Value::Index(t) => Value::Index(t.clone()),
    };
    let operand = |(at, operand): (usize, &Operand<f32>)| match operand {
        Operand::Weight(weight) => Ok(convert(&&weight.unpack().into())),
        other => other.value().as_ref().map(convert).ok_or(OpError::Operand(at)),
    };
    let operands = call.operands.iter().enumerate().map(operand);
    let operands: Vec<Value<T>> = operands.collect::<Result<_, _>>()?;
    let inputs: Vec<&Value<T>> = operands.iter().collect();
    let reads = Reads::of(inputs.len());
    let NodeCall { node, path, shapes, output, binding, .. } = call;
    let call = Call { path, inputs: &inputs, shapes, output, binding, reads: &reads };
    let results = node.op.reference(&call, &mut |_| {})?;
    let elems: Vec<_> = shapes.iter().map(|shape| shape.elem).collect();
    Ok((results, reads.bytes(&elems)))
}

/// How far a number is from another; `None` if one is a number and the other is not.
fn off(found: f64, exact: f64) -> Option<f64> {
    let same = found == exact || found.is_nan() && exact.is_nan();
    let off = if same { 0.0 } else { (found - exact).abs() };
    (!off.is_nan()).then_some(off)
}

fn number<T: Scalar>(value: &Value<T>, at: usize) -> f64 {
    match value {
        Value::Real(t) => t.data().get(at).map_or(f64::NAN, |x| x.to_f64()),
        Value::Index(t) => t.data().get(at).map_or(f64::NAN, |x| *x as f64),
    }
}

/// The first element whose bits differ.
fn first_difference(a: &Value<f32>, b: &Value<f32>) -> Option<usize> {
    match (a, b) {
        (Value::Real(a), Value::Real(b)) => {
            a.data().iter().zip(b.data()).position(|(a, b)| a.to_bits() != b.to_bits())
        }
        (Value::Index(a), Value::Index(b)) => {
            a.data().iter().zip(b.data()).position(|(a, b)| a != b)
        }
        (Value::Real(_), Value::Index(_)) | (Value::Index(_), Value::Real(_)) => Some(0),
    }
}

#[cfg(test)]
mod tests {
    use super::off;

    #[test]
    fn what_is_no_number_is_far_from_every_number() {
        let (nan, infinite) = (f64::NAN, f64::INFINITY);
        assert_eq!(off(1.5, 1.0), Some(0.5));
        assert_eq!(off(infinite, infinite), Some(0.0));
        assert_eq!(off(infinite, -infinite), Some(infinite));
        assert_eq!(off(nan, nan), Some(0.0));
        assert_eq!(off(nan, 1.0), None);
        assert_eq!(off(1.0, nan), None);
    }
}
