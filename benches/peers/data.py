"""Seeded data: the same name gives the same numbers in every worker, bit by bit (see src/data.rs)."""

import math

import numpy as np


def seed(name):
    """FNV-1a of a name, 32 bits."""
    value = 0x811C9DC5
    for byte in name.encode():
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


def uniform(name, shape, centre=0.0, radius=1.0):
    """Numbers in [centre - radius, centre + radius): MurmurHash3's finaliser over name and position."""
    z = np.arange(math.prod(shape), dtype=np.uint32)
    z *= np.uint32(0x9E3779B9)
    z += np.uint32(seed(name))
    z ^= z >> np.uint32(16)
    z *= np.uint32(0x85EBCA6B)
    z ^= z >> np.uint32(13)
    z *= np.uint32(0xC2B2AE35)
    z ^= z >> np.uint32(16)
    x = (z >> np.uint32(8)).astype(np.float32)
    x *= np.float32(1 / 8388608)
    x -= np.float32(1)
    x *= np.float32(radius)
    x += np.float32(centre)
    return x.reshape(shape)


def parameter(name, shape, fan_in):
    """A parameter by its name: gains about one, biases about zero, weights by the width summed over."""
    if "norm" in name and name.endswith("weight"):
        return uniform(name, shape, 1.0, 0.1)
    if name.endswith("weight"):
        return uniform(name, shape, 0.0, np.float32(1) / np.sqrt(np.float32(fan_in)))
    return uniform(name, shape, 0.0, 0.1)


def attention(spec):
    """q [batch, queries, heads, width], k and v [batch, keys, kv_heads, width]."""
    q = (spec["batch"], spec["queries"], spec["heads"], spec["width"])
    kv = (spec["batch"], spec["keys"], spec["kv_heads"], spec["width"])
    return uniform("q", q, 0.0, 4.0), uniform("k", kv), uniform("v", kv)


def layer(spec):
    """x [batch, tokens, width] and the parameters of a layer under PyTorch's names, q, k, v packed."""
    width, hidden = spec["width"], spec["hidden"]
    encoder = spec["layer"] != "mha"
    inside = "self_attn." if encoder else ""
    values = {}
    for kind, shape in [("weight", (width, width)), ("bias", (width,))]:
        parts = [parameter(f"{inside}{p}_proj.{kind}", shape, width) for p in "qkv"]
        values[f"{inside}in_proj_{kind}"] = np.concatenate(parts)
        values[f"{inside}out_proj.{kind}"] = parameter(f"{inside}out_proj.{kind}", shape, width)
    if encoder:
        shapes = {
            "linear1.weight": (hidden, width),
            "linear1.bias": (hidden,),
            "linear2.weight": (width, hidden),
            "linear2.bias": (width,),
            "norm1.weight": (width,),
            "norm1.bias": (width,),
            "norm2.weight": (width,),
            "norm2.bias": (width,),
        }
        for name, shape in shapes.items():
            values[name] = parameter(name, shape, hidden if "linear2" in name else width)
    x = uniform("x", (spec["batch"], spec["tokens"], width))
    return x, values


def ids(spec):
    """Token ids [batch, tokens]."""
    at = np.arange(spec["batch"] * spec["tokens"], dtype=np.int64)
    return ((at * 7919 + 1000) % spec["vocabulary"]).reshape(spec["batch"], spec["tokens"])


def gemm(spec):
    """A [m, k] and W [n, k] of A·Wᵀ."""
    return uniform("a", (spec["m"], spec["k"])), uniform("w", (spec["n"], spec["k"]))


def rows(spec):
    """x [rows, width], gain and bias [width]."""
    width = spec["width"]
    x = uniform("x", (spec["rows"], width), 0.0, 4.0)
    return x, parameter("norm.weight", (width,), width), parameter("norm.bias", (width,), width)
