"""The checkpoints that `models.py` writes: small sizes, awkward on purpose."""

import dataclasses
import re

import torch


@dataclasses.dataclass
class Case:
    name: str
    architecture: str
    config: dict
    lengths: tuple = (7, 5)
    decoder_length: int = 0
    padded_left: bool = False
    # Whether a mask says which tokens are padding; without one there is none.
    masked: bool = True
    dtype: str = "float32"
    # Largest size of a file, if the checkpoint is cut into several.
    shards: str | None = None
    # How the tensors of the first published checkpoints of the family differ from what is saved today.
    published: object = None
    # What the configuration says against the model.
    said: dict = dataclasses.field(default_factory=dict)
    # Whether texts end with the token that ends one, which no other of theirs is.
    ended: bool = False
    # How many images beside the texts.
    images: int = 0
    # Height and width of images, where they are others than the configuration's.
    image: tuple | None = None
    # The rows of a text that an image of patches takes, down and across.
    grid: tuple | None = None
    # Samples of a sound.
    samples: int = 0
    # Another draw, where greedy decoding only repeats itself.
    seed: int = 0


def unchanged(tensors):
    """Only the configuration is the earlier one."""
    return tensors


def as_gpt2(tensors):
    """openai-community/gpt2: no prefix, and the causal masks as tensors."""
    tensors = {name.removeprefix("transformer."): x for name, x in tensors.items()}
    positions = tensors["wpe.weight"].shape[0]
    mask = torch.ones(1, 1, positions, positions).tril()
    masks = {name.replace("c_attn.weight", "bias"): mask.clone() for name in tensors if name.endswith("c_attn.weight")}
    return tensors | masks


def as_clip(tensors):
    """openai/clip-vit-base-patch32: the numbers of the positions as tensors."""
    for tower in ["text_model", "vision_model"]:
        rows = tensors[f"{tower}.embeddings.position_embedding.weight"].shape[0]
        tensors[f"{tower}.embeddings.position_ids"] = torch.arange(rows)[None]
    return tensors


def as_llava(tensors):
    """llava-hf/llava-1.5-7b-hf: the tower within a scope of its own, and the numbers of the positions as tensors."""
    tensors = {name.replace("vision_tower.", "vision_tower.vision_model."): x for name, x in tensors.items()}
    embeddings = "vision_tower.vision_model.embeddings"
    rows = tensors[f"{embeddings}.position_embedding.weight"].shape[0]
    return tensors | {f"{embeddings}.position_ids": torch.arange(rows)[None]}


def as_qwen_vl(tensors):
    """Qwen/Qwen2-VL-2B-Instruct: the encoder of images beside the model of texts."""
    return {name.replace("model.language_model.", "model.").replace("model.visual.", "visual."): x for name, x in tensors.items()}


def as_bert(tensors):
    """google-bert/bert-base-uncased: gains and shifts of norms are `gamma` and `beta`."""
    names = {name: re.sub(r"LayerNorm\.weight$", "LayerNorm.gamma", name) for name in tensors}
    names = {name: re.sub(r"LayerNorm\.bias$", "LayerNorm.beta", new) for name, new in names.items()}
    return {names[name]: x for name, x in tensors.items()}


def as_albert(tensors):
    """albert/albert-base-v2: the table of words and its bias once more, as the head's."""
    words = tensors["albert.embeddings.word_embeddings.weight"]
    copies = {"predictions.decoder.weight": words, "predictions.decoder.bias": tensors["predictions.bias"]}
    return tensors | {name: x.clone() for name, x in copies.items()}


def as_roberta(tensors):
    """FacebookAI/roberta-base: the numbers of the positions as a tensor."""
    positions = tensors["roberta.embeddings.position_embeddings.weight"].shape[0]
    return tensors | {"roberta.embeddings.position_ids": torch.arange(positions)[None]}


def as_gpt_neox(tensors):
    """EleutherAI/pythia-70m: the causal masks, their filling and the rotary frequencies as tensors."""
    tensors = {name.replace("lm_head", "embed_out"): x for name, x in tensors.items()}
    buffers = {
        "bias": torch.ones(1, 1, 16, 16, dtype=torch.bool).tril(), "masked_bias": torch.tensor(-1e9),
        "rotary_emb.inv_freq": 10000.0 ** -(torch.arange(0, 4, 2) / 4),
    }
    layers = [name.removesuffix("dense.weight") for name in tensors if name.endswith("attention.dense.weight")]
    return tensors | {layer + name: x.clone() for layer in layers for name, x in buffers.items()}


def as_gpt_neo(tensors):
    """EleutherAI/gpt-neo-125m: the masks and their filling as tensors."""
    buffers = {"bias": torch.ones(1, 1, 16, 16, dtype=torch.bool).tril(), "masked_bias": torch.tensor(-1e9)}
    layers = [name.removesuffix("out_proj.weight") for name in tensors if name.endswith("out_proj.weight")]
    return tensors | {layer + name: x.clone() for layer in layers for name, x in buffers.items()}


def as_llama(tensors):
    """huggyllama/llama-7b: the rotary frequencies of every layer as a tensor."""
    frequencies = 10000.0 ** -(torch.arange(0, 4, 2) / 4)
    layers = [name for name in tensors if name.endswith("self_attn.q_proj.weight")]
    return tensors | {name.replace("q_proj.weight", "rotary_emb.inv_freq"): frequencies.clone() for name in layers}


def as_qwen3(tensors):
    """Qwen/Qwen3-0.6B: the tied head once more."""
    return tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"].clone()}


def as_wav2vec2(tensors):
    """facebook/wav2vec2-base-960h: the parts of the normed weight as PyTorch called them before version 2."""
    part = "conv.parametrizations.weight.original"
    return {name.replace(f"{part}0", "conv.weight_g").replace(f"{part}1", "conv.weight_v"): x for name, x in tensors.items()}


def as_swin(tensors):
    """microsoft/swin-tiny-patch4-window7-224: which entry of the table each pair of positions reads."""
    side = 3
    cells = torch.cartesian_prod(torch.arange(side), torch.arange(side))
    down, across = (cells[:, None] - cells[None, :] + side - 1).unbind(-1)
    index = down * (2 * side - 1) + across
    tables = [name for name in tensors if name.endswith("relative_position_bias_table")]
    return tensors | {name.replace("bias_table", "index"): index.clone() for name in tables}


BERT = dict(
    vocab_size=83, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40,
    max_position_embeddings=16, type_vocab_size=2,
)
ROBERTA = BERT | dict(max_position_embeddings=18, type_vocab_size=1, pad_token_id=1, layer_norm_eps=1e-5)
MPNET = dict(
    vocab_size=83, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40,
    max_position_embeddings=18, pad_token_id=1, layer_norm_eps=1e-5,
)
DISTILBERT = dict(vocab_size=83, dim=20, n_layers=2, n_heads=5, hidden_dim=36, max_position_embeddings=16)
GPT2 = dict(vocab_size=71, n_positions=24, n_embd=20, n_layer=2, n_head=5, n_inner=44)
GPT_NEOX = dict(
    vocab_size=67, hidden_size=30, num_hidden_layers=2, num_attention_heads=3, intermediate_size=44,
    max_position_embeddings=32,
)
GPTJ = dict(vocab_size=71, n_positions=24, n_embd=24, n_layer=2, n_head=3, rotary_dim=6)
GPT_NEO = dict(
    vocab_size=73, hidden_size=20, num_layers=5, num_heads=5, window_size=3, max_position_embeddings=24,
    attention_types=[[["global", "local"], 2], [["global"], 1]],
)
BLOOM = dict(vocab_size=73, hidden_size=24, n_layer=2, n_head=6)
FALCON = dict(vocab_size=79, hidden_size=24, num_hidden_layers=2, num_attention_heads=6, max_position_embeddings=64)
LLAMA = dict(
    vocab_size=89, hidden_size=24, num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=2,
    intermediate_size=40, max_position_embeddings=64, pad_token_id=0, tie_word_embeddings=False,
)
DEEPSEEK = dict(
    vocab_size=83, hidden_size=21, num_hidden_layers=3, num_attention_heads=3, num_key_value_heads=3, intermediate_size=26,
    moe_intermediate_size=9, n_routed_experts=6, num_experts_per_tok=3, n_shared_experts=2, n_group=3, topk_group=2,
    first_k_dense_replace=1, q_lora_rank=13, kv_lora_rank=10, qk_nope_head_dim=6, qk_rope_head_dim=4, v_head_dim=5,
    max_position_embeddings=64, pad_token_id=0,
)
MIXTURE = dict(
    vocab_size=83, hidden_size=24, num_hidden_layers=3, num_attention_heads=6, num_key_value_heads=2, intermediate_size=26,
    moe_intermediate_size=9, n_routed_experts=6, num_experts_per_tok=2, n_shared_experts=2, max_position_embeddings=64,
    pad_token_id=0,
)
LLAMA4 = dict(
    vocab_size=83, hidden_size=24, num_hidden_layers=4, num_attention_heads=6, num_key_value_heads=2, head_dim=8,
    intermediate_size=9, intermediate_size_mlp=26, num_local_experts=5, num_experts_per_tok=2, attention_chunk_size=3,
    floor_scale=2, attn_scale=0.5, max_position_embeddings=64, pad_token_id=0,
)
ERNIE = dict(moe_num_experts=5, moe_k=2, moe_intermediate_size=9, moe_num_shared_experts=2, moe_layer_start_index=1,
             num_hidden_layers=3)
