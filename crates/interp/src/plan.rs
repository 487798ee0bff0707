//! What a run needs that depends on the graph, the sizes and the tensors only: found once.

use opledger_dims::Binding;
use opledger_ir::{Graph, Node, Op, OpError, Part, Value};

use crate::RunError;
use crate::chain::{Chain, chains};
use crate::feeds::{Store, op_error, sizes_at};
use crate::memory::computed_bytes;

/// The nodes of a graph at a complete binding, ready to be executed.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
    /// Bytes of computed values that are alive at once, as `f32`.
    pub(crate) computed_bytes: u64,
    /// Nodes one by one, and with chains as one step.
    pub(crate) single: Schedule,
    pub(crate) chained: Schedule,
    binding: Binding,
}

/// A node at a binding.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// The sizes of the result.
    pub(crate) output: Vec<usize>,
    /// The parts that its ledger row keeps apart.
    pub(crate) parts: Vec<Part>,
    /// The tensor of a source that no repetition repeats.
    pub(crate) source: Option<Value<f32>>,
    /// Bytes read and written, each operand once.
    pub(crate) bytes: [u64; 2],
}

/// When nodes run and values die.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    pub(crate) roles: Vec<Role>,
    /// The values that nothing reads after each node.
    pub(crate) dying: Vec<Vec<usize>>,
}

/// What a node is to a schedule.
#[derive(Clone, Debug)]
pub(crate) enum Role {
    /// It runs where it stands.
    Alone,
    /// It runs with the last node of its chain.
    Member,
    /// The last node of a chain, where all of it runs.
    Last(Chain),
}

impl Plan {
    /// Whether the plan was made for such a graph at this binding.
    pub(crate) fn is_for(&self, graph: &Graph, binding: &Binding) -> bool {
        self.steps.len() == graph.nodes().len() && self.binding == *binding
    }

    pub(crate) fn new(graph: &Graph, binding: &Binding, store: &Store) -> Result<Plan, RunError> {
        let mut steps: Vec<Step> = Vec::with_capacity(graph.nodes().len());
        for (at, node) in graph.nodes().iter().enumerate() {
            let wrong = |problem: OpError| op_error(node, problem);
            let output = sizes_at(&node.shape, binding).map_err(wrong)?;
            let bytes = |node: &Node, sizes: &[usize]| {
                (sizes.iter().product::<usize>() as u64 * node.shape.elem.bits()).div_ceil(8)
            };
            let operands = node.inputs.iter();
            let read = operands.map(|v| bytes(graph.node(*v), &steps[v.index()].output)).sum();
            let moves = !node.op.is_view() && !node.op.is_source();
            steps.push(Step {
                parts: graph.node_cost(node).0.iter().map(|(part, _)| *part).collect(),
                source: (node.op.is_source() && node.repeat.is_none())
                    .then(|| store.get(&node.path).cloned())
                    .flatten(),
                bytes: if moves { [read, bytes(node, &output)] } else { [0, 0] },
                output,
            });
            debug_assert_eq!(steps.len(), at + 1);
        }
        let computed = computed_bytes(graph, binding, size_of::<f32>())?;
        let last = graph.last_uses();
        Ok(Plan {
            steps,
            computed_bytes: u64::try_from(computed).unwrap_or(u64::MAX),
            single: Schedule::new(graph, &last, Vec::new()),
            chained: Schedule::new(graph, &last, chains(graph)),
            binding: binding.clone(),
        })
    }
}

impl Schedule {
    fn new(graph: &Graph, last: &[usize], chains: Vec<Chain>) -> Schedule {
        let count = graph.nodes().len();
        let mut roles = vec![Role::Alone; count];
        // What dies inside a chain dies with its last node.
        let mut ends: Vec<usize> = (0..count).collect();
        for chain in chains {
            for node in chain.nodes() {
                roles[node] = Role::Member;
                ends[node] = chain.last;
            }
            let end = chain.last;
            roles[end] = Role::Last(chain);
        }
        let mut dying = vec![Vec::new(); count];
        for (value, &last) in last.iter().enumerate() {
            let computed = !matches!(graph.nodes()[value].op, Op::Source(_));
            if computed && last < count && !matches!(roles[value], Role::Member) {
                dying[ends[last]].push(value);
            }
        }
        Schedule { roles, dying }
    }
}
