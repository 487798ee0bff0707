//! What mask tensors leave, counted from their truth values: those that follow from positions at once,
//! all others when what they follow from is given.

use std::collections::BTreeMap;

use num_traits::ToPrimitive;
use opledger_dims::{Binding, Integer, Poly};
use opledger_tensor::Tensor;

use crate::mask::kept_support;
use crate::operation::Operation;
use crate::ops::Source;
use crate::value::to_usize;
use crate::{
    Band, BindingError, Call, Definition, Graph, Kind, Op, OpError, Reach, Reads, Value, Var,
};

/// Truth values of a mask of positions that are looked at for a count.
const MOST: u64 = 1 << 24;

impl Graph {
    /// How many queries see no key of masks, where a binding has how many see one.
    pub fn blind_queries(&self, binding: &Binding) -> Integer {
        let blind = |definition: &Definition| {
            let (all, rows) = match definition {
                Definition::Band { queries, rows, .. } => (queries.clone(), rows),
                Definition::Kept { keep, query, queries, rows, .. } => {
                    let (_, outer) = self.shape(*keep).axes.split_last()?;
                    let outer: Poly = outer.iter().map(|axis| &axis.size).product();
                    (if query.is_some() { outer } else { &outer * queries }, rows)
                }
                Definition::Product { .. }
                | Definition::CeilDiv { .. }
                | Definition::Minimum { .. }
                | Definition::Gcd { .. }
                | Definition::Taps { .. } => return None,
            };
            Some(all.at(binding).ok()? - binding.get(rows)?)
        };
        self.definitions().iter().filter_map(blind).sum()
    }

    /// Whether a tensor of whole numbers follows from positions, sizes and known numbers alone.
    pub fn of_positions(&self, var: Var) -> bool {
        let node = self.node(var);
        if matches!(node.op, Op::Source(Source::Known { .. })) {
            return node.repeat.is_none();
        }
        let computed = !node.op.is_source() && self.shape(var).elem.kind() == Kind::Whole;
        computed && node.repeat.is_none() && node.inputs.iter().all(|var| self.of_positions(*var))
    }

    /// A tensor of whole numbers, computed from the sources that `given` gives. None of one that follows
    /// from reals, or inside a repetition.
    ///
    /// # Errors
    /// When a number does not fit its operation.
    pub fn whole_numbers(
        &self,
        var: Var,
        binding: &Binding,
        given: &dyn Fn(Var) -> Option<Value<f32>>,
    ) -> Result<Option<Tensor<i64>>, OpError> {
        let mut known: BTreeMap<Var, Value<f32>> = BTreeMap::new();
        // Operands stand before what is made of them.
        let mut needed = vec![var];
        let mut next = 0;
        while let Some(own) = needed.get(next).copied() {
            let node = self.node(own);
            let whole = self.shape(own).elem.kind() == Kind::Whole;
            if node.repeat.is_some() || !whole {
                return Ok(None);
            }
            if !node.op.is_source() {
                for input in &node.inputs {
                    if !needed.contains(input) {
                        needed.push(*input);
                    }
                }
            }
            next += 1;
        }
        needed.sort_unstable();
        for own in needed {
            if known.contains_key(&own) {
                continue;
            }
            let node = self.node(own);
            let sizes = node.shape.axes.iter().map(|axis| to_usize(&axis.size.at(binding)?));
            let output = sizes.collect::<Result<Vec<_>, OpError>>()?;
            if let Op::Source(source) = &node.op
                && let Some(value) = source.known(&output)
            {
                known.insert(own, Value::Index(value));
                continue;
            }
            if node.op.is_source() {
                let Some(value) = given(own) else { return Ok(None) };
                known.insert(own, value);
                continue;
            }
            let inputs: Vec<&Value<f32>> =
                node.inputs.iter().filter_map(|var| known.get(var)).collect();
            let (shapes, reads) = (self.operand_shapes(node), Reads::of(inputs.len()));
            let call = Call {
                path: &node.path,
                inputs: &inputs,
                shapes: &shapes,
                output: &output,
                binding,
                reads: &reads,
            };
            let results = node.op.reference(&call, &mut |_| {})?;
            for (at, value) in results.into_iter().enumerate() {
                known.insert(Var::first(own.index()).sibling(at), value);
            }
        }
        Ok(known.get(&var).and_then(Value::index).cloned())
    }
}

impl Definition {
    /// Adds to a binding how many pairs and rows a mask tensor leaves, by looking at every pair of it.
    ///
    /// # Errors
    /// When a size is unbound or does not fit the machine.
    pub fn measure(&self, keep: &Tensor<i64>, binding: &mut Binding) -> Result<(), OpError> {
        if let Some((pairs, rows)) = self.measured(keep, binding)?
            && let Definition::Kept { pairs: p, rows: r, .. } = self
        {
            binding.set(p, pairs).set(r, rows);
        }
        Ok(())
    }

    fn measured(
        &self,
        keep: &Tensor<i64>,
        binding: &Binding,
    ) -> Result<Option<(u64, u64)>, OpError> {
        let Definition::Kept { query, queries, offset, reach, .. } = self else { return Ok(None) };
        let band = Band::at((offset, reach), binding)?;
        let queries = to_usize(&queries.at(binding)?)?;
        Ok(Some(kept_support(keep, *query, queries, band)))
    }

    /// Adds what a mask of positions leaves, as soon as its sizes are known.
    pub(crate) fn look(&self, graph: &Graph, binding: &mut Binding) -> Result<bool, BindingError> {
        let Definition::Kept { pairs, rows, keep, queries, offset, reach, .. } = self else {
            return Ok(false);
        };
        let known = binding.get(pairs).is_some() && binding.get(rows).is_some();
        let node = graph.node(*keep);
        let own = node.shape.axes.iter().map(|axis| &axis.size).chain([queries]);
        let sizes =
            own.chain(offset).chain(reach.as_ref().map(Reach::most)).chain(node.op.facts().sizes);
        let bound = sizes.map(|size| size.at(binding)).collect::<Result<Vec<_>, _>>();
        let (false, true, Ok(_)) = (known, graph.of_positions(*keep), bound) else {
            return Ok(false);
        };
        let refused = |problem| BindingError::Sizes { path: node.path.clone(), problem };
        let elements = node.shape.elements().at(binding)?;
        if elements.to_u64().is_none_or(|elements| elements > MOST) {
            return Err(refused(format!(
                "{elements} truth values of a mask are more than are looked at for a count; give \
                 {pairs} and {rows}"
            )));
        }
        let tensor = match graph.whole_numbers(*keep, binding, &|_| None) {
            Ok(Some(tensor)) => tensor,
            // A size inside is not known yet.
            Ok(None) | Err(OpError::Eval(_)) => return Ok(false),
            Err(error) => return Err(refused(error.to_string())),
        };
        let left = self.measured(&tensor, binding).map_err(|error| refused(error.to_string()))?;
        let Some((left_pairs, left_rows)) = left else { return Ok(false) };
        self.set(binding, [(pairs, left_pairs.into()), (rows, left_rows.into())])
    }
}
