"""The worker of PyTorch: eval and inference mode, fused attention, results written in place where
PyTorch offers it."""

import os

import torch
import torch.nn.functional as F
from torch import nn

import data
from serve import serve


def attention(spec):
    # [batch, heads, tokens, width], contiguous: the layout its own modules produce.
    q, k, v = (torch.from_numpy(x).transpose(1, 2).contiguous() for x in data.attention(spec))
    grouped = {"enable_gqa": True} if spec["heads"] != spec["kv_heads"] else {}

    def run():
        return F.scaled_dot_product_attention(q, k, v, is_causal=spec["causal"], **grouped)

    return run, lambda y: y.transpose(1, 2).numpy()


def module(spec):
    """The layer as a module with the seeded parameters, and x."""
    x, values = data.layer(spec)
    width, heads = spec["width"], spec["heads"]
    if spec["layer"] == "mha":
        layer = nn.MultiheadAttention(width, heads, batch_first=True)
    else:
        layer = nn.TransformerEncoderLayer(
            width, heads, spec["hidden"], dropout=0.0, activation="gelu", batch_first=True
        )
    layer.load_state_dict({name: torch.from_numpy(v) for name, v in values.items()})
    return layer.eval(), torch.from_numpy(x)


def layer(spec):
    block, x = module(spec)
    fast = spec["variant"] == "fast-path"

    def run():
        torch.backends.mha.set_fastpath_enabled(fast)
        if spec["layer"] == "mha":
            return block(x, x, x, need_weights=False)[0]
        return block(x)

    return run, lambda y: y.numpy()


def encoder(spec):
    import encoder as model

    states, ids = model.States(), torch.from_numpy(data.ids(spec))
    return lambda: states(ids), lambda y: y.numpy()


def gemm(spec):
    a, w = (torch.from_numpy(x) for x in data.gemm(spec))
    out = torch.empty(spec["m"], spec["n"])
    return lambda: torch.mm(a, w.t(), out=out), lambda y: y.numpy()


def rows(spec):
    x, gain, bias = (torch.from_numpy(v) for v in data.rows(spec))
    width, out = spec["width"], torch.empty_like(x)
    mean, rstd = torch.empty(spec["rows"], 1), torch.empty(spec["rows"], 1)
    norm = torch.ops.aten.native_layer_norm.out
    run = {
        "layer-norm": lambda: norm(x, [width], gain, bias, 1e-5, out0=out, out1=mean, out2=rstd)[0],
        "softmax": lambda: torch.softmax(x, -1, out=out),
        "gelu": lambda: torch.ops.aten.gelu.out(x, out=out),
    }[spec["op"]]
    return run, lambda y: y.numpy()


KINDS = {"attention": attention, "layer": layer, "gemm": gemm, "rows": rows, "encoder": encoder}

if __name__ == "__main__":
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    torch.set_num_interop_threads(1)
    with torch.inference_mode():
        serve(lambda spec: KINDS[spec["kind"]](spec))
