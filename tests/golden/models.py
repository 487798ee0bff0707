"""Writes models/<name>/: small checkpoints as `transformers` saves them, and what it computes from them.

    python -m venv env && env/bin/pip install -r requirements.txt && env/bin/python models.py [--check] [NAME ...]

A folder holds `config.json`, `model.safetensors` (or shards and their index) and `io.safetensors`: the
inputs under the library's names, the results of the reloaded checkpoint as `expected.<output>`, and as
`expected.generated` the tokens that greedy decoding appends to the first item of the batch. Everything is
computed with eager attention in double precision, also where the library casts to single precision or has
a constant of eight digits. With names only those cases are made, and the others left as they are.

Metadata: `macs`, half of what PyTorch's FlopCounterMode counts in one forward pass without cache (all pairs
of positions, masked ones as well; rotary angles left out; of experts those chosen), `macs.attention`, the share of the batched
products in it (scores and context), `params`, the number of parameters, tied ones once, and `sin` and `cos`,
how many of each are evaluated in that pass.
"""

import argparse
import contextlib
import copy
import functools
import json
import pathlib
import shutil
import tempfile
import zlib
from unittest import mock

import torch
import transformers
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch.nn.functional import gelu
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode
from transformers.models.bloom import modeling_bloom
from transformers.models.gptj import modeling_gptj
from transformers.models.granitemoehybrid import modeling_granitemoehybrid
from transformers.models.kimi_linear import modeling_kimi_linear
from transformers.models.mamba2 import modeling_mamba2
from transformers.models.nemotron_h import modeling_nemotron_h
from transformers.models.qwen3_5 import modeling_qwen3_5
from transformers.models.qwen3_5_moe import modeling_qwen3_5_moe
from transformers.models.qwen3_next import modeling_qwen3_next
from transformers.models.swinv2 import modeling_swinv2

from models_cases import CASES

HERE = pathlib.Path(__file__).parent / "models"
SINGLE = torch.float32
EAGER = {"attn_implementation": "eager", "experts_implementation": "eager"}
OUTPUTS = [
    "last_hidden_state", "pooler_output", "logits", "cls_logits", "distillation_logits", "encoder_last_hidden_state",
    "prediction_logits", "seq_relationship_logits", "sop_logits", "start_logits", "end_logits",
    "text_embeds", "image_embeds", "logits_per_text", "logits_per_image",
]

# Families that are no decoders, and keep no cache.
ENCODERS = [
    "albert", "bert", "camembert", "clip", "clip_text_model", "deberta-v2", "distilbert", "electra", "modernbert", "mpnet", "roberta", "siglip", "siglip_text_model",
    "xlm-roberta",
]

# Models that take images beside texts, of which the model of texts is what is kept here.
WITH_TEXT = ["gemma3", "gemma4", "llama4", "mistral3", "qwen3_5", "qwen3_5_moe"]

# Those of which all is kept.
WHOLE = ["llava", "qwen2_5_vl", "qwen2_vl", "qwen3_vl"]

# Of these, those whose images are cut into patches beforehand.
IN_GRIDS = ["qwen2_5_vl", "qwen2_vl", "qwen3_vl"]

# What is added to the scores by which a router chooses, a parameter that training leaves alone or a buffer.
CORRECTION = ("e_score_correction_bias", "expert_bias")


# Norms whose gain is one more than their weight, drawn about one.
ONE_PLUS = ["Qwen3NextRMSNorm", "Qwen3_5RMSNorm", "Qwen3_5MoeRMSNorm"]


@contextlib.contextmanager
def in_double():
    """Double precision, also where a model casts to single precision (norms, softmax, rotary angles), and where
    BLOOM has the constant of its GELU in eight digits."""
    with (
        mock.patch.object(torch, "float32", torch.float64),
        mock.patch.object(torch, "float", torch.float64),
        mock.patch.object(torch.Tensor, "float", torch.Tensor.double),
        mock.patch.object(modeling_bloom, "bloom_gelu_forward", functools.partial(gelu, approximate="tanh")),
    ):
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            torch.set_default_dtype(SINGLE)


