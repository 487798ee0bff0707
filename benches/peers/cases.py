"""What is compared: problems, and the ways in which the engines compute them."""

from dataclasses import dataclass, field

from worker import HERE


@dataclass
class Entry:
    """A way of an engine to compute a case."""

    engine: str  # as the tables show it
    worker: str
    variant: str
    feature: str
    threads: int


@dataclass
class Case:
    """A problem and its entries; the first one is what the others are compared with."""

    group: str
    title: str
    spec: dict
    flops: float
    entries: list
    bytes: float = 0.0  # read and written, of a case that memory limits
    seconds: float = 0.2
    chart: bool = True
    notes: list = field(default_factory=list)


GROUPS = {
    "a": "Attention module, projections with biases included",
    "b": "Attention alone, 8 heads of 64",
    "c": "Attention alone, 32 heads of 128",
    "d": "Encoder layer, norms after the residuals, GELU",
    "e": "Causal attention",
    "f": "Decoding: one query against a cache of keys and values",
    "g": "Matrix products of Transformers",
    "h": "Encoder layer, short sequence",
    "i": "LayerNorm, softmax, GELU on 128 MiB",
    "k": "Encoder of the shape of all-MiniLM-L6-v2, drawn weights, sentences of 20 tokens",
    "j": "Peak memory of attention over 65,536 tokens",
    "l": "Training step of a layer: forward and backward, to the gradients of its parameters",
}


def layer_entries(layer, t):
    fast = "fast path of nn." + ("MultiheadAttention" if layer == "mha" else "TransformerEncoderLayer")
    fused = "com.microsoft Attention" + (", SkipLayerNormalization, BiasGelu" if layer != "mha" else ", MatMul, Add")
    return [
        Entry("Opledger", "ours", "counted", "interpreter with ledger", t),
        Entry("Opledger", "ours", "not-counted", "counting compiled out", t),
        Entry("PyTorch", "torch", "fast-path", fast, t),
        Entry("PyTorch", "torch", "sdpa", "fast path off, fused scaled_dot_product_attention", t),
        Entry("onnxruntime", "onnxruntime", "fused", fused, t),
        Entry("onnxruntime", "onnxruntime", "exported", "torch.onnx.export, ORT_ENABLE_ALL", t),
        Entry("onnxruntime", "onnxruntime", "optimised", "export rewritten by onnxruntime.transformers.optimizer", t),
    ]


def layer(group, t, layer, batch, tokens, width, heads, hidden, **options):
    spec = dict(kind="layer", layer=layer, batch=batch, tokens=tokens, width=width, heads=heads, hidden=hidden)
    macs = batch * tokens * (4 * width * width + 2 * tokens * width + 2 * width * hidden)
    name = {"mha": "attention module", "encoder-layer": "encoder layer"}[layer]
    title = f"{name}, batch {batch}, {tokens} tokens, width {width}, {heads} heads"
    title += f", hidden {hidden}" if hidden else ""
    return Case(group, title, spec, 2.0 * macs, layer_entries(layer, t), **options)


def step(t, layer, batch, tokens, width, heads, hidden):
    spec = dict(kind="step", layer=layer, batch=batch, tokens=tokens, width=width, heads=heads, hidden=hidden)
    causal = layer == "gpt2-block"
    pairs = (tokens + 1) / 2 if causal else tokens
    forward = 4 * width * width + 2 * pairs * width + 2 * width * hidden
    # The input has no gradient: without a norm before them, the first maps need none of it either.
    macs = batch * tokens * (3 * forward - (0 if causal else 3 * width * width))
    entries = [
        Entry("Opledger", "ours", "selective", "weights of attention computed again, with ledger", t),
        Entry("Opledger", "ours", "kept", "weights of attention kept, with ledger", t),
        Entry("PyTorch", "torch", "fused", "autograd, fused scaled_dot_product_attention", t),
    ]
    if not causal:
        entries.append(Entry("PyTorch", "torch", "module", "autograd, nn.TransformerEncoderLayer", t))
    name = "block of GPT-2" if causal else "encoder layer"
    title = f"{name}, batch {batch}, {tokens} tokens, width {width}, {heads} heads, hidden {hidden}"
    return Case("l", title, spec, 2.0 * macs, entries, chart=False)


