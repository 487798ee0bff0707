"""What XLA's cost analysis says of small layers written in jax.numpy, before any optimisation.

    pip install jax==0.10.2 && python tests/conventions/observe_xla.py

writes observed_xla.json beside this file, in the form of observed.json.
"""

import json
from pathlib import Path

import jax
import jax.numpy as jnp


def layer_norm(x, g, b, eps=1e-5):
    mean = jnp.mean(x, -1, keepdims=True)
    variance = jnp.mean((x - mean) ** 2, -1, keepdims=True)
    return (x - mean) / jnp.sqrt(variance + eps) * g + b


def rms_norm(x, g):
    return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-6) * g


def linear(x, w, b=None):
    y = x @ w.T
    return y if b is None else y + b


def attention(x, memory, heads, p):
    q, k, v = linear(x, *p[0]), linear(memory, *p[1]), linear(memory, *p[2])
    split = lambda t: t.reshape(t.shape[0], t.shape[1], heads, -1).transpose(0, 2, 1, 3)
    q, k, v = split(q), split(k), split(v)
    weights = jax.nn.softmax(q @ jnp.swapaxes(k, -1, -2) * q.shape[-1] ** -0.5, -1)
    joined = (weights @ v).transpose(0, 2, 1, 3).reshape(x.shape[0], x.shape[1], -1)
    return linear(joined, *p[3])


def gelu(x):
    return jax.nn.gelu(x, approximate=False)


def gelu_tanh(x):
    return jax.nn.gelu(x, approximate=True)


def feed_forward(x, act, p):
    return linear(act(linear(x, *p[0])), *p[1])


def gated(x, p):
    return linear(jax.nn.silu(linear(x, *p[0])) * linear(x, *p[1]), *p[2])


def weights(out, inputs, bias=True):
    return (jnp.ones((out, inputs)), jnp.ones(out)) if bias else (jnp.ones((out, inputs)),)


def layer(c, ff):
    maps = [weights(c, c) for _ in range(4)], [weights(c, c) for _ in range(4)]
    norms = [(jnp.ones(c), jnp.ones(c)) for _ in range(3)]
    return {"a": maps, "f": [weights(ff, c), weights(c, ff)], "n": norms}


def encoder_layer(x, heads, act, p):
    x = layer_norm(x + attention(x, x, heads, p["a"][0]), *p["n"][0])
    return layer_norm(x + feed_forward(x, act, p["f"]), *p["n"][1])


def decoder_layer(x, memory, heads, act, p):
    x = layer_norm(x + attention(x, x, heads, p["a"][0]), *p["n"][0])
    x = layer_norm(x + attention(x, memory, heads, p["a"][1]), *p["n"][1])
    return layer_norm(x + feed_forward(x, act, p["f"]), *p["n"][2])


def cases():
    """Name, how Opledger is asked, sizes, function of inputs and parameters, inputs, parameters."""
    small = dict(b=2, n=7)
    x = jnp.ones((2, 7, 24))
    norm = (jnp.ones(24), jnp.ones(24))
    ffn = [weights(40, 24), weights(24, 40)]
    swiglu = [weights(40, 24, False), weights(40, 24, False), weights(24, 40, False)]
    maps = [weights(24, 24) for _ in range(4)]
    yield "linear", "linear:in=24,out=10", small, lambda x, p: linear(x, *p), [x], weights(10, 24)
    yield "layer_norm", "layer-norm:c=24", small, lambda x, p: layer_norm(x, *p), [x], norm
    yield "rms_norm", "rms-norm:c=24", small, rms_norm, [x], norm[0]
    yield "mha", "mha:c=24,h=3", small, lambda x, p: attention(x, x, 3, p), [x], maps
    for name, act in [("gelu_tanh", gelu_tanh), ("silu", jax.nn.silu)]:
        asked = f"ffn:c=24,ff=40,act={name.replace('_', '-')}"
        yield f"ffn_{name}", asked, small, lambda x, p, act=act: feed_forward(x, act, p), [x], ffn
    yield "ffn_gated", "ffn:c=24,ff=40,act=silu,gated=true,bias=false", small, gated, [x], swiglu
    asked = "encoder-layer:c=24,h=3,ff=40"
    relu = lambda x, p: encoder_layer(x, 3, jax.nn.relu, p)
    yield "encoder_layer_relu", asked, small, relu, [x], layer(24, 40)
    asked = "encoder-layer:c=768,h=12,ff=3072,act=gelu"
    large = lambda x, p: encoder_layer(x, 12, gelu, p)
    yield "encoder_layer_768", asked, dict(b=1, n=128), large, [jnp.ones((1, 128, 768))], layer(768, 3072)
    asked = "decoder-layer:c=24,h=3,ff=40,act=gelu,mask=none"
    memory = jnp.ones((2, 5, 24))
    decoder = lambda x, m, p: decoder_layer(x, m, 3, gelu, p)
    yield "decoder_layer", asked, dict(small, m=5), decoder, [x, memory], layer(24, 40)


def main():
    found = []
    for name, model, sizes, f, inputs, parameters in cases():
        cost = jax.jit(f).lower(*inputs, parameters).cost_analysis()
        tools = {"xla": {"flops": int(cost["flops"])}}
        found.append({"name": name, "model": model, "sizes": sizes, "written": "jax", "tools": tools})
    result = {"versions": {"jax": jax.__version__}, "cases": found}
    Path(__file__).with_name("observed_xla.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
