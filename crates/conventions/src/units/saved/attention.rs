//! Attention as PyTorch runs it on a CPU, and what each call of it saves.

use opledger_ir::Elem;

use super::tape::{SavedTensor, Tape};

/// How attention runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `_scaled_dot_product_flash_attention_for_cpu`.
    Fused,
    /// `_scaled_dot_product_attention_math`: queries and keys are scaled each, 16-bit reals are widened.
    Math,
    /// Product, scale, softmax, product, by the library's own function; softmax of single precision or not.
    Chain {
        /// Whether it is.
        widened: bool,
    },
}

/// Tensors that attention makes, as they are without a storage.
pub(super) struct Made {
    /// `[b, n, h, f]`.
    pub(super) result: SavedTensor,
    /// `[b, h, n, m]`.
    pub(super) weights: SavedTensor,
    /// `[b, h, n]`.
    pub(super) rows: SavedTensor,
    /// `[b, h, m, e]` and `[b, h, m, f]`: keys and values of all heads.
    pub(super) repeated: [SavedTensor; 2],
}

/// What attention of `q [b, n, h, e]`, `k [b, m, g, e]`, `v [b, m, g, f]` gives, `[b, n, h, f]`.
pub(super) fn attend(
    tape: &mut Tape,
    [q, k, v]: [&SavedTensor; 3],
    made: &Made,
    (form, dropped): (Form, bool),
) -> SavedTensor {
    if form == Form::Fused {
        let mut out = tape.fresh(&made.result, q.elem);
        out.strides = SavedTensor { sizes: out.sizes.clone(), ..q.clone() }.strides_like();
        let sums = tape.fresh(&made.rows, Elem::F32);
        tape.call("_scaled_dot_product_flash_attention_for_cpu", &[q, k, v], &[&out, &sums]);
        return out;
    }
    let math = form == Form::Math;
    let own = q.elem;
    let inside = if math { Elem::F32 } else { own };
    let by_heads = [0, 2, 1, 3];
    let [mut q, mut k, mut v] = [q, k, v].map(|of| tape.to(&of.permuted(&by_heads), inside));
    if k.sizes[1] != q.sizes[1] {
        [k, v] = [(&made.repeated[0], &k), (&made.repeated[1], &v)]
            .map(|(like, of)| SavedTensor { grad: of.grad, ..tape.fresh(like, inside) });
    }
    if math {
        q = tape.pointwise("scale", &[&q]);
        k = tape.pointwise("scale", &[&k]);
    }
    // `matmul` of batches is `bmm` of one axis of them.
    let q = tape.reshape(&q, &[2, 1, 1]);
    let k = tape.reshape(&k.permuted(&[0, 1, 3, 2]), &[2, 1, 1]);
    let mut scores = tape.fresh(&made.weights, inside);
    scores.grad = q.grad || k.grad;
    tape.call("bmm", &[&q, &k], &[&scores]);
    if !math {
        scores = tape.pointwise("scale", &[&scores]);
    }
    if form == (Form::Chain { widened: true }) {
        // `softmax(…, dtype=float32)` widens inside.
        scores.elem = Elem::F32;
    }
    let softmax = tape.pointwise("softmax", &[&scores]);
    let mut shares = tape.to(&softmax, inside);
    if dropped {
        shares = tape.dropout(&shares);
    }
    let shares = tape.reshape(&shares, &[2, 1, 1]);
    v = tape.reshape(&v, &[2, 1, 1]);
    // [b, h, n, f], seen as [b, n, h, f].
    let mut out = tape.fresh(&made.result.permuted(&by_heads), inside).permuted(&by_heads);
    out.grad = shares.grad || v.grad;
    tape.call("bmm", &[&shares, &v], &[&out]);
    tape.to(&out, own)
}
