//! What nodes, scopes and sizes are: how layers say it, and how others ask.

use opledger_dims::{Poly, Symbol};

use super::{Graph, Node, Scope};
use crate::ops::{Attention, Source};
use crate::role::{Cache, Cached, Module, ModuleClass, ModuleId, Role, SizeRole};
use crate::{Op, Reach, Var};

impl Node {
    /// Whether it is a parameter, of reals or of whole numbers.
    pub fn is_parameter(&self) -> bool {
        matches!(self.op, Op::Source(Source::Param { .. }))
            || self.role == Some(Role::WholeParameter)
    }
}

impl Graph {
    /// Says what a node is; gives its value back.
    pub fn mark(&mut self, var: Var, role: Role) -> Var {
        self.node_mut(var).role = Some(role);
        var
    }

    /// Declares that the present scope is a module. Nodes recorded in the scope that comes back, and
    /// below it, belong to the module.
    #[must_use = "the module is entered by the scope that comes back"]
    pub fn module(&mut self, class: ModuleClass) -> Scope {
        let here = self.here();
        let id =
            self.add_module(Module { path: here.path().to_owned(), class, parent: here.module });
        Scope { module: Some(id), ..here }
    }

    /// An empty graph that is a model of a published family.
    pub fn of_model(family: &'static str) -> Graph {
        let mut graph = Graph::default();
        let scope = graph.module(ModuleClass::Model(family));
        graph.set_root(scope);
        graph
    }

    /// The module of an id.
    pub fn module_of(&self, id: ModuleId) -> &Module {
        &self.modules()[id.0]
    }

    /// The modules around a node, the innermost first.
    pub fn modules_around(&self, node: &Node) -> impl Iterator<Item = (ModuleId, &Module)> {
        let step = |id: &ModuleId| self.module_of(*id).parent;
        std::iter::successors(node.module, step).map(|id| (id, self.module_of(id)))
    }

    /// Says that `present` takes the place of the cached input `past` in the next run; the input itself does
    /// where it was filled once. It is said after
    /// everything that reads `present` was recorded: where that is attention with one window or with chunks
    /// of one size alone, tokens before those that the last of them sees are of no use any more. Of `p` the
    /// cache holds `min(p, window)`, or those of the chunk of the last, `p - chunk·(⌈p / chunk⌉ - 1)`.
    pub fn cache(&mut self, of: Cached, past: Var, present: Var) {
        self.mark(past, Role::Cache(of));
        let held = self.held(past, present);
        self.add_cache(Cache { of, past, present, held });
    }

    /// The elements of a cached input that are of use to what reads `present`.
    fn held(&mut self, past: Var, present: Var) -> Poly {
        let shape = self.shape(past).clone();
        let tokens = self.size_of(SizeRole::Past).map(Poly::symbol);
        let at = tokens.and_then(|p| shape.axes.iter().position(|axis| axis.size == p));
        let (Some(at), Some(reach)) = (at, self.common_reach(present)) else {
            return shape.elements();
        };
        let mut sizes: Vec<Poly> = shape.axes.into_iter().map(|axis| axis.size).collect();
        let seen = match reach {
            Reach::Window(window) => window,
            Reach::Chunk(chunk) => {
                let chunks = self.ceil_div("chunks", &sizes[at], &chunk);
                &sizes[at] + &chunk - chunk.clone() * chunks
            }
        };
        sizes[at] = self.minimum("held", [sizes[at].clone(), seen]);
        sizes.into_iter().product()
    }

    /// How far back everything sees that reads a value; none where something reads all of it, or they
    /// differ.
    fn common_reach(&self, value: Var) -> Option<Reach<Poly>> {
        let readers = self.nodes.iter().filter(|node| node.inputs.contains(&value));
        let mut reaches = readers.map(|node| {
            let Op::Attention(attention) = &node.op else { return None };
            attention.mask.reach.clone()
        });
        let first = reaches.next()??;
        reaches.all(|reach| reach.as_ref() == Some(&first)).then_some(first)
    }

    /// The sizes of chunks beyond which queries do not see, each once.
    pub fn chunks(&self) -> Vec<&Poly> {
        let mut chunks = Vec::new();
        for node in &self.nodes {
            if let Op::Attention(Attention { mask, .. }) = &node.op
                && let Some(Reach::Chunk(chunk)) = &mask.reach
                && !chunks.contains(&chunk)
            {
                chunks.push(chunk);
            }
        }
        chunks
    }

    /// The inputs of a role, in the order of recording.
    pub fn inputs_of(&self, role: Role) -> impl Iterator<Item = Var> {
        let of_role = move |var: &Var| self.node(*var).role == Some(role);
        self.vars().filter(|var| self.node(*var).op.is_source()).filter(of_role)
    }

    /// Says what a size counts.
    pub fn size_role(&mut self, role: SizeRole, symbol: impl Into<Symbol>) {
        self.set_size(role, symbol.into());
    }

    /// The size that counts something, if a layer said which.
    pub fn size_of(&self, role: SizeRole) -> Option<&Symbol> {
        self.sizes_by_role().get(&role)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Concat;
    use crate::{Axis, Mask};
    use opledger_dims::Binding;

    /// Elements that are held of a cache of `p` tokens, of width 3, read under a mask.
    fn held(mask: impl Fn() -> Mask, p: u64) -> u64 {
        let mut g = Graph::new();
        g.size_role(SizeRole::Past, "p");
        let axes = |tokens: Axis| [Axis::new("b", 1), tokens, Axis::new("h", 1), Axis::new("e", 3)];
        let q = g.input("q", axes("n".into())).unwrap();
        let past = g.input("past", axes(Axis::new("m", "p"))).unwrap();
        let new = g.input("new", axes(Axis::new("m", "n"))).unwrap();
        let grows = Concat { axis: "m".into(), grows: true };
        let all = g.record("", grows, &[past, new]).unwrap();
        let mask = Mask { offset: Some("p".into()), ..mask() };
        g.attention((q, all, all), mask, None, None).unwrap();
        g.cache(Cached::Keys, past, all);
        let sizes = g.complete(&Binding::from_iter([("n", 1), ("p", p)])).unwrap();
        g.caches()[0].held.at(&sizes).unwrap().try_into().unwrap()
    }

    #[test]
    fn what_is_held_of_a_cache_is_what_can_be_seen_again() {
        for p in 0..13 {
            assert_eq!(held(Mask::causal, p), 3 * p, "all {p}");
            assert_eq!(held(|| Mask::sliding(5), p), 3 * p.min(5), "window, {p}");
            // Whole chunks before the last token are never seen again.
            let last = if p == 0 { 0 } else { (p - 1) % 5 + 1 };
            assert_eq!(held(|| Mask::chunked(5), p), 3 * last, "chunk, {p}");
        }
    }
}
