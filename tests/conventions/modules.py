"""Modules that the cases are made of, besides those of torch.nn and of libraries of models."""

import json
import pathlib

import torch
import torch.nn.functional as F
from torch import nn


def tensors(results):
    """What a module returns, without what is no tensor."""
    if isinstance(results, torch.Tensor):
        return results
    kept = tuple(result for result in results if isinstance(result, torch.Tensor))
    return kept if len(kept) > 1 else kept[0]


class Call(nn.Module):
    """A module called with keyword arguments that stay the same."""

    def __init__(self, inner, **fixed):
        super().__init__()
        self.inner, self.fixed = inner, fixed

    def forward(self, *args):
        return tensors(self.inner(*args, **self.fixed))


class ToItself(nn.Module):
    """nn.MultiheadAttention of x to itself, or of x to a memory that lends keys and values."""

    def __init__(self, inner, **fixed):
        super().__init__()
        self.inner, self.fixed = inner, fixed

    def forward(self, x, memory=None):
        memory = x if memory is None else memory
        return tensors(self.inner(x, memory, memory, **self.fixed))


class Plain(nn.Module):
    """Multi-head attention written out: one map for queries, keys and values, scores scaled after the product."""

    def __init__(self, c, h, qkv_bias=False, out_proj=True, fused=False, causal=False):
        super().__init__()
        self.h, self.fused, self.causal, self.scale = h, fused, causal, (c / h) ** -0.5
        self.qkv = nn.Linear(c, 3 * c, bias=qkv_bias)
        self.out = nn.Linear(c, c) if out_proj else None

    def forward(self, x):
        b, n, c = x.shape
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        if self.h > 1:
            q, k, v = (t.view(b, n, self.h, c // self.h).transpose(1, 2) for t in (q, k, v))
        if self.fused:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        else:
            y = (q @ k.transpose(-2, -1) * self.scale).softmax(-1) @ v
        if self.h > 1:
            y = y.transpose(1, 2).reshape(b, n, c)
        return y if self.out is None else self.out(y)


class Block(nn.Module):
    """A pre-norm encoder layer written out: LayerNorm, attention, feed-forward layer with F.gelu, residuals by `+`."""

    def __init__(self, c, h, ff, fused=False):
        super().__init__()
        self.norm1, self.attention, self.norm2 = nn.LayerNorm(c), Plain(c, h, True, fused=fused), nn.LayerNorm(c)
        self.linear1, self.linear2 = nn.Linear(c, ff), nn.Linear(ff, c)

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.linear2(F.gelu(self.linear1(self.norm2(x))))


class Stack(nn.Module):
    """l times: nn.MultiheadAttention with its weights returned, Linear, ReLU, Dropout, Linear; sequence first."""

    def __init__(self, l, c, h, ff):
        super().__init__()
        self.attention = nn.ModuleList(nn.MultiheadAttention(c, h) for _ in range(l))
        self.mlp = nn.ModuleList(
            nn.Sequential(nn.Linear(c, ff), nn.ReLU(), nn.Dropout(0.1), nn.Linear(ff, c)) for _ in range(l)
        )

    def forward(self, x):
        for attention, mlp in zip(self.attention, self.mlp):
            x, _ = attention(x, x, x)
            x = mlp(x)
        return x


def x(*shape):
    """An input of the given shape."""
    return torch.rand(shape)


def ids(*shape):
    """Ids below 100."""
    return torch.randint(100, shape)


def causal(n):
    """The mask that hides later tokens, as nn.Transformer makes it."""
    return nn.Transformer.generate_square_subsequent_mask(n)


PRESETS = pathlib.Path(__file__).parents[2] / "crates/models/presets"


class Pair(nn.Module):
    """An encoder and decoder of `transformers`, called with the ids of both, or with a sound and ids."""

    def __init__(self, inner, source="input_ids"):
        super().__init__()
        self.inner, self.source = inner, source

    def forward(self, source, target):
        given = {self.source: source, "decoder_input_ids": target}
        return tensors(self.inner(**given, use_cache=False, return_dict=False))


class Likeness(nn.Module):
    """A model of `transformers` that compares texts with images."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, texts, images):
        return self.inner(input_ids=texts, pixel_values=images).logits_per_text


class Among(nn.Module):
    """A model of `transformers` in whose texts images stand."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, texts, images):
        return self.inner(input_ids=texts, pixel_values=images, use_cache=False).logits


class InGrids(nn.Module):
    """The same where images are cut into patches, all of one grid."""

    def __init__(self, inner, images, down, across):
        super().__init__()
        self.inner = inner
        side, self.token = inner.config.vision_config.spatial_merge_size, inner.config.image_token_id
        self.grid = torch.tensor([[1, down * side, across * side]] * images)

    def forward(self, texts, patches):
        types = (texts == self.token).int()
        return self.inner(input_ids=texts, pixel_values=patches, image_grid_thw=self.grid, mm_token_type_ids=types, use_cache=False).logits


def with_grids(b, n, token, rows, images):
    """Ids below 100, in which the tokens of each image stand together behind another one."""
    made = torch.randint(100, (b, n))
    made[made == token] = token - 1
    each = -(-images // b)
    for image in range(images):
        at = image % each * (rows + 1) + 1
        made[image // each, at : at + rows] = token
    return made


def with_images(b, n, token, rows):
    """Ids below 100, of which as many as there are rows of images are the one that stands for such."""
    made = torch.randint(100, (b * n,))
    made[made == token] = token - 1
    made[torch.randperm(b * n)[:rows]] = token
    return made.view(b, n)


# Families of an encoder and a decoder, and what their classes are called that are given one text.
PAIRS = ["bart", "marian", "mbart", "mt5", "pegasus", "t5"]
SOUNDS = ["whisper"]
# Those that compare texts with images.
BOTH = ["clip", "siglip"]
WITHIN = ["llava"]
IN_GRIDS = ["qwen2_5_vl", "qwen2_vl", "qwen3_vl"]
ONE_TEXT = ["Encoder", "Classification", "QuestionAnswering", "CausalLM"]
# Families that are no causal decoders.
WITHOUT_CACHE = ["albert", "deberta-v2", "modernbert", "bert", "roberta", "xlm-roberta", "camembert", "electra", "mpnet", "distilbert", "t5", "vit", "deit", "dinov2", "dinov2_with_registers", "dinov3_vit", "beit", "swin", "swinv2", "convnext", "wav2vec2", "hubert", "vit_mae", "whisper",
                 "clip_text_model", "clip_vision_model", "siglip_text_model", "siglip_vision_model"]


def padding(b, n):
    """A mask that hides the last token of the first item."""
    mask = torch.ones(b, n, dtype=torch.long)
    mask[0, -1] = 0
    return mask


def configured(attention, mask=None, experts=None, grid=None, **config):
    """A model of `transformers` from the keys of its config.json, with random weights; with a mask of padding and
    experts that run in another way than is usual, if given."""
    import transformers

    keys = {key: value for key, value in config.items() if key != "architectures"}
    made = transformers.AutoConfig.for_model(**keys)
    if attention == "eager":
        made._attn_implementation = attention  # Falcon is not to be changed when it is built.
    model = getattr(transformers, config["architectures"][0])(made)
    model.set_attn_implementation(attention)
    if config["model_type"] == "vit_mae" and hasattr(model, "decoder"):
        model.decoder.config._attn_implementation = attention  # Its layers have a copy.
        for layer in model.decoder.decoder_layers:
            layer.attention.config._attn_implementation = attention
    if experts is not None:
        model.set_experts_implementation(experts)
    if config["model_type"] in PAIRS and not any(kind in type(model).__name__ for kind in ONE_TEXT):
        return Pair(model)
    if config["model_type"] in SOUNDS and not any(kind in type(model).__name__ for kind in ONE_TEXT):
        return Pair(model, "input_features")
    if config["model_type"] in BOTH and "Classification" not in type(model).__name__:
        return Likeness(model)
    if config["model_type"] in WITHIN:
        return Among(model)
    if config["model_type"] in IN_GRIDS:
        return InGrids(model, *grid)
    alone = config["model_type"] in WITHOUT_CACHE + BOTH and "CausalLM" not in type(model).__name__
    cache = {} if alone else {"use_cache": False}
    cache |= {} if mask is None else {"attention_mask": mask}
    return Call(model, return_dict=False, **cache)


def preset(attention, name):
    """A model of `transformers` with the configuration of one of Opledger's presets."""
    return configured(attention, **json.loads((PRESETS / f"{name}.json").read_text())["config"])


def timm(name, fused):
    """A model of timm, its attention by F.scaled_dot_product_attention or written out."""
    import timm
    from timm.layers import set_fused_attn

    set_fused_attn(fused)
    return timm.create_model(name)


def torchvision(name):
    """A model of torchvision."""
    import torchvision

    return getattr(torchvision.models, name)()


def timm_vit(fused, config):
    """timm's Vision Transformer with the sizes of a configuration."""
    import timm
    from timm.layers import set_fused_attn

    set_fused_attn(fused)
    return timm.models.VisionTransformer(
        config["image_size"], config["patch_size"], config["num_channels"], len(config["id2label"]),
        embed_dim=config["hidden_size"], depth=config["num_hidden_layers"], num_heads=config["num_attention_heads"],
        # Its hidden width is rounded down.
        mlp_ratio=(config["intermediate_size"] + 0.5) / config["hidden_size"],
    )


def timm_swin(fused, config):
    """timm's Swin with the sizes of a configuration; its own fused attention is experimental, and off either way."""
    import timm
    from timm.layers import set_fused_attn

    set_fused_attn(fused)
    return timm.models.SwinTransformer(
        config["image_size"], config["patch_size"], config["num_channels"], len(config["id2label"]),
        embed_dim=config["embed_dim"], depths=config["depths"], num_heads=config["num_heads"],
        window_size=config["window_size"], mlp_ratio=config["mlp_ratio"],
    )


def torchvision_vit(config):
    """torchvision's Vision Transformer with the sizes of a configuration."""
    import torchvision

    return torchvision.models.VisionTransformer(
        config["image_size"], config["patch_size"], config["num_hidden_layers"], config["num_attention_heads"],
        config["hidden_size"], config["intermediate_size"], num_classes=len(config["id2label"]),
    )


def torchvision_swin(config):
    """torchvision's Swin with the sizes of a configuration."""
    import torchvision

    return torchvision.models.SwinTransformer(
        [config["patch_size"]] * 2, config["embed_dim"], config["depths"], config["num_heads"],
        [config["window_size"]] * 2, config["mlp_ratio"], num_classes=len(config["id2label"]),
    )