def made_in_double(model):
    """Makes tables of rotations anew, which were made in single precision."""
    for name, module in list(model.named_modules()):
        if any(name.endswith("inv_freq") for name, _ in module.named_buffers(recurse=False)):
            model.set_submodule(name, type(module)(module.config).eval())
        if isinstance(module, modeling_swinv2.Swinv2SelfAttention):
            module.relative_coords_table, _ = module.create_coords_table_and_index()
        if isinstance(module, modeling_gptj.GPTJAttention):
            positions, width = module.max_positions, module.pos_embd_dim
            module.embed_positions = modeling_gptj.create_sinusoidal_positions(positions, width)


def untie(model, config):
    """Gives T5 a head of its own: the library ties it until it meets a checkpoint that has one."""
    if config.get("tie_word_embeddings") is False and model.config.tie_word_embeddings:
        model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.lm_head.weight))


def draw(model, generator, dtype):
    """Draws every parameter anew, in numbers that `dtype` has: libraries start biases and padding rows at zero."""
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad and not name.endswith(CORRECTION):  # sines and cosines
            parameter.data = parameter.to(dtype).float()
            continue
        module = model.get_submodule(name.rpartition(".")[0])
        value = torch.randn(parameter.shape, generator=generator)
        if type(module).__name__ in ONE_PLUS:
            value = 0.2 * value
        elif "norm" in type(module).__name__.lower() and name.endswith("weight"):
            value = 1 + 0.2 * value
        elif isinstance(module, torch.nn.Embedding):
            value = 0.4 * value
        elif name.endswith("conv1d.weight"):
            value = 0.8 * value  # What comes of small ones is little more than ε of the norms behind.
        elif name.endswith("self.logit_scale"):
            value = 3 + 2 * value  # Some above what they are kept below.
        elif parameter.dim() == 2:
            value = 1.5 * value / min(parameter.shape) ** 0.5
        else:
            value = 0.2 * value
        parameter.data = value.to(dtype).float()
    for name, buffer in model.named_buffers():
        if name.endswith("layer_scalar"):
            buffer.copy_((1 + 0.2 * torch.randn(buffer.shape, generator=generator)).to(dtype))
        if name == "final_logits_bias" or name.endswith(CORRECTION):
            buffer.copy_((0.2 * torch.randn(buffer.shape, generator=generator)).to(dtype))


