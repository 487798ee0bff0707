//! Weights in the layout that kernels read, one copy of each, in the type in which they are given.

use std::sync::Arc;

use opledger_ir::ops::{Einsum, Source};
use opledger_ir::{Elem, Graph, Node, Op, Value};
use opledger_kernels::{
    Elements, KernelError, Meter, Order, PackedMatrix, Packing, WeightType, bf16, f16, look_up,
};
use opledger_tensor::Tensor;

/// How a parameter lies in memory; that follows from the nodes that read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightLayout {
    /// Panels of a matrix that rows are multiplied by. Its `leading` axes are one side of the matrix, the
    /// others the other, in an order. Rows of a table may be looked up in it as well.
    Matrix {
        /// Which side the leading axes are.
        order: Order,
        /// How many axes lead.
        leading: usize,
    },
    /// Panels of a matrix for each expert.
    Experts,
    /// Rows that are looked up.
    Table,
}

/// Columns below which the panels of a matrix would be mostly empty: it stays as it is.
const FEW_COLUMNS: usize = 8;

impl WeightLayout {
    /// The layout of each node of a graph; none of what is no parameter, or is read otherwise.
    pub fn of(graph: &Graph) -> Vec<Option<WeightLayout>> {
        let mut layouts: Vec<Vec<Option<WeightLayout>>> = vec![Vec::new(); graph.nodes().len()];
        for node in graph.nodes() {
            for (at, var) in node.inputs.iter().enumerate() {
                layouts[var.index()].push(asked(node, at));
            }
        }
        for (_, var) in graph.outputs() {
            layouts[var.index()].push(None);
        }
        let agreed = |(node, asked): (&Node, Vec<Option<WeightLayout>>)| {
            let Op::Source(Source::Param { .. }) = node.op else { return None };
            let mut asked = asked.into_iter();
            let first = asked.next()??;
            asked.try_fold(first, |layout, other| layout.serving(other?))
        };
        graph.nodes().iter().zip(layouts).map(agreed).collect()
    }

    /// The layout that serves two readers.
    fn serving(self, other: WeightLayout) -> Option<WeightLayout> {
        let rows = WeightLayout::Matrix { order: Order::Columns, leading: 1 };
        match (self, other) {
            (a, b) if a == b => Some(a),
            (a, WeightLayout::Table) | (WeightLayout::Table, a) if a == rows => Some(a),
            _ => None,
        }
    }

    /// Whether a reader that asks for another layout is served.
    pub(crate) fn serves(self, other: WeightLayout) -> bool {
        self.serving(other) == Some(self)
    }

    /// The matrices that a parameter of these sizes and a type is: how many, and the rows and columns of each.
    fn matrices(self, sizes: &[usize], of: WeightType) -> Option<(usize, [usize; 2], Order)> {
        let (number, [k, n], order) = match (self, of) {
            // A table in blocks lies in panels, whose columns its rows are.
            (WeightLayout::Table, WeightType::Blocks(_)) => {
                let (width, rows) = sizes.split_last()?;
                (1, [*width, rows.iter().product()], Order::Columns)
            }
            (WeightLayout::Table, _) => return None,
            (WeightLayout::Experts, _) => {
                let [experts, width, terms] = sizes[..] else { return None };
                (experts, [terms, width], Order::Columns)
            }
            (WeightLayout::Matrix { order, leading }, _) => {
                let (first, rest) = sizes.split_at_checked(leading)?;
                let [first, rest] = [first, rest].map(|sizes| sizes.iter().product::<usize>());
                let shape = if order == Order::Columns { [rest, first] } else { [first, rest] };
                (1, shape, order)
            }
        };
        (number > 0 && k > 0 && n >= FEW_COLUMNS).then_some((number, [k, n], order))
    }

    /// Whether a parameter of these sizes can be kept in a type: in blocks where they stand along the terms that
    /// are summed, or along the rows of a table.
    pub fn keeps(self, sizes: &[usize], of: WeightType) -> bool {
        match (of, self.matrices(sizes, of)) {
            (WeightType::Blocks(of), Some((_, [k, _], order))) => {
                order == Order::Columns && k.is_multiple_of(of.elements())
            }
            (WeightType::Blocks(_), None) => false,
            (WeightType::F32 | WeightType::Bf16 | WeightType::F16, _) => true,
        }
    }

