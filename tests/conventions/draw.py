"""Writes what the tools print for configurations drawn at random: drawn.json, and scored.json of another seed.

    env/bin/python draw.py SEED CASES FILE [--group GROUP] [--family NAME ...] [--tool NAME ...] [--list]

The groups `later` and `decoders` have families and heads for which no rule was ever fitted: scored_later.json,
scored_decoders.json.

Environment and isolation are those of observe.py. A case follows from the seed and its number alone. Families take
turns; sizes, heads, masks, activations, biases, classes and ways of writing are drawn, of what the libraries run: a
Swin of `transformers` with a window larger than a stage fails, and so do experts whose widths are no multiple of 4, and
DeepSeek-V2 with odd widths of heads and latents; its T5 ties the table of words whatever the configuration says.
"""

import argparse
import importlib.metadata
import json
import pathlib
import random
import sys

import torch
from torch.utils.flop_counter import FlopCounterMode

import modules
from observe import PACKAGES, build, isolated
from tools import TOOLS

# What is kept of a tool's record.
FIGURES = ["total", "macs", "flops", "mult_adds"]
HERE = pathlib.Path(__file__).parent


class Draw(random.Random):
    """A source of sizes and options."""

    def flag(self, share=0.5):
        return self.random() < share

    def items(self):
        return self.randint(1, 4)

    def tokens(self):
        return self.randint(1, 24)

    def width(self, heads, multiple=1):
        return heads * multiple * self.randint(1, 16 // multiple)


def attention(d):
    """How a model of `transformers` attends, and the way of writing."""
    return d.choice([("eager", "transformers-eager"), ("sdpa", "transformers")])


def configured(d, config, inputs, sizes, padded=None, attends=True):
    """A model of `transformers`; of `padded` items and tokens if some of these are padding."""
    how, written = attention(d) if attends else ("eager", "transformers-eager")
    mask = f", padding{padded}" if padded else ""
    return {"model": "config.json", "written": written, "sizes": sizes, "config": config,
            "source": f'configured("{how}"{mask}, **config), [{inputs}]'} | ({"attention_mask": True} if padded else {})


# Families whose positions or biases follow from a mask, which Opledger refuses, and those with two supports.
UNMASKED = ["modernbert", "opt", "bloom", "gpt_neo", "cohere2", "gemma2", "gemma3_text", "gemma4_text", "llama4_text"]


def text(d, model_type, classes, most, **config):
    """A model of tokens."""
    b, n = d.items(), d.tokens()
    config = {"architectures": [d.choice(classes)], "model_type": model_type, "vocab_size": d.randint(100, 150)} | config
    config[most] = d.randint(26, 60)
    padded = (b, n) if n > 1 and d.flag(0.25) and model_type not in UNMASKED else None
    sizes = {"b": b, "n": n} | (support(b, n, config) if padded else {})
    return configured(d, config, f"ids({b}, {n})", sizes, padded)


def support(b, n, config):
    """How many queries see how many keys where the last token of the first item is padding."""
    causal, window = config["model_type"] not in modules.WITHOUT_CACHE, config.get("sliding_window") or n
    seen = [[k for k in range(n) if not causal or 0 <= q - k < window] for q in range(n)]
    first = [[k for k in keys if k < n - 1] for keys in seen]
    items = [first] + [seen] * (b - 1)
    return {"pairs": sum(len(keys) for item in items for keys in item),
            "rows": sum(len(keys) > 0 for item in items for keys in item)}


def bert(d, name="bert", classes=("BertModel", "BertForMaskedLM"), **more):
    h = d.randint(1, 8)
    return text(d, name, classes, "max_position_embeddings", hidden_size=d.width(h), num_hidden_layers=d.randint(1, 4),
                num_attention_heads=h, intermediate_size=d.randint(1, 150), type_vocab_size=d.randint(1, 3),
                hidden_act=d.choice(["gelu", "gelu_new", "relu", "silu"]), layer_norm_eps=1e-12, **more)


def roberta(d):
    return bert(d, "roberta", ("RobertaModel", "RobertaForMaskedLM"), pad_token_id=1)


def distilbert(d):
    h = d.randint(1, 8)
    return text(d, "distilbert", ("DistilBertModel", "DistilBertForMaskedLM"), "max_position_embeddings",
                dim=d.width(h), n_layers=d.randint(1, 4), n_heads=h, hidden_dim=d.randint(1, 150),
                activation=d.choice(["gelu", "relu"]))


def gpt2(d):
    h = d.randint(1, 8)
    inner = {"n_inner": d.randint(1, 150)} if d.flag() else {}
    return text(d, "gpt2", ("GPT2LMHeadModel", "GPT2Model"), "n_positions", n_embd=d.width(h), n_layer=d.randint(1, 4),
                n_head=h, activation_function=d.choice(["gelu_new", "gelu", "relu", "silu"]),
                layer_norm_epsilon=1e-5, **inner)


def gpt_neox(d):
    h = d.randint(1, 8)
    return text(d, "gpt_neox", ("GPTNeoXForCausalLM", "GPTNeoXModel"), "max_position_embeddings",
                hidden_size=h * 8 * d.randint(1, 3), num_hidden_layers=d.randint(1, 4), num_attention_heads=h,
                intermediate_size=d.randint(1, 150), hidden_act=d.choice(["gelu", "gelu_new", "relu"]),
                rotary_pct=d.choice([0.25, 0.5, 1.0]), use_parallel_residual=d.flag(), attention_bias=d.flag(0.7),
                tie_word_embeddings=False)


def decoder(d, model_type, name, multiple=2, **more):
    """A decoder with RMSNorm, rotation and a gate."""
    kv = d.randint(1, 3)
    h = kv * d.randint(1, 3)
    head = multiple * d.randint(1, 16 // multiple)
    apart = {"head_dim": 2 * d.randint(1, 8)} if model_type in ("llama", "qwen3", "mistral") and d.flag(0.3) else {}
    if model_type == "qwen3" and not apart:
        apart = {"head_dim": head}
    return text(d, model_type, (f"{name}ForCausalLM", f"{name}Model"), "max_position_embeddings",
                hidden_size=h * head, intermediate_size=multiple * d.randint(1, 150 // multiple),
                num_hidden_layers=d.randint(1, 4), num_attention_heads=h, num_key_value_heads=kv, hidden_act=d.choice(["silu", "silu", "gelu"]),
                rms_norm_eps=1e-6, tie_word_embeddings=d.flag(0.3), **apart, **more)


def llama(d):
    return decoder(d, "llama", "Llama", attention_bias=d.flag(0.3), mlp_bias=d.flag(0.3), rope_theta=10000.0)


def mistral(d):
    return decoder(d, "mistral", "Mistral", sliding_window=d.choice([None, d.randint(1, 24)]), rope_theta=10000.0)


def mixtral(d):
    experts = d.randint(2, 8)
    return decoder(d, "mixtral", "Mixtral", multiple=4, num_local_experts=experts,
                   num_experts_per_tok=d.randint(1, min(experts, 3)), sliding_window=None, rope_theta=10000.0)


def qwen2(d):
    return decoder(d, "qwen2", "Qwen2", use_sliding_window=False, rope_theta=10000.0)


def qwen3(d):
    return decoder(d, "qwen3", "Qwen3", attention_bias=d.flag(0.3), use_sliding_window=False, rope_theta=10000.0)


def t5(d):
    b, n, m, h = d.items(), d.tokens(), d.tokens(), d.randint(1, 8)
    kind = d.choice(["T5ForConditionalGeneration", "T5Model", "T5EncoderModel"])
    config = {
        "architectures": [kind], "model_type": "t5", "vocab_size": d.randint(100, 150), "d_model": d.randint(1, 64),
        "d_kv": d.randint(1, 16), "d_ff": d.randint(1, 150), "num_layers": d.randint(1, 3),
        "num_decoder_layers": d.randint(1, 3), "num_heads": h, "relative_attention_num_buckets": 32,
        "relative_attention_max_distance": 128, "layer_norm_epsilon": 1e-6, "pad_token_id": 0,
        "feed_forward_proj": d.choice(["relu", "gated-gelu", "gated-silu"]), "tie_word_embeddings": True,
        "decoder_start_token_id": 0,
    }
    if kind == "T5EncoderModel":
        return configured(d, config, f"ids({b}, {m})", {"b": b, "n": m})
    return configured(d, config, f"ids({b}, {m}), ids({b}, {n})", {"b": b, "n": n, "m": m})


def labels(number):
    return {"id2label": {str(i): str(i) for i in range(number)}}


def vit_config(d, name="vit", classes=("ViTForImageClassification", "ViTModel")):
    h, patch = d.randint(1, 8), d.randint(2, 8)
    return {"architectures": [d.choice(classes)], "model_type": name, "image_size": patch * d.randint(1, 5),
            "patch_size": patch, "num_channels": d.choice([1, 3]), "hidden_size": d.width(h),
            "num_hidden_layers": d.randint(1, 4), "num_attention_heads": h, "intermediate_size": d.randint(1, 150),
            "hidden_act": "gelu", "layer_norm_eps": 1e-6, "qkv_bias": True} | labels(d.randint(2, 12))


def pixels(config, b):
    return f"x({b}, {config['num_channels']}, {config['image_size']}, {config['image_size']})"


def vit(d, **kind):
    config, b = vit_config(d, **kind), d.items()
    config |= {"qkv_bias": d.flag(0.7), "hidden_act": d.choice(["gelu", "gelu_new", "relu"])}
    return configured(d, config, pixels(config, b), {"b": b})


def deit(d):
    return vit(d, name="deit", classes=("DeiTForImageClassificationWithTeacher", "DeiTModel"))


def swin_config(d, even):
    """A Swin whose windows fit its smallest stage; the sides of the others are even, or any."""
    stages, patch, window = d.randint(1, 3), d.randint(2, 4), d.randint(2, 4)
    heads = [d.randint(1, 3) * 2**at for at in range(stages)]
    most = 2 ** (stages - 1)
    side = d.randint(window, 6) * most - (0 if even else d.randint(0, most - 1))
    width = heads[-1] * d.randint(1, 3) * (1 if stages == 1 else 3)
    while any(width * 2**at % h for at, h in enumerate(heads)):
        width += 1
    return {"architectures": ["SwinForImageClassification"], "model_type": "swin", "image_size": patch * side,
            "patch_size": patch, "num_channels": 3, "embed_dim": width, "depths": [d.randint(1, 3) for _ in heads],
            "num_heads": heads, "window_size": window, "mlp_ratio": d.choice([2.0, 4.0]), "qkv_bias": True,
            "hidden_act": "gelu", "layer_norm_eps": 1e-5, "use_absolute_embeddings": False} | labels(d.randint(2, 12))


def swin(d):
    config, b = swin_config(d, False), d.items()
    config |= {"architectures": [d.choice(["SwinForImageClassification", "SwinModel"])], "qkv_bias": d.flag(0.7)}
    return configured(d, config, pixels(config, b), {"b": b})


def of_library(d, library, ways, config):
    """A model of images of another library than `transformers`, which its configuration describes."""
    b = d.items()
    way, written = d.choice(ways)
    kind = config["model_type"]
    return {"model": "config.json", "written": written, "sizes": {"b": b}, "config": config,
            "source": f"{library}_{kind}({way}config), [{pixels(config, b)}]"}


TIMM = [("True, ", "timm"), ("False, ", "timm-eager")]


def timm_vit(d):
    return of_library(d, "timm", TIMM, vit_config(d, classes=["ViTForImageClassification"]))


def timm_swin(d):
    return of_library(d, "timm", TIMM, swin_config(d, True))


def torchvision_vit(d):
    config = vit_config(d, classes=["ViTForImageClassification"]) | {"num_channels": 3}
    return of_library(d, "torchvision", [("", "torchvision")], config)


def torchvision_swin(d):
    return of_library(d, "torchvision", [("", "torchvision")], swin_config(d, True))


def layer(kind, keys, written, sizes, source):
    keys = ",".join(f"{key}={str(value).lower()}" for key, value in keys.items())
    return {"model": f"{kind}:{keys}", "written": written, "sizes": sizes, "source": source}


def shaped(first, *shapes):
    """Inputs, the axis of items first or second."""
    each = (shape if first else (shape[1], shape[0], *shape[2:]) for shape in shapes)
    return ", ".join(f"x{shape}" for shape in each)


def torch_nn(d):
    """Whether items come first, and the way of writing."""
    first = d.flag(0.75)
    return first, "torch.nn" if first else "torch.nn-sequence-first"


def nn_mha(d):
    b, n, m, h = d.items(), d.tokens(), d.tokens(), d.randint(1, 8)
    c, bias, weights = d.width(h), d.flag(0.7), d.choice(["none", "mean", "heads"])
    first, written = torch_nn(d)
    own = f"nn.MultiheadAttention({c}, {h}, bias={bias}, batch_first={first}"
    asked = {"none": "need_weights=False", "mean": "need_weights=True", "heads": "average_attn_weights=False"}[weights]
    keys = {"c": c, "h": h, "bias": bias, "weights": weights}
    kind = d.choice(["mha", "mha", "cross-attention", "apart"])
    if kind == "mha":
        masked = d.flag(0.4)
        mask = f", attn_mask=causal({n}), is_causal=True" if masked else ""
        keys |= {"mask": "causal"} if masked else {}
        return layer("mha", keys, written, {"b": b, "n": n},
                     f"ToItself({own}), {asked}{mask}), [{shaped(first, (b, n, c))}]")
    if kind == "cross-attention":
        return layer(kind, keys, written, {"b": b, "n": n, "m": m},
                     f"ToItself({own}), {asked}), [{shaped(first, (b, n, c), (b, m, c))}]")
    keys |= {"kdim": d.randint(1, 64), "vdim": d.randint(1, 64)}
    inputs = shaped(first, (b, n, c), (b, m, keys["kdim"]), (b, m, keys["vdim"]))
    return layer("cross-attention", keys, written, {"b": b, "n": n, "m": m},
                 f"Call({own}, kdim={keys['kdim']}, vdim={keys['vdim']}), {asked}), [{inputs}]")


def torch_layer(d):
    """Options of layers of torch.nn: arguments, keys."""
    h = d.randint(1, 8)
    c, ff, act, pre = d.width(h), d.randint(1, 150), d.choice(["relu", "gelu"]), d.flag()
    bias, dropout = d.flag(0.8), d.choice([0.0, 0.1])
    args = f'{c}, {h}, {ff}, {dropout}, "{act}", norm_first={pre}, bias={bias}'
    return args, {"c": c, "h": h, "ff": ff, "act": act, "norm": "pre" if pre else "post", "bias": bias,
                  "dropout": dropout}


def nn_encoder(d):
    b, n, l = d.items(), d.tokens(), d.randint(1, 4)
    args, keys = torch_layer(d)
    first, written = torch_nn(d)
    source = f"nn.TransformerEncoderLayer({args}, batch_first={first})"
    kind, masked, c = d.choice(["encoder-layer", "encoder"]), d.flag(0.4), keys["c"]
    mask = "src_mask"
    if kind == "encoder":
        last = d.flag()
        keys |= {"l": l, "final_norm": last}
        norm = f"nn.LayerNorm({c}, bias={keys['bias']})" if last else None
        source, mask = f"nn.TransformerEncoder({source}, {l}, norm={norm})", "mask"
    if masked:
        keys |= {"mask": "causal"}
        source = f"Call({source}, {mask}=causal({n}), is_causal=True)"
    return layer(kind, keys, written, {"b": b, "n": n}, f"{source}, [{shaped(first, (b, n, c))}]")


def nn_decoder(d):
    b, n, m, l = d.items(), d.tokens(), d.tokens(), d.randint(1, 3)
    args, keys = torch_layer(d)
    first, written = torch_nn(d)
    source = f"nn.TransformerDecoderLayer({args}, batch_first={first})"
    kind, masked, c = d.choice(["decoder-layer", "decoder", "transformer"]), d.flag(0.4), keys["c"]
    inputs = [(b, n, c), (b, m, c)]
    if kind == "decoder":
        last = d.flag()
        keys |= {"l": l, "final_norm": last}
        norm = f"nn.LayerNorm({c}, bias={keys['bias']})" if last else None
        source = f"nn.TransformerDecoder({source}, {l}, norm={norm})"
    if kind == "transformer":
        keys |= {"l": l, "ld": d.randint(1, 3)}
        source = (f'nn.Transformer({c}, {keys["h"]}, {l}, {keys["ld"]}, {keys["ff"]}, {keys["dropout"]}, '
                  f'"{keys["act"]}", norm_first={keys["norm"] == "pre"}, bias={keys["bias"]}, batch_first={first})')
        inputs.reverse()
    keys |= {"mask": "causal" if masked else "none"}
    if masked:
        source = f"Call({source}, tgt_mask=causal({n}), tgt_is_causal=True)"
    return layer(kind, keys, written, {"b": b, "n": n, "m": m}, f"{source}, [{shaped(first, *inputs)}]")


def written_out(d):
    b, n, h = d.items(), d.tokens(), d.randint(1, 8)
    c, ff, fused, bias = d.width(h), d.randint(1, 150), d.flag(), d.flag()
    written = "plain-sdpa" if fused else "plain"
    if d.flag():
        keys = {"c": c, "h": h, "ff": ff, "act": "gelu", "norm": "pre"}
        return layer("encoder-layer", keys, written, {"b": b, "n": n},
                     f"Block({c}, {h}, {ff}, fused={fused}), [x({b}, {n}, {c})]")
    causal, out = fused and d.flag(), d.flag()
    keys = {"c": c, "h": h, "qkv_bias": bias, "out_proj": out, "mask": "causal" if causal else "none"}
    return layer("mha", keys, written, {"b": b, "n": n},
                 f"Plain({c}, {h}, {bias}, {out}, fused={fused}, causal={causal}), [x({b}, {n}, {c})]")


def single(d):
    """One layer of torch.nn."""
    b, n, c, o, bias = d.items(), d.tokens(), 2 * d.randint(1, 32), d.randint(1, 64), d.flag()
    sizes, x = {"b": b, "n": n}, f"[x({b}, {n}, {c})]"
    kind = d.choice(["linear", "layer-norm", "rms-norm", "embedding", "ffn", "group-norm"])
    if kind == "linear":
        return layer(kind, {"in": c, "out": o, "bias": bias}, "torch.nn", sizes, f"nn.Linear({c}, {o}, {bias}), {x}")
    if kind == "layer-norm":
        return layer(kind, {"c": c, "bias": bias}, "torch.nn", sizes,
                     f"nn.Sequential(nn.LayerNorm({c}, bias={bias})), {x}")
    if kind == "rms-norm":
        return layer(kind, {"c": c}, "torch.nn", sizes, f"nn.Sequential(nn.RMSNorm({c})), {x}")
    if kind == "group-norm":
        groups = d.choice([each for each in range(1, c + 1) if c % each == 0])
        return layer(kind, {"c": c, "groups": groups}, "torch.nn", sizes,
                     f"nn.Sequential(nn.GroupNorm({groups}, {c})), [x({b}, {c}, {n})]")
    if kind == "embedding":
        return layer(kind, {"v": 100 + o, "c": c}, "torch.nn", sizes,
                     f"nn.Sequential(nn.Embedding({100 + o}, {c})), [ids({b}, {n})]")
    act, called = d.choice([("relu", "ReLU()"), ("gelu", "GELU()"), ("gelu-tanh", 'GELU("tanh")'), ("silu", "SiLU()"),
                            ("sigmoid", "Sigmoid()"), ("tanh", "Tanh()"), ("softplus", "Softplus()")])
    return layer(kind, {"c": c, "ff": o, "act": act, "bias": bias}, "torch.nn", sizes,
                 f"nn.Sequential(nn.Linear({c}, {o}, {bias}), nn.{called}, nn.Linear({o}, {c}, {bias})), {x}")


FAMILIES = [bert, roberta, distilbert, gpt2, gpt_neox, llama, mistral, mixtral, qwen2, qwen3, t5, vit, deit, swin,
            timm_vit, timm_swin, torchvision_vit, torchvision_swin, nn_mha, nn_encoder, nn_decoder, written_out, single]


HEADS = {
    "Bert": ["ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering", "ForPreTraining",
             "ForNextSentencePrediction"],
    "Roberta": ["ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering"],
}


def classes(d, name, heads, **more):
    """One of the classes of a family, and keys of its head."""
    kind = d.choice(heads)
    number = {"num_labels": d.randint(1, 7)} if "Classification" in kind else {}
    return {"classes": [f"{name}{kind}"]} | number | more


def bert_heads(d):
    return bert(d, **classes(d, "Bert", HEADS["Bert"]))


def roberta_heads(d):
    return bert(d, "roberta", **classes(d, "Roberta", HEADS["Roberta"], pad_token_id=1))


def xlm_roberta(d):
    heads = [*HEADS["Roberta"], "Model", "ForMaskedLM"]
    return bert(d, "xlm-roberta", **classes(d, "XLMRoberta", heads, pad_token_id=1))


def camembert(d):
    heads = [*HEADS["Roberta"], "Model", "ForMaskedLM"]
    return bert(d, "camembert", **classes(d, "Camembert", heads, pad_token_id=1))


def electra(d):
    heads = [*HEADS["Roberta"], "Model", "ForMaskedLM", "ForPreTraining"]
    return bert(d, "electra", **classes(d, "Electra", heads, embedding_size=d.randint(1, 64)))


def mpnet(d):
    h = d.randint(1, 8)
    head = classes(d, "MPNet", [*HEADS["Roberta"], "Model", "ForMaskedLM"], pad_token_id=1)
    return text(d, "mpnet", head.pop("classes"), "max_position_embeddings", hidden_size=d.width(h),
                num_hidden_layers=d.randint(1, 4), num_attention_heads=h, intermediate_size=d.randint(1, 150),
                hidden_act=d.choice(["gelu", "relu", "silu"]), layer_norm_eps=1e-12, **head)


def opt(d):
    h = d.randint(1, 8)
    width = d.width(h)
    return text(d, "opt", ("OPTForCausalLM", "OPTModel"), "max_position_embeddings", hidden_size=width,
                word_embed_proj_dim=width, ffn_dim=d.randint(1, 150), num_hidden_layers=d.randint(1, 4),
                num_attention_heads=h, activation_function=d.choice(["relu", "gelu"]), enable_bias=d.flag(0.7),
                pad_token_id=1)


def distilbert_heads(d):
    h = d.randint(1, 8)
    head = classes(d, "DistilBert", HEADS["Roberta"])
    return text(d, "distilbert", head.pop("classes"), "max_position_embeddings", dim=d.width(h),
                n_layers=d.randint(1, 4), n_heads=h, hidden_dim=d.randint(1, 150),
                activation=d.choice(["gelu", "relu"]), **head)


def qwen3_moe(d):
    experts = d.randint(2, 8)
    return decoder(d, "qwen3_moe", "Qwen3Moe", multiple=4, num_experts=experts,
                   num_experts_per_tok=d.randint(1, min(experts, 3)), moe_intermediate_size=4 * d.randint(1, 30),
                   norm_topk_prob=d.flag(), attention_bias=d.flag(0.3), head_dim=2 * d.randint(1, 8),
                   rope_theta=10000.0)


def phi3(d):
    return decoder(d, "phi3", "Phi3", sliding_window=d.choice([None, d.randint(1, 24)]), rope_theta=10000.0,
                   pad_token_id=0)


def phi(d):
    h = d.randint(1, 6)
    return text(d, "phi", ("PhiForCausalLM", "PhiModel"), "max_position_embeddings", hidden_size=h * 8 * d.randint(1, 3),
                num_hidden_layers=d.randint(1, 4), num_attention_heads=h, intermediate_size=d.randint(1, 150),
                hidden_act=d.choice(["gelu_new", "gelu", "relu"]), partial_rotary_factor=d.choice([0.25, 0.5, 1.0]),
                layer_norm_eps=1e-5, tie_word_embeddings=False)


def starcoder2(d):
    kv = d.randint(1, 3)
    h = kv * d.randint(1, 3)
    return text(d, "starcoder2", ("Starcoder2ForCausalLM", "Starcoder2Model"), "max_position_embeddings",
                hidden_size=h * 2 * d.randint(1, 8), num_hidden_layers=d.randint(1, 4), num_attention_heads=h,
                num_key_value_heads=kv, intermediate_size=d.randint(1, 150), use_bias=d.flag(0.7),
                hidden_act=d.choice(["gelu_pytorch_tanh", "gelu", "relu"]), norm_epsilon=1e-5,
                sliding_window=d.choice([None, d.randint(1, 24)]), tie_word_embeddings=d.flag(), bos_token_id=0,
                eos_token_id=0)


def gptj(d):
    h = d.randint(1, 6)
    width = 2 * d.randint(1, 8)
    inner = {"n_inner": d.randint(1, 150)} if d.flag() else {}
    return text(d, "gptj", ("GPTJForCausalLM", "GPTJModel"), "n_positions", n_embd=h * width, n_head=h,
                n_layer=d.randint(1, 4), rotary_dim=2 * d.randint(1, width // 2), layer_norm_epsilon=1e-5,
                activation_function=d.choice(["gelu_new", "gelu", "relu"]), tie_word_embeddings=False, **inner)


def gpt_neo(d):
    h, layers = d.randint(1, 8), d.randint(1, 3)
    types = d.choice([["global", "local"], ["local"], ["global"]])
    return text(d, "gpt_neo", ("GPTNeoForCausalLM", "GPTNeoModel"), "max_position_embeddings", hidden_size=d.width(h),
                num_heads=h, num_layers=layers * len(types), attention_types=[[types, layers]],
                window_size=d.randint(1, 24), activation_function=d.choice(["gelu_new", "gelu", "relu"]),
                layer_norm_epsilon=1e-5, tie_word_embeddings=d.flag(0.7))


def bloom(d):
    h = d.randint(1, 8)
    return text(d, "bloom", ("BloomForCausalLM", "BloomModel"), "seq_length", hidden_size=d.width(h), n_head=h,
                n_layer=d.randint(1, 4), layer_norm_epsilon=1e-5, tie_word_embeddings=d.flag(0.7))


def falcon(d):
    kv = d.randint(1, 3)
    h = kv * d.randint(1, 3)
    kind = d.choice([{}, {"new_decoder_architecture": True, "num_kv_heads": kv},
                     {"parallel_attn": False, "multi_query": False}])
    return text(d, "falcon", ("FalconForCausalLM", "FalconModel"), "max_position_embeddings",
                hidden_size=h * 2 * d.randint(1, 8), num_attention_heads=h, num_hidden_layers=d.randint(1, 4),
                bias=d.flag(), alibi=False, layer_norm_epsilon=1e-5, activation=d.choice(["gelu", "relu"]),
                tie_word_embeddings=d.flag(0.7), **kind)


def olmo2(d):
    return decoder(d, "olmo2", "Olmo2", attention_bias=d.flag(0.3), rope_theta=10000.0)


def granite(d):
    return decoder(d, "granite", "Granite", attention_bias=d.flag(0.3), mlp_bias=d.flag(0.3), rope_theta=10000.0,
                   embedding_multiplier=12.0, attention_multiplier=0.3, residual_multiplier=0.22, logits_scaling=8.0)


def smollm3(d):
    return decoder(d, "smollm3", "SmolLM3", no_rope_layer_interval=d.randint(2, 4), attention_bias=d.flag(0.3),
                   mlp_bias=d.flag(0.3), rope_theta=10000.0, pad_token_id=0)


def lfm2(d):
    kv, l = d.randint(1, 3), d.randint(1, 5)
    h, kinds = kv * d.randint(1, 3), [d.choice(["conv", "conv", "full_attention"]) for _ in range(l)]
    kinds[d.randint(0, l - 1)] = "full_attention"
    return text(d, "lfm2", ("Lfm2ForCausalLM", "Lfm2Model"), "max_position_embeddings",
                hidden_size=h * 2 * d.randint(1, 8), intermediate_size=d.randint(6, 150), num_hidden_layers=l,
                num_attention_heads=h, num_key_value_heads=kv, layer_types=kinds, conv_L_cache=d.randint(1, 5),
                conv_bias=d.flag(0.3), block_auto_adjust_ff_dim=d.flag(0.7), block_multiple_of=d.choice([1, 4, 16]),
                block_ffn_dim_multiplier=d.choice([1.0, 1.3]), norm_eps=1e-5, rope_theta=10000.0,
                tie_word_embeddings=d.flag(0.3), pad_token_id=0)


def delta(d, name, family, **more):
    """Decoders most layers of which have linear attention by a gated delta rule."""
    keys, l = d.randint(1, 3), d.randint(1, 5)
    kinds = [d.choice(["linear_attention", "linear_attention", "full_attention"]) for _ in range(l)]
    kinds[d.randint(0, l - 1)] = "full_attention"
    case = decoder(d, name, family, multiple=4, head_dim=8 * d.randint(1, 3), layer_types=kinds,
                   linear_num_key_heads=keys, linear_num_value_heads=keys * d.randint(1, 3),
                   linear_key_head_dim=d.randint(1, 9), linear_value_head_dim=d.randint(1, 9),
                   linear_conv_kernel_dim=d.randint(1, 4), attention_bias=d.flag(0.3), rope_theta=10000.0, **more)
    case["config"]["num_hidden_layers"] = l
    return case


def experts_of_delta(d):
    experts = d.randint(2, 8)
    return dict(num_experts=experts, num_experts_per_tok=d.randint(1, min(experts, 3)),
                moe_intermediate_size=4 * d.randint(1, 30), shared_expert_intermediate_size=4 * d.randint(1, 30))


def qwen3_next(d):
    return delta(d, "qwen3_next", "Qwen3Next", norm_topk_prob=d.flag(), decoder_sparse_step=d.randint(1, 2), **experts_of_delta(d))


def qwen3_5(d, name="qwen3_5_text", family="Qwen3_5", **more):
    case = delta(d, name, family, **more)
    names = {f"{family}Model": f"{family}TextModel"}
    case["config"]["architectures"] = [names.get(own, own) for own in case["config"]["architectures"]]
    return case


def qwen3_5_moe(d):
    return qwen3_5(d, "qwen3_5_moe_text", "Qwen3_5Moe", **experts_of_delta(d))


def mamba2(d):
    groups, times, expand = d.randint(1, 3), d.randint(1, 3), d.randint(1, 3)
    heads, part = groups * times, d.randint(1, 5)
    b, n = d.items(), d.tokens()
    config = dict(architectures=[d.choice(["Mamba2ForCausalLM", "Mamba2Model"])], model_type="mamba2",
                  vocab_size=d.randint(100, 150), hidden_size=heads * part, num_hidden_layers=d.randint(1, 4),
                  num_heads=heads, head_dim=part * expand, expand=expand, n_groups=groups, state_size=d.randint(1, 9),
                  conv_kernel=d.randint(1, 4), chunk_size=d.randint(1, 12), use_bias=d.flag(0.3), use_conv_bias=d.flag(),
                  tie_word_embeddings=d.flag(0.3), pad_token_id=0, bos_token_id=1, eos_token_id=2)
    return configured(d, config, f"ids({b}, {n})", {"b": b, "n": n}, (b, n) if d.flag(0.3) else None, attends=False)


def granite_hybrid(d):
    groups, times, experts = d.randint(1, 2), d.randint(1, 3), d.choice([0, d.randint(2, 6)])
    l = d.randint(1, 5)
    kinds = [d.choice(["linear_attention", "linear_attention", "full_attention"]) for _ in range(l)]
    kinds[d.randint(0, l - 1)] = "full_attention"
    case = decoder(d, "granitemoehybrid", "GraniteMoeHybrid", multiple=4, layer_types=kinds, mamba_n_groups=groups,
                   mamba_n_heads=groups * times, mamba_expand=groups * times, mamba_d_head="auto",
                   mamba_d_state=d.randint(2, 9), mamba_d_conv=d.randint(2, 4), mamba_chunk_size=d.randint(2, 12),
                   mamba_conv_bias=d.flag(), mamba_proj_bias=d.flag(0.3), num_local_experts=experts,
                   num_experts_per_tok=d.randint(1, max(1, experts)), shared_intermediate_size=4 * d.randint(1, 30),
                   position_embedding_type=d.choice([None, "rope"]), attention_bias=d.flag(0.3),
                   attention_multiplier=0.5, embedding_multiplier=2.0, residual_multiplier=0.7, logits_scaling=3.0)
    case["config"]["num_hidden_layers"] = l
    case["config"]["intermediate_size"] = 4 * d.randint(1, 30)
    return case


def nemotron_h(d):
    groups, times, experts = d.randint(1, 2), d.randint(1, 3), d.randint(2, 6)
    kinds = [d.choice(["linear_attention", "full_attention", "moe", "mlp"]) for _ in range(d.randint(1, 6))]
    case = decoder(d, "nemotron_h", "NemotronH", layers_block_type=kinds, n_groups=groups, head_dim=2 * d.randint(1, 6),
                   mamba_num_heads=groups * times, mamba_head_dim=d.randint(2, 9), ssm_state_size=d.randint(2, 9),
                   conv_kernel=d.randint(2, 4), chunk_size=d.randint(2, 12), use_bias=d.flag(0.3), use_conv_bias=d.flag(),
                   mlp_bias=d.flag(0.3), n_routed_experts=experts, num_experts_per_tok=d.randint(1, experts),
                   moe_intermediate_size=4 * d.randint(1, 30), moe_shared_expert_intermediate_size=4 * d.randint(1, 30),
                   moe_latent_size=d.choice([None, 4 * d.randint(1, 8)]), mlp_hidden_act=d.choice(["relu2", "silu"]))
    case["config"]["tie_word_embeddings"] = False
    del case["config"]["num_hidden_layers"], case["config"]["hidden_act"]
    return case


def kimi_linear(d):
    h, experts, l = d.randint(1, 4), d.randint(4, 8), d.randint(1, 5)
    kinds = [d.choice(["linear_attention", "linear_attention", "full_attention"]) for _ in range(l)]
    kinds[d.randint(0, l - 1)] = "full_attention"
    case = decoder(d, "kimi_linear", "KimiLinear", multiple=4, layer_types=kinds, linear_num_heads=d.randint(1, 3),
                   linear_head_dim=d.randint(2, 9), linear_conv_kernel_dim=d.randint(2, 4), kv_lora_rank=4 * d.randint(1, 4),
                   qk_rope_head_dim=4, qk_nope_head_dim=4 * d.randint(1, 3), v_head_dim=4 * d.randint(1, 3), q_lora_rank=None,
                   num_local_experts=experts, num_experts_per_tok=d.randint(1, 3), moe_intermediate_size=4 * d.randint(1, 30),
                   n_shared_experts=d.randint(1, 2), attention_bias=d.flag(0.3), n_group=1, topk_group=1, pad_token_id=0,
                   bos_token_id=1, eos_token_id=2)
    case["config"] |= {"num_hidden_layers": l, "num_attention_heads": h, "num_key_value_heads": h, "tie_word_embeddings": False,
                       "first_k_dense_replace": d.randint(0, l - 1)}
    return case


def glm(d, name="glm", family="Glm"):
    width = 4 * d.randint(1, 4)
    return decoder(d, name, family, attention_bias=d.flag(0.7), rope_theta=10000.0, partial_rotary_factor=0.5,
                   head_dim=width, pad_token_id=0)


def glm4(d):
    return glm(d, "glm4", "Glm4")


def cohere(d, name="cohere", family="Cohere", **more):
    case = decoder(d, name, family, attention_bias=d.flag(0.3), rope_theta=10000.0, layer_norm_eps=1e-5,
                   logit_scale=0.25, **more)
    del case["config"]["rms_norm_eps"]
    return case


def cohere2(d):
    return cohere(d, "cohere2", "Cohere2", sliding_window=d.randint(1, 24), sliding_window_pattern=d.randint(2, 4))


def gemma(d, name="gemma", family="Gemma", **more):
    return decoder(d, name, family, attention_bias=d.flag(0.3), rope_theta=10000.0, head_dim=2 * d.randint(1, 8),
                   pad_token_id=0, **more)


def gemma2(d):
    """Which the library has with eager attention alone."""
    case = gemma(d, "gemma2", "Gemma2", hidden_activation="gelu_pytorch_tanh", sliding_window=d.randint(1, 24),
                 query_pre_attn_scalar=d.randint(1, 64), attn_logit_softcapping=d.choice([None, 50.0]),
                 final_logit_softcapping=d.choice([None, 30.0]))
    return case | {"written": "transformers-eager", "source": case["source"].replace('"sdpa"', '"eager"')}


def gemma3(d):
    case = gemma(d, "gemma3_text", "Gemma3", hidden_activation="gelu_pytorch_tanh", sliding_window=d.randint(1, 24),
                 query_pre_attn_scalar=d.randint(1, 64), sliding_window_pattern=d.randint(2, 4),
                 rope_local_base_freq=10000.0)
    names = {"Gemma3Model": "Gemma3TextModel"}
    case["config"]["architectures"] = [names.get(name, name) for name in case["config"]["architectures"]]
    return case


def gemma4(d):
    layers = d.randint(2, 8)
    kinds = [d.choice(["sliding_attention", "full_attention"]) for _ in range(layers)]
    kinds[-1] = "full_attention"
    shared = d.randint(0, layers - 1)
    shared = shared if set(kinds[:layers - shared]) == set(kinds) else 0
    kv, of_all = d.randint(1, 3), d.randint(1, 3)
    h = kv * of_all * d.randint(1, 2)
    mixture = shared == 0 and d.flag()
    experts = d.randint(2, 6)
    return text(d, "gemma4_text", ("Gemma4ForCausalLM", "Gemma4TextModel"), "max_position_embeddings",
                hidden_size=4 * d.randint(2, 15), intermediate_size=d.randint(6, 100), num_hidden_layers=layers,
                num_attention_heads=h, num_key_value_heads=kv, head_dim=2 * d.randint(1, 8),
                global_head_dim=2 * d.randint(1, 10), num_global_key_value_heads=d.choice([None, of_all]),
                attention_k_eq_v=d.flag(), attention_bias=d.flag(0.3), layer_types=kinds, num_kv_shared_layers=shared,
                sliding_window=d.randint(1, 24), use_double_wide_mlp=d.flag(),
                hidden_size_per_layer_input=d.choice([0, d.randint(1, 12)]) if shared == 0 else d.randint(1, 12),
                vocab_size_per_layer_input=150, final_logit_softcapping=d.choice([None, 30.0]), enable_moe_block=mixture,
                num_experts=experts, top_k_experts=d.randint(1, min(experts, 3)), moe_intermediate_size=4 * d.randint(1, 8),
                tie_word_embeddings=d.flag(0.7), pad_token_id=0)


def qwen2_moe(d):
    experts = d.randint(2, 8)
    return decoder(d, "qwen2_moe", "Qwen2Moe", multiple=4, num_experts=experts,
                   num_experts_per_tok=d.randint(1, min(experts, 3)), moe_intermediate_size=4 * d.randint(1, 30),
                   shared_expert_intermediate_size=4 * d.randint(1, 30), norm_topk_prob=d.flag(), rope_theta=10000.0,
                   qkv_bias=d.flag(0.7))


def deepseek(d, name, family, **more):
    """A decoder whose keys and values are made from a latent."""
    groups, each, h = d.randint(1, 3), d.randint(2, 3), d.randint(1, 4)
    chosen = d.randint(1, groups)
    layers = d.randint(1, 4)
    return text(d, name, (f"{family}ForCausalLM", f"{family}Model"), "max_position_embeddings",
                hidden_size=h * 4 * d.randint(1, 6), num_hidden_layers=layers, num_attention_heads=h,
                num_key_value_heads=h, intermediate_size=4 * d.randint(1, 30), moe_intermediate_size=4 * d.randint(1, 20),
                n_routed_experts=groups * each, n_group=groups, topk_group=chosen, n_shared_experts=d.randint(1, 3),
                num_experts_per_tok=d.randint(1, min(3, chosen * each)), first_k_dense_replace=d.randint(0, layers),
                q_lora_rank=d.choice([None, d.randint(1, 24)]), kv_lora_rank=2 * d.randint(1, 12),
                qk_nope_head_dim=2 * d.randint(1, 6), qk_rope_head_dim=2 * d.randint(1, 6), v_head_dim=d.randint(1, 12),
                attention_bias=d.flag(0.3), hidden_act=d.choice(["silu", "silu", "gelu"]), rms_norm_eps=1e-6,
                rope_theta=10000.0, routed_scaling_factor=d.choice([1.0, 2.5]), tie_word_embeddings=d.flag(0.3), **more)


def deepseek_v2(d):
    return deepseek(d, "deepseek_v2", "DeepseekV2", topk_method=d.choice(["greedy", "group_limited_greedy"]),
                    mlp_bias=d.flag(0.3))


def deepseek_v3(d):
    return deepseek(d, "deepseek_v3", "DeepseekV3", norm_topk_prob=d.flag(), rope_interleave=d.flag(0.7))


def glm4_moe(d):
    groups, each = d.randint(1, 3), d.randint(2, 3)
    chosen, layers = d.randint(1, groups), d.randint(1, 4)
    case = decoder(d, "glm4_moe", "Glm4Moe", multiple=4, n_routed_experts=groups * each, n_group=groups, topk_group=chosen,
                   num_experts_per_tok=d.randint(1, min(3, chosen * each)), n_shared_experts=d.randint(1, 3),
                   moe_intermediate_size=4 * d.randint(1, 20), norm_topk_prob=d.flag(), attention_bias=d.flag(),
                   use_qk_norm=d.flag(), routed_scaling_factor=d.choice([1.0, 2.5]), rope_theta=10000.0,
                   partial_rotary_factor=0.5, first_k_dense_replace=d.randint(0, 2), head_dim=4 * d.randint(1, 4))
    return case


def ernie(d):
    """Without a bias where the head is the table of words, since a bias then belongs to the head alone."""
    experts = d.randint(2, 8)
    case = decoder(d, "ernie4_5_moe", "Ernie4_5_Moe", multiple=4, moe_num_experts=experts, moe_k=d.randint(1, min(experts, 3)),
                   moe_num_shared_experts=d.randint(0, 2), moe_intermediate_size=4 * d.randint(1, 20), use_bias=d.flag(0.3),
                   moe_layer_start_index=d.randint(0, 2), moe_layer_interval=d.randint(1, 2), rope_theta=10000.0)
    case["config"]["use_bias"] &= not case["config"]["tie_word_embeddings"]
    return case


def minimax(d):
    experts = d.randint(2, 8)
    return decoder(d, "minimax_m2", "MiniMaxM2", multiple=4, num_local_experts=experts,
                   num_experts_per_tok=d.randint(1, min(experts, 3)), head_dim=2 * d.randint(1, 8), rope_theta=10000.0)


def dinov2(d, name="dinov2", cls="Dinov2"):
    config, b = vit_config(d, name=name, classes=(f"{cls}ForImageClassification", f"{cls}Model")), d.items()
    del config["intermediate_size"]
    config |= {"mlp_ratio": d.randint(1, 4), "use_swiglu_ffn": d.flag(), "qkv_bias": d.flag(0.7),
               "hidden_act": d.choice(["gelu", "gelu_new", "relu"])}
    return configured(d, config, pixels(config, b), {"b": b})


def dinov2_registers(d):
    return dinov2(d, "dinov2_with_registers", "Dinov2WithRegisters")


def beit(d):
    config, b = vit_config(d, name="beit", classes=("BeitForImageClassification", "BeitModel")), d.items()
    config |= {"hidden_act": d.choice(["gelu", "gelu_new", "relu"]), "use_absolute_position_embeddings": d.flag(),
               "use_relative_position_bias": d.flag(0.2), "use_shared_relative_position_bias": d.flag(0.2),
               "use_mean_pooling": d.flag(), "layer_scale_init_value": d.choice([0.1, 0.1, 0.0])}
    return configured(d, config, pixels(config, b), {"b": b})


def dinov3(d):
    config, b, h = vit_config(d, name="dinov3_vit", classes=("DINOv3ViTModel",)), d.items(), d.randint(1, 4)
    bias = d.flag(0.7)
    config |= {"num_attention_heads": h, "hidden_size": 4 * h * d.randint(1, 4), "use_gated_mlp": d.flag(),
               "num_register_tokens": d.randint(0, 4), "query_bias": bias, "value_bias": bias, "proj_bias": d.flag(0.7),
               "mlp_bias": d.flag(0.7), "hidden_act": d.choice(["gelu", "relu", "silu"])}
    return configured(d, config, pixels(config, b), {"b": b})


def llama4(d):
    experts = d.randint(2, 6)
    case = decoder(d, "llama4_text", "Llama4", multiple=4, num_local_experts=experts,
                   num_experts_per_tok=d.randint(1, min(experts, 3)), head_dim=2 * d.randint(1, 8), rope_theta=10000.0,
                   intermediate_size_mlp=4 * d.randint(1, 30), attention_chunk_size=d.randint(1, 24), floor_scale=d.randint(1, 9),
                   interleave_moe_layer_step=d.randint(1, 3), no_rope_layer_interval=d.randint(1, 4), use_qk_norm=d.flag(),
                   attention_bias=d.flag(0.3), attn_temperature_tuning=d.flag(0.7))
    names = {"Llama4Model": "Llama4TextModel"}
    case["config"]["architectures"] = [names.get(name, name) for name in case["config"]["architectures"]]
    return case


def albert(d):
    heads = [*HEADS["Roberta"], "Model", "ForMaskedLM", "ForPreTraining"]
    return bert(d, "albert", **classes(d, "Albert", heads, embedding_size=d.randint(1, 64)))


def deberta(d):
    h, buckets, shared = d.randint(1, 8), d.choice([-1, d.randint(1, 6) * 2]), d.flag()
    head = classes(d, "DebertaV2", [*HEADS["Roberta"], "Model", "ForMaskedLM"])
    return text(d, "deberta-v2", head.pop("classes"), "max_position_embeddings", hidden_size=d.width(h),
                num_hidden_layers=d.randint(1, 4), num_attention_heads=h, intermediate_size=d.randint(1, 150),
                type_vocab_size=d.randint(0, 2), hidden_act=d.choice(["gelu", "relu"]), layer_norm_eps=1e-7,
                relative_attention=True, position_buckets=buckets, max_relative_positions=buckets + d.randint(2, 9),
                share_att_key=shared, position_biased_input=d.flag(),
                pos_att_type="c2p|p2c" if shared else d.choice(["c2p|p2c", "c2p", "p2c"]),
                norm_rel_ebd=d.choice(["none", "layer_norm"]), **head)


def pair(d, name, kinds, one_text=(), **config):
    """An encoder and a decoder, which are given texts of their own, or one text."""
    b, n, m, kind = d.items(), d.tokens(), d.tokens(), d.choice([*kinds, *one_text])
    config = {"architectures": [kind], "model_type": name, "vocab_size": d.randint(100, 150)} | config
    if kind in one_text:
        return configured(d, config, f"ids({b}, {n})", {"b": b, "n": n})
    return configured(d, config, f"ids({b}, {m}), ids({b}, {n})", {"b": b, "n": n, "m": m})


def bart_like(d, name, kinds, one_text):
    h = d.randint(1, 8)
    layers = sorted([d.randint(1, 3), d.randint(1, 3)])
    return pair(d, name, kinds, one_text, d_model=d.width(h, 2), encoder_attention_heads=h, decoder_attention_heads=h,
                encoder_layers=layers[1], decoder_layers=layers[0], encoder_ffn_dim=d.randint(1, 150),
                decoder_ffn_dim=d.randint(1, 150), max_position_embeddings=d.randint(26, 60),
                activation_function=d.choice(["gelu", "relu", "silu"]), scale_embedding=d.flag(), pad_token_id=1,
                eos_token_id=2, decoder_start_token_id=2)


def bart(d):
    return bart_like(d, "bart", ["BartModel", "BartForConditionalGeneration"], ["BartForQuestionAnswering", "BartForCausalLM"])


def mbart(d):
    return bart_like(d, "mbart", ["MBartModel", "MBartForConditionalGeneration"], ["MBartForCausalLM"])


def marian(d):
    return bart_like(d, "marian", ["MarianModel", "MarianMTModel"], ["MarianForCausalLM"])


def pegasus(d):
    return bart_like(d, "pegasus", ["PegasusModel", "PegasusForConditionalGeneration"], ["PegasusForCausalLM"])


def t5_heads(d):
    family, name = d.choice([("t5", "T5"), ("mt5", "MT5")])
    both = [f"{name}ForConditionalGeneration", f"{name}Model"] if family == "mt5" else []
    one = [f"{name}EncoderModel", f"{name}ForTokenClassification", f"{name}ForQuestionAnswering"]
    return pair(d, family, both, one, d_model=d.randint(1, 64), d_kv=d.randint(1, 16), d_ff=d.randint(1, 150),
                num_layers=d.randint(1, 3), num_decoder_layers=d.randint(1, 3), num_heads=d.randint(1, 8),
                relative_attention_num_buckets=32, relative_attention_max_distance=128, layer_norm_epsilon=1e-6,
                pad_token_id=0, feed_forward_proj=d.choice(["relu", "gated-gelu", "gated-silu"]),
                decoder_start_token_id=0)


def modernbert(d):
    h = d.randint(1, 8)
    head = classes(d, "ModernBert", [*HEADS["Roberta"], "Model", "ForMaskedLM"])
    return text(d, "modernbert", head.pop("classes"), "max_position_embeddings", hidden_size=2 * d.width(h),
                num_hidden_layers=d.randint(1, 8), num_attention_heads=h, intermediate_size=d.randint(1, 150),
                hidden_activation=d.choice(["gelu", "relu", "silu"]), local_attention=2 * d.randint(1, 8),
                global_attn_every_n_layers=d.randint(1, 4), norm_bias=d.flag(), attention_bias=d.flag(), mlp_bias=d.flag(),
                classifier_bias=d.flag(), classifier_pooling="cls", pad_token_id=0, bos_token_id=2, eos_token_id=1,
                cls_token_id=2, sep_token_id=1, **head)


def whisper(d):
    b, n, m, h = d.items(), d.tokens(), d.randint(1, 24), d.randint(1, 8)
    kind = d.choice(["WhisperModel", "WhisperForConditionalGeneration", "WhisperForAudioClassification"])
    config = {
        "architectures": [kind], "model_type": "whisper", "vocab_size": d.randint(100, 150), "d_model": 2 * d.width(h),
        "encoder_layers": d.randint(1, 3), "decoder_layers": d.randint(1, 3), "encoder_attention_heads": h,
        "decoder_attention_heads": h, "encoder_ffn_dim": d.randint(1, 150), "decoder_ffn_dim": d.randint(1, 150),
        "num_mel_bins": d.randint(1, 40), "max_source_positions": m, "max_target_positions": d.randint(26, 60),
        "activation_function": d.choice(["gelu", "relu", "silu"]), "pad_token_id": 1, "bos_token_id": 1,
        "eos_token_id": 2, "decoder_start_token_id": 2, "tie_word_embeddings": d.flag(0.7),
    }
    sound = f"x({b}, {config['num_mel_bins']}, {2 * m})"
    if kind == "WhisperForAudioClassification":
        return configured(d, config | {"classifier_proj_size": d.randint(1, 64)} | labels(d.randint(2, 12)), sound, {"b": b})
    return configured(d, config, f"{sound}, ids({b}, {n})", {"b": b, "n": n})


def tower(d, activations, **more):
    h = d.randint(1, 8)
    return {"hidden_size": d.width(h), "num_hidden_layers": d.randint(1, 4), "num_attention_heads": h,
            "intermediate_size": d.randint(1, 150), "hidden_act": d.choice(activations)} | more


def of_texts(d, activations, **more):
    return tower(d, activations, vocab_size=d.randint(100, 150), max_position_embeddings=d.randint(26, 60), pad_token_id=1,
                 bos_token_id=1, eos_token_id=d.choice([2, 5]), **more)


def of_images(d, activations, **more):
    patch = d.randint(2, 8)
    return tower(d, activations, image_size=patch * d.randint(1, 5), patch_size=patch, num_channels=d.choice([1, 3]), **more)


def clip(d):
    """Towers alone with and without their maps, and both."""
    acts, b, n, wide = ["quick_gelu", "gelu", "relu"], d.items(), d.tokens(), d.randint(1, 64)
    kind = d.choice(["text", "image", "both"])
    if kind == "text":
        config = of_texts(d, acts, architectures=[d.choice(["CLIPTextModel", "CLIPTextModelWithProjection"])],
                          model_type="clip_text_model", projection_dim=wide)
        return configured(d, config, f"ids({b}, {n})", {"b": b, "n": n})
    if kind == "image":
        config = of_images(d, acts, architectures=[d.choice(["CLIPVisionModel", "CLIPVisionModelWithProjection"])],
                           model_type="clip_vision_model", projection_dim=wide)
        return configured(d, config, pixels(config, b), {"b": b})
    config = {"architectures": ["CLIPModel"], "model_type": "clip", "projection_dim": wide,
              "text_config": of_texts(d, acts), "vision_config": of_images(d, acts)}
    images = d.items()
    return configured(d, config, f"ids({b}, {n}), {pixels(config['vision_config'], images)}",
                      {"b": b, "n": n, "bi": images})


def siglip(d):
    acts, b, n = ["gelu_pytorch_tanh", "gelu", "relu"], d.items(), d.tokens()
    kind = d.choice(["text", "image", "both"])
    if kind == "text":
        config = of_texts(d, acts, architectures=["SiglipTextModel"], model_type="siglip_text_model",
                          projection_size=d.choice([None, d.randint(1, 64)]))
        return configured(d, config, f"ids({b}, {n})", {"b": b, "n": n})
    if kind == "image":
        config = of_images(d, acts, architectures=["SiglipVisionModel"], model_type="siglip_vision_model",
                           vision_use_head=d.flag())
        return configured(d, config, pixels(config, b), {"b": b})
    image = of_images(d, acts)
    config = {"architectures": ["SiglipModel"], "model_type": "siglip",
              "text_config": of_texts(d, acts, projection_size=image["hidden_size"]), "vision_config": image}
    images = d.items()
    return configured(d, config, f"ids({b}, {n}), {pixels(image, images)}", {"b": b, "n": n, "bi": images})


def eager_alone(case):
    """The case with the one implementation of attention that its class has."""
    return case | {"written": "transformers-eager", "source": case["source"].replace('"sdpa"', '"eager"')}


def swinv2(d):
    config, b = swin_config(d, False), d.items()
    stages = len(config["depths"])
    config |= {"architectures": [d.choice(["Swinv2ForImageClassification", "Swinv2Model"])], "model_type": "swinv2",
               "qkv_bias": d.flag(0.7), "pretrained_window_sizes": d.choice([[0] * stages, [6] * stages])}
    return eager_alone(configured(d, config, pixels(config, b), {"b": b}))


def convnext(d):
    stages, patch, b = d.randint(1, 3), d.randint(1, 4), d.items()
    config = {"architectures": [d.choice(["ConvNextForImageClassification", "ConvNextModel"])], "model_type": "convnext",
              "image_size": patch * d.randint(2 ** (stages - 1), 12) + d.randint(0, patch - 1), "patch_size": patch,
              "num_channels": d.choice([1, 3]), "num_stages": stages, "depths": [d.randint(1, 3) for _ in range(stages)],
              "hidden_sizes": [d.randint(1, 40) for _ in range(stages)], "hidden_act": d.choice(["gelu", "gelu_new", "relu"]),
              "layer_norm_eps": 1e-12, "layer_scale_init_value": d.choice([1e-6, 1e-6, 0.0])} | labels(d.randint(2, 12))
    return eager_alone(configured(d, config, pixels(config, b), {"b": b}))


def vit_mae(d):
    """Of square images of whole patches, as the library compares what it tells with."""
    config, b, h = vit_config(d, name="vit_mae", classes=("ViTMAEForPreTraining", "ViTMAEModel")), d.items(), d.randint(1, 4)
    config["hidden_size"] = 4 * config["num_attention_heads"] * d.randint(1, 3)  # Its sines and cosines are of quarters.
    config |= {"image_size": config["patch_size"] * d.randint(2, 5), "qkv_bias": d.flag(0.7), "mask_ratio": d.choice([0.75, 0.5, 0.0]),
               "decoder_hidden_size": 4 * h * d.randint(1, 3), "decoder_num_attention_heads": h,
               "decoder_num_hidden_layers": d.randint(1, 3), "decoder_intermediate_size": d.randint(1, 60)}
    del config["id2label"]
    return configured(d, config, pixels(config, b), {"b": b})


def wav2vec2(d, name="wav2vec2", cls="Wav2Vec2"):
    h, layers, b = d.randint(1, 4), d.randint(1, 3), d.items()
    groups = d.randint(1, 3)
    config = {"architectures": [d.choice([f"{cls}Model", f"{cls}ForCTC", f"{cls}ForSequenceClassification"])], "model_type": name,
              "hidden_size": h * groups * 2 * d.randint(1, 4), "num_hidden_layers": d.randint(1, 3), "num_attention_heads": h,
              "intermediate_size": d.randint(1, 60), "hidden_act": d.choice(["gelu", "relu"]), "conv_dim": [d.randint(1, 20) for _ in range(layers)],
              "conv_kernel": [d.randint(2, 10) for _ in range(layers)], "conv_stride": [d.randint(1, 4) for _ in range(layers)],
              "conv_bias": d.flag(), "feat_extract_norm": d.choice(["group", "layer"]), "do_stable_layer_norm": d.flag(),
              "num_conv_pos_embeddings": d.randint(2, 9), "num_conv_pos_embedding_groups": groups, "vocab_size": 20,
              "classifier_proj_size": d.randint(1, 30)} | labels(d.randint(2, 12))
    t = d.randint(700, 900)
    return configured(d, config, f"x({b}, {t})", {"b": b, "t": t})


def hubert(d):
    return wav2vec2(d, "hubert", "Hubert")


def image_classes(d, name, cls, activations):
    b = d.items()
    config = {"architectures": [f"{cls}ForImageClassification"], "model_type": name, "text_config": of_texts(d, activations),
              "vision_config": of_images(d, activations)} | labels(d.randint(2, 12))
    return configured(d, config, pixels(config["vision_config"], b), {"b": b})


def clip_classes(d):
    return image_classes(d, "clip", "CLIP", ["quick_gelu", "gelu", "relu"])


def siglip_classes(d):
    return image_classes(d, "siglip", "Siglip", ["gelu_pytorch_tanh", "gelu", "relu"])


def whisper_causal(d):
    b, n, h, layers = d.items(), d.tokens(), d.randint(1, 8), d.randint(1, 3)
    config = {
        "architectures": ["WhisperForCausalLM"], "model_type": "whisper", "vocab_size": d.randint(100, 150),
        "d_model": 2 * d.width(h), "encoder_layers": layers, "decoder_layers": layers, "encoder_attention_heads": h,
        "decoder_attention_heads": h, "encoder_ffn_dim": d.randint(1, 150), "decoder_ffn_dim": d.randint(1, 150),
        "num_mel_bins": 8, "max_source_positions": 6, "max_target_positions": d.randint(26, 60),
        "activation_function": d.choice(["gelu", "relu", "silu"]), "pad_token_id": 1, "bos_token_id": 1,
        "eos_token_id": 2, "decoder_start_token_id": 2, "tie_word_embeddings": d.flag(0.7),
    }
    return configured(d, config, f"ids({b}, {n})", {"b": b, "n": n})


def opt_narrow(d):
    """OPT whose words are narrower than its layers, or whose norms stand behind the sublayers."""
    h = d.randint(1, 8)
    wide = d.width(h)
    return text(d, "opt", ["OPTForCausalLM", "OPTModel"], "max_position_embeddings", hidden_size=wide, num_hidden_layers=d.randint(1, 4),
                num_attention_heads=h, ffn_dim=d.randint(1, 150), word_embed_proj_dim=d.choice([wide, d.randint(1, 64)]),
                do_layer_norm_before=d.flag(), enable_bias=d.flag(0.7), tie_word_embeddings=d.flag())


def llava(d):
    """Encoders of images of both families, before decoders of three."""
    family = d.choice(["clip", "siglip"])
    acts = {"clip": ["quick_gelu", "gelu", "relu"], "siglip": ["gelu_pytorch_tanh", "gelu", "relu"]}[family]
    vision = of_images(d, acts, model_type=f"{family}_vision_model")
    vision |= {"vision_use_head": d.flag()} if family == "siglip" else {}
    strategy = d.choice(["default", "full"]) if vision["image_size"] > vision["patch_size"] else "full"
    layers = vision["num_hidden_layers"]
    rows = (vision["image_size"] // vision["patch_size"]) ** 2 + (family == "clip") - (strategy == "default")
    h, kind = d.randint(1, 6), d.choice(["llama", "mistral", "qwen2"])
    text = {"model_type": kind, "vocab_size": d.randint(100, 150), "hidden_size": d.width(h, 2), "num_hidden_layers": d.randint(1, 3),
            "num_attention_heads": h, "num_key_value_heads": d.choice([k for k in range(1, h + 1) if h % k == 0]),
            "intermediate_size": d.randint(1, 150), "max_position_embeddings": 256, "rms_norm_eps": 1e-6}
    config = {"architectures": ["LlavaForConditionalGeneration"], "model_type": "llava", "text_config": text, "vision_config": vision,
              "image_token_index": d.randint(1, 99), "vision_feature_layer": d.choice([at for at in range(-layers - 1, layers + 1) if at]),
              "vision_feature_select_strategy": strategy, "projector_hidden_act": d.choice(["gelu", "relu", "silu"]),
              "multimodal_projector_bias": d.flag(), "tie_word_embeddings": d.flag(0.3)}
    images = d.items()
    b = d.items()
    n = -(-images * rows // b) + d.randint(1, 9)
    return configured(d, config, f"with_images({b}, {n}, {config['image_token_index']}, {images * rows}), {pixels(vision, images)}",
                      {"b": b, "n": n, "bi": images})


def qwen_vl(d):
    """All three families, images of one grid."""
    family = d.choice(["Qwen2VL", "Qwen2_5_VL", "Qwen3VL"])
    kind = {"Qwen2VL": "qwen2_vl", "Qwen2_5_VL": "qwen2_5_vl", "Qwen3VL": "qwen3_vl"}[family]
    h, e, layers = d.randint(1, 4), 2 * d.randint(2, 8), d.randint(1, 3)
    first = d.randint(1, e // 2 - 1)
    second = d.randint(0, e // 2 - first)
    width = h * e
    text = {"model_type": f"{kind}_text", "vocab_size": d.randint(100, 150), "hidden_size": width, "num_hidden_layers": layers,
            "num_attention_heads": h, "num_key_value_heads": d.choice([k for k in range(1, h + 1) if h % k == 0]),
            "intermediate_size": d.randint(1, 150), "max_position_embeddings": 256, "rms_norm_eps": 1e-6,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [first, second, e // 2 - first - second]}}
    heads, depth, channels = d.randint(1, 4), d.randint(1, 3), d.choice([1, 3])
    c = heads * 4 * d.randint(1, 4)
    patch, moments, side = d.randint(1, 4), d.randint(1, 2), d.randint(2, 3)
    vision = {"depth": depth, "num_heads": heads, "in_channels": channels, "patch_size": patch, "temporal_patch_size": moments,
              "spatial_merge_size": side, "hidden_act": d.choice(["gelu", "silu", "relu", "quick_gelu", "gelu_pytorch_tanh"])}
    if family == "Qwen2VL":
        vision |= {"embed_dim": c, "hidden_size": width, "mlp_ratio": d.randint(1, 4)}
    else:
        vision |= {"hidden_size": c, "out_hidden_size": width, "intermediate_size": d.randint(1, 100)}
    if family == "Qwen2_5_VL":
        vision |= {"window_size": patch * side * d.randint(1, 3),
                   "fullatt_block_indexes": sorted(d.sample(range(depth), d.randint(0, depth)))}
    if family == "Qwen3VL":
        text |= {"head_dim": e, "attention_bias": d.flag()}
        vision |= {"num_position_embeddings": d.randint(4, 30),
                   "deepstack_visual_indexes": sorted(d.sample(range(depth), d.randint(0, min(depth, layers))))}
    token, b, images = d.randint(1, 99), d.items(), d.items()
    down, across = d.randint(1, 4), d.randint(1, 4)
    rows = down * across
    n = -(-images // b) * (rows + 1) + d.randint(1, 6)
    config = {"architectures": [f"{family}ForConditionalGeneration"], "model_type": kind, "text_config": text, "vision_config": vision,
              "image_token_id": token, "tie_word_embeddings": d.flag(0.3)}
    pixels_of_patch = channels * moments * patch**2
    made = configured(d, config, f"with_grids({b}, {n}, {token}, {rows}, {images}), x({images * rows * side**2}, {pixels_of_patch})",
                      {"b": b, "n": n, "bi": images, "iy": down, "ix": across})
    made["source"] = made["source"].replace("**config", f"grid=({images}, {down}, {across}), **config")
    return made


GROUPS = {
    "first": FAMILIES,
    "decoders": [gptj, gpt_neo, bloom, falcon, olmo2, granite, smollm3, glm, glm4, cohere, cohere2, gemma, gemma2,
                 gemma3, qwen2_moe],
    "later": [bert_heads, roberta_heads, xlm_roberta, camembert, distilbert_heads, electra, mpnet, opt, qwen3_moe, phi3,
              phi, starcoder2],
    "windows": [modernbert],
    "mixtures": [deepseek_v2, deepseek_v3, glm4_moe, ernie, minimax],
    "chunks": [llama4],
    "convolutions": [lfm2],
    "spaces": [mamba2],
    "hybrids": [granite_hybrid, nemotron_h],
    "kimi": [kimi_linear],
    "delta": [qwen3_next, qwen3_5, qwen3_5_moe],
    "shared": [gemma4],
    "images": [dinov2, dinov2_registers],
    "grids": [dinov3],
    "distances": [beit],
    "cosines": [swinv2],
    "hidden": [vit_mae],
    "waves": [wav2vec2, hubert],
    "channels": [convnext],
    "single": [clip_classes, siglip_classes, whisper_causal],
    "sounds": [whisper],
    "towers": [clip, siglip],
    "within": [llava],
    "patches": [qwen_vl],
    "narrow": [opt_narrow],
    "encoders": [albert, deberta, bart, mbart, marian, pegasus, t5_heads],
}


def drawn(families, seed, at):
    """The case of a number."""
    family = families[at % len(families)]
    name = f"{family.__name__.replace('_', '-')}-{seed}-{at}"
    return {"name": name, **family(Draw(f"{seed}/{at}"))}


def observed(case, tools):
    """The case with what each tool prints for it, or with why its library does not build it."""
    try:
        module, args = build(case["source"], config=case.get("config"))
    except Exception as error:
        return {**case, "error": f"{type(error).__name__}: {error}"}
    record = {**case, "params": sum(p.numel() for p in module.parameters()), "tools": {}}
    for tool in tools:
        said = isolated(TOOLS[tool], module, args, threads=1)
        kept = {key: said[key] for key in [*FIGURES, "error"] if key in said}
        record["tools"][tool] = kept
        print(case["name"], tool, said.get("error", ""), file=sys.stderr, flush=True)
    return record


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("seed")
    parser.add_argument("cases", type=int)
    parser.add_argument("file")
    parser.add_argument("--from", dest="first", type=int, default=0, help="the first case, by number")
    parser.add_argument("--group", choices=GROUPS, default="first")
    parser.add_argument("--family", nargs="*", help="some of the group's families")
    parser.add_argument("--tool", nargs="*", default=[tool for tool in TOOLS if tool != "onnx-tool"])
    parser.add_argument("--list", action="store_true", help="print the cases, observe nothing")
    chosen = parser.parse_args()
    families = GROUPS[chosen.group]
    wanted = chosen.family or [family.__name__ for family in families]
    cases = [drawn(families, chosen.seed, at) for at in range(chosen.first, chosen.cases)
             if families[at % len(families)].__name__ in wanted]
    if chosen.list:
        print("\n".join(json.dumps(case) for case in cases))
        return
    torch.set_num_threads(1)  # A process that has threads must not fork.
    with FlopCounterMode(display=False):  # PyTorch imports here what every child needs.
        torch.ones(1) + 1
    versions = {package: importlib.metadata.version(package) for package in PACKAGES} | {"ultralytics-thop": "2.1.6"}
    lines = []
    for case in cases:
        lines.append(json.dumps(observed(case, chosen.tool), separators=(",", ":")))
        head = json.dumps({"seed": chosen.seed, "versions": versions})[:-1]
        text = head + ', "cases": [\n' + ",\n".join(lines) + "\n]}\n"
        (HERE / chosen.file).write_text(text)


if __name__ == "__main__":
    main()
