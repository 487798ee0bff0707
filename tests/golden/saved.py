"""Writes saved.json: bytes that autograd keeps of forward passes, by `torch.autograd.graph.saved_tensors_hooks`.

    env/bin/python saved.py [--check]

Of whole models and of one layer alone, in training mode on a CPU: the bytes of the storages of all tensors that
are saved, each storage once, those of parameters and of buffers left out. A layer is given a value that requires
a gradient, and its rotary tables are counted apart. `usual` dropout is what the library's configuration has by
default, `none` is a probability of 0. Sizes are drawn at random; those of the seed "scored" never served to write
a rule.
"""

import argparse
import json
import pathlib
import random

import torch
import transformers
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers.models.bert.modeling_bert import BertLayer
from transformers.models.gpt2.modeling_gpt2 import GPT2Block
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaRotaryEmbedding
from transformers.models.vit.modeling_vit import ViTLayer

FILE = pathlib.Path(__file__).parent / "saved.json"
SEEDS = {"written": 15, "scored": 1509}
DRAWN = 4
BACKENDS = {"autograd": SDPBackend.MATH, "flash": SDPBackend.FLASH_ATTENTION}
PROBABILITIES = {"gpt2": ["embd_pdrop", "resid_pdrop", "attn_pdrop"],
                 "bert": ["hidden_dropout_prob", "attention_probs_dropout_prob"], "llama": [], "vit": []}


def draw(kind, random):
    heads = random.randint(1, 4)
    size = dict(b=random.randint(1, 4), n=random.randint(2, 12), h=heads, e=2 * random.randint(1, 5),
                ff=random.randint(3, 40), l=random.randint(1, 3), v=random.randint(11, 40))
    if kind == "llama":
        size["kv"] = random.choice([kv for kv in range(1, heads + 1) if heads % kv == 0])
    if kind == "encoder":
        size |= dict(norm=random.choice(["pre", "post"]), act=random.choice(["relu", "gelu"]))
    if kind == "vit":
        size |= dict(patch=random.randint(2, 4), side=random.randint(1, 3))
        size["n"] = size["side"] ** 2 + 1
    return size


def configuration(kind, size):
    width = size["h"] * size["e"]
    common = dict(hidden_size=width, num_attention_heads=size["h"], intermediate_size=size["ff"],
                  num_hidden_layers=size["l"])
    words = dict(vocab_size=size["v"], max_position_embeddings=16)
    match kind:
        case "gpt2":
            return dict(n_embd=width, n_head=size["h"], n_inner=size["ff"], n_layer=size["l"], vocab_size=size["v"],
                        n_positions=16, activation_function="gelu_new", layer_norm_epsilon=1e-5, bos_token_id=0,
                        eos_token_id=0)
        case "llama":
            return common | words | dict(num_key_value_heads=size["kv"], head_dim=size["e"], hidden_act="silu",
                                           rms_norm_eps=1e-6, tie_word_embeddings=False)
        case "bert":
            return common | words | dict(type_vocab_size=2, hidden_act="gelu", layer_norm_eps=1e-12)
        case "vit":
            return common | dict(image_size=size["patch"] * size["side"], patch_size=size["patch"], num_labels=5,
                                 num_channels=3, hidden_act="gelu", layer_norm_eps=1e-12, qkv_bias=True)


ARCHITECTURES = {"gpt2": "GPT2LMHeadModel", "llama": "LlamaForCausalLM", "bert": "BertForMaskedLM",
                 "vit": "ViTForImageClassification"}


def layer(kind, size, config, dropout):
    """One layer, and what it is given beside its value."""
    match kind:
        case "encoder":
            own = {} if dropout == "usual" else dict(dropout=0.0)
            return torch.nn.TransformerEncoderLayer(size["h"] * size["e"], size["h"], size["ff"], batch_first=True,
                                                    norm_first=size["norm"] == "pre", activation=size["act"], **own), {}
        case "gpt2":
            return GPT2Block(config, 0), {}
        case "llama":
            places = torch.arange(size["n"])[None]
            tables = LlamaRotaryEmbedding(config)(torch.zeros(1, dtype=config.dtype), places)
            return LlamaDecoderLayer(config, 0), dict(position_embeddings=tables, position_ids=places)
        case "bert":
            return BertLayer(config), {}
        case "vit":
            return ViTLayer(config), {}