    /// Bytes that a parameter of these sizes takes whose elements are of a type; in 32 bits if it does not
    /// become a [`Weight`].
    pub fn bytes(self, sizes: &[usize], of: WeightType) -> Option<usize> {
        match self.matrices(sizes, of) {
            Some((number, [k, n], _)) => {
                of.bytes(PackedMatrix::elements(k, n)?.checked_mul(number)?)
            }
            None => {
                let all = sizes.iter().try_fold(1_usize, |all, size| all.checked_mul(*size))?;
                let of = if self == WeightLayout::Table { of } else { WeightType::F32 };
                of.bytes(all)
            }
        }
    }
}

/// The layout that a node asks for of an operand.
fn asked(node: &Node, operand: usize) -> Option<WeightLayout> {
    match (&node.op, operand) {
        (Op::Einsum(op), 1) => matrix(op),
        (Op::Experts(_), 2) => Some(WeightLayout::Experts),
        (Op::Embedding(_), 1) => Some(WeightLayout::Table),
        _ => None,
    }
}

/// The second operand of a contraction as a matrix, where the result has rows by the first operand before
/// columns by the second, and neither side is transposed within itself.
pub(crate) fn matrix(op: &Einsum) -> Option<WeightLayout> {
    let of_right = op.out.iter().filter(|name| op.rhs.contains(name)).count();
    let (rows, columns) = op.out.split_at(op.out.len() - of_right);
    let summed: Vec<_> = op.rhs.iter().filter(|name| !op.out.contains(name)).collect();
    let apart = op.masked.is_none()
        && !rows.is_empty()
        && !columns.is_empty()
        && rows.iter().all(|name| op.lhs.contains(name) && !op.rhs.contains(name))
        && columns.iter().all(|name| op.rhs.contains(name) && !op.lhs.contains(name))
        && summed.iter().all(|name| op.lhs.contains(name))
        && op.lhs.len() == rows.len() + summed.len();
    let leads = |side: &[&_]| op.rhs.iter().take(side.len()).eq(side.iter().copied());
    let columns: Vec<_> = columns.iter().collect();
    let ends = op.rhs.iter().skip(summed.len()).eq(columns.iter().copied());
    match apart {
        true if leads(&columns) => {
            Some(WeightLayout::Matrix { order: Order::Columns, leading: columns.len() })
        }
        true if ends => Some(WeightLayout::Matrix { order: Order::Rows, leading: summed.len() }),
        _ => None,
    }
}

/// A parameter in the layout that kernels read. Clones share it.
#[derive(Clone, Debug)]
pub struct Weight(Arc<Kept>);

#[derive(Debug)]
struct Kept {
    layout: WeightLayout,
    shape: Vec<usize>,
    form: Form,
}

#[derive(Debug)]
enum Form {
    Matrices(Vec<PackedMatrix>),
    Bf16(Vec<bf16>),
    F16(Vec<f16>),
}

impl Weight {
    /// The size along each axis.
    pub fn shape(&self) -> &[usize] {
        &self.0.shape
    }

    /// The layout.
    pub fn layout(&self) -> WeightLayout {
        self.0.layout
    }

    /// How many elements there are.
    pub(crate) fn len(&self) -> usize {
        self.shape().iter().product()
    }

    /// The type of its elements in memory.
    pub fn weight_type(&self) -> WeightType {
        match &self.0.form {
            Form::Matrices(matrices) => {
                matrices.first().map_or(WeightType::F32, PackedMatrix::weight_type)
            }
            Form::Bf16(_) => WeightType::Bf16,
            Form::F16(_) => WeightType::F16,
        }
    }

    /// The same, as a graph says it.
    pub(crate) fn elem(&self) -> Elem {
        match self.weight_type() {
            WeightType::F32 => Elem::F32,
            WeightType::Bf16 => Elem::Bf16,
            WeightType::F16 => Elem::F16,
            WeightType::Blocks(of) => {
                let [elements, bytes] = [of.elements(), of.bytes()].map(|size| size as u32);
                Elem::Blocks { elements, bytes }
            }
        }
    }