def attention(group, t, batch, queries, keys, heads, width, kv_heads=None, causal=False, keep=None, **options):
    kv = kv_heads or heads
    spec = dict(
        kind="attention", batch=batch, queries=queries, keys=keys, heads=heads, kv_heads=kv, width=width, causal=causal
    )
    pairs = queries * (queries + 1) / 2 if causal else queries * keys
    size = f"{queries} tokens" if queries == keys else f"{queries} query, {keys} keys"
    title = f"attention, batch {batch}, {size}, {heads} heads of {width}"
    title += f", {kv} of keys and values" if kv != heads else ""
    title += ", causal" if causal else ""
    decode = queries == 1
    operator = "com.microsoft GroupQueryAttention" if decode else "com.microsoft MultiHeadAttention"
    entries = [
        Entry("Opledger", "ours", "counted", "kernel, counting", t),
        Entry("Opledger", "ours", "not-counted", "kernel, not counting", t),
        Entry("PyTorch", "torch", "sdpa", "scaled_dot_product_attention" + (", enable_gqa" if kv != heads else ""), t),
        Entry("onnxruntime", "onnxruntime", "fused", operator, t),
        Entry("candle", "crates", "candle-flash", "cpu flash_attn", t),
        Entry("candle", "crates", "candle-naive", "matmul, softmax, matmul", t),
        Entry("burn", "crates", "burn", "burn-flex attention", t),
    ]
    if keep:
        entries = [e for e in entries if e.worker in keep or e.variant in keep]
    return Case(group, title, spec, 4.0 * batch * heads * pairs * width, entries, **options)


def encoder(t, batch, tokens=20):
    width, hidden, layers, heads = 384, 1536, 6, 12
    spec = dict(kind="encoder", batch=batch, tokens=tokens, width=width, heads=heads, vocabulary=30522)
    spec["folder"] = str(HERE / "target/encoder")
    macs = layers * batch * tokens * (4 * width * width + 2 * tokens * width + 2 * width * hidden)
    entries = [
        Entry("Opledger", "ours", "counted", "interpreter with ledger", t),
        Entry("Opledger", "ours", "not-counted", "counting compiled out", t),
        Entry("PyTorch", "torch", "sdpa", "transformers, scaled_dot_product_attention", t),
        Entry("onnxruntime", "onnxruntime", "fused", "com.microsoft Attention, SkipLayerNormalization, BiasGelu", t),
        Entry("onnxruntime", "onnxruntime", "exported", "torch.onnx.export, ORT_ENABLE_ALL", t),
        Entry("onnxruntime", "onnxruntime", "optimised", "export rewritten by onnxruntime.transformers.optimizer", t),
        Entry("OpenVINO", "openvino", "exported", "torch.onnx.export, f32, one stream", t),
    ]
    return Case("k", f"{batch} sentences of {tokens} tokens", spec, 2.0 * macs, entries, chart=False)


# Tokens, and (k, n) of projections: BERT-base and GPT-2, BERT-large, the base Transformer, TinyLlama.
TOKENS = [1, 16, 128, 512, 4096]
PROJECTIONS = [
    (512, 2048), (768, 768), (768, 2304), (768, 3072), (3072, 768), (1024, 4096), (2048, 2048), (2048, 5632),
]


def gemm(m, k, n, t):
    while 2.0 * m * k * n > 6e10:
        m //= 2
    entries = [
        Entry("Opledger", "ours", "gemm", "gemm", t),
        Entry("Opledger", "ours", "packed", "weights packed before", t),
        Entry("matrixmultiply", "crates", "matrixmultiply", "through ndarray", t),
        Entry("gemm", "crates", "gemm", "x86-v4, through candle", t),
        Entry("faer", "crates", "faer", "matmul", t),
        Entry("gemmkit", "crates", "gemmkit", "gemm", t),
        Entry("gemmkit", "crates", "gemmkit-packed", "weights packed before, result by columns", t),
        Entry("PyTorch", "torch", "mm", "mm (MKL)", t),
    ]
    spec = dict(kind="gemm", m=m, k=k, n=n)
    return Case("g", f"{m}×{k}×{n}, {t} threads", spec, 2.0 * m * k * n, entries, seconds=0.05, chart=False)


