//! Sizes that no slice backs: an axis of stride zero, or beside an axis of size zero, may have any length,
//! and must be refused rather than asked memory for.

use opledger_dims::Foremost;
use opledger_kernels::*;

const ONE: [f32; 4] = [1.0; 4];
/// More elements than a machine holds.
const HUGE: usize = 1 << 40;

fn heads() -> Heads<'static> {
    Heads { data: &ONE, batch_stride: 0, token_stride: 0, head_stride: 0 }
}

fn meters() -> AttentionMeters<'static, NoMeter> {
    AttentionMeters {
        scores: &NoMeter,
        scale: &NoMeter,
        soft_cap: &NoMeter,
        bias: &NoMeter,
        softmax: &NoMeter,
        context: &NoMeter,
    }
}

fn refused<T: std::fmt::Debug>(result: Result<T, KernelError>) {
    match result {
        Err(
            KernelError::Short { .. } | KernelError::Shape { .. } | KernelError::TooLarge { .. },
        ) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn products_refuse_terms_that_are_one_element() {
    let still = |data| MatrixBatch { data, offsets: &[0], row_stride: 0, col_stride: 0 };
    for (m, k, n) in [(300, 1 << 60, 16), (300, HUGE, 64), (3, HUGE, 16), (9, HUGE, 33)] {
        let mut c = vec![0.0; m * n];
        let a = still(&ONE);
        refused(gemm(&Gemm { batch: 1, m, k, n, a, b: Right::Plain(a) }, &mut c, &NoMeter));
    }
    for (m, k, n) in [(300, usize::MAX, 16), (300, usize::MAX / 16 + 1, 16)] {
        let mut c = vec![0.0; m * n];
        let a = still(&ONE);
        refused(gemm(&Gemm { batch: 1, m, k, n, a, b: Right::Plain(a) }, &mut c, &NoMeter));
    }
    for shape in [[1 << 60, 16], [HUGE, 16], [usize::MAX, 1], [16, HUGE]] {
        refused(PackedMatrix::new(&ONE, shape, [0, 0]));
    }
    assert!(PackedMatrix::new(&[0.0_f32; 0], [usize::MAX, 0], [9, 9]).is_ok());
}

#[test]
fn attention_refuses_vectors_that_are_one_element() {
    let shape = AttentionShape {
        batch: 1,
        queries: 1,
        keys: 1,
        heads: 1,
        kv_heads: 1,
        key_width: 1,
        value_width: 0,
    };
    let (q, k, v) = (heads(), heads(), heads());
    for shape in [
        AttentionShape { batch: HUGE, ..shape },
        AttentionShape { batch: usize::MAX, ..shape },
        AttentionShape { queries: 1 << 62, heads: 4, ..shape },
        AttentionShape { heads: 1 << 63, ..shape },
        AttentionShape { keys: HUGE, ..shape },
        AttentionShape { keys: 1 << 62, ..shape },
        AttentionShape { keys: 1 << 62, value_width: 4, ..shape },
        AttentionShape { key_width: 1 << 62, ..shape },
    ] {
        let mut out = vec![0.0; shape.value_width];
        let mask = Mask::default();
        let problem = Attention {
            shape,
            q,
            k,
            v,
            mask,
            bias: None,
            scale: None,
            divides: false,
            soft_cap: None,
            sinks: None,
        };
        refused(attention(&problem, &mut out, &meters()));
        let bias = Some(Bias { data: &ONE, starts: &[], query_stride: 0 });
        refused(attention(&Attention { bias, ..problem }, &mut out, &meters()));
    }
    let far = Heads { batch_stride: usize::MAX, token_stride: usize::MAX, ..heads() };
    let none = AttentionShape { batch: 2, heads: 2, ..shape };
    let q = Heads { batch_stride: 2, head_stride: 1, ..heads() };
    let problem = Attention {
        shape: none,
        q,
        k: Heads { batch_stride: 1, ..heads() },
        v: far,
        mask: Mask::default(),
        bias: None,
        scale: None,
        divides: false,
        soft_cap: None,
        sinks: None,
    };
    assert_eq!(attention(&problem, &mut [], &meters()), Ok(()));
    let many = [1.0; 80];
    let of = |data| Heads { data, batch_stride: 40, token_stride: 2, head_stride: 1 };
    let shape = AttentionShape { queries: 20, keys: 20, kv_heads: 2, ..none };
    let blocks = Attention { shape, q: of(&many), k: of(&many), ..problem };
    assert_eq!(attention(&blocks, &mut [], &meters()), Ok(()));
    let contiguous = Heads::contiguous(&ONE, usize::MAX, usize::MAX, 2);
    let problem =
        Attention { shape: AttentionShape { batch: 2, ..shape }, q: contiguous, ..problem };
    refused(attention(&problem, &mut [], &meters()));
}

#[test]
fn rows_of_no_keys_ask_for_no_memory() {
    for batch in [HUGE, usize::MAX] {
        let mask = Mask { keep: Some(Keep::Keys(&[])), ..Mask::default() };
        let rows = ScoreRows { batch, heads: 1, queries: 1, keys: 0, mask };
        assert_eq!(softmax::<f32, _>(&rows, &[], &mut [], &NoMeter), Ok(()));
        let strides = [1, 0];
        let operand = || Strided { data: &[0.0_f32; 0], strides: &strides };
        let operands = [operand(), operand()];
        let shape = [batch, 0];
        let sum = masked_binary(BinaryOp::Add, &rows, &shape, operands, &mut [], &NoMeter);
        assert_eq!(sum, Ok(()));
    }
}

#[test]
fn the_largest_of_nothing_are_none() {
    assert_eq!(top_k::<f32, _>(0, 0, Foremost::Largest, &[], &mut [], &NoMeter), Ok(()));
    assert_eq!(top_k(3, 0, Foremost::Largest, &[1.0; 3], &mut [], &NoMeter), Ok(()));
    for (width, k, x) in [(0, 0, &[][..]), (3, 0, &[1.0; 3]), (2, 2, &[1.0; 2])] {
        let result = top_k(width, k, Foremost::Largest, x, &mut [0], &NoMeter);
        assert!(matches!(result, Err(KernelError::Length { .. })), "{result:?}");
    }
}