def inputs(case, config, generator):
    """Images of the model's size or another, with texts where it takes both, sounds of its length with the beginning of a text, or a batch of texts padded on the
    right, or on the left."""
    if hasattr(config, "image_size"):
        size = config.image_size
        height, width = case.image or ((size, size) if isinstance(size, int) else size)
        images = case.images or 2
        made = {"pixel_values": torch.randn(images, config.num_channels, height, width, generator=generator)}
        if config.model_type == "vit_mae":
            down, across = (height // config.patch_size, width // config.patch_size)
            made["noise"] = torch.rand(images, down * across, generator=generator)
        return made
    if config.model_type in WITH_TEXT:
        return inputs(case, config.text_config, generator)
    if config.model_type in IN_GRIDS:
        return in_grids(case, config, generator)
    if config.model_type in WHOLE:
        return among(case, config, generator)
    if case.architecture.endswith("ForImageClassification") and hasattr(config, "vision_config"):
        return inputs(case, config.vision_config, generator)
    if hasattr(config, "vision_config"):
        return inputs(case, config.text_config, generator) | inputs(case, config.vision_config, generator)
    longest, pad = max(case.lengths), config.pad_token_id or 0

    def tokens(*shape):
        return torch.randint(pad + 1, config.vocab_size, shape, generator=generator)

    if case.samples:
        return {"input_values": torch.randn(2, case.samples, generator=generator)}

    if hasattr(config, "num_mel_bins") and case.architecture != "WhisperForCausalLM":
        frames = 2 * config.max_source_positions
        made = {"input_features": torch.randn(2, config.num_mel_bins, frames, generator=generator)}
        return made | ({"decoder_input_ids": tokens(2, case.decoder_length)} if case.decoder_length else {})

    mask = (torch.arange(longest)[None, :] < torch.tensor(case.lengths)[:, None]).long()
    mask = mask.flip(1) if case.padded_left else mask
    made = {"input_ids": tokens(*mask.shape).where(mask == 1, pad)}
    made |= {"attention_mask": mask} if case.masked else {}
    if getattr(config, "type_vocab_size", 1) > 1:
        made["token_type_ids"] = torch.randint(config.type_vocab_size, mask.shape, generator=generator)
    if case.ended:
        made["input_ids"][:, -1] = config.eos_token_id
    if case.decoder_length:
        made["decoder_input_ids"] = tokens(*mask.shape)[:, : case.decoder_length]
        made["decoder_input_ids"][:, 0] = config.decoder_start_token_id
    return made


def among(case, config, generator):
    """Texts in which tokens of images stand where they may, whatever text they are of, and the images."""
    made = inputs(case, config.text_config, generator) | inputs(case, config.vision_config, generator)
    ids, vision = made["input_ids"], config.vision_config
    ids[ids == config.image_token_id] = config.image_token_id - 1
    rows = (vision.image_size // vision.patch_size) ** 2 + (vision.model_type == "clip_vision_model")
    rows -= config.vision_feature_select_strategy == "default"
    free = made["attention_mask"].flatten().nonzero().flatten() if case.masked else torch.arange(ids.numel())
    chosen = free[torch.randperm(len(free), generator=generator)[: rows * case.images]]
    assert len(chosen) == rows * case.images < len(free), case.name
    ids.view(-1)[chosen] = config.image_token_id
    return made


def in_grids(case, config, generator):
    """Texts in which the tokens of images of one grid stand together, a word or two between them, and the patches of the images."""
    made = inputs(case, config.text_config, generator)
    ids, vision, token = made["input_ids"], config.vision_config, config.image_token_id
    ids[ids == token] = token - 1
    (down, across), left = case.grid, case.images
    for item, length in enumerate(case.lengths):
        at = (ids.shape[1] - length if case.padded_left else 0) + 1
        end = at - 1 + length
        while left and at + down * across < end:
            ids[item, at : at + down * across] = token
            at, left = at + down * across + 1 + left % 2, left - 1
    assert not left, case.name
    side = vision.spatial_merge_size
    pixels = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
    patches = case.images * down * across * side**2
    return made | {
        "pixel_values": torch.randn(patches, pixels, generator=generator),
        "image_grid_thw": torch.tensor([[1, down * side, across * side]] * case.images),
        "mm_token_type_ids": (ids == token).int().long(),
    }


def load(case, folder, dtype):
    """The checkpoint as a user loads it."""
    model, report = getattr(transformers, case.architecture).from_pretrained(
        folder, dtype=dtype, output_loading_info=True, **EAGER
    )
    assert not any(report[kind] for kind in ("missing_keys", "mismatched_keys")), (case.name, report)
    return model.eval().requires_grad_(False)


def forward(model, given):
    floats = {name: x.to(model.dtype) if x.is_floating_point() else x for name, x in given.items()}
    kwargs = {"use_cache": False} if {"input_ids", "decoder_input_ids"} & set(given) else {}
    if model.config.model_type in ENCODERS:
        kwargs = {}
    result = model(**floats, **kwargs)
    return {name: result[name] for name in OUTPUTS if result.get(name) is not None}


def generate(model, prompt, new=8):
    """Greedy tokens, the same with and without cache, none of them decided by rounding."""
    model.generation_config.eos_token_id = model.generation_config.forced_eos_token_id = None
    runs = []
    for use_cache in (True, False):
        # That of Whisper's class cuts sounds and asks for languages before it does the same.
        run = transformers.GenerationMixin.generate(
            model, prompt, attention_mask=torch.ones(prompt.shape[:2], dtype=torch.long), max_new_tokens=new,
            do_sample=False, pad_token_id=0, use_cache=use_cache, return_dict_in_generate=True, output_logits=True,
        )
        first, second = torch.stack(run.logits).topk(2).values.unbind(-1)
        assert (first - second).min() > 1e-3, "two tokens are nearly equally likely"
        runs.append(run.sequences[0, -new:])
    assert torch.equal(*runs), "the cache changes the tokens"
    assert len(set(runs[0].tolist())) > 2, f"degenerate: {runs[0].tolist()}"
    return runs[0]


# Whose linear attention is taken in chunks of 64 tokens, by products, or token by token, by none.
DELTA = [modeling_qwen3_5, modeling_qwen3_5_moe, modeling_qwen3_next]


# Whose state spaces are taken in chunks, by products.
STATE_SPACES = [modeling_granitemoehybrid, modeling_mamba2, modeling_nemotron_h]


def scan(hidden_states, dt, A, B, C, chunk_size, D, dt_bias, dt_limit, **_):
    """What `mamba2_chunk_scan` gives, token by token and without products."""
    heads = hidden_states.shape[2]
    dt = torch.nn.functional.softplus(dt + dt_bias).clamp(*dt_limit)
    B, C = [x.repeat_interleave(heads // x.shape[2], dim=2) for x in (B, C)]
    state, results = 0, []
    for at in range(hidden_states.shape[1]):
        taken = (hidden_states * dt[..., None])[:, at, :, :, None] * B[:, at, :, None]
        state = state * torch.exp(A * dt[:, at])[..., None, None] + taken
        results.append((state * C[:, at, :, None]).sum(-1))
    return torch.stack(results, 1) + D[..., None] * hidden_states


@contextlib.contextmanager
def token_by_token():
    """Recurrences without products, which are not counted then."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(
            modeling_kimi_linear, "chunk_kimi_delta_attention", modeling_kimi_linear.recurrent_kimi_delta_attention
        ))
        for module in STATE_SPACES:
            stack.enter_context(mock.patch.object(module, "mamba2_chunk_scan", scan))
        for module in DELTA:
            stack.enter_context(
                mock.patch.object(module, "torch_chunk_gated_delta_rule", module.torch_recurrent_gated_delta_rule)
            )
        yield


def count(model, given):
    """MACs of a forward pass: all, and those of scores and context; those of recurrences are left out."""
    with token_by_token(), FlopCounterMode(display=False) as counter:
        forward(model, given)
    counts = counter.get_flop_counts()
    operations = dict(counts["Global"])
    for module, inner in counts.items():
        if module.endswith(".rotary_emb"):
            for operation, flops in inner.items():
                operations[operation] -= flops
    # Experts that the library runs for every token count as those chosen.
    chosen = 0
    for module, inner in counts.items():
        if model.config.model_type in ("llama4", "llama4_text") and module.endswith(".experts"):
            for operation, flops in inner.items():
                operations[operation] -= flops
                own = model.config.get_text_config()
                chosen += flops * own.num_experts_per_tok // own.num_local_experts
    batched = sum(flops for operation, flops in operations.items() if "bmm" in str(operation))
    for module, inner in counts.items():
        if module.endswith(".head.attention"):
            # PyTorch maps the rows of several images to keys and values image by image: c times the products of the one query with them.
            width = model.get_submodule(module.partition(".")[2]).embed_dim
            own = sum(flops for operation, flops in inner.items() if "bmm" in str(operation))
            batched -= own // (width + 1) * width
        if (model.config.model_type, module.rpartition(".")[2]) in [("beit", "lm_head"), ("hubert", "projection"), ("llava", "linear_1")]:
            # PyTorch maps rows that do not lie one behind the other image by image.
            batched -= sum(flops for operation, flops in inner.items() if "bmm" in str(operation))
    return (sum(operations.values()) + chosen) // 2, batched // 2


def parameters(model):
    """How many there are; of a model with images, those of the model of texts."""
    left_out = ("vision", "visual", "projector") if model.config.model_type in WITH_TEXT else ()
    named = model.named_parameters()
    return sum(parameter.numel() for name, parameter in named if not any(part in name for part in left_out))


class Evaluations(TorchDispatchMode):
    """Counts the elements of which sine and cosine are taken."""

    def __init__(self):
        super().__init__()
        self.elements = {"sin": 0, "cos": 0}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        if name in self.elements:
            self.elements[name] += args[0].numel()
        return function(*args, **(kwargs or {}))


# What families called the base of the rotation and the share of a head that turns.
ROPE_KEYS = {"gpt_neox": ("rotary_emb_base", "rotary_pct")}


def published_config(path):
    """The keys of configurations published before version 5 of the library."""
    config = json.loads(path.read_text())
    if config["model_type"] == "gemma4_text":
        full = config.pop("per_layer_config")[str(config["layer_types"].index("full_attention"))]
        config |= {"global_head_dim": full["head_dim"], "num_global_key_value_heads": full.get("num_key_value_heads")}
        path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
        return
    if config["model_type"] == "qwen2_vl":
        # The keys of texts beside the others.
        text = config.pop("text_config")
        rope = text.pop("rope_parameters")
        config = {key: value for key, value in text.items() if key not in ("model_type", "layer_types")} | config
        config |= {"rope_theta": rope["rope_theta"], "rope_scaling": {"type": "mrope", "mrope_section": rope["mrope_section"]}}
        path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
        return
    rope = config.pop("rope_parameters", None)
    if config["model_type"] == "modernbert":
        for old, kind in [("global", "full_attention"), ("local", "sliding_attention")]:
            config[f"{old}_rope_theta"] = rope[kind]["rope_theta"]
        config["global_attn_every_n_layers"] = 3
    elif rope and "full_attention" in rope:
        config["rope_theta"] = rope["full_attention"].pop("rope_theta")
        config["rope_local_base_freq"] = rope["sliding_attention"].pop("rope_theta")
        config["rope_scaling"] = None if rope["full_attention"]["rope_type"] == "default" else rope["full_attention"]
        config["sliding_window_pattern"] = config.pop("_sliding_window_pattern")
    elif rope:
        theta, share = ROPE_KEYS.get(config["model_type"], ("rope_theta", "partial_rotary_factor"))
        config[theta] = rope.pop("rope_theta")
        if "partial_rotary_factor" in rope:
            config[share] = rope.pop("partial_rotary_factor")
        if rope["rope_type"] != "llama3":
            rope["type"] = rope.pop("rope_type")
        config["rope_scaling"] = None if rope.get("type") == "default" else rope
    if "scale_decoder_outputs" in config:
        config["tie_word_embeddings"] = config.pop("scale_decoder_outputs")
    if config["model_type"] == "lfm2":
        config["tie_embedding"] = config.pop("tie_word_embeddings")
        config["block_ff_dim"] = config["intermediate_size"]
    config["torch_dtype"] = config.pop("dtype")
    kinds = config.pop("layer_types", None)
    if config["model_type"] == "nemotron_h":
        kinds = config.pop("layers_block_type")
        config["hybrid_override_pattern"] = "".join({"full_attention": "*", "linear_attention": "M", "moe": "E", "mlp": "-"}[kind] for kind in kinds)
    if config["model_type"] == "granitemoehybrid":
        config["layer_types"] = [{"full_attention": "attention", "linear_attention": "mamba"}[kind] for kind in kinds]
        del config["time_step_limit"]
    if config["model_type"] == "qwen3_next":
        config["full_attention_interval"] = kinds.index("full_attention") + 1
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def save(case, model, folder):
    folder.mkdir(parents=True)
    model = copy.deepcopy(model).to(getattr(torch, case.dtype))
    model.save_pretrained(folder, **({"max_shard_size": case.shards} if case.shards else {}))
    (folder / "generation_config.json").unlink(missing_ok=True)
    if case.said:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | case.said, indent=2) + "\n")
    if case.published:
        published_config(folder / "config.json")
        weights = folder / "model.safetensors"
        save_file(case.published(load_file(weights)), weights, {"format": "pt"})


def write(case, root):
    folder = root / case.name
    generator = torch.Generator().manual_seed(zlib.crc32(case.name.encode()) + case.seed)
    architecture = getattr(transformers, case.architecture)
    config = architecture.config_class(**case.config)
    model = architecture._from_config(config, **EAGER).eval()
    untie(model, case.config)
    draw(model, generator, getattr(torch, case.dtype))
    given = inputs(case, config, generator)
    save(case, model, folder)

    exact = load(case, folder, torch.float64)
    with in_double():
        made_in_double(exact)
        expected = forward(exact, given)
        if exact.can_generate() and getattr(config, "is_causal", True):
            prompt = given["input_ids"][:, : case.lengths[0]] if "input_ids" in given else given["input_features"]
            expected["generated"] = generate(exact, prompt[:1].double() if prompt.is_floating_point() else prompt[:1])
        macs, attention = count(exact, given)
        with Evaluations() as evaluations:
            forward(exact, given)
        params = parameters(exact)
    for name, single in forward(model, given).items():
        torch.testing.assert_close(single.double(), expected[name], rtol=1e-4, atol=1e-4, msg=f"{case.name}: {name}")

    # What the configuration alone makes: of T5 the library ties the head until it meets a file with one.
    saved = architecture.config_class
    saved = saved.from_dict(saved._dict_from_json_file(folder / "config.json"))
    alone = parameters(architecture(saved))

    if "noise" in given:
        given["ids_shuffle"] = given.pop("noise").argsort(1)  # The order that it stands for.
    tensors = {name: x.contiguous() for name, x in given.items()}
    tensors |= {f"expected.{name}": x.detach().contiguous().clone() for name, x in expected.items()}
    metadata = {
        "transformers": transformers.__version__, "torch": torch.__version__.partition("+")[0],
        "macs": str(macs), "macs.attention": str(attention), "params": str(params),
    } | {name: str(elements) for name, elements in evaluations.elements.items()}
    metadata |= {"params.alone": str(alone)} if alone != params else {}
    save_file(tensors, folder / "io.safetensors", dict(sorted(metadata.items())))


def contents(path):
    """Metadata and tensors of a file of tensors, or the bytes of another."""
    if path.suffix != ".safetensors":
        return path.read_bytes(), {}
    with safe_open(path, "pt") as file:
        return file.metadata(), {name: file.get_tensor(name) for name in file.keys()}


def differences(made, kept):
    """Files that differ; results in double precision may differ in their last digits."""
    names = {path.relative_to(root) for root in (made, kept) for path in root.rglob("*") if path.is_file()}
    for name in sorted(names):
        if not (made / name).exists() or not (kept / name).exists():
            yield f"{name}: only in one of the two"
            continue
        (data, tensors), (kept_data, kept_tensors) = contents(made / name), contents(kept / name)
        if data != kept_data or tensors.keys() != kept_tensors.keys():
            yield f"{name}: other contents"
            continue
        for tensor, value in tensors.items():
            tolerance = 1e-10 if value.dtype == torch.float64 else 0
            if value.shape != kept_tensors[tensor].shape or not torch.allclose(
                value, kept_tensors[tensor], rtol=tolerance, atol=tolerance
            ):
                yield f"{name}: {tensor}"


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--check", action="store_true", help="compare with the files that are there")
    arguments.add_argument("names", nargs="*", help="of cases, all where there are none")
    options = arguments.parse_args()
    torch.set_grad_enabled(False)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as scratch:
        made = pathlib.Path(scratch) / "models"
        names = options.names or [case.name for case in CASES]
        for case in CASES:
            if case.name in names:
                write(case, made)
        if options.check:
            kept = [differences(made / name, HERE / name) for name in names]
            found = [f"{name}/{line}" for name, lines in zip(names, kept) for line in lines]
            found += [] if options.names else [path.name for path in HERE.iterdir() if path.name not in names]
            raise SystemExit("\n".join(found) if found else 0)
        for name in names if options.names else [path.name for path in HERE.iterdir()]:
            shutil.rmtree(HERE / name, ignore_errors=True)
        shutil.copytree(made, HERE, dirs_exist_ok=True)


if __name__ == "__main__":
    main()
