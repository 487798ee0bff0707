//! What operators of ATen save for their backward: `tools/autograd/derivatives.yaml` of PyTorch 2.15.

/// What one operator saves.
pub(super) struct Saves {
    /// The operator.
    pub(super) op: &'static str,
    /// The operands that are saved, by place, each with the operands whose gradient reads it.
    pub(super) operands: &'static [(usize, &'static [usize])],
    /// The results that are saved, by place.
    pub(super) results: &'static [usize],
}

const fn saves(
    op: &'static str,
    operands: &'static [(usize, &'static [usize])],
    results: &'static [usize],
) -> Saves {
    Saves { op, operands, results }
}

/// Sizes and numbers that a backward reads are no tensors.
const TABLE: &[Saves] = &[
    saves("add", &[], &[]),
    saves("cat", &[], &[]),
    saves("mean", &[], &[]),
    saves("neg", &[], &[]),
    // By a number.
    saves("scale", &[], &[]),
    // To another type.
    saves("to", &[], &[]),
    saves("mm", &[(0, &[1]), (1, &[0])], &[]),
    saves("addmm", &[(0, &[1]), (1, &[0])], &[]),
    saves("bmm", &[(0, &[1]), (1, &[0])], &[]),
    saves("mul", &[(0, &[1]), (1, &[0])], &[]),
    saves("pow", &[(0, &[0])], &[]),
    saves("rsqrt", &[], &[0]),
    saves("relu", &[], &[0]),
    saves("sigmoid", &[], &[0]),
    saves("tanh", &[], &[0]),
    saves("gelu", &[(0, &[0])], &[]),
    saves("silu", &[(0, &[0])], &[]),
    saves("softmax", &[], &[0]),
    // Input, gain, shift; the result, means and reciprocal deviations.
    saves("native_layer_norm", &[(0, &[0, 1]), (1, &[0]), (2, &[0])], &[1, 2]),
    // Table and places.
    saves("embedding", &[(1, &[0])], &[]),
    saves("convolution", &[(0, &[1]), (1, &[0])], &[]),
    // Queries, keys, values; the result and the logarithms of the sums of its rows.
    saves(
        "_scaled_dot_product_flash_attention_for_cpu",
        &[(0, &[0, 1, 2]), (1, &[0, 1, 2]), (2, &[0, 1, 2])],
        &[0, 1],
    ),
];

/// What an operator saves; none of one that was never observed.
pub(super) fn of(op: &str) -> Option<&'static Saves> {
    TABLE.iter().find(|saves| saves.op == op)
}
