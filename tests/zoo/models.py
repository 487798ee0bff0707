"""The models: what builds each, what it is given, and which of its sizes are open in its export.

Small configurations of `transformers`; models of torchvision and timm as published, the largest with fewer layers or
images of another size. Weights are drawn.
"""

import dataclasses
import random
from typing import Any, Callable

import torch
import transformers as T
from torch import nn

WORDS = 99


@dataclasses.dataclass
class Case:
    """A module and its arguments: `inputs` draws the tensors at sizes, `given` are arguments that are no tensors."""

    build: Callable[[], nn.Module]
    inputs: Callable[[dict[str, int]], dict[str, torch.Tensor]]
    #: Sizes by name: least and most of what is drawn.
    sizes: dict[str, tuple[int, int]]
    #: Of each argument, which dimensions are of which size.
    axes: dict[str, dict[int, str]]
    #: The most that an export may hold for, where the model has a table of positions.
    most: dict[str, int] = dataclasses.field(default_factory=dict)
    given: dict[str, Any] = dataclasses.field(default_factory=dict)

    def drawn(self, seed: str, count: int) -> list[dict[str, int]]:
        """Sizes, all different."""
        draw, found = random.Random(seed), []
        while len(found) < count:
            sizes = {name: draw.randint(*span) for name, span in self.sizes.items()}
            if sizes not in found:
                found.append(sizes)
        return found

    def open(self, arguments):
        """The dynamic shapes of `torch.export.export`."""
        dims = {name: torch.export.Dim.DYNAMIC for name in self.sizes}
        dims |= {name: torch.export.Dim(name, max=most) for name, most in self.most.items()}
        axes = lambda name: {at: dims[size] for at, size in self.axes.get(name, {}).items()}
        return {name: axes(name) or None for name in arguments}


MODELS: dict[str, Case] = {}


# Tokens.


def ids(b, n):
    return torch.randint(3, WORDS - 9, (b, n))


def padding(b, n):
    """A mask: each item has from one token to all."""
    return (torch.arange(n) < torch.randint(1, n + 1, (b, 1))).long()


SPAN = {"b": (1, 4), "n": (2, 40)}


def config(of, **keys):
    small = dict(vocab_size=WORDS, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4)
    return of(**(small | keys))


def causal(name, model, config, positions=None):
    MODELS[f"transformers/{name}"] = Case(
        lambda: model(config()),
        lambda s: {"input_ids": ids(s["b"], s["n"])},
        SPAN, {"input_ids": {0: "b", 1: "n"}}, {"n": positions} if positions else {}, {"use_cache": False},
    )


def encoder(name, model, config, positions=None, masked=True):
    def inputs(s):
        given = {"input_ids": ids(s["b"], s["n"])}
        return given | ({"attention_mask": padding(s["b"], s["n"])} if masked else {})

    axes = {0: "b", 1: "n"}
    MODELS[f"transformers/{name}"] = Case(
        lambda: model(config()), inputs, SPAN, {"input_ids": axes, "attention_mask": axes},
        {"n": positions} if positions else {},
    )


def pair(name, model, config, positions=None):
    MODELS[f"transformers/{name}"] = Case(
        lambda: model(config()),
        lambda s: {"input_ids": ids(s["b"], s["n"]), "decoder_input_ids": ids(s["b"], s["m"])},
        SPAN | {"m": (2, 40)}, {"input_ids": {0: "b", 1: "n"}, "decoder_input_ids": {0: "b", 1: "m"}},
        {"n": positions, "m": positions} if positions else {}, {"use_cache": False},
    )


grouped = {"num_key_value_heads": 2}
experts = dict(grouped, num_experts_per_tok=2)
positions = {"max_position_embeddings": 64}