    /// Whether both are the same memory.
    pub fn shares(&self, other: &Weight) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        match &self.0.form {
            Form::Matrices(matrices) => matrices.iter().map(PackedMatrix::bytes).sum(),
            Form::Bf16(_) | Form::F16(_) => 2 * self.len(),
        }
    }

    /// Its matrices: one, or one for each expert.
    pub(crate) fn matrices(&self) -> &[PackedMatrix] {
        match &self.0.form {
            Form::Matrices(matrices) => matrices,
            Form::Bf16(_) | Form::F16(_) => &[],
        }
    }

    /// Copies the rows of some ids; says how many elements were read. The meter is told what widening takes.
    pub(crate) fn look_up<M: Meter>(
        &self,
        ids: &[i64],
        out: &mut [f32],
        meter: &M,
    ) -> Result<usize, KernelError> {
        let width = self.shape().last().copied().unwrap_or(0);
        match &self.0.form {
            Form::Matrices(matrices) => match &matrices[..] {
                [matrix] => matrix.columns(ids, out, meter),
                _ => Err(KernelError::Shape { what: "a table is one matrix" }),
            },
            Form::Bf16(rows) => look_up(Elements::Bf16(rows), width, ids, out),
            Form::F16(rows) => look_up(Elements::F16(rows), width, ids, out),
        }
    }

    /// A tensor in a layout; none where it stays as it is.
    ///
    /// # Errors
    /// When memory does not suffice.
    pub fn pack(layout: WeightLayout, tensor: &Tensor<f32>) -> Result<Option<Weight>, KernelError> {
        let writer = WeightWriter::new(layout, tensor.shape(), WeightType::F32)?;
        let Some(mut writer) = writer else { return Ok(None) };
        writer.extend(Elements::F32(tensor.data()))?;
        writer.finish().map(Some)
    }

    /// The elements, widened, as they stand in a tensor.
    pub fn unpack(&self) -> Tensor<f32> {
        let mut data = Vec::with_capacity(self.len());
        match &self.0.form {
            Form::Matrices(matrices) => {
                let order = match self.0.layout {
                    WeightLayout::Matrix { order, .. } => order,
                    WeightLayout::Experts | WeightLayout::Table => Order::Columns,
                };
                matrices.iter().for_each(|matrix| matrix.unpack(order, &mut data));
            }
            Form::Bf16(rows) => data.extend(rows.iter().map(|x| x.to_f32())),
            Form::F16(rows) => data.extend(rows.iter().map(|x| x.to_f32())),
        }
        Tensor::new(self.shape(), data).unwrap_or_else(|_| Tensor::from(ndarray::arr0(0.0)))
    }
}

/// Makes a [`Weight`] of elements that come one after the other, such as those of a file: beside the weight,
/// a few of its rows are in memory.
#[derive(Debug)]
pub struct WeightWriter {
    layout: WeightLayout,
    shape: Vec<usize>,
    form: Form,
    /// The matrix at work, and those that follow it.
    packing: Option<Packing>,
    following: usize,
    of: WeightType,
}

impl WeightWriter {
    /// Begins a weight of some sizes, whose elements are of a type; none where a parameter of these sizes
    /// stays a plain tensor of `f32`.
    ///
    /// # Errors
    /// When memory does not suffice.
    pub fn new(
        layout: WeightLayout,
        shape: &[usize],
        of: WeightType,
    ) -> Result<Option<WeightWriter>, KernelError> {
        let len: usize = shape.iter().product();
        let large = |_| KernelError::TooLarge { what: "a table" };
        if !layout.keeps(shape, of) {
            return Ok(None);
        }
        let (form, packing, following) = match (layout.matrices(shape, of), of) {
            (Some((number, shape, order)), of) => {
                let matrices = Form::Matrices(Vec::with_capacity(number));
                (matrices, Some(Packing::new(shape, order, of)?), number - 1)
            }
            (None, _) if layout != WeightLayout::Table => return Ok(None),
            (None, WeightType::F32 | WeightType::Blocks(_)) => return Ok(None),
            (None, WeightType::Bf16) => {
                let mut rows = Vec::new();
                rows.try_reserve_exact(len).map_err(large)?;
                (Form::Bf16(rows), None, 0)
            }
            (None, WeightType::F16) => {
                let mut rows = Vec::new();
                rows.try_reserve_exact(len).map_err(large)?;
                (Form::F16(rows), None, 0)
            }
        };
        Ok(Some(WeightWriter { layout, shape: shape.to_vec(), form, packing, following, of }))
    }