OPT = dict(
    vocab_size=73, hidden_size=24, num_hidden_layers=2, num_attention_heads=4, ffn_dim=44, max_position_embeddings=32,
    word_embed_proj_dim=24, pad_token_id=1, bos_token_id=2, eos_token_id=2,
)
# Words are multiplied by the root of the width, which is whole.
GEMMA = LLAMA | dict(hidden_size=36, head_dim=6, tie_word_embeddings=True)
GEMMA2 = GEMMA | dict(num_hidden_layers=4, sliding_window=3, query_pre_attn_scalar=9)
WINDOW, FULL = "sliding_attention", "full_attention"
BEIT = dict(
    hidden_size=18, num_hidden_layers=2, num_attention_heads=3, intermediate_size=20, patch_size=5, image_size=20, num_channels=2,
)
DINOV3 = dict(
    hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=20, patch_size=4, image_size=[13, 20],
    num_channels=2, num_register_tokens=3,
)
GEMMA4 = LLAMA | dict(
    num_hidden_layers=12, intermediate_size=14, head_dim=6, global_head_dim=16, sliding_window=3, vocab_size_per_layer_input=89,
    hidden_size_per_layer_input=5, layer_types=[WINDOW, WINDOW, FULL] * 4,
)
GPT_OSS = LLAMA | dict(
    num_hidden_layers=4, head_dim=8, sliding_window=3, num_local_experts=5, num_experts_per_tok=2, intermediate_size=14,
    tie_word_embeddings=False, swiglu_limit=1.5,
)
COHERE = LLAMA | dict(tie_word_embeddings=True)
PARTIAL = dict(rope_type="default", rope_theta=500.0, partial_rotary_factor=0.4)
LLAMA3 = dict(
    rope_type="llama3", rope_theta=500.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
    original_max_position_embeddings=32,
)
LINEAR = dict(rope_type="linear", rope_theta=10000.0, factor=2.0)
YARN = dict(rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=16)
YARN_OF_ALL = YARN | dict(mscale=0.7, mscale_all_dim=0.4, truncate=False, original_max_position_embeddings=48)
TIED = dict(tie_word_embeddings=True)
LONGROPE = LLAMA | dict(hidden_size=32, num_attention_heads=4, rope_parameters=dict(rope_type="longrope",
    rope_theta=500.0, short_factor=[1.0, 1.25, 1.5, 2.0], long_factor=[1.5, 2.5, 6.0, 9.5]))
DELTA = LLAMA | dict(
    head_dim=8, linear_num_key_heads=2, linear_num_value_heads=6, linear_key_head_dim=5, linear_value_head_dim=3,
    rms_norm_eps=0.05,
)
EXPERTS = dict(num_experts=5, num_experts_per_tok=2, moe_intermediate_size=9, shared_expert_intermediate_size=11)
PART = dict(vocab_size=61, hidden_size=24, intermediate_size=32, num_hidden_layers=2, num_attention_heads=6,
            num_key_value_heads=2, head_dim=8, max_position_embeddings=64, pad_token_id=0)
CLIP_TEXT = dict(
    vocab_size=67, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40,
    max_position_embeddings=16, projection_dim=13, pad_token_id=1, bos_token_id=2, eos_token_id=5,
)
CLIP_IMAGE = dict(
    hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=36, image_size=18, patch_size=6,
    projection_dim=12,
)
SIGLIP_TEXT = {key: value for key, value in CLIP_TEXT.items() if key != "projection_dim"}
SIGLIP_IMAGE = {key: value for key, value in CLIP_IMAGE.items() if key != "projection_dim"}
SPACES = LLAMA | dict(
    mamba_n_heads=6, mamba_d_head=8, mamba_d_state=5, mamba_n_groups=2, mamba_chunk_size=4, rms_norm_eps=0.05,
    shared_intermediate_size=19, embedding_multiplier=3.0, attention_multiplier=0.3, residual_multiplier=0.6, logits_scaling=0.4,
)
QWEN_VL = {key: value for key, value in PART.items() if key != "head_dim"} | dict(num_attention_heads=3, num_key_value_heads=1)
THREE = dict(rope_type="default", rope_theta=700.0, mrope_section=[1, 1, 2])
SPACE = "linear_attention"
KIMI = LLAMA | dict(
    num_hidden_layers=5, num_attention_heads=3, num_key_value_heads=3, kv_lora_rank=7, qk_rope_head_dim=4, qk_nope_head_dim=5,
    v_head_dim=6, linear_head_dim=5, linear_num_heads=3, rms_norm_eps=0.05, num_local_experts=6, num_experts_per_tok=2,
    moe_intermediate_size=9, n_shared_experts=2, bos_token_id=1, eos_token_id=2,
)
NEMOTRON = LLAMA | dict(
    head_dim=7, mamba_num_heads=6, mamba_head_dim=5, ssm_state_size=4, n_groups=2, chunk_size=4, layer_norm_epsilon=0.05,
    layers_block_type=[SPACE, "moe", SPACE, FULL, "mlp", SPACE, "moe"], n_routed_experts=6, num_experts_per_tok=3,
    moe_intermediate_size=9, moe_shared_expert_intermediate_size=11, routed_scaling_factor=2.5,
)
MAMBA2 = dict(
    vocab_size=61, hidden_size=24, num_hidden_layers=3, num_heads=6, head_dim=8, state_size=5, n_groups=2, chunk_size=4,
    pad_token_id=0, bos_token_id=1, eos_token_id=2, layer_norm_epsilon=0.05,
)
WHISPER = dict(
    vocab_size=61, num_mel_bins=5, d_model=24, encoder_layers=2, decoder_layers=2, encoder_attention_heads=3,
    decoder_attention_heads=3, encoder_ffn_dim=40, decoder_ffn_dim=28, max_source_positions=6, max_target_positions=20,
    decoder_start_token_id=0, pad_token_id=0, bos_token_id=1, eos_token_id=2, begin_suppress_tokens=None,
)
VIT = dict(
    image_size=[30, 25], patch_size=5, num_channels=3, hidden_size=20, num_hidden_layers=2, num_attention_heads=5,
    intermediate_size=36,
)
DINO = dict(
    image_size=22, patch_size=5, num_channels=3, hidden_size=20, num_hidden_layers=2, num_attention_heads=5, mlp_ratio=2,
    layerscale_value=0.7,
)
SWIN = dict(
    image_size=[40, 32], patch_size=4, num_channels=3, embed_dim=12, depths=[2, 2], num_heads=[2, 3], window_size=3,
)
VIT_MAE = dict(
    image_size=20, patch_size=5, num_channels=2, hidden_size=24, num_hidden_layers=2, num_attention_heads=3,
    intermediate_size=20, decoder_hidden_size=16, decoder_num_attention_heads=2, decoder_num_hidden_layers=2,
    decoder_intermediate_size=18, mask_ratio=0.7,
)
WAV2VEC2 = dict(
    hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=20, conv_dim=[6, 7, 8], conv_kernel=[10, 3, 2],
    conv_stride=[5, 2, 2], num_conv_pos_embeddings=6, num_conv_pos_embedding_groups=4,
)
SWINV2 = dict(
    image_size=32, patch_size=4, num_channels=3, embed_dim=12, depths=[2, 2], num_heads=[2, 3], window_size=3,
    pretrained_window_sizes=[0, 0],
)
CONVNEXT = dict(
    image_size=[30, 21], patch_size=3, num_channels=2, num_stages=3, hidden_sizes=[6, 9, 10], depths=[1, 2, 1],
)
T5 = dict(
    vocab_size=79, d_model=20, d_kv=6, d_ff=32, num_layers=2, num_heads=3, relative_attention_num_buckets=8,
    relative_attention_max_distance=12, feed_forward_proj="relu", pad_token_id=0, decoder_start_token_id=0,
)
ALBERT = dict(
    vocab_size=83, embedding_size=10, hidden_size=24, num_hidden_layers=3, num_attention_heads=4, intermediate_size=40,
    max_position_embeddings=16, type_vocab_size=2,
)
DEBERTA = dict(
    vocab_size=83, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40,
    max_position_embeddings=32, type_vocab_size=0, relative_attention=True, position_biased_input=False,
    pos_att_type="p2c|c2p", share_att_key=True, position_buckets=6, norm_rel_ebd="layer_norm",
)
MODERNBERT = dict(
    vocab_size=83, hidden_size=24, num_hidden_layers=7, num_attention_heads=3, intermediate_size=28,
    max_position_embeddings=64, local_attention=6, pad_token_id=0, eos_token_id=1, bos_token_id=2, cls_token_id=2,
    sep_token_id=1,
)
MT5 = {key: value for key, value in T5.items() if key != "feed_forward_proj"}
# Tokens that end a text have an id that none is drawn with.
ENDED = dict(eos_token_id=0, pad_token_id=1, decoder_start_token_id=1)
BART = dict(
    vocab_size=71, d_model=20, encoder_layers=2, decoder_layers=3, encoder_attention_heads=5, decoder_attention_heads=5,
    encoder_ffn_dim=28, decoder_ffn_dim=36, max_position_embeddings=24, pad_token_id=1, eos_token_id=2, bos_token_id=3,
    decoder_start_token_id=0,
)

