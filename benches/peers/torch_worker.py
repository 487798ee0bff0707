"""The worker of PyTorch: eval and inference mode, fused attention, results written in place where
PyTorch offers it."""

import os

import numpy as np
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


class Block(nn.Module):
    """A layer with the parameters of an encoder layer, written with fused attention: norms after the residuals
    and GELU by the error function, or a block of GPT-2."""

    def __init__(self, spec, values):
        super().__init__()
        self.heads, self.gpt2 = spec["heads"], spec["layer"] == "gpt2-block"
        for name, value in values.items():
            self.register_parameter(name.replace(".", "_"), nn.Parameter(torch.from_numpy(value)))

    def linear(self, name, x):
        return F.linear(x, getattr(self, f"{name}_weight"), getattr(self, f"{name}_bias"))

    def norm(self, name, x):
        return F.layer_norm(x, x.shape[-1:], getattr(self, f"{name}_weight"), getattr(self, f"{name}_bias"), 1e-5)

    def attention(self, x):
        qkv = F.linear(x, self.self_attn_in_proj_weight, self.self_attn_in_proj_bias)
        q, k, v = (y.unflatten(-1, (self.heads, -1)).transpose(1, 2) for y in qkv.chunk(3, dim=-1))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=self.gpt2)
        return self.linear("self_attn_out_proj", y.transpose(1, 2).flatten(2))

    def forward(self, x):
        hidden = lambda x: F.gelu(self.linear("linear1", x), approximate="tanh" if self.gpt2 else "none")
        if self.gpt2:
            x = x + self.attention(self.norm("norm1", x))
            return x + self.linear("linear2", hidden(self.norm("norm2", x)))
        x = self.norm("norm1", x + self.attention(x))
        return self.norm("norm2", x + self.linear("linear2", hidden(x)))


def step(spec):
    """Forward and backward pass to the gradients of all parameters."""
    with torch.inference_mode(False):
        x, values = data.layer(spec)
        x, dy = torch.from_numpy(x), torch.from_numpy(data.uniform("gradient", x.shape))
        if spec["variant"] == "module":
            layer = nn.TransformerEncoderLayer(
                spec["width"], spec["heads"], spec["hidden"], dropout=0.0, activation="gelu", batch_first=True
            )
            layer.load_state_dict({name: torch.from_numpy(v) for name, v in values.items()})
        else:
            layer = Block(spec, values)
        layer.train()
        parameters = {name.replace(".", "_"): parameter for name, parameter in layer.named_parameters()}

    def run():
        with torch.inference_mode(False), torch.enable_grad():
            return torch.autograd.grad(layer(x), list(parameters.values()), dy)

    def array(gradients):
        found = dict(zip(parameters, gradients))
        named = {}
        for name in values:
            gradient = found[name.replace(".", "_")]
            if "in_proj" in name:
                inside, kind = name.split("in_proj_")
                for part, own in zip("qkv", gradient.chunk(3)):
                    named[f"{inside}{part}_proj.{kind}"] = own
            else:
                named[name] = gradient
        return np.concatenate([named[name].flatten().numpy() for name in sorted(named)])

    return run, array


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


KINDS = {"attention": attention, "layer": layer, "step": step, "gemm": gemm, "rows": rows, "encoder": encoder}

if __name__ == "__main__":
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    torch.set_num_interop_threads(1)
    with torch.inference_mode():
        serve(lambda spec: KINDS[spec["kind"]](spec))
