//! The operation of the graph for each case of ONNX.

use opledger_dims::{Poly, Symbol};
use opledger_ir::ops::{
    Activation, ArithmeticKind, CompareKind, Convolution, ConvolutionTransposed, Factor, IndexMap,
    Norm, Pointwise, Pool, PoolKind, Rearrange, Reduce, ScatterKind,
};
use opledger_ir::{Axis, Graph, IndexExpr, Value, Var};

use super::Case;

/// A name for a dimension, the same for those that are broadcast: counted from the last.
pub(super) fn name(dim: usize, rank: usize) -> Symbol {
    Symbol::from(format!("d{}", rank - dim))
}

pub(super) fn named(sizes: &[usize]) -> Vec<Axis> {
    let axes = sizes.iter().enumerate();
    axes.map(|(dim, size)| Axis::new(name(dim, sizes.len()), *size)).collect()
}

/// The graph of a case, with its inputs as `0`, `1` and so on.
pub(super) struct Recorder<'c> {
    pub(super) case: &'c Case,
    pub(super) g: Graph,
}

impl Recorder<'_> {
    /// An input over axes of these names.
    fn input_as(&mut self, at: usize, axes: Vec<Axis>) -> Var {
        match self.case.input(at).unwrap() {
            Value::Real(_) => self.g.input(&at.to_string(), axes).unwrap(),
            Value::Index(_) => self.g.input_whole(&at.to_string(), axes).unwrap(),
        }
    }

    pub(super) fn input(&mut self, at: usize) -> Var {
        let axes = named(self.case.sizes(at));
        self.input_as(at, axes)
    }

    fn point(&mut self, function: Pointwise) -> Var {
        let x = self.input(0);
        self.g.pointwise(x, function).unwrap()
    }

    fn function(&mut self, function: Activation) -> Var {
        let x = self.input(0);
        self.g.activation(x, function).unwrap()
    }

    /// All operands one after the other.
    fn folded(&mut self, kind: ArithmeticKind) -> Var {
        let count = self.case.inputs.iter().flatten().count();
        let operands: Vec<Var> = (0..count).map(|at| self.input(at)).collect();
        let join = |a, b| self.g.arithmetic("", kind, a, b).unwrap();
        operands.into_iter().reduce(join).unwrap()
    }

    fn compare(&mut self, kind: CompareKind, turned: bool) -> Var {
        let axes = named(self.case.sizes(0));
        let (a, b) = (self.input(0), self.input(1));
        let (a, b) = if turned { (b, a) } else { (a, b) };
        let truths = self.g.compare(kind, axes, a, b).unwrap();
        self.g.to_real(truths).unwrap()
    }

    /// Some axes of a value last, in their order.
    fn last(&mut self, x: Var, last: &[Symbol]) -> Var {
        let axes = self.g.shape(x).axes.iter().map(|axis| axis.name.clone());
        let mut order: Vec<Symbol> = axes.filter(|name| !last.contains(name)).collect();
        order.extend_from_slice(last);
        self.g.rearrange(x, Rearrange::Permute { order }).unwrap()
    }

    /// Reduced over the dimensions that the second input or an attribute names, all of them if none.
    fn reduced(&mut self, x: Var, kind: fn(Symbol) -> Reduce) -> Var {
        let rank = self.case.rank();
        let given = self.case.whole(1).map(<[i64]>::to_vec);
        let given = given.or_else(|| self.case.ints("axes")).unwrap_or_default();
        if given.is_empty() && self.case.int("noop_with_empty_axes", 0) == 1 {
            return x;
        }
        let place = |dim: i64| if dim < 0 { (dim + rank as i64) as usize } else { dim as usize };
        let dims: Vec<usize> = match &given[..] {
            [] => (0..rank).collect(),
            given => given.iter().map(|dim| place(*dim)).collect(),
        };
        self.along(x, &dims, kind)
    }

    fn along(&mut self, x: Var, dims: &[usize], kind: fn(Symbol) -> Reduce) -> Var {
        let rank = self.case.rank();
        let names: Vec<Symbol> = dims.iter().map(|dim| name(*dim, rank)).collect();
        let mut x = self.last(x, &names);
        let into = Symbol::from("all".to_owned());
        if names.len() > 1 {
            let how = Rearrange::Merge { axes: names, into: into.clone() };
            x = self.g.rearrange(x, how).unwrap();
        } else {
            x = self.g.rename(x, names[0].clone(), into.clone()).unwrap();
        }
        self.g.reduce(x, kind(into)).unwrap()
    }

    /// Normalised over the last dimensions, then times a gain and plus a shift over them.
    fn normalised(&mut self, norm: Norm) -> Var {
        let (x, over) = (self.input(0), self.case.rank() - self.case.dim("axis", -1));
        let mut y = self.g.norm(x, norm.over(over), None, None).unwrap();
        for (at, kind) in [(1, ArithmeticKind::Mul), (2, ArithmeticKind::Add)] {
            if self.case.input(at).is_some() {
                let by = self.input(at);
                y = self.g.arithmetic("", kind, y, by).unwrap();
            }
        }
        y
    }

    /// A gain and a shift for each channel.
    fn per_channel(&mut self, mut y: Var) -> Var {
        let channels = vec![named(self.case.sizes(0)).swap_remove(1)];
        for (at, kind) in [(1, ArithmeticKind::Mul), (2, ArithmeticKind::Add)] {
            let by = self.input_as(at, channels.clone());
            y = self.g.arithmetic("", kind, y, by).unwrap();
        }
        y
    }

    /// Channels in groups, each normalised with all its positions.
    fn grouped(&mut self, groups: usize) -> Var {
        let (x, rank) = (self.input(0), self.case.rank());
        let channels = self.case.sizes(0)[1];
        let into = vec![Axis::new("group", groups), Axis::new("each", channels / groups)];
        let axis = name(1, rank);
        let apart = self.g.rearrange(x, Rearrange::Split { axis: axis.clone(), into }).unwrap();
        let norm = Norm::layer(self.case.float("epsilon", 1e-5)).over(rank - 1);
        let normalised = self.g.norm(apart, norm, None, None).unwrap();
        let axes = vec!["group".into(), "each".into()];
        let whole = self.g.rearrange(normalised, Rearrange::Merge { axes, into: axis }).unwrap();
        self.per_channel(whole)
    }

    /// `x − mean`, over the deviation, times a gain, plus a shift.
    fn batch_normalised(&mut self) -> Var {
        let channels = vec![named(self.case.sizes(0)).swap_remove(1)];
        let x = self.input(0);
        let [mean, variance] = [3, 4].map(|at| self.input_as(at, channels.clone()));
        let eps = self.case.float("epsilon", 1e-5);
        let above = self.g.pointwise(variance, Pointwise::Shift(eps)).unwrap();
        let deviation = self.g.pointwise(above, Pointwise::Sqrt).unwrap();
        let centred = self.g.arithmetic("", ArithmeticKind::Sub, x, mean).unwrap();
        let scaled = self.g.arithmetic("", ArithmeticKind::Div, centred, deviation).unwrap();
        self.per_channel(scaled)
    }

    fn softmax(&mut self) -> Var {
        let axis = name(self.case.dim("axis", -1), self.case.rank());
        let x = self.input(0);
        let turned = self.last(x, &[axis]);
        self.g.softmax(turned, None).unwrap()
    }

    fn log_softmax(&mut self) -> Var {
        let axis = name(self.case.dim("axis", -1), self.case.rank());
        let x = self.input(0);
        let largest = self.g.reduce(x, Reduce::Max(axis.clone())).unwrap();
        let below = self.g.arithmetic("", ArithmeticKind::Sub, x, largest).unwrap();
        let exponentials = self.g.pointwise(below, Pointwise::Exp).unwrap();
        let sum = self.g.reduce(exponentials, Reduce::Sum(axis)).unwrap();
        let log = self.g.pointwise(sum, Pointwise::Log).unwrap();
        self.g.arithmetic("", ArithmeticKind::Sub, below, log).unwrap()
    }

    fn convolution(&mut self) -> Var {
        let (along, result) = (self.case.rank() - 2, named(self.case.expected.shape()));
        let x = self.input(0);
        let weight = self.case.sizes(1).iter().enumerate();
        let weight = weight.map(|(at, size)| Axis::new(format!("w{at}").as_str(), *size)).collect();
        let weight = self.input_as(1, weight);
        let (strides, dilations) =
            (self.case.each("strides", along), self.case.each("dilations", along));
        let (pads, groups) = (self.case.pads(along), self.case.int("group", 1) as usize);
        let channels = result[1].clone();
        let y = if self.case.op == "Conv" {
            let op = Convolution::new(result, &strides, &pads, &dilations, groups);
            self.g.convolution("", x, weight, op).unwrap()
        } else {
            let op = ConvolutionTransposed::new(result, &strides, &pads, &dilations, groups);
            self.g.convolution_transposed("", x, weight, op).unwrap()
        };
        match self.case.input(2) {
            None => y,
            Some(_) => {
                let bias = self.input_as(2, vec![channels]);
                self.g.add("", y, bias).unwrap()
            }
        }
    }

    fn pool(&mut self) -> Var {
        let (along, result) = (self.case.rank() - 2, named(self.case.expected.shape()));
        let kind = match (self.case.op.as_str(), self.case.int("count_include_pad", 0)) {
            ("MaxPool", _) => PoolKind::Max,
            (_, 0) => PoolKind::Mean,
            _ => PoolKind::MeanWithPadding,
        };
        let window = self.case.each("kernel_shape", along);
        let (strides, pads) = (self.case.each("strides", along), self.case.pads(along));
        let x = self.input(0);
        let pool = Pool {
            dilations: self.case.each("dilations", along),
            partial: self.case.int("ceil_mode", 0) == 1,
            ..Pool::new(kind, result, &window, &strides, &pads)
        };
        self.g.pool(x, pool).unwrap()
    }

    fn matmul(&mut self) -> Var {
        let (rows, mut columns) = (self.case.rank(), self.case.sizes(1).to_vec());
        let vector = columns.len() == 1;
        let mut left = named(self.case.sizes(0));
        left[rows - 1].name = "k".into();
        left[rows - 2].name = "m".into();
        if vector {
            columns.push(1);
        }
        let rank = columns.len();
        let mut right = named(&columns);
        right[rank - 2].name = "k".into();
        right[rank - 1].name = "n".into();
        if vector {
            right.pop();
        }
        let lhs: Vec<Symbol> = left.iter().map(|axis| axis.name.clone()).collect();
        let rhs: Vec<Symbol> = right.iter().map(|axis| axis.name.clone()).collect();
        let mut out = lhs[..rows - 1].to_vec();
        out.extend(rhs.iter().filter(|name| **name == "n".into()).cloned());
        let (a, b) = (self.input_as(0, left), self.input_as(1, right));
        let op = opledger_ir::ops::Einsum { lhs, rhs, out, masked: None };
        self.g.record("", op, &[a, b]).unwrap()
    }

    /// `alpha·A·B + beta·C`.
    fn gemm(&mut self) -> Var {
        let axes = |sizes: &[usize], turned: bool, names: [&str; 2]| -> Vec<Axis> {
            let names = if turned { [names[1], names[0]] } else { names };
            names.iter().zip(sizes).map(|(name, size)| Axis::new(*name, *size)).collect()
        };
        let turned = ["transA", "transB"].map(|name| self.case.int(name, 0) == 1);
        let left = axes(self.case.sizes(0), turned[0], ["m", "k"]);
        let right = axes(self.case.sizes(1), turned[1], ["k", "n"]);
        let columns: Vec<Axis> =
            right.iter().filter(|axis| axis.name == "n".into()).cloned().collect();
        let rows: Vec<Axis> = left.iter().filter(|axis| axis.name == "m".into()).cloned().collect();
        let [lhs, rhs] =
            [&left, &right].map(|axes| axes.iter().map(|axis| axis.name.clone()).collect());
        let (a, b) = (self.input_as(0, left), self.input_as(1, right));
        let out = vec!["m".into(), "n".into()];
        let op = opledger_ir::ops::Einsum { lhs, rhs, out, masked: None };
        let mut y = self.g.record("", op, &[a, b]).unwrap();
        let by = |g: &mut Graph, x, factor: f64| match factor {
            1.0 => x,
            factor => g.scale(x, Factor::Number(factor)).unwrap(),
        };
        y = by(&mut self.g, y, self.case.float("alpha", 1.0));
        if let Some(bias) = self.case.input(2) {
            // Dimensions of one are repeated.
            let all = [rows, columns].concat();
            let sizes = bias.shape().to_vec();
            let first = 2 - sizes.len();
            let axes = sizes.iter().zip(&all[first..]).map(|(size, axis)| match *size {
                1 => Axis::new(format!("{}'", axis.name).as_str(), 1),
                _ => axis.clone(),
            });
            let mut bias = self.input_as(2, axes.collect());
            for axis in self.g.shape(bias).axes.clone() {
                if axis.size == Poly::one() {
                    bias = self.g.reduce(bias, Reduce::Sum(axis.name)).unwrap();
                }
            }
            let beta = self.case.float("beta", 1.0);
            let bias = by(&mut self.g, bias, beta);
            y = self.g.add("", y, bias).unwrap();
        }
        y
    }

    fn einsum(&mut self) -> Var {
        let equation = self.case.attributes["equation"].as_str().unwrap().replace(' ', "");
        // Letters that stand once are those of the result where none is given; here there are none.
        let (inputs, out) = equation.split_once("->").unwrap_or((&equation, ""));
        let letters =
            |text: &str| text.chars().map(|c| Symbol::from(c.to_string())).collect::<Vec<_>>();
        let operands: Vec<Vec<Symbol>> = inputs.split(',').map(letters).collect();
        let vars: Vec<Var> = (0..operands.len())
            .map(|at| {
                let axes = operands[at].iter().zip(self.case.sizes(at));
                let axes = axes.map(|(name, size)| Axis::new(name, *size)).collect();
                self.input_as(at, axes)
            })
            .collect();
        let out = letters(out);
        match (&operands[..], &vars[..]) {
            ([lhs, rhs], [a, b]) => {
                let (lhs, rhs) = (lhs.clone(), rhs.clone());
                let op = opledger_ir::ops::Einsum { lhs, rhs, out, masked: None };
                self.g.record("", op, &[*a, *b]).unwrap()
            }
            ([one], [x]) => {
                let gone = one.iter().filter(|letter| !out.contains(letter));
                let sum = |x, axis: &Symbol| self.g.reduce(x, Reduce::Sum(axis.clone())).unwrap();
                let x = gone.fold(*x, sum);
                self.g.rearrange(x, Rearrange::Permute { order: out }).unwrap()
            }
            _ => panic!("{equation}"),
        }
    }

    /// Places that are below 0 are counted from the end, which the test does before it feeds them.
    fn gather(&mut self) -> Var {
        let (rank, dim) = (self.case.rank(), self.case.dim("axis", 0));
        let ids = self.case.sizes(1).iter().enumerate();
        let ids: Vec<Axis> =
            ids.map(|(at, size)| Axis::new(format!("i{at}").as_str(), *size)).collect();
        let mut axes = named(self.case.sizes(0));
        axes.splice(dim..=dim, ids.clone());
        let (x, ids) = (self.input(0), self.input_as(1, ids));
        self.g.gather_nd(x, axes, &[(name(dim, rank), ids)]).unwrap()
    }

    fn elements(&mut self) -> Var {
        let (rank, dim) = (self.case.rank(), self.case.dim("axis", 0));
        // The dimension that is looked up has another name than that of the ids.
        let mut own = named(self.case.sizes(0));
        own[dim].name = "looked up".into();
        let mut of_ids = named(self.case.sizes(1));
        let smaller: Vec<usize> =
            (0..rank).filter(|at| *at != dim && of_ids[*at].size != own[*at].size).collect();
        for at in &smaller {
            own[*at].name = Symbol::from(format!("all {at}"));
        }
        let mut along = vec![(own[dim].name.clone(), self.input_as(1, of_ids.clone()))];
        for at in smaller {
            let axes = vec![of_ids[at].clone()];
            let value = IndexExpr::Position(0);
            let map = IndexMap { axes, value, truth: false };
            along.push((own[at].name.clone(), self.g.record("", map, &[]).unwrap()));
        }
        let x = self.input_as(0, own);
        if self.case.op == "GatherElements" {
            return self.g.gather_nd(x, std::mem::take(&mut of_ids), &along).unwrap();
        }
        let values = self.input_as(2, of_ids);
        self.put(x, values, &along)
    }

    /// Places of several numbers, the last dimension of the second input.
    fn several(&mut self) -> Var {
        let rank = self.case.rank();
        let sizes = self.case.sizes(1).to_vec();
        let (count, first) = sizes.split_last().unwrap();
        let mut ids: Vec<Axis> = Vec::new();
        for (at, size) in first.iter().enumerate() {
            ids.push(Axis::new(format!("i{at}").as_str(), *size));
        }
        let whole = self.input_as(1, [ids.clone(), vec![Axis::new("number", *count)]].concat());
        let along: Vec<(Symbol, Var)> = (0..*count)
            .map(|at| {
                let place = IndexExpr::Position;
                let mut places: Vec<_> = (0..ids.len()).map(place).collect();
                places.push((at as i64).into());
                let value = IndexExpr::Lookup { operand: 0, at: places };
                let map = IndexMap { axes: ids.clone(), value, truth: false };
                (name(at, rank), self.g.record("", map, &[whole]).unwrap())
            })
            .collect();
        let rest = named(self.case.sizes(0)).split_off(*count);
        let axes = [ids, rest].concat();
        let x = self.input(0);
        if self.case.op == "GatherND" {
            return self.g.gather_nd(x, axes, &along).unwrap();
        }
        let values = self.input_as(2, axes);
        self.put(x, values, &along)
    }

    /// Values at places; the smallest is the opposite of the largest of opposites.
    fn put(&mut self, mut x: Var, mut values: Var, along: &[(Symbol, Var)]) -> Var {
        let reduction = self.case.attributes["reduction"].as_str();
        let kind = match reduction {
            None => ScatterKind::Write,
            Some("add") => ScatterKind::Add,
            Some("mul") => ScatterKind::Mul,
            Some("max" | "min") => ScatterKind::Max,
            Some(other) => panic!("{other}"),
        };
        let opposite = |g: &mut Graph, x| match reduction {
            Some("min") => g.pointwise(x, Pointwise::Neg).unwrap(),
            _ => x,
        };
        (x, values) = (opposite(&mut self.g, x), opposite(&mut self.g, values));
        let joined = self.g.scatter(kind, x, values, along).unwrap();
        opposite(&mut self.g, joined)
    }

    fn running(&mut self) -> Var {
        let (rank, dim) = (self.case.rank(), self.case.whole(1).unwrap()[0]);
        let dim = if dim < 0 { (dim + rank as i64) as usize } else { dim as usize };
        let (x, axis) = (self.input(0), name(dim, rank));
        match self.case.op.as_str() {
            "CumSum" => self.g.cumulative(x, axis).unwrap(),
            _ => self.g.cumulative_product(x, axis).unwrap(),
        }
    }

    fn place_of_largest(&mut self) -> Var {
        let axis = name(self.case.dim("axis", 0), self.case.rank());
        let mut x = self.input(0);
        if self.case.op == "ArgMin" {
            x = self.g.pointwise(x, Pointwise::Neg).unwrap();
        }
        let places = self.g.arg_max(x, axis).unwrap();
        self.g.to_real(places).unwrap()
    }

    fn top(&mut self) -> Var {
        let axis = name(self.case.dim("axis", -1), self.case.rank());
        let k = Axis::new("k", self.case.whole(1).unwrap()[0]);
        let x = self.input(0);
        let x = self.last(x, &[axis]);
        let ids = self.g.top_k(x, k).unwrap();
        self.g.gather(x, ids).unwrap()
    }

    fn joined(&mut self) -> Var {
        let axis = name(self.case.dim("axis", 0), self.case.rank());
        let count = self.case.inputs.iter().flatten().count();
        let all: Vec<Var> = (0..count).map(|at| self.input(at)).collect();
        let join = |a, b| self.g.concat(a, b, axis.clone()).unwrap();
        all.into_iter().reduce(join).unwrap()
    }

    /// The natural operation of the case.
    pub(super) fn record(&mut self) -> Var {
        let float = |name: &str, default: f64| self.case.float(name, default);
        let rank = self.case.rank();
        match self.case.op.as_str() {
            "Abs" => self.point(Pointwise::Abs),
            "Ceil" => self.point(Pointwise::Ceil),
            "Celu" => self.point(Pointwise::Celu(float("alpha", 1.0))),
            "Cos" => self.point(Pointwise::Cos),
            "Elu" => self.point(Pointwise::Elu(float("alpha", 1.0))),
            "Exp" => self.point(Pointwise::Exp),
            "Floor" => self.point(Pointwise::Floor),
            "HardSwish" => self.point(Pointwise::HardSwish),
            "LeakyRelu" => self.point(Pointwise::LeakyRelu(float("alpha", 0.01))),
            "Log" => self.point(Pointwise::Log),
            "Neg" => self.point(Pointwise::Neg),
            "Reciprocal" => self.point(Pointwise::Reciprocal),
            "Round" => self.point(Pointwise::Round),
            "Selu" => self.point(Pointwise::Selu),
            "Sign" => self.point(Pointwise::Sign),
            "Sin" => self.point(Pointwise::Sin),
            "Softsign" => self.point(Pointwise::Softsign),
            "Sqrt" => self.point(Pointwise::Sqrt),
            "Tan" => self.point(Pointwise::Tan),
            "Clip" => {
                let bound = |at: usize| {
                    let value = self.case.input(at)?.real()?;
                    Some(f64::from(value.data()[0]))
                };
                let (min, max) = (bound(1), bound(2));
                self.point(Pointwise::Clamp { min, max })
            }
            "Gelu" if self.case.attributes["approximate"] == "tanh" => {
                self.function(Activation::GeluTanh)
            }
            "Gelu" => self.function(Activation::GeluErf),
            "Relu" => self.function(Activation::Relu),
            "Sigmoid" => self.function(Activation::Sigmoid),
            "Softplus" => self.function(Activation::Softplus),
            "Swish" => self.function(Activation::Silu),
            "Tanh" => self.function(Activation::Tanh),
            "Add" => self.folded(ArithmeticKind::Add),
            "Sub" => self.folded(ArithmeticKind::Sub),
            "Mul" => self.folded(ArithmeticKind::Mul),
            "Div" => self.folded(ArithmeticKind::Div),
            "Max" => self.folded(ArithmeticKind::Max),
            "Min" => self.folded(ArithmeticKind::Min),
            "Pow" => self.folded(ArithmeticKind::Pow),
            "Less" => self.compare(CompareKind::Less, false),
            "LessOrEqual" => self.compare(CompareKind::AtMost, false),
            "Greater" => self.compare(CompareKind::Less, true),
            "GreaterOrEqual" => self.compare(CompareKind::AtMost, true),
            "Equal" => self.compare(CompareKind::Equal, false),
            "Where" => {
                let axes = named(self.case.sizes(0));
                let [when, then, otherwise] = [0, 1, 2].map(|at| self.input(at));
                self.g.select(axes, when, then, otherwise).unwrap()
            }
            "LayerNormalization" => self.normalised(Norm::layer(float("epsilon", 1e-5))),
            "RMSNormalization" => self.normalised(Norm::rms(float("epsilon", 1e-5))),
            "GroupNormalization" => {
                let groups = self.case.int("num_groups", 1) as usize;
                self.grouped(groups)
            }
            "InstanceNormalization" => {
                let channels = self.case.sizes(0)[1];
                self.grouped(channels)
            }
            "BatchNormalization" => self.batch_normalised(),
            "Softmax" => self.softmax(),
            "LogSoftmax" => self.log_softmax(),
            "Conv" | "ConvTranspose" => self.convolution(),
            "AveragePool" | "MaxPool" => self.pool(),
            "GlobalAveragePool" | "GlobalMaxPool" => {
                let x = self.input(0);
                let dims: Vec<usize> = (2..rank).collect();
                let mean = self.case.op == "GlobalAveragePool";
                self.along(x, &dims, if mean { Reduce::Mean } else { Reduce::Max })
            }
            "MatMul" => self.matmul(),
            "Gemm" => self.gemm(),
            "Einsum" => self.einsum(),
            "Gather" => self.gather(),
            "GatherElements" | "ScatterElements" => self.elements(),
            "GatherND" | "ScatterND" => self.several(),
            "ArgMax" | "ArgMin" => self.place_of_largest(),
            "TopK" => self.top(),
            "CumSum" | "CumProd" => self.running(),
            "Resize" => self.resized(),
            "Concat" => self.joined(),
            "Transpose" => {
                let turned: Vec<i64> = (0..rank as i64).rev().collect();
                let order = self.case.ints("perm").unwrap_or(turned);
                let order = order.into_iter().map(|dim| name(dim as usize, rank)).collect();
                let x = self.input(0);
                self.g.rearrange(x, Rearrange::Permute { order }).unwrap()
            }
            "ReduceSum" => self.of_all(None, Reduce::Sum, None),
            "ReduceMean" => self.of_all(None, Reduce::Mean, None),
            "ReduceMax" => self.of_all(None, Reduce::Max, None),
            "ReduceMin" => self.of_all(Some(Pointwise::Neg), Reduce::Max, Some(Pointwise::Neg)),
            "ReduceL1" => self.of_all(Some(Pointwise::Abs), Reduce::Sum, None),
            "ReduceSumSquare" => self.of_all(Some(Pointwise::Power(2.0)), Reduce::Sum, None),
            "ReduceL2" => {
                self.of_all(Some(Pointwise::Power(2.0)), Reduce::Sum, Some(Pointwise::Sqrt))
            }
            other => panic!("{other} has no counterpart"),
        }
    }

    fn of_all(
        &mut self,
        before: Option<Pointwise>,
        reduce: fn(Symbol) -> Reduce,
        after: Option<Pointwise>,
    ) -> Var {
        let mut x = self.input(0);
        if let Some(function) = before {
            x = self.g.pointwise(x, function).unwrap();
        }
        x = self.reduced(x, reduce);
        match after {
            Some(function) => self.g.pointwise(x, function).unwrap(),
            None => x,
        }
    }
}