CASES = [
    Case("bert_base", "BertModel", BERT),
    Case("bert_masked_lm", "BertForMaskedLM", BERT | dict(hidden_size=20, num_attention_heads=5), published=as_bert),
    Case("bert_relu", "BertModel", BERT | dict(hidden_act="relu", num_hidden_layers=3, hidden_size=16,
         num_attention_heads=4), (9, 4), dtype="float16"),
    Case("bert_pretraining", "BertForPreTraining", BERT | dict(num_hidden_layers=1), (6, 4)),
    Case("bert_following", "BertForNextSentencePrediction", BERT | dict(num_hidden_layers=1), (5, 7)),
    Case("bert_classes", "BertForSequenceClassification", BERT | dict(num_labels=1), (8, 5)),
    Case("bert_token_classes", "BertForTokenClassification", BERT | dict(num_labels=9, hidden_size=16,
         num_attention_heads=2), (4, 7)),
    Case("bert_answer", "BertForQuestionAnswering", BERT | dict(num_hidden_layers=3), (7, 9)),
    Case("roberta_base", "RobertaModel", ROBERTA),
    Case("roberta_classes", "RobertaForSequenceClassification", ROBERTA | dict(num_labels=3), (7, 4)),
    Case("roberta_answer", "RobertaForQuestionAnswering", ROBERTA | dict(num_hidden_layers=1), (5, 8)),
    Case("xlm_roberta_base", "XLMRobertaModel", ROBERTA | dict(num_hidden_layers=1), (6, 8)),
    Case("xlm_roberta_classes", "XLMRobertaForSequenceClassification", ROBERTA | dict(num_labels=1), (9, 3)),
    Case("camembert_masked_lm", "CamembertForMaskedLM", ROBERTA | dict(num_hidden_layers=1), (5, 6)),
    Case("camembert_token_classes", "CamembertForTokenClassification", ROBERTA | dict(num_labels=4), (7, 7)),
    Case("roberta_masked_lm", "RobertaForMaskedLM", ROBERTA | dict(hidden_size=21, intermediate_size=35), (6, 9),
         dtype="bfloat16", published=as_roberta),
    Case("roberta_left_padded", "RobertaModel", ROBERTA | dict(num_hidden_layers=1), (8, 5), padded_left=True),
    Case("distilbert_base", "DistilBertModel", DISTILBERT),
    Case("distilbert_masked_lm", "DistilBertForMaskedLM", DISTILBERT | dict(activation="relu"), (8, 3)),
    Case("distilbert_classes", "DistilBertForSequenceClassification", DISTILBERT | dict(num_labels=2), (6, 9)),
    Case("distilbert_answer", "DistilBertForQuestionAnswering", DISTILBERT | dict(n_layers=1), (7, 5)),
    Case("electra_replaced", "ElectraForPreTraining", BERT | dict(embedding_size=10), (6, 9)),
    Case("electra_masked_lm", "ElectraForMaskedLM", BERT | dict(embedding_size=14, hidden_act="relu"), (7, 4)),
    Case("electra_classes", "ElectraForSequenceClassification", BERT | dict(embedding_size=24, num_labels=3), (5, 8)),
    Case("electra_base", "ElectraModel", BERT | dict(embedding_size=12, num_hidden_layers=1), (8, 6)),
    Case("albert_base", "AlbertModel", ALBERT, (6, 9)),
    Case("albert_masked_lm", "AlbertForMaskedLM", ALBERT | dict(num_hidden_layers=2, hidden_act="relu"), (8, 5),
         published=as_albert),
    Case("albert_ordered", "AlbertForPreTraining", ALBERT | dict(num_hidden_layers=4, embedding_size=24), (7, 6)),
    Case("albert_classes", "AlbertForSequenceClassification", ALBERT | dict(num_labels=3), (5, 9), dtype="float16"),
    Case("albert_token_classes", "AlbertForTokenClassification", ALBERT | dict(num_labels=5, type_vocab_size=1), (9, 4)),
    Case("albert_answer", "AlbertForQuestionAnswering", ALBERT | dict(num_hidden_layers=1), (4, 8)),
    Case("bart_base", "BartModel", BART, (9, 6), decoder_length=7),
    Case("bart_generation", "BartForConditionalGeneration", BART | dict(scale_embedding=True, decoder_layers=1,
         activation_function="relu"), (8, 5), decoder_length=6, seed=7),
    Case("bart_causal", "BartForCausalLM", BART | dict(encoder_layers=3, decoder_attention_heads=4), (7, 9), seed=3),
    Case("bart_classes", "BartForSequenceClassification", BART | ENDED | dict(num_labels=4), (8, 8), masked=False,
         ended=True),
    Case("bart_answer", "BartForQuestionAnswering", BART | dict(encoder_layers=1), (6, 9), dtype="bfloat16"),
    Case("mbart_generation", "MBartForConditionalGeneration", BART | dict(scale_embedding=True), (7, 9),
         decoder_length=5, seed=7),
    Case("mbart_answer", "MBartForQuestionAnswering", BART | dict(decoder_layers=1), (8, 8), masked=False),
    Case("mbart_classes", "MBartForSequenceClassification", BART | ENDED | dict(decoder_layers=1, num_labels=4), (7, 7),
         masked=False, ended=True),
    Case("mbart_causal", "MBartForCausalLM", BART | dict(decoder_layers=2), (9, 7), seed=1),
    Case("marian_translation", "MarianMTModel", BART | dict(scale_embedding=True, activation_function="swish"), (9, 7),
         decoder_length=6, seed=9),
    Case("marian_base", "MarianModel", BART | dict(decoder_attention_heads=2), (5, 7), decoder_length=4),
    Case("pegasus_generation", "PegasusForConditionalGeneration", BART | dict(decoder_layers=2),
         (8, 9), decoder_length=7, seed=4),
    Case("pegasus_causal", "PegasusForCausalLM", BART | dict(d_model=12, encoder_layers=4, decoder_layers=4,
         decoder_attention_heads=3, encoder_attention_heads=2), (6, 8), seed=1),
    Case("deberta_shared", "DebertaV2Model", DEBERTA, (15, 11)),
    Case("deberta_apart", "DebertaV2Model", DEBERTA | dict(share_att_key=False, position_buckets=-1,
         max_relative_positions=5, norm_rel_ebd="none", position_biased_input=True, type_vocab_size=2,
         pos_att_type=["c2p", "p2c"]), (9, 12)),
    Case("deberta_masked_lm", "DebertaV2ForMaskedLM", DEBERTA | dict(pos_att_type=["p2c"], share_att_key=False,
         hidden_act="relu"), (14, 8)),
    Case("deberta_own_head", "DebertaV2ForMaskedLM", DEBERTA | dict(pos_att_type=["c2p"], share_att_key=False,
         num_hidden_layers=1, legacy=False), (7, 13)),
    Case("deberta_classes", "DebertaV2ForSequenceClassification", DEBERTA | dict(num_labels=3, position_buckets=4,
         max_relative_positions=10), (12, 6), dtype="float16"),
    Case("deberta_token_classes", "DebertaV2ForTokenClassification", DEBERTA | dict(num_labels=5, position_buckets=8),
         (8, 10)),
    Case("deberta_answer", "DebertaV2ForQuestionAnswering", DEBERTA | dict(num_hidden_layers=1), (9, 9), masked=False),
    Case("gpt2_lm", "GPT2LMHeadModel", GPT2),
    Case("gpt2_published", "GPT2LMHeadModel", GPT2 | dict(n_inner=None, n_head=4), (5, 9), published=as_gpt2),
    Case("gpt2_classes", "GPT2ForSequenceClassification", GPT2 | dict(num_labels=2, pad_token_id=0), (7, 7), masked=False),
    Case("gpt_neox_parallel", "GPTNeoXForCausalLM", GPT_NEOX | dict(rope_parameters=PARTIAL), (9, 6)),
    Case("gpt_neox_sequential", "GPTNeoXForCausalLM", GPT_NEOX | dict(use_parallel_residual=False, attention_bias=False,
         hidden_size=32, num_attention_heads=2, hidden_act="gelu_fast"), (6, 8), dtype="float16",
         published=as_gpt_neox, seed=2),
    Case("gpt_neox_answer", "GPTNeoXForQuestionAnswering", GPT_NEOX | dict(num_hidden_layers=1), (6, 9)),
    Case("gpt_oss_alternating", "GptOssForCausalLM", GPT_OSS, (9, 6)),
    Case("gpt_oss_listed", "GptOssForCausalLM", GPT_OSS | dict(num_hidden_layers=3, attention_bias=False,
         layer_types=["full_attention", "sliding_attention", "sliding_attention"], num_experts_per_tok=3, swiglu_limit=0.5,
         rope_parameters=dict(rope_type="default", rope_theta=500.0)), (7, 11), dtype="bfloat16"),
    Case("gptj_partial", "GPTJForCausalLM", GPTJ, (9, 6)),
    Case("gptj_whole", "GPTJForCausalLM", GPTJ | dict(rotary_dim=8, n_inner=44, activation_function="relu", n_layer=3),
         dtype="float16"),
    Case("gptj_answer", "GPTJForQuestionAnswering", GPTJ | dict(n_layer=1), (5, 8)),
    Case("gpt_neo_alternating", "GPTNeoForCausalLM", GPT_NEO, (9, 6), published=as_gpt_neo),
    Case("gpt_neo_untied", "GPTNeoForCausalLM", GPT_NEO | dict(num_layers=3, intermediate_size=36,
         tie_word_embeddings=False, window_size=4, attention_types=[[["local"], 2], [["global"], 1]]), (11, 9),
         dtype="bfloat16"),
    Case("gpt_neo_token_classes", "GPTNeoForTokenClassification", GPT_NEO | dict(num_labels=4, num_layers=2,
         attention_types=[[["global", "local"], 1]]), (8, 5)),
    Case("gpt_neo_answer", "GPTNeoForQuestionAnswering", GPT_NEO | dict(num_layers=1, attention_types=[[["local"], 1]])),
    Case("bloom_six_heads", "BloomForCausalLM", BLOOM, (9, 9), masked=False, seed=2),
    Case("bloom_untied", "BloomForCausalLM", BLOOM | dict(n_head=4, n_layer=3, tie_word_embeddings=False), (7, 7),
         masked=False, dtype="bfloat16"),
    Case("bloom_answer", "BloomForQuestionAnswering", BLOOM | dict(n_head=3, n_layer=1), (8, 8), masked=False),
    Case("falcon_one_head", "FalconForCausalLM", FALCON, (9, 7)),
    Case("falcon_groups", "FalconForCausalLM", FALCON | dict(new_decoder_architecture=True, num_kv_heads=2,
         ffn_hidden_size=40, bias=True), (7, 8), dtype="float16"),
    Case("falcon_one_norm", "FalconForCausalLM", FALCON | dict(new_decoder_architecture=True, num_kv_heads=3,
         num_ln_in_parallel_attn=1, tie_word_embeddings=False, activation="relu"), published=unchanged),
    Case("falcon_sequential", "FalconForCausalLM", FALCON | dict(parallel_attn=False, multi_query=False, bias=True)),
    Case("falcon_answer", "FalconForQuestionAnswering", FALCON | dict(num_hidden_layers=1), (6, 8)),
    Case("gpt2_answer", "GPT2ForQuestionAnswering", GPT2 | dict(n_layer=1), (9, 6)),
    Case("opt_answer", "OPTForQuestionAnswering", OPT | dict(num_hidden_layers=1), (8, 8), masked=False),
    Case("llama_answer", "LlamaForQuestionAnswering", LLAMA | dict(num_hidden_layers=1), (7, 5)),
    Case("mistral_answer", "MistralForQuestionAnswering", LLAMA | dict(sliding_window=3, num_hidden_layers=1), (9, 7)),
    Case("mixtral_answer", "MixtralForQuestionAnswering", LLAMA | dict(num_local_experts=3, num_experts_per_tok=1,
         num_hidden_layers=1, sliding_window=None), (5, 5)),
    Case("qwen3_answer", "Qwen3ForQuestionAnswering", LLAMA | dict(num_hidden_layers=1, head_dim=6), (4, 8)),
    Case("nemotron_h_left", "NemotronHForCausalLM", NEMOTRON | dict(n_group=2, topk_group=1, use_bias=True), (9, 6, 4),
         padded_left=True),
    Case("nemotron_h_pattern", "NemotronHForCausalLM", NEMOTRON | dict(layers_block_type=[SPACE, "mlp"] * 2 + [FULL, "mlp"],
         mlp_bias=True, use_conv_bias=False, conv_kernel=2, n_groups=1, head_dim=8), (8, 5),
         dtype="bfloat16", published=unchanged),
    Case("nemotron_h_latent", "NemotronHForCausalLM", NEMOTRON | dict(layers_block_type=[SPACE, "moe", FULL, "moe"],
         moe_latent_size=13, mlp_bias=True), (6, 8), dtype="float16"),
    Case("nemotron_h_bounded", "NemotronHModel", NEMOTRON | dict(layers_block_type=["moe", SPACE, SPACE], time_step_min=0.7,
         norm_topk_prob=False, mlp_hidden_act="silu", n_groups=3), (7, 9)),
    Case("olmo2_groups", "Olmo2ForCausalLM", LLAMA, (9, 6)),
    Case("olmo2_bias", "Olmo2ForCausalLM", LLAMA | TIED | dict(attention_bias=True, num_key_value_heads=6,
         rope_parameters=LLAMA3), (7, 8), dtype="bfloat16", published=unchanged, seed=6),
    Case("olmo2_classes", "Olmo2ForSequenceClassification", LLAMA | dict(num_labels=3, num_hidden_layers=1), (6, 6),
         masked=False),
    Case("granite_multipliers", "GraniteForCausalLM", LLAMA | dict(embedding_multiplier=12.0,
         attention_multiplier=0.3, residual_multiplier=0.22, logits_scaling=8.0), (7, 9)),
    Case("granite_bias", "GraniteForCausalLM", LLAMA | TIED | dict(attention_bias=True, mlp_bias=True, embedding_multiplier=0.5,
         residual_multiplier=1.5), dtype="float16", published=unchanged),
    Case("kimi_linear_left", "KimiLinearForCausalLM", KIMI | dict(layer_types=[SPACE, FULL, SPACE, SPACE, FULL],
         n_group=3, topk_group=2), (9, 6, 4), padded_left=True),
    Case("kimi_linear_numbers", "KimiLinearForCausalLM", KIMI | dict(linear_attn_config=dict(full_attn_layers=[3],
         kda_layers=[1, 2, 4], num_heads=2, head_dim=4, short_conv_kernel_size=3), num_hidden_layers=4, q_lora_rank=8,
         attention_bias=True, first_k_dense_replace=2, norm_topk_prob=False), (8, 5), dtype="bfloat16"),
    Case("lfm2_listed", "Lfm2ForCausalLM", LLAMA | TIED | dict(num_hidden_layers=6, block_multiple_of=16, layer_types=[
         "conv", "conv", "full_attention", "conv", "conv", "full_attention"]), (9, 5)),
    Case("lfm2_reach", "Lfm2ForCausalLM", LLAMA | dict(num_hidden_layers=4, conv_L_cache=5, conv_bias=True, full_attn_idxs=[
         1], block_auto_adjust_ff_dim=False), (3, 8), padded_left=True, dtype="bfloat16", published=unchanged),
    Case("lfm2_widened", "Lfm2Model", LLAMA | dict(num_hidden_layers=3, num_key_value_heads=6, conv_L_cache=2,
         full_attn_idxs=[0, 1], block_multiple_of=5, block_ffn_dim_multiplier=1.3), (4, 6)),
    Case("lfm2_moe_behind", "Lfm2MoeForCausalLM", LLAMA | TIED | dict(num_hidden_layers=6, num_dense_layers=2, num_experts=5,
         num_experts_per_tok=3, moe_intermediate_size=20, layer_types=["conv", "full_attention", "conv", "conv", "full_attention",
         "conv"], routed_scaling_factor=1.7), (9, 5)),
    Case("lfm2_moe_plain", "Lfm2MoeForCausalLM", LLAMA | dict(num_hidden_layers=3, num_dense_layers=0, num_experts=4,
         num_experts_per_tok=2, moe_intermediate_size=12, layer_types=["conv", "full_attention", "conv"], conv_L_cache=4,
         conv_bias=True, use_expert_bias=False, norm_topk_prob=False), (3, 8), padded_left=True, dtype="bfloat16"),
    Case("qwen3_next_sparse", "Qwen3NextForCausalLM", DELTA | EXPERTS | dict(num_hidden_layers=5, decoder_sparse_step=2), (9, 5)),
    Case("qwen3_next_every", "Qwen3NextForCausalLM", DELTA | EXPERTS | TIED | dict(num_hidden_layers=6, full_attention_interval=3,
         linear_num_key_heads=3, linear_num_value_heads=3, linear_conv_kernel_dim=2, norm_topk_prob=False, mlp_only_layers=[1],
         attention_bias=True), (3, 8), padded_left=True, dtype="bfloat16", published=unchanged),
    Case("qwen3_5_chunks", "Qwen3_5ForCausalLM", DELTA | TIED | dict(num_hidden_layers=6, max_position_embeddings=96,
         linear_num_key_heads=1, layer_types=["linear_attention", "linear_attention", "full_attention"] * 2), (70, 40)),
    Case("qwen3_5_left", "Qwen3_5ForCausalLM", DELTA | dict(num_hidden_layers=4, linear_num_value_heads=2,
         hidden_act="gelu_pytorch_tanh", linear_conv_kernel_dim=3), (4, 9), padded_left=True, dtype="bfloat16"),
    Case("qwen3_5_moe_first", "Qwen3_5MoeForCausalLM", DELTA | EXPERTS | dict(num_hidden_layers=4), (9, 5)),
    Case("qwen3_5_moe_listed", "Qwen3_5MoeForCausalLM", DELTA | EXPERTS | TIED | dict(num_hidden_layers=3, num_key_value_heads=6,
         layer_types=["full_attention", "linear_attention", "linear_attention"], rope_parameters=dict(rope_type="default",
         rope_theta=1e6, partial_rotary_factor=0.5, mrope_section=[2, 1, 1], mrope_interleaved=True)), (4, 6)),
    Case("qwen3_5_text_part", "Qwen3_5ForConditionalGeneration", dict(text_config=DELTA | dict(model_type="qwen3_5_text",
         num_hidden_layers=4), vision_config=dict(depth=1, hidden_size=16, intermediate_size=20, num_heads=2,
         out_hidden_size=24, patch_size=4, num_position_embeddings=4)), (7, 4)),
    Case("smollm3_interval", "SmolLM3ForCausalLM", LLAMA | dict(num_hidden_layers=6, no_rope_layer_interval=3), (9, 5)),
    Case("smollm3_listed", "SmolLM3ForCausalLM", LLAMA | TIED | dict(num_hidden_layers=5, attention_bias=True,
         mlp_bias=True, no_rope_layers=[0, 1, 1, 0, 1]), dtype="bfloat16", published=unchanged),
    Case("smollm3_answer", "SmolLM3ForQuestionAnswering", LLAMA | dict(num_hidden_layers=4), (5, 7)),
    Case("glm_half", "GlmForCausalLM", LLAMA | dict(head_dim=8), (9, 6)),
    Case("glm_share", "GlmForCausalLM", LLAMA | TIED | dict(head_dim=10, attention_bias=False, rope_parameters=PARTIAL
         | dict(partial_rotary_factor=0.8)), (7, 8), dtype="float16", published=unchanged),
    Case("glm4_half", "Glm4ForCausalLM", LLAMA | dict(head_dim=8, num_key_value_heads=3), (8, 6)),
    Case("glm4_token_classes", "Glm4ForTokenClassification", LLAMA | dict(head_dim=12, num_labels=5,
         attention_bias=False), (7, 5), dtype="bfloat16"),
    Case("cohere_groups", "CohereForCausalLM", COHERE | dict(logit_scale=0.4), (9, 6)),
    Case("cohere_untied", "CohereForCausalLM", COHERE | dict(attention_bias=True, num_key_value_heads=6,
         tie_word_embeddings=False), (7, 8), dtype="float16", published=unchanged),
    Case("cohere2_windows", "Cohere2ForCausalLM", COHERE | dict(num_hidden_layers=6, sliding_window=3,
         logit_scale=0.3), (9, 6)),
    Case("cohere2_listed", "Cohere2ForCausalLM", COHERE | dict(num_hidden_layers=3, sliding_window=4, attention_bias=True,
         layer_types=["full_attention", "full_attention", "sliding_attention"]), (11, 7), dtype="bfloat16", seed=1),
    Case("gemma_groups", "GemmaForCausalLM", GEMMA, (9, 6)),
    Case("gemma_old_name", "GemmaForCausalLM", GEMMA | dict(hidden_act="gelu", num_key_value_heads=1, head_dim=10,
         attention_bias=True), (7, 8), dtype="float16", published=unchanged),
    Case("gemma2_alternating", "Gemma2ForCausalLM", GEMMA2 | dict(attn_logit_softcapping=2.0,
         final_logit_softcapping=3.0, tie_word_embeddings=False), (9, 6), published=unchanged),
    Case("gemma2_listed", "Gemma2ForCausalLM", GEMMA2 | dict(num_hidden_layers=3, attn_logit_softcapping=None,
         final_logit_softcapping=None, layer_types=["full_attention", "sliding_attention", "sliding_attention"]),
         (7, 11), dtype="bfloat16", seed=8),
    Case("gemma2_token_classes", "Gemma2ForTokenClassification", GEMMA2 | dict(num_hidden_layers=2, num_labels=5), (5, 7)),
    Case("gemma3_pattern", "Gemma3ForCausalLM", GEMMA2 | dict(num_hidden_layers=14, intermediate_size=20), (9, 6), seed=1),
    Case("gemma3_published", "Gemma3ForCausalLM", GEMMA2 | dict(num_hidden_layers=7, sliding_window_pattern=3,
         final_logit_softcapping=2.0, tie_word_embeddings=False, intermediate_size=20, rope_parameters=dict(full_attention=LINEAR
         | dict(rope_theta=1e6), sliding_attention=dict(rope_type="default", rope_theta=300.0))), (7, 11),
         dtype="float16", published=unchanged),
    Case("gemma3_base", "Gemma3TextModel", GEMMA2 | dict(num_hidden_layers=3, sliding_window_pattern=2), (8, 5)),
    Case("gemma4_shared", "Gemma4ForCausalLM", GEMMA4 | TIED | dict(num_kv_shared_layers=5, use_double_wide_mlp=True,
         final_logit_softcapping=3.0), (9, 6)),
    Case("gemma4_experts", "Gemma4ForCausalLM", GEMMA4 | dict(num_hidden_layers=7, hidden_size_per_layer_input=0,
         attention_k_eq_v=True, num_global_key_value_heads=3, enable_moe_block=True, num_experts=5, top_k_experts=2,
         moe_intermediate_size=9, attention_bias=True, layer_types=[FULL, WINDOW] * 3 + [WINDOW]), (7, 11),
         dtype="bfloat16", published=unchanged, seed=1),
    Case("gemma4_few", "Gemma4TextModel", GEMMA4 | dict(num_hidden_layers=3, num_kv_shared_layers=1, global_head_dim=6,
         vocab_size_per_layer_input=97, layer_types=[WINDOW, FULL, FULL], rope_parameters=dict(full_attention=dict(
         rope_type="proportional", rope_theta=700.0, partial_rotary_factor=0.7, factor=3.0), sliding_attention=dict(
         rope_type="default", rope_theta=300.0, partial_rotary_factor=0.5))), (8, 5), padded_left=True),
    Case("llama_untied", "LlamaForCausalLM", LLAMA, shards="20KB"),
    Case("llama_published", "LlamaForCausalLM", LLAMA | dict(num_key_value_heads=6, intermediate_size=28),
         dtype="float16", published=as_llama),
    Case("llama_linear", "LlamaForCausalLM", LLAMA | TIED | dict(num_hidden_layers=1, rope_parameters=LINEAR), (8, 3),
         dtype="bfloat16", published=unchanged),
    Case("llama_tied_scaled", "LlamaForCausalLM", LLAMA | TIED | dict(head_dim=10, rope_parameters=LLAMA3), (11, 6),
         published=unchanged),
    Case("llama_dynamic", "LlamaForCausalLM", LLAMA | TIED | dict(max_position_embeddings=6, rope_parameters=dict(
         rope_type="dynamic", rope_theta=500.0, factor=4.0)), (9, 7), published=unchanged),
    Case("llama_another_head", "LlamaForCausalLM", LLAMA, said=TIED),
    Case("llama_bias", "LlamaForCausalLM", LLAMA | dict(attention_bias=True, mlp_bias=True, num_key_value_heads=3),
         dtype="bfloat16"),
    Case("llama_classes", "LlamaForSequenceClassification", LLAMA | dict(num_labels=3), (6, 6), masked=False),
    Case("mistral_token_classes", "MistralForTokenClassification", LLAMA | dict(num_labels=5, sliding_window=3), (7, 5)),
    Case("mistral_window", "MistralForCausalLM", LLAMA | dict(sliding_window=3), (9, 7)),
    Case("mistral_head_dim", "MistralForCausalLM", LLAMA | TIED | dict(sliding_window=4, head_dim=6), (11, 9),
         dtype="float16", published=unchanged),
    Case("mixtral_window", "MixtralForCausalLM", LLAMA | dict(num_local_experts=4, num_experts_per_tok=2,
         sliding_window=4, intermediate_size=20), (9, 7)),
    Case("mixtral_full", "MixtralForCausalLM", LLAMA | dict(num_local_experts=5, num_experts_per_tok=3,
         sliding_window=None, intermediate_size=18, hidden_size=18, head_dim=4), dtype="bfloat16", shards="20KB"),
    Case("qwen2_upper_windows", "Qwen2ForCausalLM", LLAMA | dict(num_hidden_layers=5, use_sliding_window=True,
         sliding_window=3, max_window_layers=2), (9, 7)),
    Case("qwen3_windows_by_type", "Qwen3ForCausalLM", LLAMA | dict(head_dim=10, num_hidden_layers=3,
         use_sliding_window=True, sliding_window=2, max_window_layers=3,
         layer_types=["sliding_attention", "full_attention", "sliding_attention"]), (8, 6)),
    Case("qwen2_tied", "Qwen2ForCausalLM", LLAMA | TIED, seed=5),
    Case("qwen2_untied", "Qwen2ForCausalLM", LLAMA | dict(hidden_size=30, num_attention_heads=5,
         num_key_value_heads=1, sliding_window=3, use_sliding_window=False), (9, 7), published=unchanged),
    Case("qwen2_yarn", "Qwen2ForCausalLM", LLAMA | TIED | dict(head_dim=8, rope_parameters=YARN), (13, 9),
         dtype="bfloat16", published=unchanged),
    Case("qwen2_yarn_of_all", "Qwen2ForCausalLM", LLAMA | TIED | dict(head_dim=16, num_hidden_layers=1,
         rope_parameters=YARN_OF_ALL, original_max_position_embeddings=16), (13, 9)),
    Case("qwen2_bidirectional", "Qwen2ForCausalLM", LLAMA | TIED | dict(is_causal=False), (9, 5)),
    Case("qwen3_tied", "Qwen3ForCausalLM", LLAMA | TIED | dict(hidden_size=20, num_attention_heads=4, head_dim=6),
         published=as_qwen3),
    Case("qwen3_untied", "Qwen3ForCausalLM", LLAMA | dict(head_dim=8, attention_bias=True), (8, 8),
         dtype="bfloat16", published=unchanged),
    Case("qwen3_moe_normalised", "Qwen3MoeForCausalLM", LLAMA | dict(num_experts=5, num_experts_per_tok=2,
         moe_intermediate_size=14, head_dim=8, norm_topk_prob=True), (7, 9), seed=2),
    Case("qwen3_moe_plain", "Qwen3MoeForCausalLM", LLAMA | TIED | dict(num_experts=4, num_experts_per_tok=3,
         moe_intermediate_size=10, head_dim=6, attention_bias=True, norm_topk_prob=False), dtype="bfloat16", seed=4),
    Case("qwen3_moe_dense", "Qwen3MoeForCausalLM", LLAMA | dict(num_experts=3, num_experts_per_tok=2, num_hidden_layers=4,
         moe_intermediate_size=14, head_dim=8, mlp_only_layers=[0, 2]), (6, 9)),
    Case("qwen2_moe_shared", "Qwen2MoeForCausalLM", LLAMA | dict(num_experts=5, num_experts_per_tok=2,
         moe_intermediate_size=14, shared_expert_intermediate_size=22), (7, 9)),
    Case("qwen2_moe_steps", "Qwen2MoeForCausalLM", LLAMA | TIED | dict(num_experts=4, num_experts_per_tok=3,
         moe_intermediate_size=10, shared_expert_intermediate_size=12, decoder_sparse_step=2, num_hidden_layers=5,
         norm_topk_prob=True, qkv_bias=False), dtype="bfloat16"),
    Case("deepseek_v3_groups", "DeepseekV3ForCausalLM", DEEPSEEK | dict(attention_bias=True, rope_parameters=YARN | dict(
         mscale=1.0, mscale_all_dim=0.8)), (9, 6)),
    Case("deepseek_v3_halves", "DeepseekV3ForCausalLM", DEEPSEEK | TIED | dict(q_lora_rank=None, rope_interleave=False,
         n_group=1, topk_group=1, first_k_dense_replace=0, num_hidden_layers=2, norm_topk_prob=False, n_shared_experts=1,
         qk_nope_head_dim=4, v_head_dim=8, routed_scaling_factor=1.5), (7, 8), dtype="bfloat16"),
    Case("deepseek_v3_classes", "DeepseekV3ForSequenceClassification", DEEPSEEK | dict(num_labels=4, num_hidden_layers=2,
         first_k_dense_replace=2, rope_parameters=dict(rope_type="default", rope_theta=500.0)), (8, 8), masked=False),
    Case("deepseek_v2_groups", "DeepseekV2ForCausalLM", DEEPSEEK | dict(topk_method="group_limited_greedy", mlp_bias=True,
         routed_scaling_factor=4.0, rope_parameters=YARN | dict(mscale=0.7, mscale_all_dim=0.7)), (9, 5), published=unchanged),
    Case("deepseek_v2_lite", "DeepseekV2ForCausalLM", DEEPSEEK | dict(q_lora_rank=None, n_group=None, topk_group=None,
         first_k_dense_replace=2, n_routed_experts=5, num_experts_per_tok=2, attention_bias=True), (6, 9), dtype="float16"),
    Case("glm4_moe_dense", "Glm4MoeForCausalLM", MIXTURE | dict(head_dim=8, use_qk_norm=True, attention_bias=True,
         first_k_dense_replace=1, n_group=2, topk_group=1, routed_scaling_factor=2.5), (9, 6)),
    Case("glm4_moe_plain", "Glm4MoeForCausalLM", MIXTURE | TIED | dict(hidden_size=48, first_k_dense_replace=2,
         norm_topk_prob=False, n_group=1, topk_group=1, n_shared_experts=1, num_experts_per_tok=4), (7, 8), dtype="bfloat16",
         published=unchanged),
    Case("ernie4_5_moe_shared", "Ernie4_5_MoeForCausalLM", LLAMA | TIED | ERNIE, (8, 6)),
    Case("ernie4_5_moe_steps", "Ernie4_5_MoeForCausalLM", LLAMA | ERNIE | dict(use_bias=True, moe_num_shared_experts=0,
         num_hidden_layers=5, moe_layer_interval=2, moe_layer_start_index=0, moe_layer_end_index=2, moe_k=3,
         moe_norm_min=2.0), (7, 9), dtype="bfloat16"),
    Case("mamba2_left", "Mamba2ForCausalLM", MAMBA2 | dict(use_bias=True), (9, 6, 4), padded_left=True),
    Case("mamba2_short", "Mamba2ForCausalLM", MAMBA2 | TIED | dict(hidden_size=20, expand=3, num_heads=5, head_dim=12,
         n_groups=1, conv_kernel=2, use_conv_bias=False, num_hidden_layers=2, hidden_act="gelu"), (3, 7), dtype="bfloat16", seed=1),
    Case("mamba2_states", "Mamba2Model", MAMBA2 | dict(n_groups=6, num_hidden_layers=1, chunk_size=16), (11, 8)),
    Case("granitemoehybrid_left", "GraniteMoeHybridForCausalLM", SPACES | dict(num_hidden_layers=5,
         layer_types=[SPACE, SPACE, FULL, SPACE, SPACE], num_local_experts=5, num_experts_per_tok=3, intermediate_size=11,
         mamba_proj_bias=True), (9, 6, 4), padded_left=True),
    Case("granitemoehybrid_dense", "GraniteMoeHybridForCausalLM", SPACES | TIED | dict(num_hidden_layers=6,
         layer_types=[SPACE, FULL, SPACE] * 2, num_local_experts=0, position_embedding_type="rope", attention_bias=True,
         mamba_n_heads=3, mamba_n_groups=1, mamba_d_head="auto", mamba_conv_bias=False), (8, 5), dtype="bfloat16",
         published=unchanged),
    Case("granitemoehybrid_spaces", "GraniteMoeHybridModel", SPACES | dict(num_local_experts=3, num_experts_per_tok=1,
         mamba_d_conv=3, mamba_n_groups=3, mamba_expand=3, mamba_d_head=12), (7, 9)),
    Case("minimax_m2_partial", "MiniMaxM2ForCausalLM", LLAMA | dict(head_dim=6, num_local_experts=5, num_experts_per_tok=2,
         intermediate_size=14, rope_parameters=dict(rope_type="default", rope_theta=500.0, partial_rotary_factor=0.67)), (9, 6), seed=2),
    Case("minimax_m2_tied", "MiniMaxM2ForCausalLM", LLAMA | TIED | dict(head_dim=4, num_local_experts=4, num_experts_per_tok=3,
         intermediate_size=10, hidden_act="gelu"), (6, 7), dtype="float16", seed=2),
    Case("llama4_text_steps", "Llama4ForCausalLM", LLAMA4 | dict(interleave_moe_layer_step=2, rope_parameters=LLAMA3), (11, 8)),
    Case("llama4_text_lists", "Llama4ForCausalLM", LLAMA4 | TIED | dict(num_hidden_layers=5, no_rope_layers=[0, 1, 1, 0, 1],
         moe_layers=[0, 3, 4], use_qk_norm=False, attention_bias=True, attention_chunk_size=4, num_experts_per_tok=1,
         hidden_act="gelu", layer_types=["chunked_attention", "full_attention", "chunked_attention", "full_attention",
         "chunked_attention"]), (9, 10), dtype="bfloat16"),
    Case("llama4_text_published", "Llama4ForCausalLM", LLAMA4 | dict(num_hidden_layers=5, no_rope_layer_interval=2,
         attn_temperature_tuning=False, num_experts_per_tok=3, head_dim=6), (8, 7), published=unchanged),
    Case("llama4_text_left_padded", "Llama4ForCausalLM", LLAMA4 | dict(num_hidden_layers=3, attention_chunk_size=4,
         no_rope_layers=[1, 0, 1]), (13, 7, 10), padded_left=True),
    Case("llama4_text_dense", "Llama4TextModel", LLAMA4 | dict(moe_layers=[], floor_scale=3, num_hidden_layers=3,
         no_rope_layers=[1, 0, 1]), (6, 13)),
    Case("modernbert_masked_lm", "ModernBertForMaskedLM", MODERNBERT, (13, 9), published=unchanged),
    Case("modernbert_rest", "ModernBertModel", MODERNBERT | dict(num_hidden_layers=6, attention_bias=True, mlp_bias=True,
         norm_bias=True, local_attention=4, hidden_activation="relu"), (11, 14)),
    Case("modernbert_classes", "ModernBertForSequenceClassification", MODERNBERT | dict(num_labels=3,
         global_attn_every_n_layers=2, num_hidden_layers=4, classifier_bias=True), (9, 12), dtype="bfloat16"),
    Case("modernbert_mean", "ModernBertForSequenceClassification", MODERNBERT | dict(num_labels=2,
         num_hidden_layers=2, classifier_pooling="mean", classifier_activation="silu"), (8, 8), masked=False),
    Case("modernbert_token_classes", "ModernBertForTokenClassification", MODERNBERT | dict(num_labels=5,
         num_hidden_layers=1), (7, 10)),
    Case("modernbert_answer", "ModernBertForQuestionAnswering", MODERNBERT | dict(num_hidden_layers=5,
         global_attn_every_n_layers=1), (10, 10), masked=False),
    Case("modernbert_no_bias", "ModernBertForMaskedLM", MODERNBERT | dict(num_hidden_layers=4, decoder_bias=False),
         (9, 12)),
    Case("mpnet_base", "MPNetModel", MPNET, (8, 5)),
    Case("mpnet_masked_lm", "MPNetForMaskedLM", MPNET | dict(num_hidden_layers=1), (7, 9)),
    Case("mpnet_classes", "MPNetForSequenceClassification", MPNET | dict(num_labels=3), (4, 7)),
    Case("opt_lm", "OPTForCausalLM", OPT, (9, 9), masked=False),
    Case("opt_untied", "OPTForCausalLM", OPT | dict(enable_bias=False, activation_function="gelu",
         tie_word_embeddings=False), (7, 7), dtype="float16", masked=False),
    Case("opt_narrow_words", "OPTForCausalLM", OPT | dict(word_embed_proj_dim=14, do_layer_norm_before=False), (8, 8), masked=False),
    Case("opt_narrow_apart", "OPTForCausalLM", OPT | dict(word_embed_proj_dim=9, tie_word_embeddings=False,
         _remove_final_layer_norm=True, num_hidden_layers=1), (6, 6), dtype="bfloat16", masked=False),
    Case("opt_narrow_states", "OPTModel", OPT | dict(word_embed_proj_dim=30, do_layer_norm_before=False), (5, 5), masked=False),
    Case("phi_partial", "PhiForCausalLM", LLAMA | dict(num_key_value_heads=6, rope_parameters=PARTIAL | dict(
         partial_rotary_factor=0.5)), (9, 5)),
    Case("phi_grouped", "PhiForCausalLM", LLAMA | dict(hidden_size=32, num_attention_heads=4, hidden_act="relu"),
         dtype="float16"),
    Case("phi3_window", "Phi3ForCausalLM", LLAMA | dict(sliding_window=4, num_key_value_heads=3), (9, 7)),
    Case("phi3_beyond", "Phi3ForCausalLM", LONGROPE | dict(original_max_position_embeddings=6), (9, 7)),
    Case("phi3_within", "Phi3ForCausalLM", LONGROPE | TIED | dict(original_max_position_embeddings=32), (8, 5),
         dtype="bfloat16"),
    Case("phi3_partial", "Phi3ForCausalLM", LLAMA | TIED | dict(hidden_size=32, num_attention_heads=4,
         num_key_value_heads=2, rope_parameters=PARTIAL | dict(partial_rotary_factor=0.75)), (6, 8)),
    Case("starcoder2_window", "Starcoder2ForCausalLM", LLAMA | TIED | dict(sliding_window=3), (8, 5)),
    Case("starcoder2_plain", "Starcoder2ForCausalLM", LLAMA | dict(use_bias=False, hidden_act="gelu"), dtype="float16"),
    Case("gemma3_text_part", "Gemma3ForConditionalGeneration", dict(text_config=PART | dict(model_type="gemma3_text",
         num_hidden_layers=4, sliding_window=3, layer_types=["sliding_attention", "full_attention"] * 2),
         vision_config=SIGLIP_IMAGE | dict(model_type="siglip_vision_model"), mm_tokens_per_image=4), (9, 6), seed=2),
    Case("gemma4_text_part", "Gemma4ForConditionalGeneration", dict(text_config=PART | dict(model_type="gemma4_text",
         num_hidden_layers=7, global_head_dim=10, sliding_window=3, num_kv_shared_layers=4, hidden_size_per_layer_input=3,
         vocab_size_per_layer_input=61, layer_types=[WINDOW, FULL, WINDOW, FULL, WINDOW, FULL, FULL]),
         vision_config=dict(hidden_size=12, intermediate_size=10, num_hidden_layers=1, num_attention_heads=2,
         num_key_value_heads=2, head_dim=6, position_embedding_size=16), audio_config=None), (9, 6)),
    Case("llama4_text_part", "Llama4ForConditionalGeneration", dict(text_config=LLAMA4 | dict(model_type="llama4_text"),
         vision_config=dict(hidden_size=16, intermediate_size=20, num_hidden_layers=1, num_attention_heads=2, image_size=8,
         patch_size=4, vision_output_dim=16, projector_input_dim=16, projector_output_dim=16)), (8, 5), seed=1),
    Case("llava_clip", "LlavaForConditionalGeneration", dict(text_config=PART | dict(model_type="llama"),
         vision_config=CLIP_IMAGE | dict(model_type="clip_vision_model"), image_token_index=60), (20, 13), images=3),
    Case("llava_siglip", "LlavaForConditionalGeneration", dict(text_config=PART | dict(model_type="qwen2", hidden_size=18),
         vision_config=SIGLIP_IMAGE | dict(model_type="siglip_vision_model", image_size=13), image_token_index=7,
         vision_feature_select_strategy="full", vision_feature_layer=-1, multimodal_projector_bias=False,
         projector_hidden_act="relu", tie_word_embeddings=True), (9, 6, 4), images=4, padded_left=True, dtype="bfloat16"),
    Case("llava_published", "LlavaForConditionalGeneration", dict(text_config=PART | dict(model_type="mistral", sliding_window=5),
         vision_config=CLIP_IMAGE | dict(model_type="clip_vision_model", num_hidden_layers=4), image_token_index=33,
         vision_feature_layer=1, vision_feature_select_strategy="full"), (12, 12), images=2, masked=False, published=as_llava),
    Case("llava_entering", "LlavaForConditionalGeneration", dict(text_config=PART | dict(model_type="llama"),
         vision_config=SIGLIP_IMAGE | dict(model_type="siglip_vision_model", vision_use_head=False), image_token_index=4,
         vision_feature_layer=-3), (8, 6), images=1, dtype="float16"),
    Case("mistral3_text_part", "Mistral3ForConditionalGeneration", dict(text_config=PART | dict(model_type="mistral",
         sliding_window=None), vision_config=dict(model_type="pixtral", hidden_size=16, intermediate_size=20,
         num_hidden_layers=1, num_attention_heads=2, head_dim=8, image_size=8, patch_size=4)), (5, 8)),
    Case("qwen2_vl_grids", "Qwen2VLForConditionalGeneration", dict(text_config=QWEN_VL | dict(rope_parameters=THREE),
         vision_config=dict(depth=2, num_heads=2, embed_dim=24, hidden_size=24, mlp_ratio=3, in_channels=2, patch_size=3,
         hidden_act="gelu", rope_parameters=dict(rope_type="axial", rope_theta=90.0)), image_token_id=9), (20, 14), images=3, grid=(2, 3)),
    Case("qwen2_vl_published", "Qwen2VLForConditionalGeneration", dict(text_config=QWEN_VL | dict(use_sliding_window=True,
         sliding_window=5, max_window_layers=1, rope_parameters=THREE), tie_word_embeddings=True, image_token_id=60,
         vision_config=dict(depth=1, num_heads=3, embed_dim=12, hidden_size=24, patch_size=2, temporal_patch_size=1,
         spatial_merge_size=3)), (9, 13), images=2, grid=(4, 1), padded_left=True, dtype="bfloat16", published=as_qwen_vl, seed=1),
    Case("qwen2_5_vl_windows", "Qwen2_5_VLForConditionalGeneration", dict(text_config=QWEN_VL | dict(rope_parameters=THREE),
         vision_config=dict(depth=5, num_heads=2, hidden_size=16, out_hidden_size=24, intermediate_size=20, patch_size=3,
         window_size=12, fullatt_block_indexes=[1, 3]), image_token_id=9), (22, 17), images=2, grid=(3, 5)),
    Case("qwen2_5_vl_alike", "Qwen2_5_VLForConditionalGeneration", dict(text_config=QWEN_VL | dict(rope_parameters=YARN | dict(
         mrope_section=[2, 1, 1])), vision_config=dict(depth=2, num_heads=1, hidden_size=12, out_hidden_size=24, intermediate_size=9,
         patch_size=2, temporal_patch_size=1, in_channels=1, spatial_merge_size=1, window_size=4, fullatt_block_indexes=[],
         hidden_act="gelu"), image_token_id=3, tie_word_embeddings=True), (11, 12), images=2, grid=(4, 2), padded_left=True, dtype="float16"),
    Case("qwen3_vl_deep", "Qwen3VLForConditionalGeneration", dict(text_config=PART | dict(attention_bias=True, num_hidden_layers=4,
         rope_parameters=THREE | dict(mrope_interleaved=True)), vision_config=dict(depth=4, num_heads=2, hidden_size=16,
         out_hidden_size=24, intermediate_size=20, patch_size=3, num_position_embeddings=26, deepstack_visual_indexes=[0, 2]),
         image_token_id=11), (17, 24), images=3, grid=(2, 3)),
    Case("qwen3_vl_all_deep", "Qwen3VLForConditionalGeneration", dict(text_config=PART | dict(head_dim=12, rope_parameters=THREE | dict(
         mrope_section=[2, 2, 2])), vision_config=dict(depth=3, num_heads=1, hidden_size=8, out_hidden_size=24, intermediate_size=9,
         patch_size=2, temporal_patch_size=1, spatial_merge_size=3, num_position_embeddings=49, deepstack_visual_indexes=[1, 2],
         hidden_act="relu"), image_token_id=2, tie_word_embeddings=True), (11, 11), images=2, grid=(1, 4), masked=False, dtype="bfloat16"),
    Case("clip_text_ends", "CLIPTextModel", CLIP_TEXT, (9, 6)),
    Case("clip_text_projected", "CLIPTextModelWithProjection", CLIP_TEXT | dict(projection_dim=7, num_hidden_layers=1,
         eos_token_id=2, hidden_act="gelu"), (5, 8), masked=False),
    Case("clip_image_base", "CLIPVisionModel", CLIP_IMAGE),
    Case("clip_image_projected", "CLIPVisionModelWithProjection", CLIP_IMAGE | dict(projection_dim=10, image_size=23,
         num_channels=1, hidden_act="relu"), dtype="float16"),
    Case("clip_both", "CLIPModel", dict(text_config=CLIP_TEXT, vision_config=CLIP_IMAGE, projection_dim=11), (7, 4, 6),
         ended=True, images=2),
    Case("clip_published", "CLIPModel", dict(text_config=CLIP_TEXT | dict(eos_token_id=2, num_hidden_layers=1),
         vision_config=CLIP_IMAGE | dict(num_hidden_layers=1), projection_dim=9), (8, 5), images=3, published=as_clip),
    Case("clip_classes", "CLIPForImageClassification", dict(text_config=CLIP_TEXT, vision_config=CLIP_IMAGE, num_labels=5)),
    Case("clip_two_classes", "CLIPForImageClassification", dict(text_config=CLIP_TEXT, vision_config=CLIP_IMAGE | dict(
         num_hidden_layers=1, image_size=23, num_channels=1)), dtype="float16"),
    Case("siglip_classes", "SiglipForImageClassification", dict(text_config=SIGLIP_TEXT, vision_config=SIGLIP_IMAGE |
         dict(vision_use_head=False), num_labels=3)),
    Case("siglip_pooled_classes", "SiglipForImageClassification", dict(text_config=SIGLIP_TEXT, vision_config=SIGLIP_IMAGE |
         dict(image_size=22, num_hidden_layers=1, num_channels=2))),
    Case("siglip_text_base", "SiglipTextModel", SIGLIP_TEXT, (9, 6)),
    Case("siglip_text_projected", "SiglipTextModel", SIGLIP_TEXT | dict(projection_size=9, hidden_act="relu"), (4, 7),
         masked=False),
    Case("siglip_image_base", "SiglipVisionModel", SIGLIP_IMAGE),
    Case("siglip_image_rows", "SiglipVisionModel", SIGLIP_IMAGE | dict(vision_use_head=False, image_size=22,
         hidden_act="gelu")),
    Case("siglip_both", "SiglipModel", dict(text_config=SIGLIP_TEXT | dict(projection_size=32), vision_config=SIGLIP_IMAGE),
         (6, 6), masked=False, images=3),
    Case("siglip_small", "SiglipModel", dict(text_config=SIGLIP_TEXT | dict(hidden_size=32, num_hidden_layers=1,
         num_attention_heads=2),
         vision_config=SIGLIP_IMAGE | dict(num_hidden_layers=1, num_channels=1)), (8, 5), images=2, dtype="bfloat16"),
    Case("whisper_base", "WhisperModel", WHISPER | dict(decoder_attention_heads=6, decoder_layers=3, num_mel_bins=7,
         max_source_positions=9), decoder_length=6),
    Case("whisper_scores", "WhisperForConditionalGeneration", WHISPER, decoder_length=5, dtype="float16"),
    Case("whisper_suppressed", "WhisperForConditionalGeneration", WHISPER | dict(encoder_layers=1, num_mel_bins=3,
         suppress_tokens=[6], begin_suppress_tokens=[48]), decoder_length=4, seed=14),
    Case("whisper_apart", "WhisperForConditionalGeneration", WHISPER | dict(activation_function="relu", encoder_layers=1,
         decoder_layers=1, tie_word_embeddings=False), decoder_length=3),
    Case("whisper_causal", "WhisperForCausalLM", WHISPER | dict(decoder_attention_heads=4, encoder_ffn_dim=31), (7, 5), seed=1),
    Case("whisper_causal_apart", "WhisperForCausalLM", WHISPER | dict(decoder_layers=1, tie_word_embeddings=False,
         activation_function="relu"), (9, 6), padded_left=True),
    Case("whisper_classes", "WhisperForAudioClassification", WHISPER | dict(classifier_proj_size=10, num_labels=3,
         max_source_positions=4)),
    Case("vit_pooler", "ViTModel", VIT),
    Case("vit_classes", "ViTForImageClassification", VIT | dict(image_size=[30, 26], qkv_bias=False, num_labels=7)),
    Case("deit_base", "DeiTModel", VIT | dict(image_size=20, num_channels=1, hidden_act="quick_gelu")),
    Case("deit_distilled", "DeiTForImageClassificationWithTeacher", VIT | dict(num_labels=7, hidden_size=18,
         num_attention_heads=3)),
    Case("vit_mae_pixels", "ViTMAEForPreTraining", VIT_MAE),
    Case("vit_mae_encoder", "ViTMAEModel", VIT_MAE | dict(image_size=[15, 23], patch_size=4, mask_ratio=0.4, qkv_bias=False,
         hidden_act="relu", num_channels=1), dtype="bfloat16"),
    Case("vit_mae_all", "ViTMAEForPreTraining", VIT_MAE | dict(mask_ratio=0.0, qkv_bias=False, decoder_num_hidden_layers=1,
         norm_pix_loss=True, num_channels=3)),
    Case("beit_classes", "BeitForImageClassification", BEIT | dict(use_relative_position_bias=True, num_labels=5)),
    Case("beit_both", "BeitModel", BEIT | dict(use_relative_position_bias=True, use_shared_relative_position_bias=True,
         use_absolute_position_embeddings=True, use_mean_pooling=False, layer_scale_init_value=0.0, image_size=13,
         patch_size=4), dtype="bfloat16"),
    Case("beit_words", "BeitForMaskedImageModeling", BEIT | dict(use_shared_relative_position_bias=True, use_mask_token=True,
         vocab_size=31, hidden_act="relu", num_hidden_layers=1)),
    Case("dinov3_oblong", "DINOv3ViTModel", DINOV3),
    Case("dinov3_gated", "DINOv3ViTModel", DINOV3 | dict(use_gated_mlp=True, num_register_tokens=0, key_bias=True, proj_bias=False,
         mlp_bias=False, rope_theta=30.0, image_size=10, patch_size=3, hidden_act="silu"), dtype="bfloat16"),
    Case("dinov3_without_biases", "DINOv3ViTModel", DINOV3 | dict(query_bias=False, value_bias=False, num_hidden_layers=1,
         num_attention_heads=6, num_register_tokens=1)),
    Case("dinov3_larger", "DINOv3ViTModel", DINOV3 | dict(num_hidden_layers=1), image=(18, 14)),
    Case("dinov2_base", "Dinov2Model", DINO),
    Case("dinov2_classes", "Dinov2ForImageClassification", DINO | dict(use_swiglu_ffn=True, use_mask_token=False,
         num_labels=7, qkv_bias=False), dtype="float16"),
    Case("dinov2_registers", "Dinov2WithRegistersModel", DINO | dict(num_register_tokens=3, use_swiglu_ffn=True)),
    Case("dinov2_registers_classes", "Dinov2WithRegistersForImageClassification", DINO | dict(num_channels=1,
         hidden_act="quick_gelu", num_labels=3)),
    Case("swin_classes", "SwinForImageClassification", SWIN | dict(num_labels=7), published=as_swin),
    Case("swin_odd", "SwinModel", SWIN | dict(image_size=[34, 26], window_size=4, num_heads=[3, 4], qkv_bias=False,
         mlp_ratio=2.0)),
    Case("swin_larger", "SwinModel", SWIN, image=(44, 52)),
    Case("swin_smaller", "SwinForImageClassification", SWIN | dict(num_labels=3, depths=[2, 3], image_size=48), image=(27, 33)),
    Case("swinv2_classes", "Swinv2ForImageClassification", SWINV2 | dict(num_labels=7)),
    Case("swinv2_odd", "Swinv2Model", SWINV2 | dict(image_size=[34, 27], patch_size=3, window_size=4, num_heads=[3, 4],
         qkv_bias=False, mlp_ratio=2.0, pretrained_window_sizes=[6, 2], hidden_act="relu"), dtype="bfloat16"),
    Case("swinv2_larger", "Swinv2Model", SWINV2 | dict(window_size=9), image=(29, 50), seed=1),
    Case("convnext_classes", "ConvNextForImageClassification", CONVNEXT | dict(num_labels=3)),
    Case("convnext_plain", "ConvNextModel", CONVNEXT | dict(num_stages=2, depths=[2, 0], hidden_sizes=[8, 8], patch_size=2,
         image_size=11, layer_scale_init_value=0.0, hidden_act="relu", num_channels=1), dtype="float16"),
    Case("convnext_larger", "ConvNextModel", CONVNEXT, image=(40, 27)),
    Case("wav2vec2_group", "Wav2Vec2Model", WAV2VEC2, samples=150),
    Case("wav2vec2_letters", "Wav2Vec2ForCTC", WAV2VEC2 | dict(feat_extract_norm="layer", conv_bias=True, do_stable_layer_norm=True,
         num_conv_pos_embeddings=5, mask_time_prob=0.0, vocab_size=29, hidden_act="relu"), samples=131, dtype="float16",
         published=as_wav2vec2),
    Case("wav2vec2_classes", "Wav2Vec2ForSequenceClassification", WAV2VEC2 | dict(classifier_proj_size=11, num_labels=5,
         conv_dim=[9, 8], conv_kernel=[7, 3], conv_stride=[4, 2]), samples=97),
    Case("hubert_base", "HubertModel", WAV2VEC2 | dict(do_stable_layer_norm=True, feat_extract_norm="layer"), samples=140),
    Case("hubert_plain", "HubertForCTC", WAV2VEC2 | dict(feat_proj_layer_norm=False, num_conv_pos_embeddings=4,
         num_conv_pos_embedding_groups=1, feat_extract_activation="relu", vocab_size=19), samples=160),
    Case("t5_relu", "T5ForConditionalGeneration", T5, (11, 7), decoder_length=6, seed=2),
    Case("t5_gated", "T5ForConditionalGeneration", T5 | dict(feed_forward_proj="gated-gelu", num_layers=3,
         num_decoder_layers=2, d_kv=8, tie_word_embeddings=False), (13, 9), decoder_length=5, seed=2,
         published=unchanged),
    Case("t5_encoder", "T5EncoderModel", T5 | dict(num_layers=1), (12, 6)),
    Case("t5_classes", "T5ForSequenceClassification", T5 | ENDED | dict(num_labels=3), (9, 9), masked=False, ended=True),
    Case("t5_token_classes", "T5ForTokenClassification", T5 | dict(num_labels=4, feed_forward_proj="gated-silu"), (7, 10)),
    Case("t5_answer", "T5ForQuestionAnswering", T5 | dict(num_decoder_layers=1), (11, 8)),
    Case("mt5_tied", "MT5ForConditionalGeneration", MT5, (8, 11), decoder_length=5, seed=2),
    Case("mt5_apart", "MT5ForConditionalGeneration", MT5 | dict(tie_word_embeddings=False, num_decoder_layers=1,
         feed_forward_proj="relu"), (6, 9), decoder_length=7, dtype="bfloat16", seed=2),
    Case("mt5_classes", "MT5ForSequenceClassification", MT5 | ENDED | dict(num_labels=2, d_kv=8), (7, 7), masked=False,
         ended=True),
]