causal("llama", T.LlamaForCausalLM, lambda: config(T.LlamaConfig, **grouped))
causal("qwen2", T.Qwen2ForCausalLM, lambda: config(T.Qwen2Config, **grouped))
causal("qwen3", T.Qwen3ForCausalLM, lambda: config(T.Qwen3Config, head_dim=8, **grouped))
causal("mistral", T.MistralForCausalLM, lambda: config(T.MistralConfig, sliding_window=4, **grouped))
causal("gemma2", T.Gemma2ForCausalLM, lambda: config(T.Gemma2Config, head_dim=8, sliding_window=4, **grouped))
causal("gemma3", T.Gemma3ForCausalLM, lambda: config(T.Gemma3TextConfig, head_dim=8, sliding_window=4, **grouped))
causal("phi3", T.Phi3ForCausalLM, lambda: config(T.Phi3Config, pad_token_id=0, **grouped))
causal("phi", T.PhiForCausalLM, lambda: config(T.PhiConfig))
causal("gpt2", T.GPT2LMHeadModel, lambda: T.GPT2Config(vocab_size=WORDS, n_embd=32, n_layer=2, n_head=4, n_positions=64), 60)
causal("gptj", T.GPTJForCausalLM, lambda: T.GPTJConfig(vocab_size=WORDS, n_embd=32, n_layer=2, n_head=4, rotary_dim=4, n_positions=64), 60)
causal("gpt_neox", T.GPTNeoXForCausalLM, lambda: config(T.GPTNeoXConfig, rotary_pct=0.5))
causal("olmo2", T.Olmo2ForCausalLM, lambda: config(T.Olmo2Config))
causal("cohere", T.CohereForCausalLM, lambda: config(T.CohereConfig, **grouped))
causal("stablelm", T.StableLmForCausalLM, lambda: config(T.StableLmConfig, **grouped))
causal("starcoder2", T.Starcoder2ForCausalLM, lambda: config(T.Starcoder2Config, **grouped))
causal("granite", T.GraniteForCausalLM, lambda: config(T.GraniteConfig, **grouped))
causal("falcon", T.FalconForCausalLM, lambda: T.FalconConfig(vocab_size=WORDS, hidden_size=32, num_hidden_layers=2, num_attention_heads=4))
causal("bloom", T.BloomForCausalLM, lambda: T.BloomConfig(vocab_size=WORDS, hidden_size=32, n_layer=2, n_head=4))
causal("opt", T.OPTForCausalLM, lambda: T.OPTConfig(vocab_size=WORDS, hidden_size=32, ffn_dim=48, num_hidden_layers=2, num_attention_heads=4, word_embed_proj_dim=32, **positions), 60)
causal("mixtral", T.MixtralForCausalLM, lambda: config(T.MixtralConfig, num_local_experts=4, **experts))
causal("qwen3_moe", T.Qwen3MoeForCausalLM, lambda: config(T.Qwen3MoeConfig, head_dim=8, num_experts=4, moe_intermediate_size=16, **experts))
causal("gpt_oss", T.GptOssForCausalLM, lambda: config(T.GptOssConfig, head_dim=8, num_local_experts=4, sliding_window=4, **experts))
causal("deepseek_v3", T.DeepseekV3ForCausalLM, lambda: config(
    T.DeepseekV3Config, num_key_value_heads=4, q_lora_rank=16, kv_lora_rank=16, qk_rope_head_dim=4, qk_nope_head_dim=8,
    v_head_dim=8, n_routed_experts=8, num_experts_per_tok=2, n_group=2, topk_group=1, moe_intermediate_size=16,
    first_k_dense_replace=1))

encoder("bert", T.BertModel, lambda: config(T.BertConfig, **positions), 60)
encoder("roberta", T.RobertaModel, lambda: config(T.RobertaConfig, pad_token_id=1, **positions), 60)
encoder("distilbert", T.DistilBertModel, lambda: T.DistilBertConfig(vocab_size=WORDS, dim=32, hidden_dim=48, n_layers=2, n_heads=4, **positions), 60)
encoder("electra", T.ElectraModel, lambda: config(T.ElectraConfig, embedding_size=16, **positions), 60)
encoder("mpnet", T.MPNetModel, lambda: config(T.MPNetConfig, **positions), 60)
encoder("albert", T.AlbertModel, lambda: config(T.AlbertConfig, embedding_size=16, **positions), 60)
encoder("modernbert", T.ModernBertModel, lambda: config(T.ModernBertConfig, local_attention=4, pad_token_id=0))
encoder("deberta", T.DebertaV2Model, lambda: config(T.DebertaV2Config, relative_attention=True, pos_att_type=["c2p", "p2c"], **positions), 60)
encoder("t5_encoder", T.T5EncoderModel, lambda: T.T5Config(vocab_size=WORDS, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4))
encoder("clip_text", T.CLIPTextModel, lambda: config(T.CLIPTextConfig, eos_token_id=98, **positions), 60, masked=False)
two = dict(d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=48, decoder_ffn_dim=48)
pair("t5", T.T5ForConditionalGeneration, lambda: T.T5Config(vocab_size=WORDS, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, decoder_start_token_id=0))
pair("bart", T.BartModel, lambda: T.BartConfig(vocab_size=WORDS, **two, **positions), 60)


def whisper():
    return T.WhisperConfig(vocab_size=WORDS, num_mel_bins=8, max_source_positions=16, max_target_positions=20,
                           pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=3, **two)


MODELS["transformers/whisper_encoder"] = Case(
    lambda: T.WhisperModel(whisper()).encoder, lambda s: {"input_features": torch.randn(s["b"], 8, 32)},
    {"b": (1, 6)}, {"input_features": {0: "b"}},
)
MODELS["transformers/wav2vec2"] = Case(
    lambda: T.Wav2Vec2Model(config(
        T.Wav2Vec2Config, conv_dim=[16, 16, 16], conv_kernel=[10, 3, 2], conv_stride=[5, 2, 2],
        num_feat_extract_layers=3, num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2)),
    lambda s: {"input_values": torch.randn(s["b"], s["n"])},
    {"b": (1, 4), "n": (200, 900)}, {"input_values": {0: "b", 1: "n"}},
)


# Images.


def image(name, build, size, argument="x"):
    """Of a fixed height and width."""
    MODELS[name] = Case(
        build, lambda s: {argument: torch.randn(s["b"], 3, size, size)}, {"b": (1, 5)}, {argument: {0: "b"}})


