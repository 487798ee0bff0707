"""Runs the functions by which frameworks count the work of a model, over configurations drawn at random.

    python tests/frameworks/observe.py CHECKOUTS [NAME …]

CHECKOUTS is a folder with a clone of each repository below under `owner+name/repo` (a bare or plain git
directory); files are read at the commits given here. `vllm` is the folder of that name in the wheel of
vLLM 0.33.0, `CHECKOUTS/vllm`, and `hf-trainer` is the installed library. Functions are compiled from the file that holds them, with stubs for
what they import and do not use here. Nothing of them is kept: the result is numbers, `observed.json` (seed 1,
beside which the formulas were written) and `scored.json` (seed 2, drawn afterwards).

A case is a decoder as `opledger_models::DecoderSizes` names its sizes, and what the function gave: an
integer, or `repr` of a float.
"""

import ast
import enum
import functools
import io
import json
import math
import random
import subprocess
import sys
import tarfile
import tempfile
import types
from pathlib import Path
from types import SimpleNamespace as Space

HERE = Path(__file__).parent
CASES = 60
SOURCES = {
    "megatron-lm": ("NVIDIA+Megatron-LM", "d98e8a64ddf34856e74b24714e3bedb2f5a39553"),
    "megatron-bridge": ("NVIDIA-NeMo+Megatron-Bridge", "067f987df03b8355b03192d88d70f1709fedf51a"),
    "maxtext": ("AI-Hypercomputer+maxtext", "e591f30cbbf217ed67ef71263ec0538239f9c3b8"),
    "maxtext-before": ("AI-Hypercomputer+maxtext", "33339821e96327d25613ace9d28c7a8789698586"),
    "torchtitan": ("pytorch+torchtitan", "b5bcd76c66d0acb1a08b176d9639425bc55e0b2a"),
    "nanogpt": ("karpathy+nanoGPT", "3adf61e154c3fe3fca428ad6bc3818b27a3b8291"),
    "llm-foundry": ("mosaicml+llm-foundry", "8c8dd48f72168c5d51e2f7b151595892a8fba43d"),
    "olmo-core": ("allenai+OLMo-core", "fa6c5014c9f6e9ee789da2d9c20d5126fee8df0d"),
}


class Checkouts:
    def __init__(self, root):
        self.root = Path(root)

    def git(self, name, *args):
        repository, _ = SOURCES[name]
        return subprocess.run(
            ["git", "-C", self.root / repository / "repo", *args], check=True, capture_output=True
        ).stdout

    def text(self, name, path):
        return self.git(name, "show", f"{SOURCES[name][1]}:{path}").decode()

    def unpacked(self, name, *paths):
        """A folder with some paths of a repository."""
        folder = tempfile.mkdtemp()
        archive = self.git(name, "archive", SOURCES[name][1], *paths)
        tarfile.open(fileobj=io.BytesIO(archive)).extractall(folder, filter="data")
        return folder


def compiled(text, wanted, given):
    """The functions and classes of a file whose names are wanted, with what they ask for."""
    tree = ast.parse(text)
    kinds = (ast.FunctionDef, ast.ClassDef)
    tree.body = [node for node in tree.body if isinstance(node, kinds) and wanted(node.name)]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.returns = None
            for arg in node.args.args + node.args.kwonlyargs:
                arg.annotation = None
    space = dict(given)
    exec(compile(tree, "<framework>", "exec"), space)
    return space


# Decoders


def layer_heads(r, gated=False):
    e = r.choice([16, 32, 64, 96, 128])
    g = r.randint(1, 8)
    h = g * r.randint(1, 8)
    return {"h": h, "g": g, "e": e, "f": e, "ab": 0, "ob": 0, "qn": 0}, ["heads"]


def layer_latent(r, ranked):
    nope, rot, f = (16 * r.randint(1, 8) for _ in range(3))
    sizes = {"h": r.randint(1, 32), "d": 16 * r.randint(1, 32), "nope": nope, "rot": rot}
    sizes |= {"e": nope + rot, "f": f, "ob": 0}
    traits = ["latent"]
    if ranked:
        sizes["q"] = 16 * r.randint(1, 64)
        traits.append("query latent")
    return sizes, traits