def rows(op, t, rows, width):
    spec = dict(kind="rows", op=op, rows=rows, width=width)
    entries = [
        Entry("Opledger", "ours", "counted", "kernel, counting", t),
        Entry("PyTorch", "torch", "out", "written in place", t),
    ]
    name = {"layer-norm": "LayerNorm", "softmax": "softmax", "gelu": "GELU"}[op]
    title = f"{name} of [{rows}, {width}]"
    return Case("i", title, spec, 0.0, entries, bytes=8.0 * rows * width, chart=False)


def all_cases(t, quick):
    """Every case with `t` threads; small ones, one of a kind, for a smoke run."""
    if quick:
        return [
            layer("a", t, "mha", 2, 128, 512, 8, 0),
            attention("b", t, 1, 256, 256, 8, 64),
            attention("c", t, 1, 128, 128, 32, 128),
            layer("d", t, "encoder-layer", 1, 128, 512, 8, 2048),
            attention("e", t, 1, 256, 256, 8, 64, keep=["ours", "torch"]),
            attention("e", t, 1, 256, 256, 8, 64, causal=True),
            attention("f", t, 2, 1, 256, 32, 64, bytes=2.0 * 4 * 2 * 256 * 32 * 64),
            attention("f", t, 2, 1, 256, 32, 64, kv_heads=4, bytes=2.0 * 4 * 2 * 256 * 4 * 64),
            gemm(16, 768, 768, 1),
            gemm(128, 768, 768, t),
            layer("h", t, "encoder-layer", 1, 16, 512, 8, 2048),
            step(t, "encoder-layer", 2, 64, 128, 4, 256),
            step(t, "gpt2-block", 2, 64, 128, 4, 256),
            *(rows(op, t, 1024, 1024) for op in ("layer-norm", "softmax", "gelu")),
            encoder(t, 1),
        ]
    cut = ["At 4096 tokens the batch is 4 in place of 32: a run of 32 takes over 5 s, and its scores 17 GB."]
    decode = dict(chart=False)
    return [
        layer("a", t, "mha", 32, 1024, 512, 8, 0),
        attention("b", t, 1, 1024, 1024, 8, 64),
        attention("b", t, 32, 1024, 1024, 8, 64),
        attention("b", t, 1, 4096, 4096, 8, 64),
        attention("b", t, 4, 4096, 4096, 8, 64, notes=cut),
        attention("c", t, 1, 2048, 2048, 32, 128),
        layer("d", t, "encoder-layer", 8, 512, 512, 8, 2048),
        layer("d", t, "encoder-layer", 8, 128, 768, 12, 3072),
        attention("e", t, 8, 1024, 1024, 8, 64),
        attention("e", t, 8, 1024, 1024, 8, 64, causal=True),
        attention("f", t, 16, 1, 2048, 32, 64, bytes=2.0 * 4 * 16 * 2048 * 32 * 64, **decode),
        attention("f", t, 16, 1, 8192, 32, 64, kv_heads=4, bytes=2.0 * 4 * 16 * 8192 * 4 * 64, **decode),
        *(gemm(m, k, n, threads) for threads in sorted({1, t}) for k, n in PROJECTIONS for m in TOKENS),
        layer("h", t, "encoder-layer", 1, 16, 512, 8, 2048),
        step(t, "encoder-layer", 8, 512, 512, 8, 2048),
        step(t, "gpt2-block", 1, 1024, 768, 12, 3072),
        *(rows(op, t, 32768, 1024) for op in ("layer-norm", "softmax", "gelu")),
        *(encoder(t, batch) for batch in (1, 8, 32, 128)),
    ]