def saved(module, run, backend):
    """The storages that a run saves, each with its bytes, without those of a module's parameters and buffers."""
    storages = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        kept.append(tensor)
        return tensor

    kept = []
    with sdpa_kernel(backend), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        run()
    own = [*module.parameters(), *module.buffers()]
    for tensor in own:
        storages.pop(tensor.untyped_storage().data_ptr(), None)
    return storages


def of(kind, size, dtype, written, policy, dropout):
    torch.manual_seed(0)
    dtype = getattr(torch, dtype)
    given = dict(written=written, policy=policy, dropout=dropout)
    config = None
    if kind != "encoder":
        keys = configuration(kind, size)
        if dropout == "none":
            keys |= {name: 0.0 for name in PROBABILITIES[kind]}
        implementation = "eager" if written == "transformers-eager" else "sdpa"
        config = getattr(transformers, ARCHITECTURES[kind]).config_class(**keys, attn_implementation=implementation)
        config.dtype = dtype
    module, beside = layer(kind, size, config, dropout)
    module = module.to(dtype).train()
    x = torch.randn(size["b"], size["n"], size["h"] * size["e"], dtype=dtype, requires_grad=True)
    storages = saved(module, lambda: module(x, **beside), BACKENDS[policy])
    tables = [t.untyped_storage().data_ptr() for t in beside.get("position_embeddings", ())]
    given["tables"] = sum(storages.pop(table, 0) for table in tables)
    given["layer"] = sum(storages.values())
    if config is not None:
        model = getattr(transformers, ARCHITECTURES[kind])(config).to(dtype).train()
        ids = torch.randint(1, size["v"], (size["b"], size["n"]))
        match kind:
            case "vit":
                side = size["patch"] * size["side"]
                inputs = dict(pixel_values=torch.randn(size["b"], 3, side, side, dtype=dtype))
            case "bert":
                inputs = dict(input_ids=ids, token_type_ids=torch.zeros_like(ids))
            case _:
                inputs = dict(input_ids=ids, use_cache=False)
        given["model"] = sum(saved(model, lambda: model(**inputs), BACKENDS[policy]).values())
    return given


def found():
    cases = []
    for name, seed in SEEDS.items():
        drawn = random.Random(seed)
        for kind in ["encoder", "gpt2", "llama", "bert", "vit"]:
            for _ in range(DRAWN):
                size = draw(kind, drawn)
                for dtype in ["float32", "bfloat16"]:
                    bytes = []
                    for written in ["torch.nn"] if kind == "encoder" else ["transformers", "transformers-eager"]:
                        for dropout in ["none", "usual"] if kind in ("encoder", "gpt2", "bert") else ["usual"]:
                            for policy in ["autograd", "flash"]:
                                # On a CPU the fused kernel has no dropout, and attention written out has no policy.
                                drops = dropout == "usual" and kind in ("encoder", "gpt2", "bert")
                                if policy == "autograd" or (not drops and written != "transformers-eager"):
                                    bytes.append(of(kind, size, dtype, written, policy, dropout))
                    config = None if kind == "encoder" else configuration(kind, size) | dict(
                        architectures=[ARCHITECTURES[kind]], model_type=kind)
                    cases.append(dict(kind=kind, drawn=name, dtype=dtype, sizes=size, config=config, bytes=bytes))
    return cases


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true", help="compare with the file instead of writing it")
    args = parser.parse_args()
    assert torch.__version__.startswith("2.15.") and transformers.__version__.startswith("5.23.")
    cases = found()
    if args.check:
        assert cases == json.loads(FILE.read_text())
        return
    FILE.write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


if __name__ == "__main__":
    main()