    /// Takes the next elements, in the order of the tensor.
    ///
    /// # Errors
    /// When there are too many, or they are of another type.
    pub fn extend(&mut self, mut elements: Elements<'_>) -> Result<(), KernelError> {
        match (&mut self.form, elements) {
            (Form::Bf16(rows), Elements::Bf16(new)) => rows.extend_from_slice(new),
            (Form::F16(rows), Elements::F16(new)) => rows.extend_from_slice(new),
            (Form::Matrices(_), _) => {
                while let Some(mut packing) = self.packing.take() {
                    let (now, then) = elements.split_at(packing.missing().min(elements.len()));
                    packing.extend(now)?;
                    elements = then;
                    if packing.missing() > 0 || self.following == 0 {
                        self.packing = Some(packing);
                        break;
                    }
                    self.next(packing)?;
                }
                if !elements.is_empty() {
                    return Err(KernelError::Shape { what: "a weight has so many elements" });
                }
            }
            (Form::Bf16(_) | Form::F16(_), _) => {
                return Err(KernelError::Shape { what: "elements are of the weight's type" });
            }
        }
        Ok(())
    }

    /// Ends a matrix and begins the one after it.
    fn next(&mut self, packing: Packing) -> Result<(), KernelError> {
        let Form::Matrices(matrices) = &mut self.form else { return Ok(()) };
        matrices.push(packing.finish()?);
        if self.following > 0
            && let Some((_, shape, order)) = self.layout.matrices(&self.shape, self.of)
        {
            self.packing = Some(Packing::new(shape, order, self.of)?);
            self.following -= 1;
        }
        Ok(())
    }

    /// The weight.
    ///
    /// # Errors
    /// When elements are missing.
    pub fn finish(mut self) -> Result<Weight, KernelError> {
        if let Some(packing) = self.packing.take() {
            if self.following > 0 {
                return Err(KernelError::Shape { what: "a weight has so many elements" });
            }
            self.next(packing)?;
        }
        let WeightWriter { layout, shape, form, .. } = self;
        let len: usize = shape.iter().product();
        let whole = match &form {
            Form::Matrices(_) => true,
            Form::Bf16(rows) => rows.len() == len,
            Form::F16(rows) => rows.len() == len,
        };
        match whole {
            true => Ok(Weight(Arc::new(Kept { layout, shape, form }))),
            false => Err(KernelError::Shape { what: "a weight has so many elements" }),
        }
    }
}

/// A tensor that is fed: as it is, or as a weight.
#[derive(Clone, Debug)]
pub(crate) enum Held {
    Plain(Value<f32>),
    Weight(Weight),
}

impl Held {
    pub(crate) fn shape(&self) -> &[usize] {
        match self {
            Held::Plain(value) => value.shape(),
            Held::Weight(weight) => weight.shape(),
        }
    }

