//! Calls that whole modules make: recurrent layers and cells, transposed convolutions, upsampling.

use std::borrow::Cow;

use opledger_dims::Poly;

use super::{Seen, Sizes, channels_apart, first, linear};
use crate::call::operation;
use crate::classes::stack;
use crate::importer::Lowered;
use crate::schema::Argument;

impl Seen<'_, '_, '_> {
    /// One step of a recurrent cell, of whose `rows` each has `products` and `biases`.
    pub(super) fn cell(&mut self, base: &str) -> Lowered<(Cow<'static, str>, Sizes)> {
        let rows: Poly = self.tensor("input")?.iter().rev().skip(1).product();
        let mut of = |names: [&str; 2]| -> Lowered<Poly> {
            let each = names.map(|name| self.dims(name));
            let [a, b] = each.map(|dims| Ok(dims?.map(|dims| dims.iter().product())));
            let [a, b]: [Lowered<Option<Poly>>; 2] = [a, b];
            Ok(&a?.unwrap_or_else(Poly::zero) + &b?.unwrap_or_else(Poly::zero))
        };
        let (products, biases) = (of(["w_ih", "w_hh"])?, of(["b_ih", "b_hh"])?);
        let elements = self.call.sizes(self.own, 0)?.iter().product();
        let mut sizes = vec![("rows", rows), ("products", products), ("biases", biases)];
        if !self.is_one_item() {
            sizes.push(("elements", elements));
        }
        Ok((base.to_owned().into(), sizes))
    }

    /// Whether a recurrent module was given one item without an axis of items, and made one: tools that read the
    /// sizes of what the module is given take others for it.
    fn is_one_item(&self) -> bool {
        let key = |node| stack(node).last().map(|call| call.key);
        let own = self.call.node.inputs.iter().find(|input| input.name == "input");
        let own = own.map(|input| input.arg.tensors()).unwrap_or_default();
        let nodes = self.own.program.graph_module.graph.nodes.iter();
        let mut makers = nodes.filter(|node| {
            let made = node.outputs.iter().flat_map(Argument::tensors);
            key(node) == key(self.call.node) && made.clone().any(|name| own.contains(&name))
        });
        makers.any(|node| operation(&node.target) == "aten.unsqueeze.default")
    }

    /// Recurrent layers, all of a module's in one call: its `rows` are the steps of all items, of each of
    /// which it has `products` and `biases`; of one gate `terms` and `cells`, and `unprojected`, which is what
    /// `terms` would be if no state were projected.
    pub(super) fn recurrent(&mut self, base: &str) -> Lowered<(Cow<'static, str>, Sizes)> {
        let gates = match base {
            "lstm" => 4,
            "gru" => 3,
            _ => 1,
        };
        let steps = self.tensor("input")?;
        let weights = self.call.node.inputs.iter().find(|input| input.name == "params");
        let weights = weights.map(|input| input.arg.tensors()).unwrap_or_default();
        let biased = self.call.flag("has_biases", true);
        let directions = 1 + usize::from(self.call.flag("bidirectional", false));
        let [mut products, mut terms, mut cells, mut biases, mut unprojected] =
            [(); 5].map(|()| Poly::zero());
        let mut matrices = Vec::new();
        for name in &weights {
            match &self.own.sizes_of(name)?[..] {
                [out, over] => matrices.push((out.clone(), over.clone())),
                dims => biases = &biases + &dims.iter().product(),
            }
        }
        // A state that is projected is narrower than its cell, by a matrix of its own.
        let projected = matrices.get(1).is_some_and(|(out, over)| *out != over * &gates.into());
        let of_layer = if projected { 3 } else { 2 };
        for (layer, matrices) in matrices.chunks(of_layer).enumerate() {
            let [(out, over), (_, state), ..] = matrices else { continue };
            let cell = out.ratio(1, gates);
            terms = &terms + &(&cell * &(over + state));
            // The first layer is one for each direction.
            let given =
                if layer < directions { over.clone() } else { cell.ratio(directions as i64, 1) };
            unprojected = &unprojected + &(&cell * &(&given + &cell));
            cells = &cells + &cell;
            products = &products + &matrices.iter().map(|(out, over)| out * over).sum();
        }
        let mut sizes = vec![
            ("rows", steps.iter().rev().skip(1).product()),
            ("bias", u32::from(biased).into()),
            ("elements", self.call.sizes(self.own, 0)?.iter().product()),
            ("products", products),
        ];
        if !self.is_one_item() {
            sizes.extend([("terms", terms), ("unprojected", unprojected), ("cells", cells)]);
        }
        // Steps that lie item by item are no rows, and their biases are added apart, in the first layer.
        if !biased || !self.call.flag("batch_first", false) {
            sizes.push(("biases", biases));
        }
        let name = if projected { format!("{base}_projected") } else { base.to_owned() };
        Ok((name.into(), sizes))
    }

    /// A transposed convolution, whose rows are the places of what it is given: `results` are made, each of
    /// `reach` products at most, `places` of each channel.
    pub(super) fn transposed(&mut self, base: &str) -> Lowered<(Cow<'static, str>, Sizes)> {
        let (input, weight) = (self.tensor("input")?, self.tensor("weight")?);
        let result = self.call.sizes(self.own, 0)?;
        let [over, out @ ..] = &weight[..] else { return self.pointwise(base) };
        let spatial = out.len().saturating_sub(1);
        let rows = channels_apart(&input, spatial);
        let bias = self.has("bias");
        let mut sizes = linear(rows, [over, &out.iter().product()], bias, first(&input));
        let groups = self.call.int("groups", 1).max(1);
        let taps: Poly = out.iter().skip(1).product();
        // Tools take the first axis for one of items.
        if input.len() > spatial + 1 {
            sizes.extend([
                ("results", result.iter().product()),
                ("places", channels_apart(&result, spatial)),
                ("reach", (over * &taps).ratio(1, groups)),
            ]);
        }
        Ok((base.to_owned().into(), sizes))
    }

    /// What is made larger: `item` is the first of its items, `interpolated` all of them, where the factors
    /// are whole or the sizes said; which of its ways is 1.
    pub(super) fn upsample(&mut self, base: &str) -> Lowered<(Cow<'static, str>, Sizes)> {
        let (name, mut sizes) = self.pointwise(base)?;
        let result = self.call.sizes(self.own, 0)?;
        let elements: Poly = result.iter().product();
        let ways = [
            ("linear", "_linear"),
            ("bilinear", "_bilinear"),
            ("trilinear", "_trilinear"),
            ("bicubic", "_bicubic"),
        ];
        sizes.extend(ways.map(|(way, part)| (way, u32::from(base.contains(part)).into())));
        let nearest = base.contains("_nearest") && !base.contains("_exact");
        sizes.push(("nearest", u32::from(nearest).into()));
        sizes.push(("item", result.iter().skip(1).product()));
        let whole = match self.call.argument("scale_factors") {
            Some(Argument::Floats(factors)) => factors.iter().all(|factor| factor.fract() == 0.0),
            _ => true,
        };
        if whole {
            sizes.push(("interpolated", elements));
        }
        Ok((name, sizes))
    }
}
