//! What becomes of a program by its data alone, which no formula in sizes says: refused, each with what
//! to write instead.

use crate::call::Call;
use crate::importer::{Importer, Lowered, Meaning, Obstacle};
use crate::schema::Argument;

/// Why what is chosen by data is no tensor of a graph.
pub(super) const OPEN: &str = "how many elements are chosen depends on the data, so the result has no size; \
                               keep all of them, and choose by `torch.where` or a product with a mask";
/// Why sequences of lengths that the data says are not read.
const PACKED: &str = "how long packed sequences are depends on the data; give sequences of one length, \
                      padded, and hide what is padding by a mask";
/// Why a number that is read out of a tensor is none of a graph.
const NUMBER: &str = "a number is read out of a tensor, and what follows may depend on it; keep it a tensor, \
                      or make it an argument of the module that is no tensor";
/// Why a branch is not followed.
const BRANCH: &str = "which branch is executed depends on the data, and a count would hold for one of them; \
                      choose by `torch.where`, or export the branch that is meant by itself";
/// Why a branch that sizes choose is not followed.
const BRANCH_OF_SIZES: &str = "which branch is executed depends on sizes, and a count would hold for one of them; \
                               write `if`, whose branch an export takes and whose condition is told";
/// Why a loop has no count.
const LOOP: &str = "how often the body is executed depends on the data; run it a number of times that sizes \
                    say, or export the body by itself";

pub(super) fn lower(_: &mut Importer<'_>, call: &Call<'_>, base: &str) -> Lowered<Vec<Meaning>> {
    let repeats = |arg: &Argument| matches!(arg, Argument::Tensor(_));
    let by_tensor = |name: &str| call.argument(name).is_some_and(repeats);
    let problem = match base {
        "masked_select" | "nonzero" | "nonzero_numpy" | "argwhere" | "unique" | "_unique"
        | "_unique2" | "unique_consecutive" | "unique_dim" | "bincount" => OPEN,
        // Of a condition alone: the places where it holds.
        "where" if call.operation == "aten.where.default" => OPEN,
        "repeat_interleave" if by_tensor("repeats") => OPEN,
        "_pack_padded_sequence" | "_pad_packed_sequence" => PACKED,
        // Packed sequences are of a form of their own: `aten.lstm.data`.
        "lstm" | "gru" | "rnn_tanh" | "rnn_relu" if call.operation.ends_with(".data") => PACKED,
        "item" | "_local_scalar_dense" => NUMBER,
        _ => return Err(Obstacle::Unknown),
    };
    Err(Obstacle::Bad(problem.to_owned()))
}

/// Higher-order operations that execute by data, or by sizes (`torch/_higher_order_ops`).
pub(super) fn higher_order(call: &Call<'_>) -> Lowered<Vec<Meaning>> {
    let chooses = call.node.inputs.first().map(|input| &input.arg);
    // Asks for a version, of which no result is.
    if call.operation == "torchvision._cuda_version.default" {
        return Ok(vec![Meaning::None; call.node.outputs.len()]);
    }
    Err(match call.operation {
        "torchvision.nms.default" => Obstacle::Bad(OPEN.to_owned()),
        "higher_order.cond" if !matches!(chooses, Some(Argument::Tensor(_))) => {
            Obstacle::Bad(BRANCH_OF_SIZES.to_owned())
        }
        "higher_order.cond" => Obstacle::Bad(BRANCH.to_owned()),
        "higher_order.while_loop" => Obstacle::Bad(LOOP.to_owned()),
        _ => Obstacle::Unknown,
    })
}
