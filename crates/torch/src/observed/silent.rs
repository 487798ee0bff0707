//! Operators by what tools hear of them.

/// Whether modules keep the function that an operator is called by.
pub(super) fn is_activation(base: &str) -> bool {
    matches!(base, "relu" | "gelu" | "silu" | "sigmoid" | "tanh" | "softplus")
}

/// Whether torch.nn.functional has a function in Python that calls the one of torch of its name.
pub(super) fn is_written_in_python(base: &str) -> bool {
    matches!(
        base,
        "relu"
            | "softmax"
            | "layer_norm"
            | "group_norm"
            | "batch_norm"
            | "max_pool1d"
            | "max_pool2d"
            | "max_pool3d"
    )
}

/// Whether a method writes into its tensor.
pub(super) fn is_in_place(name: &str) -> bool {
    name.ends_with('_') && !name.ends_with("__")
}

/// Whether an operator moves, makes or describes values without arithmetic, which no tool counts.
pub(super) fn is_silent(base: &str) -> bool {
    matches!(
        base,
        "_assert_scalar"
            | "_assert_tensor_metadata"
            | "_to_copy"
            | "_unsafe_view"
            | "_conj"
            | "alias"
            | "arange"
            | "broadcast_tensors"
            | "broadcast_to"
            | "cartesian_prod"
            | "chunk"
            | "complex"
            | "conj"
            | "clone"
            | "constant_pad_nd"
            | "contiguous"
            | "detach"
            | "diagonal"
            | "empty"
            | "empty_like"
            | "expand"
            | "expand_as"
            | "fill"
            | "flatten"
            | "flip"
            | "imag"
            | "full"
            | "full_like"
            | "lift_fresh"
            | "lift_fresh_copy"
            | "meshgrid"
            | "movedim"
            | "mT"
            | "narrow"
            | "new_empty"
            | "new_full"
            | "new_ones"
            | "new_zeros"
            | "numpy_T"
            | "ones"
            | "ones_like"
            | "pad"
            | "permute"
            | "repeat"
            | "repeat_interleave"
            | "real"
            | "reshape"
            | "reshape_as"
            | "resolve_conj"
            | "roll"
            | "scalar_tensor"
            | "select"
            | "slice"
            | "split"
            | "split_with_sizes"
            | "squeeze"
            | "stack"
            | "swapaxes"
            | "swapdims"
            | "sym_numel"
            | "sym_size"
            | "sym_storage_offset"
            | "sym_stride"
            | "sym_constrain_range"
            | "sym_constrain_range_for_size"
            | "t"
            | "tensor_split"
            | "tile"
            | "to"
            | "transpose"
            | "tril"
            | "tril_indices"
            | "triu"
            | "triu_indices"
            | "type_as"
            | "unbind"
            | "unflatten"
            | "unfold"
            | "unsqueeze"
            | "view"
            | "view_as"
            | "view_as_complex"
            | "view_as_real"
            | "zero"
            | "zeros"
            | "zeros_like"
    )
}
