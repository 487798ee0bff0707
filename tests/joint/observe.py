"""Writes products.json: the products of matrices in the joint graph of forward and backward pass that PyTorch exports.

    python3.11 -m venv env && env/bin/pip install torch==2.15.0 transformers==5.23.0
    env/bin/python observe.py

Attention is by products (SDPBackend.MATH), and no heads share keys, which PyTorch would copy. The loss is the sum of the result. A product is [batch, m, k, n] of
mm, addmm, bmm and baddbmm; those behind the loss are the backward pass. `packed` says which size is how many side by
side: projections that PyTorch holds as one weight.
"""

import importlib.metadata
import json
import pathlib
import warnings

import torch
import transformers
from torch import nn
from torch.export import export
from torch.export.experimental import _export_forward_backward
from torch.nn.attention import SDPBackend, sdpa_kernel

OUT = pathlib.Path(__file__).parent / "products.json"
B, N, M = 3, 7, 5


class Loss(nn.Module):
    """The sum of what a module gives."""

    def __init__(self, inner, call=lambda inner, *args: inner(*args)):
        super().__init__()
        self.inner, self.call = inner, call

    def forward(self, *args):
        return self.call(self.inner, *args).sum()


def attention(inner, x):
    return inner(x, x, x, need_weights=False)[0]


def decoder(inner, x, memory):
    mask = nn.Transformer.generate_square_subsequent_mask(N)
    return inner(x, memory, tgt_mask=mask, tgt_is_causal=True)


def configured(config, name):
    keys = {key: value for key, value in config.items() if key != "architectures"}
    model = getattr(transformers, config["architectures"][0])(transformers.AutoConfig.for_model(**keys))
    model.set_attn_implementation("sdpa")
    return Loss(model, lambda inner, ids: inner(ids, use_cache=False)[name])


GPT2 = {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "vocab_size": 41, "n_embd": 24, "n_layer": 1, "n_head": 3,
        "n_positions": 16, "n_inner": 52, "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5,
        "attn_pdrop": 0.0, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "tie_word_embeddings": False}
LLAMA = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 43, "hidden_size": 32,
         "intermediate_size": 60, "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 4,
         "max_position_embeddings": 64, "rms_norm_eps": 1e-6, "hidden_act": "silu", "tie_word_embeddings": False,
         "rope_theta": 10000.0}

def x(*shape):
    return torch.rand(shape)


def ids():
    return torch.randint(40, (B, N))


CASES = {
    "attention": ("mha:c=24,h=3", {"b": B, "n": N}, {72: 3}, lambda: (
        Loss(nn.MultiheadAttention(24, 3, batch_first=True), attention), [x(B, N, 24)])),
    "encoder layer": ("encoder-layer:c=24,h=3,ff=52,act=relu", {"b": B, "n": N}, {72: 3}, lambda: (
        Loss(nn.TransformerEncoderLayer(24, 3, 52, 0.0, batch_first=True)), [x(B, N, 24)])),
    "decoder layer": ("decoder-layer:c=24,h=3,ff=52,act=relu", {"b": B, "n": N, "m": M}, {72: 3, 48: 2}, lambda: (
        Loss(nn.TransformerDecoderLayer(24, 3, 52, 0.0, batch_first=True), decoder), [x(B, N, 24), x(B, M, 24)])),
    "GPT-2": (GPT2, {"b": B, "n": N}, {72: 3}, lambda: (configured(GPT2, "logits"), [ids()])),
    "Llama": (LLAMA, {"b": B, "n": N}, {}, lambda: (configured(LLAMA, "logits"), [ids()])),
    "pre-norm encoder layer": ("encoder-layer:c=24,h=3,ff=52,act=gelu,norm=pre,bias=false", {"b": B, "n": N}, {72: 3}, lambda: (
        Loss(nn.TransformerEncoderLayer(24, 3, 52, 0.0, "gelu", batch_first=True, norm_first=True, bias=False)),
        [x(B, N, 24)])),
}


def product(node):
    """The product that a node is; none if it is none."""
    name = node.target.__name__.split(".")[0] if hasattr(node.target, "__name__") else str(node.target)
    if name in ("mm", "addmm", "bmm", "baddbmm"):
        left, right = [list(arg.meta["val"].shape) for arg in node.args[:3] if hasattr(arg, "meta")][-2:]
        batch = left[:-2] or [1]
        return batch + left[-2:] + right[-1:]
    if any(word in name for word in ("matmul", "linear", "einsum", "attention", "conv", "dot", "mv", "baddbmm")):
        raise ValueError(f"{name} is a product as well")
    return None


def observed(name):
    model, sizes, packed, build = CASES[name]
    torch.manual_seed(0)
    module, args = build()
    with sdpa_kernel(SDPBackend.MATH):
        program = _export_forward_backward(export(module.train(), tuple(args), strict=False))
    loss = next(out.arg.name for out in program.graph_signature.output_specs if out.kind.name == "LOSS_OUTPUT")
    passes, now = {"forward": [], "backward": []}, "forward"
    for node in program.graph.nodes:
        found = product(node) if node.op == "call_function" else None
        passes[now] += [found] if found else []
        now = "backward" if node.name == loss else now
    passes = {when: sorted(found) for when, found in passes.items()}
    if isinstance(model, dict):  # A head that is tied has the same products; a weight of two names is not exported.
        model = {key: value for key, value in model.items() if key != "tie_word_embeddings"}
    return {"name": name, "model": model, "sizes": sizes, "packed": packed, **passes}


def main():
    warnings.simplefilter("ignore")
    versions = {package: importlib.metadata.version(package) for package in ["torch", "transformers"]}
    lines = []
    for name in CASES:
        lines.append(json.dumps(observed(name), separators=(",", ":")))
        print(lines[-1])
    OUT.write_text(json.dumps({"versions": versions})[:-1] + ', "cases": [\n' + ",\n".join(lines) + "\n]}\n")


if __name__ == "__main__":
    main()
