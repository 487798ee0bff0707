"""Writes an archive of one layer for each of some families, and counted.json: what FlopCounterMode counts for them.

Run with torch 2.15.0, transformers 5.23.0 and timm 1.0.31. The counts are those of the modules themselves: as an expression in the
sizes of the inputs, from tensors without elements whose sizes are symbols, and as numbers at drawn sizes.
"""

import json
import pathlib
import random
import warnings

import sympy
import torch
import transformers
from timm.models.vision_transformer import Block
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import export
from export import DYNAMIC

HERE = pathlib.Path(__file__).parent
SMALL = {"vocab_size": 40, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1,
         "max_position_embeddings": 64}
NAMED = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


class Equations(torch.nn.Module):
    """Attention by equations, an operator and a product with a vector."""

    def __init__(self):
        super().__init__()
        self.query, self.key, self.value = (torch.nn.Parameter(torch.randn(4, 16, 8)) for _ in range(3))
        self.out = torch.nn.Parameter(torch.randn(4, 8, 16))
        self.gate = torch.nn.Parameter(torch.randn(16))

    def forward(self, x):
        query, key, value = (torch.einsum("znd,hde->zhne", x, w) for w in (self.query, self.key, self.value))
        weights = torch.einsum("zhie,zhje->zhij", query, key).softmax(-1)
        y = torch.einsum("zhne,hed->znd", weights @ value, self.out)
        return y * torch.matmul(y, self.gate).sigmoid().unsqueeze(-1)


class Einsums(torch.nn.Module):
    """Equations with parameters and without, one of those that fvcore has a formula for, one that sums nothing."""

    def __init__(self):
        super().__init__()
        self.up, self.scale = torch.nn.Parameter(torch.randn(16, 37)), torch.nn.Parameter(torch.randn(37))

    def forward(self, x):
        y = torch.einsum("...c,cd->...d", torch.einsum("bnc,c->bnc", x, self.scale[:16]), self.up)
        weights = torch.einsum("bnd,bmd->bnm", y, y).softmax(-1)
        return torch.einsum("bnm,bmd->bnd", weights, y), torch.einsum("bnc,bnd->bcd", x, y)


class Windows(torch.nn.Module):
    """Convolutions, pooling and norms as modules, and functions that tools replace or do not."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU6())
        self.most, self.mean = nn.MaxPool2d(2), nn.AvgPool2d(2)
        self.line = nn.Sequential(nn.Conv1d(8, 8, 3, groups=2), nn.BatchNorm1d(8), nn.LeakyReLU(), nn.ELU())
        self.pool, self.head = nn.AdaptiveAvgPool1d(1), nn.Linear(8, 5)

    def forward(self, x):
        x = self.stem(x)
        y = self.most(x)
        y += torch.relu(self.mean(x))
        y = F.relu(F.max_pool2d(y, 2, stride=1), inplace=True)
        y = self.line(y.flatten(2))
        y = self.pool(y.mul(torch.sigmoid(y)))
        return torch.softmax(self.head(y.flatten(1)), -1)


def heads(count, groups=None):
    return {"num_attention_heads": count} | ({"num_key_value_heads": groups} if groups else {})


def causal(config, kind="ForCausalLM", **sizes):
    config = getattr(transformers, f"{config}Config")(**NAMED, **sizes)
    return getattr(transformers, type(config).__name__.removesuffix("Config") + kind)(config), {"use_cache": False}


def bare(name, **sizes):
    return getattr(transformers, f"{name}Model")(getattr(transformers, f"{name}Config")(**sizes)), {}


FAMILIES = {
    "bert": lambda: bare("Bert", **SMALL, **heads(2)),
    "gpt2": lambda: causal("GPT2", "LMHeadModel", vocab_size=40, n_embd=16, n_layer=1, n_head=2, n_positions=64,
                           attn_implementation="eager"),
    "llama": lambda: (bare("Llama", **SMALL, **heads(4, 2))[0], {"use_cache": False}),
    "gpt_neox": lambda: causal("GPTNeoX", **SMALL, **heads(2)),
    "distilbert": lambda: bare("DistilBert", vocab_size=40, dim=16, hidden_dim=24, n_layers=1, n_heads=2,
                               max_position_embeddings=64),
    "t5": lambda: (transformers.T5EncoderModel(transformers.T5Config(
        vocab_size=40, d_model=16, d_kv=4, d_ff=24, num_layers=1, num_heads=2)), {}),
    "vit": lambda: bare("ViT", hidden_size=16, intermediate_size=24, num_hidden_layers=1, **heads(2), image_size=16,
                        patch_size=4),
    "windows": lambda: (Windows(), {}),
    "siglip": lambda: bare("SiglipVision", hidden_size=16, intermediate_size=24, num_hidden_layers=1, **heads(2),
                           image_size=16, patch_size=4),
    "timm_block": lambda: (Block(16, 2, qkv_bias=True), {}),
}


def layer():
    torch.manual_seed(0)
    return torch.nn.TransformerEncoderLayer(32, 4, 64, batch_first=True).eval()


def ids(batch, tokens):
    return torch.randint(3, 40, (batch, tokens))


def images(batch, _):
    return torch.rand(batch, 3, 16, 16)


def vectors(batch, tokens):
    return torch.randn(batch, tokens, 16)


# The argument of each family, what draws one, which of its dimensions are open, and what they are called.
IDS = "input_ids", ids, {0: DYNAMIC, 1: torch.export.Dim("n", max=60)}, "bn"
ARGUMENTS = {
    "vit": ("pixel_values", images, {0: DYNAMIC}, "b"),
    "windows": ("x", images, {0: DYNAMIC}, "b"),
    "siglip": ("pixel_values", images, {0: DYNAMIC}, "b"),
    "timm_block": ("x", vectors, {0: DYNAMIC, 1: DYNAMIC}, "bn"),
}


def total(module, given):
    """FlopCounterMode's count; gradients keep layers of torch.nn off operators that it does not know."""
    with FlopCounterMode(display=False) as counter:
        module(**given)
    return counter.get_total_flops()


