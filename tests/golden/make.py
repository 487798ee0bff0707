"""Writes cases/*.safetensors: layers computed by PyTorch in double precision.

    python -m venv env && env/bin/pip install -r requirements.txt && env/bin/python make.py

A case holds the inputs and parameters under Opledger's paths and in its shapes (weights output axes
first: a weight `[h·e, c]` of PyTorch is `[h, e, c]` here), the expected results as `expected.<output>`
in double precision, and in its metadata `spec`, the text of the layer. Inputs and parameters are
numbers of single precision, so that every implementation starts from the same values.
"""

import math
import pathlib
import zlib

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

HERE = pathlib.Path(__file__).parent / "cases"


class Case:
    """Draws what a layer is fed with, and keeps it under its path."""

    def __init__(self, name, spec):
        self.name, self.spec, self.tensors = name, spec, {}
        self.generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        HERE.mkdir(exist_ok=True)

    def uniform(self, shape, radius=1.0, centre=0.0):
        draw = torch.rand(shape, generator=self.generator) * 2 - 1
        return (centre + radius * draw).float().double()

    def input(self, path, *shape):
        return self.keep(path, self.uniform(shape))

    def ids(self, path, below, *shape):
        ids = torch.randint(below, shape, generator=self.generator)
        self.tensors[path] = ids
        return ids

    def visible(self, path, lengths, keys):
        """A padding mask: 1 for the first `length` keys of each item, 0 after them."""
        mask = torch.arange(keys)[None, :] < torch.tensor(lengths)[:, None]
        self.tensors[path] = mask.long()
        return mask

    def keep(self, path, tensor, shape=None):
        self.tensors[path] = (tensor if shape is None else tensor.reshape(shape)).float().contiguous()
        return tensor

    def weight(self, path, shape, kept=None, fan_in=None):
        fan_in = fan_in or shape[-1]
        return self.keep(path, self.uniform(shape, 1 / math.sqrt(fan_in)), kept)

    def shift(self, path, shape, kept=None):
        return self.keep(path, self.uniform(shape, 0.5), kept)

    def gain(self, path, shape):
        return self.keep(path, self.uniform(shape, 0.5, 1.0))

    def linear(self, path, out, inp, bias=True, kept=None):
        """Weight and bias of a linear map; `kept` is the shape of the output axes kept, if split."""
        kept = (out,) if kept is None else kept
        weight = self.weight(f"{path}weight", (out, inp), (*kept, inp))
        return weight, self.shift(f"{path}bias", (out,), kept) if bias else None

    def write(self, **results):
        for name, result in results.items():
            self.tensors[f"expected.{name}"] = result.detach().double().contiguous()
        save_file(self.tensors, HERE / f"{self.name}.safetensors", {"spec": self.spec})


def draw(case, module):
    """Draws every parameter of a module anew: PyTorch starts biases at zero and gains at one."""
    module.double().train()
    for name, parameter in module.named_parameters():
        if "norm" in name and name.endswith("weight"):
            value = case.uniform(parameter.shape, 0.5, 1.0)
        elif parameter.dim() == 1:
            value = case.uniform(parameter.shape, 0.5)
        else:
            value = case.uniform(parameter.shape, 1 / math.sqrt(parameter.shape[-1]))
        parameter.data = value
    return module


def keep_module(case, module, path=""):
    """Keeps a module's parameters, those of an attention split by projection and head."""
    for name, child in module.named_children():
        inner = f"{path}{name}."
        if isinstance(child, nn.MultiheadAttention):
            keep_attention(case, child, inner)
        else:
            keep_module(case, child, inner)
    for name, parameter in module.named_parameters(recurse=False):
        case.keep(f"{path}{name}", parameter)


