//! Operations that no layer records against PyTorch: the cases that `golden/operations.py` wrote,
//! executed by the oracle in double precision and by the kernels.

use opledger_dims::Binding;
use opledger_interp::{Fast, Feeds, Oracle};
use opledger_ir::ops::{ArithmeticKind, Convolution, Pointwise, Pool, PoolKind};
use opledger_ir::{Axis, Graph, Var};
use opledger_tensor::Tensor;
use serde_json::Value;

fn sizes(of: &Value) -> Vec<usize> {
    of.as_array().unwrap().iter().map(|size| size.as_u64().unwrap() as usize).collect()
}

fn numbers(of: &Value) -> Vec<f64> {
    of["data"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

/// Axes of these sizes, named by a prefix and their places.
fn axes(prefix: &str, sizes: &[usize]) -> Vec<Axis> {
    let name = |at: usize| if at == 0 { "b".to_owned() } else { format!("{prefix}{at}") };
    sizes.iter().enumerate().map(|(at, size)| Axis::new(name(at).as_str(), *size)).collect()
}

fn both_sides(of: &Value) -> Vec<(usize, usize)> {
    sizes(of).into_iter().map(|padding| (padding, padding)).collect()
}

/// The function of a name, with the constants of its case.
fn function(name: &str, case: &Value) -> Option<Pointwise> {
    use Pointwise::*;
    let constant = || case["constant"].as_f64().unwrap();
    Some(match name {
        "neg" => Neg,
        "abs" => Abs,
        "exp" => Exp,
        "exp2" => Exp2,
        "expm1" => Expm1,
        "log" => Log,
        "log2" => Log2,
        "log10" => Log10,
        "log1p" => Log1p,
        "sqrt" => Sqrt,
        "rsqrt" => Rsqrt,
        "reciprocal" => Reciprocal,
        "sin" => Sin,
        "cos" => Cos,
        "tan" => Tan,
        "erf" => Erf,
        "power" => Power(constant()),
        "clamp" => Clamp { min: case["min"].as_f64(), max: case["max"].as_f64() },
        "shift" => Shift(constant()),
        "leaky_relu" => LeakyRelu(constant()),
        "elu" => Elu(constant()),
        "celu" => Celu(constant()),
        "selu" => Selu,
        "hard_sigmoid" => HardSigmoid,
        "hard_swish" => HardSwish,
        "mish" => Mish,
        "log_sigmoid" => LogSigmoid,
        "softsign" => Softsign,
        "floor" => Floor,
        "ceil" => Ceil,
        "round" => Round,
        "sign" => Sign,
        _ => return None,
    })
}

/// Records the operation of a case.
fn record(g: &mut Graph, case: &Value, operands: &[Var], expected: &[usize]) -> Var {
    let name = case["op"].as_str().unwrap();
    if let Some(function) = function(name, case) {
        return g.pointwise(operands[0], function).unwrap();
    }
    let arithmetic = |g: &mut Graph, kind| g.arithmetic("", kind, operands[0], operands[1]);
    let attributes = || {
        let steps = [sizes(&case["strides"]), sizes(&case["dilations"])];
        (steps, both_sides(&case["padding"]))
    };
    let pool = |g: &mut Graph, kind| {
        let ([strides, dilations], padding) = attributes();
        let leading = expected.len() - strides.len();
        let mut result = axes("x", &expected[..leading]);
        result.extend(axes("r", expected).split_off(leading));
        let pool = Pool::new(kind, result, &sizes(&case["window"]), &strides, &padding);
        let partial = case["partial"].as_bool().unwrap();
        g.pool(operands[0], Pool { dilations, partial, ..pool })
    };
    let recorded = match name {
        "sub" => arithmetic(g, ArithmeticKind::Sub),
        "max" => arithmetic(g, ArithmeticKind::Max),
        "min" => arithmetic(g, ArithmeticKind::Min),
        "pow" => arithmetic(g, ArithmeticKind::Pow),
        "convolution" => {
            let ([strides, dilations], padding) = attributes();
            let groups = case["groups"].as_u64().unwrap() as usize;
            let result = axes("r", expected);
            let op = Convolution::new(result, &strides, &padding, &dilations, groups);
            g.convolution("", operands[0], operands[1], op)
        }
        "max_pool" => pool(g, PoolKind::Max),
        "mean_pool" if case["counted"] == true => pool(g, PoolKind::MeanWithPadding),
        "mean_pool" => pool(g, PoolKind::Mean),
        other => panic!("no operation {other}"),
    };
    recorded.unwrap()
}

#[test]
fn operations_are_those_of_torch() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("golden/operations.json")).unwrap();
    assert!(cases.len() > 60, "{} cases", cases.len());
    for case in &cases {
        let mut attributes = case.clone();
        for tensor in ["operands", "expected"] {
            attributes.as_object_mut().unwrap().remove(tensor);
        }
        let (mut g, mut feeds) = (Graph::new(), Feeds::seeded(0));
        let mut operands = Vec::new();
        for (at, operand) in case["operands"].as_array().unwrap().iter().enumerate() {
            let (shape, name) = (sizes(&operand["shape"]), format!("operand {at}"));
            // The second operand of arithmetic has the last axes of the first.
            let named = match (at, case["op"] == "convolution") {
                (0, _) => axes("x", &shape),
                (_, true) => vec!["o", "i", "k", "l", "m"]
                    .into_iter()
                    .zip(&shape)
                    .map(|(name, size)| Axis::new(name, *size))
                    .collect(),
                (_, false) => vec![Axis::new("x1", shape[0])],
            };
            operands.push(g.input(&name, named).unwrap());
            let data = numbers(operand).into_iter().map(|x| x as f32).collect();
            feeds = feeds.with(&name, Tensor::new(&shape, data).unwrap());
        }
        let expected =
            Tensor::new(&sizes(&case["expected"]["shape"]), numbers(&case["expected"])).unwrap();
        let y = record(&mut g, case, &operands, expected.shape());
        g.output("y", y);
        let none = Binding::new();
        let oracle = Oracle::<f64>::new().run(&g, &none, &feeds).unwrap().output_f64("y").unwrap();
        let fast = Fast::new().unwrap().run(&g, &none, &feeds).unwrap().output("y").unwrap();
        assert_eq!(fast.shape(), expected.shape(), "{attributes}");
        for ((found, single), expected) in oracle.data().iter().zip(&fast).zip(expected.data()) {
            let size = 1.0 + expected.abs();
            assert!(
                (found - expected).abs() <= 1e-12 * size,
                "{attributes}: {found}, not {expected}"
            );
            let single = f64::from(*single);
            assert!(
                (single - expected).abs() <= 2e-5 * size,
                "{attributes}: {single}, not {expected}"
            );
        }
    }
}