    /// As a plain value.
    pub(crate) fn value(&self) -> Value<f32> {
        match self {
            Held::Plain(value) => value.clone(),
            Held::Weight(weight) => weight.unpack().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opledger_ir::Axis;
    use opledger_kernels::{BlockType, Blocks};

    /// Which layout the parameter `w`, `[a, b]`, has by its readers.
    fn layout(read: impl Fn(&mut Graph, opledger_ir::Var)) -> Option<WeightLayout> {
        let mut g = Graph::new();
        let axes = [Axis::from("a"), Axis::from("b")];
        let w = g.param("w", Source::weight("b"), axes).unwrap();
        read(&mut g, w);
        WeightLayout::of(&g)[w.index()]
    }

    #[test]
    fn the_readers_of_a_parameter_decide_how_it_lies() {
        let product = |g: &mut Graph, w, text: &str, axis: &str| {
            let x = g.input(&format!("x{}", g.nodes().len()), ["n", axis]).unwrap();
            g.einsum(text, x, w).unwrap();
        };
        let look_up = |g: &mut Graph, w| {
            let ids = g.input_ids("ids", ["n"], "a").unwrap();
            g.embedding("", ids, w).unwrap();
        };
        let columns = Some(WeightLayout::Matrix { order: Order::Columns, leading: 1 });
        let rows = Some(WeightLayout::Matrix { order: Order::Rows, leading: 1 });
        assert_eq!(layout(|g, w| product(g, w, "n b, a b -> n a", "b")), columns);
        assert_eq!(layout(|g, w| product(g, w, "n a, a b -> n b", "a")), rows);
        assert_eq!(layout(look_up), Some(WeightLayout::Table));
        let both = |g: &mut Graph, w| {
            look_up(g, w);
            product(g, w, "n b, a b -> n a", "b");
        };
        assert_eq!(layout(both), columns);
        let crossed = |g: &mut Graph, w| {
            product(g, w, "n b, a b -> n a", "b");
            product(g, w, "n a, a b -> n b", "a");
        };
        assert_eq!(layout(crossed), None);
        assert_eq!(layout(|g, w| product(g, w, "n b, a b -> a n", "b")), None);
        let given = |g: &mut Graph, w| {
            product(g, w, "n b, a b -> n a", "b");
            g.output("w", w);
        };
        assert_eq!(layout(given), None);
        assert_eq!(layout(|_, _| ()), None);
    }

    #[test]
    fn blocks_are_kept_where_they_stand_along_terms_or_rows() {
        let of = BlockType::Q8_0;
        let bytes: Vec<u8> = (0..20 * 2 * of.bytes()).map(|i| (i * 73 + 5) as u8 & 0xbb).collect();
        let mut values = Vec::new();
        of.widen(&bytes, &mut values);
        let columns = WeightLayout::Matrix { order: Order::Columns, leading: 1 };
        let of = WeightType::Blocks(of);
        for (layout, shape) in [
            (columns, vec![20, 64]),
            (WeightLayout::Experts, vec![2, 10, 64]),
            (WeightLayout::Table, vec![20, 64]),
        ] {
            let mut writer = WeightWriter::new(layout, &shape, of).unwrap().unwrap();
            let blocks = Blocks { of: BlockType::Q8_0, bytes: &bytes };
            writer.extend(Elements::Blocks(blocks)).unwrap();
            let weight = writer.finish().unwrap();
            assert_eq!(weight.elem().bytes_of(64), 68);
            assert_eq!(weight.unpack().data(), values, "{layout:?}");
            assert_eq!(layout.bytes(&shape, of), Some(weight.bytes()));
        }
        let rows = WeightLayout::Matrix { order: Order::Rows, leading: 1 };
        for (layout, shape) in [(rows, [64, 20]), (columns, [20, 40]), (columns, [4, 64])] {
            assert!(WeightWriter::new(layout, &shape, of).unwrap().is_none());
        }
    }

    #[test]
    fn what_is_written_comes_back_in_every_layout_and_type() {
        let data: Vec<f32> = (0..2 * 10 * 12).map(|i| i as f32 / 4.0).collect();
        let halves: Vec<bf16> = data.iter().map(|x| bf16::from_f32(*x)).collect();
        let layouts = [
            (WeightLayout::Matrix { order: Order::Columns, leading: 1 }, vec![20, 12]),
            (WeightLayout::Matrix { order: Order::Rows, leading: 2 }, vec![2, 10, 12]),
            (WeightLayout::Experts, vec![2, 10, 12]),
            (WeightLayout::Table, vec![20, 12]),
        ];
        for (layout, shape) in layouts {
            let mut writer = WeightWriter::new(layout, &shape, WeightType::Bf16).unwrap().unwrap();
            halves.chunks(7).for_each(|some| writer.extend(Elements::Bf16(some)).unwrap());
            let weight = writer.finish().unwrap();
            assert_eq!((weight.weight_type(), weight.elem()), (WeightType::Bf16, Elem::Bf16));
            assert_eq!(weight.unpack().data(), data, "{layout:?}");
            assert_eq!(layout.bytes(&shape, WeightType::Bf16), Some(weight.bytes()));
            let tensor = Tensor::new(&shape, data.clone()).unwrap();
            let plain = Weight::pack(layout, &tensor).unwrap();
            assert_eq!(plain.is_none(), layout == WeightLayout::Table);
            assert!(plain.is_none_or(|weight| weight.unpack() == tensor));
            let mut short = WeightWriter::new(layout, &shape, WeightType::Bf16).unwrap().unwrap();
            short.extend(Elements::Bf16(&halves[..120])).unwrap();
            assert!(short.finish().is_err(), "{layout:?}");
        }
        let narrow = WeightLayout::Matrix { order: Order::Columns, leading: 1 };
        assert!(WeightWriter::new(narrow, &[7, 12], WeightType::Bf16).unwrap().is_none());
    }
}