def keep_attention(case, module, path=""):
    c, h = module.embed_dim, module.num_heads
    weights = [module.q_proj_weight, module.k_proj_weight, module.v_proj_weight]
    if module.in_proj_weight is not None:
        weights = module.in_proj_weight.chunk(3)
    for letter, weight in zip("qkv", weights):
        case.keep(f"{path}{letter}_proj.weight", weight, (h, c // h, -1))
    if module.in_proj_bias is not None:
        for letter, bias in zip("qkv", module.in_proj_bias.chunk(3)):
            case.keep(f"{path}{letter}_proj.bias", bias, (h, c // h))
    case.keep(f"{path}out_proj.weight", module.out_proj.weight, (c, h, c // h))
    if module.out_proj.bias is not None:
        case.keep(f"{path}out_proj.bias", module.out_proj.bias)


def causal(n):
    """PyTorch's mask: true where a query must not look."""
    return torch.ones(n, n, dtype=torch.bool).triu(1)


def linear():
    for name, bias in [("linear", True), ("linear_without_bias", False)]:
        case = Case(name, f"linear:b=2,n=3,in=5,out=7,bias={str(bias).lower()}")
        x = case.input("x", 2, 3, 5)
        case.write(y=F.linear(x, *case.linear("", 7, 5, bias)))


def multihead():
    b, n, m, c, h = 2, 5, 7, 12, 3
    sizes = f"b={b},n={n},c={c},h={h}"

    def attend(name, spec, kdim=None, vdim=None, cross=False, **call):
        weights = call.pop("weights", None)
        bias = "bias=false" not in spec
        case = Case(name, spec)
        module = nn.MultiheadAttention(c, h, bias=bias, kdim=kdim, vdim=vdim, batch_first=True)
        draw(case, module)
        keep_attention(case, module)
        x = case.input("x", b, n, c)
        key = value = x
        if kdim or vdim:
            key, value = case.input("key", b, m, kdim or c), case.input("value", b, m, vdim or c)
        elif cross:
            key = value = case.input("memory", b, m, c)
        if "padding=true" in spec:
            keys = key.shape[1]
            call["key_padding_mask"] = ~case.visible("attention_mask", [keys, keys - 2], keys)
        y, w = module(x, key, value, need_weights=True, average_attn_weights=weights != "heads", **call)
        case.write(y=y, **({"weights": w} if weights else {}))

    attend("mha", f"mha:{sizes}")
    attend("mha_without_bias", f"mha:{sizes},bias=false")
    attend("mha_causal", f"mha:{sizes},mask=causal", attn_mask=causal(n))
    attend("mha_padding", f"mha:{sizes},padding=true")
    attend("mha_causal_padding", f"mha:{sizes},mask=causal,padding=true", attn_mask=causal(n))
    attend("mha_mean_weights", f"mha:{sizes},weights=mean", weights="mean")
    attend(
        "mha_heads_weights_causal_padding",
        f"mha:{sizes},weights=heads,mask=causal,padding=true",
        weights="heads",
        attn_mask=causal(n),
    )
    attend("cross_attention", f"cross-attention:{sizes},m={m}", cross=True)
    attend("cross_attention_padding", f"mha:{sizes},m={m},padding=true", cross=True)
    attend("cross_attention_kdim_vdim", f"cross-attention:{sizes},m={m},kdim=9,vdim=4", 9, 4)


def rotate(x, theta=10000.0):
    """Rotary embedding of [b, h, n, e] as the Llama code of the `transformers` library has it."""
    n, e = x.shape[-2:]
    frequencies = 1.0 / theta ** (torch.arange(0, e, 2).double() / e)
    angles = torch.outer(torch.arange(n).double(), frequencies)
    angles = torch.cat((angles, angles), dim=-1)
    half = torch.cat((-x[..., e // 2 :], x[..., : e // 2]), dim=-1)
    return x * angles.cos() + half * angles.sin()


def grouped():
    b, n, c, h, kv, e = 2, 7, 20, 6, 2, 4

    def attend(name, options, mask=None, rope=False, weights=None, out=True):
        case = Case(name, f"mha:b={b},n={n},c={c},h={h},kv={kv},e={e},bias=false{options}")
        x = case.input("x", b, n, c)

        def project(letter, heads):
            weight, _ = case.linear(f"{letter}_proj.", heads * e, c, False, (heads, e))
            return F.linear(x, weight).view(b, n, heads, e).transpose(1, 2)

        q, k, v = project("q", h), project("k", kv), project("v", kv)
        if rope:
            q, k = rotate(q), rotate(k)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)
        y = y.transpose(1, 2).reshape(b, n, h * e)
        if out:
            weight = case.weight("out_proj.weight", (c, h * e), (c, h, e))
            y = F.linear(y, weight)
        results = {"y": y}
        if weights:
            k = k.repeat_interleave(h // kv, dim=1)
            scores = q @ k.transpose(-1, -2) / math.sqrt(e)
            scores = scores.masked_fill(~mask, -math.inf)
            results["weights"] = scores.softmax(-1)
        case.write(**results)

    allowed = ~causal(n)
    window = allowed & torch.ones(n, n, dtype=torch.bool).triu(-2)
    attend("grouped", "")
    attend("grouped_sliding_window", ",mask=window,window=3", window)
    attend("grouped_rope_causal", ",mask=causal,rope=true", allowed, rope=True)
    attend("grouped_without_projection", ",out_proj=false", out=False)
    attend("grouped_window_weights", ",mask=window,window=3,weights=heads", window, weights="heads")


def rotate_neighbours(x, theta=10000.0):
    """The same of each element and the next."""
    order = [*range(0, x.shape[-1], 2), *range(1, x.shape[-1], 2)]
    turned = torch.empty_like(x)
    turned[..., order] = rotate(x[..., order], theta)
    return turned


def latent():
    b, n, c, h, q, d, e, t, f = 2, 6, 15, 3, 7, 8, 5, 4, 6
    sizes = f"b={b},n={n},c={c},h={h},d={d},e={e},rot={t},f={f}"

    def attend(name, form, options, mask=None, rope=False, rank=None, bias=False):
        rank_of = "" if rank is None else f",q={rank}"
        case = Case(f"{name}_{form}", f"mla:{sizes},form={form}{rank_of}{options}")
        x = case.input("x", b, n, c)

        def normed(path, x):
            return F.rms_norm(x, x.shape[-1:], case.gain(f"{path}.weight", x.shape[-1:]), 1e-5)

        def part(path, x, heads, width, bias=False):
            return F.linear(x, *case.linear(f"{path}.", heads * width, x.shape[-1], bias, (heads, width)))

        def heads(path, x, width):
            return part(path, x, h, width).view(b, n, h, width).transpose(1, 2)

        from_, to = x, "q_proj"
        if rank is not None:
            from_, to = F.linear(x, *case.linear("q_a_proj.", rank, c, bias)), "q_b_proj"
            from_ = normed("q_a_layernorm", from_)
        queries = heads(f"{to}.nope", from_, e), heads(f"{to}.rope", from_, t)
        kv = "kv_a_proj_with_mqa"
        latents = normed("kv_a_layernorm", F.linear(x, *case.linear(f"{kv}.latent.", d, c, bias)))
        key = F.linear(x, *case.linear(f"{kv}.rope.", t, c, bias))[:, None]
        keys = heads("kv_b_proj.k", latents, e), key.expand(b, h, n, t)
        values = heads("kv_b_proj.v", latents, f)
        turned = [rotate_neighbours(of[1]) if rope else of[1] for of in (queries, keys)]
        queries, keys = (torch.cat((of[0], x), -1) for of, x in zip((queries, keys), turned))
        y = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
        y = y.transpose(1, 2).reshape(b, n, h * f)
        weight = case.weight("out_proj.weight", (c, h * f), (c, h, f))
        case.write(y=F.linear(y, weight, case.shift("out_proj.bias", (c,)) if bias else None))

    for form in ("expanded", "absorbed"):
        attend("mla", form, "", bias=False)
        attend("mla_causal_rope", form, ",mask=causal,rope=true,bias=true", ~causal(n), True, q, True)


def one_head():
    b, n, c, c1, c2 = 2, 5, 9, 7, 4
    case = Case("self_attention", f"self-attention:b={b},n={n},c={c},c1={c1},c2={c2},out_proj=true,bias=true")
    x = case.input("x", b, n, c)
    q, k, v = (
        F.linear(x, *case.linear(f"{letter}_proj.", width, c, True, (1, width)))
        for letter, width in [("q", c2), ("k", c2), ("v", c1)]
    )
    y = F.scaled_dot_product_attention(q, k, v)
    weight = case.weight("out_proj.weight", (c, c1), (c, 1, c1))
    case.write(y=F.linear(y, weight, case.shift("out_proj.bias", (c,))))


def vit_core(case, x, h, bias=None):
    """Attention with one map for queries, keys and values, of [batch, n, c]."""
    (b, n, c), e = x.shape, x.shape[-1] // h
    weight, shift = case.linear("qkv.", 3 * c, c, True, (3, h, e))
    q, k, v = F.linear(x, weight, shift).view(b, n, 3, h, e).permute(2, 0, 3, 1, 4)
    scores = q @ k.transpose(-1, -2) * e**-0.5
    weights = (scores if bias is None else bias(scores)).softmax(-1)
    joined = (weights @ v).transpose(1, 2).reshape(b, n, c)
    weight = case.weight("proj.weight", (c, c), (c, h, e))
    return F.linear(joined, weight, case.shift("proj.bias", (c,))), weights


def vit():
    case = Case("vit_attention", "vit-attention:b=2,n=5,c=12,h=3,qkv_bias=true,weights=heads")
    y, weights = vit_core(case, case.input("x", 2, 5, 12), 3)
    case.write(y=y, weights=weights)


def windows():
    """The authors' Swin code, written out: pad, roll, partition, bias, −100 mask, and all back."""
    b, c, h, side = 2, 8, 2, 3
    for name, height, width, shift in [
        ("window_attention", 6, 9, 0),
        ("window_attention_padded", 5, 7, 0),
        ("window_attention_shifted", 6, 9, 1),
        ("window_attention_padded_shifted", 5, 7, 2),
    ]:
        spec = f"window-attention:b={b},height={height},width={width},side={side},shift={shift},c={c},h={h}"
        case = Case(name, spec)
        x = case.input("x", b, height, width, c)
        padded = F.pad(x, (0, 0, 0, -width % side, 0, -height % side))
        rows, columns = padded.shape[1], padded.shape[2]
        rolled = torch.roll(padded, (-shift, -shift), (1, 2))

        def partition(image):
            image = image.view(-1, rows // side, side, columns // side, side, image.shape[-1])
            return image.permute(0, 1, 3, 2, 4, 5).reshape(-1, side * side, image.shape[-1])

        grid = torch.stack(torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij"))
        flat = grid.flatten(1)
        relative = (flat[:, :, None] - flat[:, None, :]).permute(1, 2, 0) + side - 1
        index = relative[..., 0] * (2 * side - 1) + relative[..., 1]
        table = case.shift("relative_position_bias_table", ((2 * side - 1) ** 2, h))
        position = table[index.view(-1)].view(side * side, side * side, h).permute(2, 0, 1)

        image = torch.zeros(1, rows, columns, 1).double()
        if shift:
            count = 0
            cuts = (slice(0, -side), slice(-side, -shift), slice(-shift, None))
            for down in cuts:
                for across in cuts:
                    image[:, down, across, :] = count
                    count += 1
        regions = partition(image).squeeze(-1)
        apart = regions[:, None, :] != regions[:, :, None]
        mask = torch.zeros_like(apart, dtype=torch.double).masked_fill(apart, -100.0)

        def bias(scores):
            scores = scores + position
            if shift:
                scores = scores.view(b, -1, h, side**2, side**2) + mask[:, None]
            return scores.view(-1, h, side**2, side**2)

        y, _ = vit_core(case, partition(rolled), h, bias)
        y = y.view(b, rows // side, columns // side, side, side, c)
        y = y.permute(0, 1, 3, 2, 4, 5).reshape(b, rows, columns, c)
        case.write(y=torch.roll(y, (shift, shift), (1, 2))[:, :height, :width])


ACTIVATIONS = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu-tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
}


def feed_forward():
    b, n, c, ff = 2, 3, 7, 11
    for name, act in ACTIVATIONS.items():
        case = Case(f"ffn_{name.replace('-', '_')}", f"ffn:b={b},n={n},c={c},ff={ff},act={name}")
        x = case.input("x", b, n, c)
        hidden = act(F.linear(x, *case.linear("linear1.", ff, c)))
        case.write(y=F.linear(hidden, *case.linear("linear2.", c, ff)))
    case = Case("ffn_gated", f"ffn:b={b},n={n},c={c},ff={ff},act=silu,gated=true,bias=false")
    x = case.input("x", b, n, c)
    gate = F.silu(F.linear(x, *case.linear("linear1.", ff, c, False)))
    up = F.linear(x, *case.linear("linear3.", ff, c, False))
    case.write(y=F.linear(gate * up, *case.linear("linear2.", c, ff, False)))


def norms():
    case = Case("layer_norm", "layer-norm:b=2,n=3,c=7")
    x = case.input("x", 2, 3, 7)
    case.write(y=F.layer_norm(x, (7,), case.gain("weight", (7,)), case.shift("bias", (7,)), 1e-5))
    case = Case("group_norm", "group-norm:b=2,n=3,c=6,groups=2")
    x = case.input("x", 2, 6, 3)
    gain, shift = case.gain("weight", (6,)), case.shift("bias", (6,))
    case.write(y=F.group_norm(x, 2, gain, shift, 1e-5))
    case = Case("rms_norm", "rms-norm:b=2,n=3,c=7,eps=1e-6")
    x = case.input("x", 2, 3, 7)
    case.write(y=F.rms_norm(x, (7,), case.gain("weight", (7,)), 1e-6))


def layers():
    b, n, m, c, h, ff = 2, 5, 6, 8, 2, 11
    sizes = f"b={b},n={n},c={c},h={h},ff={ff}"
    options = {"dropout": 0.0, "batch_first": True}
    for first, place in [(False, "post"), (True, "pre")]:
        for act in ["relu", "gelu"]:
            call = {"norm_first": first, "activation": act, **options}
            case = Case(f"encoder_layer_{place}_{act}", f"encoder-layer:{sizes},norm={place},act={act},padding=true")
            module = draw(case, nn.TransformerEncoderLayer(c, h, ff, **call))
            keep_module(case, module)
            x = case.input("x", b, n, c)
            hidden = ~case.visible("attention_mask", [3, n], n)
            case.write(y=module(x, src_key_padding_mask=hidden))

            spec = f"decoder-layer:{sizes},m={m},norm={place},act={act},padding=true"
            case = Case(f"decoder_layer_{place}_{act}", spec)
            module = draw(case, nn.TransformerDecoderLayer(c, h, ff, **call))
            keep_module(case, module)
            x, memory = case.input("x", b, n, c), case.input("memory", b, m, c)
            hidden = ~case.visible("encoder_attention_mask", [m, 2], m)
            y = module(x, memory, tgt_mask=causal(n), memory_key_padding_mask=hidden)
            case.write(y=y)

    case = Case("encoder", f"encoder:l=3,{sizes},norm=pre,final_norm=true,mask=causal")
    layer = nn.TransformerEncoderLayer(c, h, ff, norm_first=True, **options)
    module = nn.TransformerEncoder(layer, 3, nn.LayerNorm(c), enable_nested_tensor=False)
    keep_module(case, draw(case, module))
    case.write(y=module(case.input("x", b, n, c), mask=causal(n)))

    case = Case("decoder", f"decoder:l=2,{sizes},m={m},final_norm=true")
    layer = nn.TransformerDecoderLayer(c, h, ff, **options)
    module = nn.TransformerDecoder(layer, 2, nn.LayerNorm(c))
    keep_module(case, draw(case, module))
    x, memory = case.input("x", b, n, c), case.input("memory", b, m, c)
    case.write(y=module(x, memory, tgt_mask=causal(n)))


def transformers():
    b, n, m, c, h, ff, v = 2, 4, 5, 8, 2, 9, 13
    sizes = f"l=2,ld=1,b={b},n={n},m={m},c={c},h={h},ff={ff},padding=true"
    for name, embed in [("transformer", False), ("transformer_tied", True)]:
        case = Case(name, f"transformer:{sizes}" + (f",embed=true,v={v}" if embed else ""))
        module = nn.Transformer(c, h, 2, 1, ff, dropout=0.0, batch_first=True)
        keep_module(case, draw(case, module))
        hidden = ~case.visible("encoder_attention_mask", [m, 3], m)
        if embed:
            table = case.weight("embedding.weight", (v, c))
            src, tgt = case.ids("src", v, b, m), case.ids("tgt", v, b, n)
            src, tgt = (table[ids] * math.sqrt(c) + sinusoid(ids.shape[1], c) for ids in (src, tgt))
        else:
            src, tgt = case.input("src", b, m, c), case.input("tgt", b, n, c)
        y = module(
            src, tgt, tgt_mask=causal(n), src_key_padding_mask=hidden, memory_key_padding_mask=hidden
        )
        case.write(y=F.linear(y, table) if embed else y)


def sinusoid(n, c):
    angles = torch.arange(n).double()[:, None] / 10000.0 ** (torch.arange(0, c, 2).double() / c)
    return torch.stack((angles.sin(), angles.cos()), -1).flatten(1)


def embeddings():
    b, n, v, c = 2, 5, 11, 6
    for positions in ["none", "sinusoid", "learned"]:
        extra = ",p=7" if positions == "learned" else ""
        case = Case(f"embedding_{positions}", f"embedding:b={b},n={n},v={v},c={c},positions={positions}{extra}")
        ids = case.ids("input_ids", v, b, n)
        y = F.embedding(ids, case.weight("weight", (v, c)))
        if positions == "sinusoid":
            y = y + sinusoid(n, c)
        if positions == "learned":
            y = y + case.weight("positions.weight", (7, c))[:n]
        case.write(y=y)

    case = Case("bert_embedding", f"bert-embedding:b={b},n={n},v={v},c={c},p=9,types=2")
    ids, types = case.ids("input_ids", v, b, n), case.ids("token_type_ids", 2, b, n)
    words = case.weight("word_embeddings.weight", (v, c))
    kinds = case.weight("token_type_embeddings.weight", (2, c))
    places = case.weight("position_embeddings.weight", (9, c))
    total = words[ids] + kinds[types] + places[:n]
    gain, shift = case.gain("LayerNorm.weight", (c,)), case.shift("LayerNorm.bias", (c,))
    case.write(y=F.layer_norm(total, (c,), gain, shift, 1e-12))

    case = Case("lm_head", f"lm-head:b={b},n={n},c={c},v={v},bias=true")
    case.write(y=F.linear(case.input("x", b, n, c), *case.linear("", v, c)))
    case = Case("lm_head_tied", f"lm-head:b={b},n={n},c={c},v={v},tied=true")
    ids, table = case.ids("input_ids", v, b, n), case.weight("embedding.weight", (v, c))
    case.write(y=F.linear(table[ids], table))


class AttentionMlp(nn.Module):
    def __init__(self, c, h, ff):
        super().__init__()
        self.self_attn = nn.MultiheadAttention(c, h)
        self.linear1, self.linear2 = nn.Linear(c, ff), nn.Linear(ff, c)

    def forward(self, x):
        x, _ = self.self_attn(x, x, x)
        return self.linear2(F.relu(self.linear1(x)))


class AttentionMlpStack(nn.Module):
    def __init__(self, depth, *sizes):
        super().__init__()
        self.layers = nn.ModuleList(AttentionMlp(*sizes) for _ in range(depth))

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


def stack():
    b, n, c, h, ff = 3, 5, 8, 4, 10
    case = Case("attention_mlp_stack", f"attention-mlp-stack:b={b},n={n},c={c},h={h},ff={ff}")
    module = draw(case, AttentionMlpStack(2, c, h, ff))
    keep_module(case, module)
    # As published, with the sequence first.
    x = case.input("x", b, n, c)
    case.write(y=module(x.transpose(0, 1)).transpose(0, 1))


def main():
    torch.set_grad_enabled(False)
    for old in HERE.glob("*.safetensors"):
        old.unlink()
    for family in [
        linear, multihead, grouped, latent, one_head, vit, windows, feed_forward, norms, layers, transformers,
        embeddings, stack,
    ]:
        family()


if __name__ == "__main__":
    main()