def whole(r, **own):
    sizes = {"c": 16 * r.randint(4, 512), "v": r.randint(1000, 200000), "pos": 0}
    return {"sizes": sizes | own, "traits": [r.choice(["tied", "untied"])]}


def work(r):
    return {"b": r.randint(1, 64), "n": r.randint(1, 9000)}


def dense(r, m):
    return {"ff": 16 * r.randint(4, 1024), "m": m, "fb": 0}, ["dense"]


def experts(r, m, shared):
    x = r.randint(2, 128)
    sizes = {"x": x, "k": r.randint(1, x), "ff": 16 * r.randint(4, 256), "m": m}
    sizes |= {"xb": 0, "rb": 0, "fs": shared * 16 * r.randint(1, 128)}
    return sizes, ["experts"] + (["shared expert"] if shared else [])


def layer(*parts):
    return [
        {key: size for sizes, _ in parts for key, size in sizes.items()},
        sorted(name for _, traits in parts for name in traits),
    ]


def case(family, top, layers, work, number, **more):
    top["sizes"]["l"] = sum(times for times, *_ in layers)
    return {"family": family, "whole": top, "layers": layers, "work": work, "number": number, **more}


def said(number):
    return number if isinstance(number, int) else repr(number)


# Megatron-LM and Megatron-Bridge