def expression(module, name, example, rest, symbols):
    """The same in symbols."""
    env = ShapeEnv()
    mode = FakeTensorMode(shape_env=env, static_shapes=False)
    fixed = lambda t: StatelessSymbolicContext([DimDynamic.STATIC] * t.dim())
    open_ = [DimDynamic.DYNAMIC] * len(symbols) + [DimDynamic.STATIC] * (example.dim() - len(symbols))
    given = mode.from_tensor(example, symbolic_context=StatelessSymbolicContext(open_))
    state = dict(module.named_parameters()) | dict(module.named_buffers())
    state = {key: mode.from_tensor(value, symbolic_context=fixed(value)) for key, value in state.items()}
    with mode, FlopCounterMode(display=False) as counter:
        torch.func.functional_call(module, state, (), {name: given, **rest})
    names = {size.node.expr: sympy.Symbol(symbol, integer=True) for size, symbol in zip(given.shape, symbols)}
    counted = counter.get_total_flops()
    return str(sympy.expand(counted.node.expr.subs(names))).replace("**", "^")


def record(module, name, draw, rest, symbols="bn"):
    sizes = [(random.randint(2, 6), random.randint(2, 60)) for _ in range(5)]
    at = [
        {"sizes": dict(zip(symbols, drawn)), "total": total(module, {name: draw(*drawn), **rest})} for drawn in sizes
    ]
    return {"formula": expression(module, name, draw(3, 7), rest, symbols), "at": at}


def main():
    warnings.simplefilter("ignore")
    random.seed(0)
    torch.manual_seed(0)
    counted = {}
    counted["encoder_layer"] = record(layer(), "src", lambda b, n: torch.randn(b, n, 32), {})
    equations = Equations()
    export.write("equations", equations, (torch.randn(3, 5, 16),), ({0: DYNAMIC, 1: DYNAMIC},))
    counted["equations"] = record(equations, "x", lambda b, n: torch.randn(b, n, 16), {})
    einsums = Einsums()
    export.write("einsums", einsums, (torch.randn(3, 5, 16),), ({0: DYNAMIC, 1: DYNAMIC},))
    counted["einsums"] = record(einsums, "x", lambda b, n: torch.randn(b, n, 16), {})
    for name, build in FAMILIES.items():
        module, rest = build()
        argument, draw, open_, symbols = ARGUMENTS.get(name, IDS)
        dynamic = {argument: open_} | dict.fromkeys(rest)
        export.write(name, module, (), dynamic, {argument: draw(3, 7), **rest})
        counted[name] = record(module, argument, draw, rest, symbols)
    (HERE / "counted.json").write_text(json.dumps(counted, indent=1) + "\n")


if __name__ == "__main__":
    main()