def open_image(name, build, least=33, argument="x"):
    """Of any height and width."""
    MODELS[name] = Case(
        build, lambda s: {argument: torch.randn(s["b"], 3, s["h"], s["w"])},
        {"b": (1, 3), "h": (least, 96), "w": (least, 96)}, {argument: {0: "b", 2: "h", 3: "w"}})


seen = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, image_size=32, patch_size=8)
image("transformers/vit", lambda: T.ViTModel(T.ViTConfig(**seen)), 32, "pixel_values")
image("transformers/deit", lambda: T.DeiTModel(T.DeiTConfig(**seen)), 32, "pixel_values")
image("transformers/dinov2", lambda: T.Dinov2Model(T.Dinov2Config(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, image_size=32, patch_size=8)), 32, "pixel_values")
image("transformers/siglip", lambda: T.SiglipVisionModel(T.SiglipVisionConfig(**seen)), 32, "pixel_values")
image("transformers/clip_vision", lambda: T.CLIPVisionModel(T.CLIPVisionConfig(**seen)), 32, "pixel_values")
image("transformers/swin", lambda: T.SwinModel(T.SwinConfig(image_size=32, patch_size=2, embed_dim=16, depths=[2, 2], num_heads=[2, 4], window_size=4)), 32, "pixel_values")
image("transformers/segformer", lambda: T.SegformerModel(T.SegformerConfig(hidden_sizes=[8, 16, 32, 32], depths=[1, 1, 1, 1], num_attention_heads=[1, 2, 4, 4])), 64, "pixel_values")
open_image("transformers/convnext", lambda: T.ConvNextModel(T.ConvNextConfig(hidden_sizes=[8, 16, 16, 32], depths=[1, 1, 2, 1])), 64, "pixel_values")


def torchvision(name):
    def build():
        import torchvision

        return torchvision.models.get_model(name, weights=None)

    return build


def two_layers():
    import torchvision

    return torchvision.models.VisionTransformer(224, 16, 2, 12, 768, 3072)


for name in ["resnet18", "resnet50", "efficientnet_v2_s", "mobilenet_v3_small", "regnet_y_400mf",
             "squeezenet1_1", "shufflenet_v2_x1_0", "mnasnet0_5"]:
    open_image(f"torchvision/{name}", torchvision(name))
# Exports of these hold for 64 and more.
for name in ["convnext_tiny", "densenet121"]:
    open_image(f"torchvision/{name}", torchvision(name), 64)
for name in ["vgg11_bn", "swin_t", "swin_v2_t"]:
    image(f"torchvision/{name}", torchvision(name), 64)
image("torchvision/vit_b_16 of 2 layers", two_layers, 224)
image("torchvision/maxvit_t", torchvision("maxvit_t"), 224)


def timm(name, **keys):
    def build():
        import timm

        return timm.create_model(name, pretrained=False, **keys)

    return build


for name in ["vit_tiny_patch16_224", "coatnet_nano_rw_224", "xcit_nano_12_p16_224", "deit3_small_patch16_224",
             "swin_tiny_patch4_window7_224", "mixer_s16_224", "levit_128s", "efficientformer_l1",
             "eva02_tiny_patch14_224", "cait_xxs24_224", "tiny_vit_5m_224", "hiera_tiny_224", "gcvit_xxtiny",
             "visformer_tiny"]:
    image(f"timm/{name}", timm(name), 224)
image("timm/vit_small_patch16_dinov3", timm("vit_small_patch16_dinov3"), 256)
image("timm/beit_base_patch16_224 of 2 layers", timm("beit_base_patch16_224", depth=2), 224)
for name in ["edgenext_xx_small", "mobilevit_xxs", "pvt_v2_b0", "efficientvit_b0"]:
    image(f"timm/{name}", timm(name), 64)
for name in ["convnextv2_atto", "mobilenetv3_small_050", "poolformer_s12", "resnetv2_50", "regnety_002", "ghostnet_100",
             "repvgg_a0", "mambaout_femto", "starnet_s1"]:
    open_image(f"timm/{name}", timm(name), 64)


# Layers of torch.nn.


def layer(name, build, **lengths):
    """Of sequences of vectors: what the length of each argument is called."""
    MODELS[f"torch.nn/{name}"] = Case(
        build, lambda s: {argument: torch.randn(s["b"], s[size], 32) for argument, size in lengths.items()},
        {"b": (1, 4)} | {size: (2, 30) for size in lengths.values()},
        {argument: {0: "b", 1: size} for argument, size in lengths.items()})


layer("TransformerEncoderLayer", lambda: nn.TransformerEncoderLayer(32, 4, 64, batch_first=True), src="n")
layer("TransformerEncoderLayer, norm first", lambda: nn.TransformerEncoderLayer(
    32, 4, 64, batch_first=True, norm_first=True, activation="gelu"), src="n")
layer("TransformerDecoderLayer", lambda: nn.TransformerDecoderLayer(32, 4, 64, batch_first=True), tgt="n", memory="m")