def megatron_decoder(r, windows):
    """Decoder and its arguments."""
    top, at = whole(r), work(r)
    gated, latent = r.random() < 0.6, r.random() < 0.3
    if latent:
        attention = layer_latent(r, r.random() < 0.5)
    else:
        attention = layer_heads(r)
        if r.random() < 0.3:
            attention[1].append("attention gate")
    reach = ({}, ["full"])
    mixed = r.random() < 0.6
    first = r.randint(0, 3) if mixed else 0
    layers = r.randint(max(first, 1) + 1, 40)
    m = 3 if gated else 2
    ff, own = dense(r, m), experts(r, m, r.random() < 0.5)
    if mixed and r.random() < 0.3:
        own[0]["u"] = 16 * r.randint(1, 64)
        own[1].append("latent experts")
    kinds = []
    if mixed:
        kinds += [[first, *layer(attention, reach, ff)]] if first else []
        kinds += [[layers - first, *layer(attention, reach, own)]]
    else:
        kinds += [[layers, *layer(attention, reach, ff)]]
    window = skip = None
    if windows and not latent and not mixed and r.random() < 0.7:
        window = r.randint(1, 5000)
        seen = ({"w": window}, ["window"])
        skip = r.choice([None, r.randint(1, 6)])
        full = 0 if skip is None else layers // skip
        kinds = [[layers - full, *layer(attention, seen, ff)], [full, *layer(attention, reach, ff)]]
        kinds = [kind for kind in kinds if kind[0]]
    a, s, e = attention[0], top["sizes"], own[0]
    padded = -(-s["v"] // 128) * 128
    args = Space(
        hidden_size=s["c"], num_layers=layers, seq_length=at["n"], padded_vocab_size=padded, vocab_size=s["v"],
        make_vocab_size_divisible_by=128, tensor_model_parallel_size=1,
        num_attention_heads=a["h"], group_query_attention=not latent, num_query_groups=a.get("g"),
        kv_channels=a["e"], attention_output_gate="attention gate" in attention[1],
        ffn_hidden_size=ff[0]["ff"], swiglu=gated, gated_linear_unit=gated,
        num_experts=e["x"] if mixed else None, num_moe_experts=e["x"] if mixed else None,
        moe_layer_freq=[int(i >= first) for i in range(layers)], moe_router_topk=e["k"],
        moe_ffn_hidden_size=e["ff"], moe_latent_size=e.get("u"),
        moe_shared_expert_intermediate_size=e["fs"] or None,
        mtp_num_layers=None, multi_latent_attention=latent, q_lora_rank=a.get("q"),
        kv_lora_rank=a.get("d"), qk_head_dim=a.get("nope"), qk_pos_emb_head_dim=a.get("rot"),
        v_head_dim=a["f"], experimental_attention_variant=None, hybrid_layer_pattern=None,
        is_hybrid_model=False, window_size=None if window is None else (window - 1, 0),
        window_attn_skip_freq=skip, linear_attention_freq=None,
    )
    return top, kinds, at, args


def megatron(checkouts, r):
    text = checkouts.text("megatron-lm", "megatron/training/training.py")
    no = lambda _: False
    given = {"is_hybrid_model": no, "is_linear_attention_variant": no, "is_gated_delta_net_variant": no}
    count = compiled(text, lambda n: n == "num_floating_point_operations", given)
    for _ in range(CASES):
        top, kinds, at, args = megatron_decoder(r, False)
        number = count["num_floating_point_operations"](args, at["b"])
        yield case("any", top, kinds, at, said(number))


def bridge(checkouts, r):
    # Bridge takes the padding of words from Megatron-LM.
    text = checkouts.text("megatron-lm", "megatron/training/vocab_utils.py")
    given = {"math": math, "lru_cache": functools.lru_cache, "functools": functools}
    padding = compiled(text, lambda n: "calculate_padded_vocab_size" in n, given)
    text = checkouts.text("megatron-bridge", "src/megatron/bridge/training/utils/flop_utils.py")
    given = {
        "LoRA": type("LoRA", (), {}),
        "is_gated_delta_net_variant": lambda _: False,
        "calculate_padded_vocab_size": padding["calculate_padded_vocab_size"],
    }
    count = compiled(text, lambda n: n == "num_floating_point_operations", given)
    for _ in range(CASES):
        top, kinds, at, args = megatron_decoder(r, True)
        number = count["num_floating_point_operations"](Space(model=args), at["b"])
        yield case("any", top, kinds, at, said(number))


# MaxText


def maxtext_of(checkouts, name, function_file, type_file, blocks):
    types_text = checkouts.text(name, type_file)
    types_of = compiled(types_text, lambda n: n == "DecoderBlockType", {"enum": enum})
    given = {"DecoderBlockType": types_of["DecoderBlockType"]}
    text = checkouts.text(name, function_file)
    wanted = lambda n: n.startswith(("calculate_", "get_dense", "get_shared", "_calculate"))
    count = compiled(text, wanted, given)["calculate_tflops_training_per_device"]

    def cases(r):
        for at in range(CASES):
            family, block = list(blocks.items())[at % len(blocks)]
            top, tokens = whole(r), work(r)
            s, kind = top["sizes"], types_of["DecoderBlockType"](block)
            latent = family.startswith("deepseek")
            mixed = latent or family in ("mixtral", "qwen3_moe", "gpt_oss")
            attention = layer_latent(r, r.random() < 0.5) if latent else layer_heads(r)
            m, reach = r.choice([2, 3]), ({}, ["full"])
            ff = dense(r, m)
            own = experts(r, m, latent)
            layers = 6 * r.randint(1, 10)
            first = r.randint(1, 4) if latent else 0
            window = r.randint(1, 12000)
            seen = ({"w": window}, ["window"])
            mlp = own if mixed else ff
            full = {"gemma2": layers // 2, "gemma3_text": layers // 6, "gpt_oss": layers // 2}.get(family, layers)
            if family == "mistral" and r.random() < 0.5:
                full = 0
            kinds = [[first, *layer(attention, reach, ff)], [full - first, *layer(attention, reach, mlp)],
                     [layers - full, *layer(attention, seen, mlp)]]
            a, e = attention[0], own[0]
            shared = r.randint(1, 3)
            if latent:
                e["fs"] = shared * e["ff"]
                kinds[1] = [full - first, *layer(attention, reach, own)]
            config = Space(
                num_experts=e["x"] if mixed else 1, decoder_block=kind, emb_dim=s["c"], vocab_size=s["v"],
                per_device_batch_size=tokens["b"], max_target_length=tokens["n"], mlp_dim=ff[0]["ff"],
                moe_mlp_dim=e["ff"], num_experts_per_tok=e["k"], shared_experts=shared if latent else 0,
                first_num_dense_layers=first, mlp_activations=["silu", "linear"][: m - 1],
                num_decoder_layers=layers // 2 if family == "gemma2" else layers,
                attention_type="mla" if latent else "global", share_kv_projections=False,
                num_query_heads=a["h"], num_kv_heads=a.get("g"), head_dim=a["e"],
                q_lora_rank=a.get("q", 0), kv_lora_rank=a.get("d"), qk_nope_head_dim=a.get("nope"),
                qk_rope_head_dim=a.get("rot"), v_head_dim=a["f"], use_indexer=False,
                sliding_window_size=window, mtp_num_layers=0, engram_layers=[], use_multimodal=False,
                gradient_accumulation_steps=1, use_dpo=False,
            )
            if name == "maxtext-before" and mixed and not latent:
                config.mlp_dim = e["ff"]
            total, learnable, attention = count(config, log=False)
            printed = {"learnable": f"{learnable:.2f}", "attention": f"{attention:.2f}"}
            kinds = [kind for kind in kinds if kind[0]]
            yield case(family, top, kinds, tokens, f"{total:.2f}", tera=repr(total), printed=printed)

    return cases


def maxtext(checkouts, r):
    blocks = {"llama": "llama2", "mistral": "mistral", "mixtral": "mixtral", "deepseek_v3": "deepseek",
              "gemma": "gemma", "gemma2": "gemma2", "gemma3_text": "gemma3", "qwen2": "qwen2",
              "qwen3": "qwen3", "qwen3_moe": "qwen3_moe", "gpt_oss": "gpt_oss"}
    files = ("src/maxtext/utils/maxtext_utils.py", "src/maxtext/common/common_types.py")
    return maxtext_of(checkouts, "maxtext", *files, blocks)(r)


def maxtext_before(checkouts, r):
    blocks = {"llama": "llama2", "mistral": "mistral", "mixtral": "mixtral", "deepseek_v2": "deepseek",
              "gemma": "gemma", "gemma2": "gemma2", "gemma3_text": "gemma3", "qwen3": "qwen3"}
    files = ("MaxText/maxtext_utils.py", "MaxText/common_types.py")
    return maxtext_of(checkouts, "maxtext-before", *files, blocks)(r)


# Those that count parameters


def drawn_parameters(r, m, mixed, attention, biased=True):
    """A decoder with biases and norms, for those that count parameters."""
    top, at = whole(r), work(r)
    c = top["sizes"]["c"]
    a = attention[0]
    if "heads" in attention[1] and biased:
        width = (a["h"] + 2 * a["g"]) * a["e"]
        a |= {"ab": r.choice([0, width]), "ob": r.choice([0, c]), "qn": r.choice([0, 2 * a["e"]])}
    ff, own = dense(r, m), experts(r, m, mixed and r.random() < 0.5)
    if biased and r.random() < 0.5:
        ff[0]["fb"] = (m - 1) * ff[0]["ff"] + c
    if biased and mixed and r.random() < 0.3:
        own[0].update({"xb": (m - 1) * own[0]["ff"] + c, "rb": own[0]["x"]})
    layers, first = r.randint(2, 40), r.randint(0, 1) if mixed else 0
    full = ({}, ["full"])
    kinds = [[first, *layer(attention, full, ff)], [layers - first, *layer(attention, full, own if mixed else ff)]]
    kinds = [kind for kind in kinds if kind[0]]
    top["sizes"]["rest"] = (2 * layers + 1) * c + sum(t * s.get("qn", 0) for t, s, _ in kinds)
    return top, kinds, at


def matrices(c, sizes, traits):
    """Parameters of a layer: attention, feed-forward, router, experts, shared experts."""
    if "heads" in traits:
        attention = c * (sizes["h"] + 2 * sizes["g"]) * sizes["e"] + sizes["h"] * sizes["f"] * c + sizes["ab"] + sizes["ob"]
    else:
        h, d, e, f = (sizes[key] for key in "hdef")
        q = sizes["q"] * (c + h * e) if "q" in sizes else c * h * e
        attention = q + c * (d + sizes["rot"]) + d * h * (sizes["nope"] + f) + h * f * c
    if "dense" in traits:
        return attention, c * sizes["ff"] * sizes["m"] + sizes["fb"], 0, 0, 0
    one = c * sizes["ff"] * sizes["m"] + sizes["xb"]
    return attention, 0, c * sizes["x"] + sizes["rb"], sizes["x"] * one, c * sizes["fs"] * sizes["m"]


def torchtitan(checkouts, r):
    import torch
    from torch import nn

    text = checkouts.text("torchtitan", "torchtitan/models/utils.py")
    given = {"nn": nn, "torch": torch, "logger": Space(info=lambda *_: None)}
    space = compiled(text, lambda n: n.endswith("model_nparams_and_flops"), given)

    def parameter(count):
        return nn.Parameter(torch.empty(count, device="meta"))

    for at in range(CASES):
        family = ["llama", "qwen3_moe", "deepseek_v3", "gpt_oss"][at % 4]
        mixed = family != "llama"
        attention = layer_latent(r, r.random() < 0.5) if family == "deepseek_v3" else layer_heads(r)
        top, kinds, tokens = drawn_parameters(r, 3, mixed, attention, family == "gpt_oss")
        s, tied = top["sizes"], "tied" in top["traits"]
        a, c = kinds[0][1], s["c"]
        if family == "llama":
            s["c"] = c = a["h"] * a["e"]
            s["rest"] = (2 * kinds[0][0] + 1) * c
        model = nn.Module()
        model.tok_embeddings = nn.Embedding(s["v"], c, device="meta")
        model.norms = nn.Module()
        model.norms.weight = parameter(s["rest"])
        if not tied:
            model.lm_head = nn.Module()
            model.lm_head.weight = parameter(c * s["v"])
        model.layers, configs = nn.ModuleList(), []
        for times, sizes, traits in kinds:
            own, dense_, router, routed, shared = matrices(c, sizes, traits)
            for _ in range(times):
                block = nn.Module()
                block.attention, block.moe = nn.Module(), nn.Module()
                block.attention.weight = parameter(own)
                if dense_:
                    block.feed_forward = nn.Module()
                    block.feed_forward.weight = parameter(dense_)
                for name, count in [("router", router), ("routed_experts", routed), ("shared_experts", shared)]:
                    if count:
                        part = nn.Module()
                        part.weight = parameter(count)
                        setattr(block.moe, name, part)
                model.layers.append(block)
                moe = Space(router=Space(top_k=sizes["k"]), num_experts=sizes["x"]) if "x" in sizes else None
                configs.append(Space(attention=Space(n_heads=a["h"]), moe=moe))
        config = Space(layers=configs, enable_weight_tying=tied)
        if family == "llama":
            _, flops = space["get_dense_model_nparams_and_flops"](
                model, len(configs), a["h"], 2 * (c // a["h"]), tokens["n"], tied)
        else:
            _, flops = space["get_moe_model_nparams_and_flops"](
                config, model, a["h"], a["e"] + a["f"], tokens["n"])
        yield case(family, top, kinds, tokens, flops, per_token=True)


def nanogpt(checkouts, r):
    import torch

    text = checkouts.text("nanogpt", "model.py")
    module = types.ModuleType("nanogpt")
    sys.modules["nanogpt"] = module
    exec(compile(text, "model.py", "exec"), module.__dict__)
    for _ in range(CASES):
        h, bias = r.randint(1, 12), r.random() < 0.5
        e, layers = 16 * r.randint(1, 8), r.randint(1, 12)
        c, n, v = h * e, r.randint(1, 2000), r.randint(1000, 60000)
        config = module.GPTConfig(block_size=n, vocab_size=v, n_layer=layers, n_head=h, n_embd=c, bias=bias)
        with torch.device("meta"), open("/dev/null", "w") as quiet:
            out, sys.stdout = sys.stdout, quiet
            try:
                model = module.GPT(config)
            finally:
                sys.stdout = out
        b = r.randint(1, 64)
        mfu = model.estimate_mfu(b, 1.0)
        attention = ({"h": h, "g": h, "e": e, "f": e, "ab": 3 * c * bias, "ob": c * bias, "qn": 0}, ["heads"])
        ff = ({"ff": 4 * c, "m": 2, "fb": 5 * c * bias}, ["dense"])
        top = {"sizes": {"c": c, "v": v, "pos": n}, "traits": ["tied"]}
        top["sizes"]["rest"] = (2 * layers + 1) * c * (2 if bias else 1)
        kinds = [[layers, *layer(attention, ({}, ["full"]), ff)]]
        yield case("gpt2", top, kinds, {"b": b, "n": n}, repr(mfu), share_of=312000000000000)


def llm_foundry(checkouts, r):
    import torch

    text = checkouts.text("llm-foundry", "llmfoundry/models/mpt/modeling_mpt.py")
    tree = ast.parse(text)
    owner = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "ComposerMPTCausalLM")
    methods = [n for n in owner.body if getattr(n, "name", "") in ("flops_per_batch", "get_attention_flops")]
    source = ast.unparse(ast.Module(body=methods, type_ignores=[]))
    space = compiled(source, lambda _: True, {"warnings": __import__("warnings")})
    text = checkouts.text("llm-foundry", "llmfoundry/models/utils/mpt_param_count.py")
    given = {"ffns_with_megablocks": (), "Tensor": torch.Tensor, "DTensor": type("DTensor", (), {}), "Union": None}
    counts = compiled(text, lambda n: n in ("mpt_get_active_params", "_dtensor_safe_check_numel"), given)
    for _ in range(CASES):
        top, kinds, at = drawn_parameters(r, r.choice([2, 3]), False, layer_heads(r))
        s, tied = top["sizes"], "tied" in top["traits"]
        s["pos"] = r.choice([0, r.randint(1, 9000)])
        c = s["c"]
        table = torch.empty(c * s["v"], device="meta")
        held = sum(times * sum(matrices(c, sizes, traits)) for times, sizes, traits in kinds)
        held += s["rest"] + c * s["pos"]
        parameters = [table, torch.empty(held, device="meta")] + ([] if tied else [table])
        model = Space(
            config=Space(ffn_config={"ffn_type": "mptmlp"}, block_overrides=None, n_layers=s["l"] if "l" in s else sum(k[0] for k in kinds), d_model=c),
            parameters=lambda: parameters,
        )
        model.transformer = Space(config=Space(tie_word_embeddings=tied), wte=Space(weight=table))
        outer = Space(config=model.config, model=model, parameters=lambda: parameters)
        outer.n_active_params = counts["mpt_get_active_params"](outer)
        outer.get_attention_flops = lambda msl: space["get_attention_flops"](outer, msl)
        batch = {"input_ids": torch.empty(at["b"], at["n"], device="meta")}
        yield case("any", top, kinds, at, space["flops_per_batch"](outer, batch))


def olmo(checkouts, r):
    sys.path.insert(0, checkouts.unpacked("olmo-core", "src/olmo_core") + "/src")
    from olmo_core.nn.attention import SlidingWindowAttentionConfig
    from olmo_core.nn.feed_forward import FeedForwardConfig
    from olmo_core.nn.transformer import TransformerConfig

    for _ in range(CASES):
        e, g = 16 * r.randint(1, 8), r.randint(1, 4)
        h, layers = g * r.randint(1, 4), 4 * r.randint(1, 3)
        c, v, at = 16 * r.randint(4, 128), r.randint(1000, 200000), work(r)
        normed, window = r.random() < 0.5, r.choice([None, r.randint(1, 9000)])
        bias, hidden = r.random() < 0.3, 16 * r.randint(4, 512)
        sliding = None
        if window is not None:
            sliding = SlidingWindowAttentionConfig(
                pattern=[window, window, window, -1], force_full_attention_on_first_layer=False,
                force_full_attention_on_last_layer=False)
        config = TransformerConfig.llama_like(
            d_model=c, vocab_size=v, n_layers=layers, n_heads=h, n_kv_heads=g, head_dim=e, qk_norm=normed,
            feed_forward=FeedForwardConfig(hidden_size=hidden, bias=bias), sliding_window=sliding,
            use_flash=False)
        config.block.sequence_mixer.bias = bias
        model = OLMO_BUILD(config)
        sizes = {"h": h, "g": g, "e": e, "f": e, "ab": bias * (h + 2 * g) * e, "ob": bias * c,
                 "qn": (h + g) * e if normed else 0}
        ff = ({"ff": hidden, "m": 3, "fb": bias * (2 * hidden + c)}, ["dense"])
        windowed = 0 if window is None else layers // 4 * 3
        kinds = [[windowed, *layer((sizes, ["heads"]), ({"w": window}, ["window"]), ff)],
                 [layers - windowed, *layer((sizes, ["heads"]), ({}, ["full"]), ff)]]
        top = {"sizes": {"c": c, "v": v, "pos": 0, "last": c}, "traits": ["untied"]}
        kinds = [kind for kind in kinds if kind[0]]
        yield case("olmo2", top, kinds, at, model.num_flops_per_token(at["n"]), per_token=True)


def OLMO_BUILD(config):
    return config.build(init_device="meta")


def vllm(decoding):
    def cases(checkouts, r):
        import prometheus_client
        import pydantic
        import torch
        import typing_extensions

        text = (checkouts.root / "vllm/v1/metrics/perf.py").read_text()
        width = lambda dtype: torch.empty(0, dtype=dtype).element_size()
        stubs = {
            "vllm": {}, "vllm.envs": {}, "vllm.config": {"VllmConfig": object},
            "vllm.logger": {"init_logger": lambda _: Space(info=lambda *_: None, debug=lambda *_: None)},
            "vllm.utils": {}, "vllm.utils.torch_utils": {
                "STR_DTYPE_TO_TORCH_DTYPE": {}, "get_dtype_size": width,
                "get_kv_cache_torch_dtype": lambda _, own: own},
            "vllm.v1": {}, "vllm.v1.core": {}, "vllm.v1.core.sched": {},
            "vllm.v1.core.sched.output": {"SchedulerOutput": object},
            "vllm.v1.metrics": {}, "vllm.v1.metrics.utils": {"create_metric_per_engine": None},
        }
        for name, own in stubs.items():
            module = types.ModuleType(name)
            module.__dict__.update(own)
            sys.modules[name] = module
        perf = types.ModuleType("perf")
        sys.modules["perf"] = perf
        exec(compile(text, "perf.py", "exec"), perf.__dict__)
        for at in range(CASES):
            family = ["llama", "mistral", "mixtral", "gemma2", "gpt_oss", "deepseek_v3"][at % 6]
            latent = family == "deepseek_v3"
            mixed = latent or family in ("mixtral", "gpt_oss")
            attention = layer_latent(r, r.random() < 0.5) if latent else layer_heads(r)
            top, tokens = whole(r), work(r)
            tokens["p"] = r.randint(0, 9000)
            if decoding:
                tokens["n"] = r.randint(1, 4)
            s, a = top["sizes"], attention[0]
            ff, own = dense(r, 3), experts(r, 3, latent)
            shared = r.randint(1, 3)
            own[0]["fs"] = shared * own[0]["ff"] if latent else 0
            layers, first = 2 * r.randint(2, 20), r.randint(1, 3) if latent else 0
            full, window = ({}, ["full"]), r.randint(1, 12000)
            seen = ({"w": window}, ["window"])
            windowed = {"mistral": layers, "gemma2": layers // 2, "gpt_oss": layers // 2}.get(family, 0)
            mlp = own if mixed else ff
            kinds = [[first, *layer(attention, full, ff)], [windowed, *layer(attention, seen, mlp)],
                     [layers - first - windowed, *layer(attention, full, mlp)]]
            kinds = [kind for kind in kinds if kind[0]]
            hf = Space(num_attention_heads=a["h"], num_hidden_layers=layers, intermediate_size=ff[0]["ff"],
                       model_type=family)
            if mixed:
                hf.moe_intermediate_size = own[0]["ff"]
            if latent:
                hf.n_shared_experts, hf.moe_layer_freq, hf.first_k_dense_replace = shared, 1, first
                hf.kv_lora_rank, hf.qk_nope_head_dim, hf.qk_rope_head_dim = a["d"], a["nope"], a["rot"]
                hf.v_head_dim, hf.q_lora_rank = a["f"], a.get("q")
            if family == "gpt_oss":
                hf.layer_types = ["sliding_attention", "full_attention"] * (layers // 2)
            model = Space(
                hf_config=hf, hf_text_config=hf, dtype=torch.bfloat16, is_deepseek_mla=latent,
                get_vocab_size=lambda: s["v"], get_hidden_size=lambda: s["c"],
                get_total_num_kv_heads=lambda: a.get("g", a["h"]), get_head_size=lambda: a["e"],
                get_sliding_window=lambda: window if windowed else None,
                get_num_experts=lambda: own[0]["x"] if mixed else 0,
                get_num_experts_per_tok=lambda: own[0]["k"] if mixed else 0)
            parallel = Space(data_parallel_size=1, tensor_parallel_size=1, pipeline_parallel_size=1,
                             enable_expert_parallel=False)
            config = Space(model_config=model, parallel_config=parallel, quant_config=None,
                           cache_config=Space(cache_dtype="auto"))
            context = perf.ExecutionContext()
            for _ in range(tokens["b"]):
                context.add(tokens["n"], tokens["n"] + tokens["p"], is_prefill=not decoding)
            yield case(family, top, kinds, tokens, perf.ModelMetrics(config).get_num_flops(context))

    return cases


def hf_trainer(_, r):
    import torch
    import transformers

    size = lambda: 16 * r.randint(1, 8)
    for at in range(CASES):
        family = ["llama", "qwen2", "qwen3", "mixtral", "gpt2", "gemma2", "gpt_oss", "deepseek_v3", "phi3", "olmo2",
                  "starcoder2", "qwen2_moe"][at % 12]
        e, g = size(), r.randint(1, 4)
        h, layers, tied = g * r.randint(1, 4), r.randint(1, 5), r.random() < 0.5
        keys = {"hidden_size": h * e, "num_attention_heads": h, "num_key_value_heads": g, "intermediate_size": size(),
                "num_hidden_layers": layers, "vocab_size": r.randint(200, 3000), "tie_word_embeddings": tied,
                "pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 1}
        x = r.randint(2, 9)
        if family in ("llama", "qwen3", "gemma2", "gpt_oss", "mixtral"):
            keys |= {"hidden_size": h * size(), "head_dim": e}
        if family == "gpt2":
            keys = {"n_embd": h * e, "n_head": h, "n_layer": layers, "vocab_size": keys["vocab_size"],
                    "n_positions": r.randint(10, 3000)}
        if family in ("mixtral", "gpt_oss"):
            keys |= {"num_local_experts": x, "num_experts_per_tok": r.randint(1, x)}
        if family == "qwen2_moe":
            keys |= {"num_experts": x, "num_experts_per_tok": r.randint(1, x), "moe_intermediate_size": size(),
                     "shared_expert_intermediate_size": size(), "decoder_sparse_step": 1, "mlp_only_layers": []}
        if family == "deepseek_v3":
            groups, each = r.randint(1, 3), r.randint(2, 4)
            keys |= {"num_key_value_heads": h, "n_routed_experts": groups * each, "n_group": groups, "topk_group": 1,
                     "num_experts_per_tok": r.randint(1, each), "n_shared_experts": r.randint(1, 2),
                     "moe_intermediate_size": size(), "first_k_dense_replace": r.randint(0, layers),
                     "q_lora_rank": r.choice([None, size()]), "kv_lora_rank": size(), "qk_nope_head_dim": size(),
                     "qk_rope_head_dim": size(), "v_head_dim": size()}
        config = transformers.AutoConfig.for_model(family, **keys)
        with torch.device("meta"):
            model = transformers.AutoModelForCausalLM.from_config(config)
        tokens = {"b": r.randint(1, 64), "n": r.randint(1, 2000)}
        tokens["n"] = min(tokens["n"], keys.get("n_positions", 2000))
        inputs = {"input_ids": torch.empty(tokens["b"], tokens["n"], device="meta")}
        number = transformers.Trainer.floating_point_ops(Space(model=model), inputs)
        config = {"model_type": family, "architectures": [type(model).__name__], **keys}
        yield {"config": config, "work": tokens, "number": number}


FRAMEWORKS = {
    "vllm-prefill": vllm(False), "vllm-decode": vllm(True), "hf-trainer": hf_trainer,
    "megatron-lm": megatron, "megatron-bridge": bridge, "maxtext": maxtext, "maxtext-before": maxtext_before,
    "torchtitan": torchtitan, "nanogpt": nanogpt, "llm-foundry": llm_foundry, "olmo-core": olmo,
}


def main():
    checkouts, names = Checkouts(sys.argv[1]), sys.argv[2:]
    for seed, file in [(1, "observed.json"), (2, "scored.json")]:
        path = HERE / file
        known = json.loads(path.read_text()) if path.exists() else {}
        for name, cases in FRAMEWORKS.items():
            if not names or name in names:
                r = random.Random(f"{name} {seed}")
                known[name] = list(cases(checkouts, r))
                print(name, seed, len(known[name]))
        lines = []
        for name in sorted(known):
            own = ",\n".join("  " + json.dumps(one, separators=(",", ":")) for one in known[name])
            lines.append(f'"{name}": [\n{own}\n]')
        path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
