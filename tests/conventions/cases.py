"""The cases: how Opledger is asked, sizes, how the module is written, and the line of Python that builds it."""

CASES = {}


def case(name, model, written, sizes, source, **more):
    CASES[name] = {"model": model, "sizes": sizes, "source": source, "written": written, **more}


BIG = {"b": 32, "n": 1024}
case("seed001_self_attention_no_proj", "self-attention:c=512", "plain", BIG,
     "Plain(512, 1, out_proj=False), [x(32, 1024, 512)]")
case("seed001_mha8", "mha:c=512,h=8,qkv_bias=false", "plain", BIG, "Plain(512, 8), [x(32, 1024, 512)]")
case("seed001_mha8_no_proj", "mha:c=512,h=8,bias=false,out_proj=false", "plain", BIG,
     "Plain(512, 8, out_proj=False), [x(32, 1024, 512)]")
case("mha8_fused_sdpa", "mha:c=512,h=8,qkv_bias=false", "plain-sdpa", BIG,
     "Plain(512, 8, fused=True), [x(32, 1024, 512)]")
case("seed002_thop_model", "attention-mlp-stack:l=2,c=64,h=4,ff=128", "torch.nn-sequence-first", {"b": 32, "n": 10},
     "Stack(2, 64, 4, 128), [x(10, 32, 64)]")
case("nn_mha_512_8_b2_n128", "mha:c=512,h=8", "torch.nn", {"b": 2, "n": 128},
     "ToItself(nn.MultiheadAttention(512, 8, batch_first=True), need_weights=False), [x(2, 128, 512)]")
case("encoder_layer_512_8_2048_b2_n128", "encoder-layer:c=512,h=8,ff=2048,dropout=0.1", "torch.nn", {"b": 2, "n": 128},
     "nn.TransformerEncoderLayer(512, 8, 2048, batch_first=True), [x(2, 128, 512)]")
case("decoder_layer_512_8_2048_b2_t96_s128", "decoder-layer:c=512,h=8,ff=2048,mask=none,dropout=0.1", "torch.nn",
     {"b": 2, "n": 96, "m": 128},
     "nn.TransformerDecoderLayer(512, 8, 2048, batch_first=True), [x(2, 96, 512), x(2, 128, 512)]")
case("linear_512_2048_b2_n128", "linear:in=512,out=2048", "torch.nn", {"b": 2, "n": 128},
     "nn.Linear(512, 2048), [x(2, 128, 512)]")
case("layer_norm_512_b2_n128", "layer-norm:c=512", "torch.nn", {"b": 2, "n": 128},
     "nn.Sequential(nn.LayerNorm(512)), [x(2, 128, 512)]")

# Layers of torch.nn, and layers written out, at awkward sizes.
case("linear_no_bias_37_91_b3_n17", "linear:in=37,out=91,bias=false", "torch.nn", {"b": 3, "n": 17},
     "nn.Linear(37, 91, bias=False), [x(3, 17, 37)]")
case("linear_37_91_b1_n1", "linear:in=37,out=91", "torch.nn", {"b": 1, "n": 1}, "nn.Linear(37, 91), [x(1, 1, 37)]")
case("layer_norm_no_bias_96_b3_n17", "layer-norm:c=96,bias=false", "torch.nn", {"b": 3, "n": 17},
     "nn.Sequential(nn.LayerNorm(96, bias=False)), [x(3, 17, 96)]")
case("layer_norm_no_affine_96_b3_n17", None, "torch.nn", {"b": 3, "n": 17},
     "nn.Sequential(nn.LayerNorm(96, elementwise_affine=False)), [x(3, 17, 96)]")
case("rms_norm_96_b3_n17", "rms-norm:c=96", "torch.nn", {"b": 3, "n": 17},
     "nn.Sequential(nn.RMSNorm(96)), [x(3, 17, 96)]")
case("embedding_1000_96_b3_n17", "embedding:v=1000,c=96", "torch.nn", {"b": 3, "n": 17},
     "nn.Sequential(nn.Embedding(1000, 96)), [ids(3, 17)]")
ACTIVATIONS = {"relu": "ReLU()", "gelu": "GELU()", "gelu-tanh": 'GELU(approximate="tanh")', "silu": "SiLU()"}
for act, kind in ACTIVATIONS.items():
    case(f"ffn_{act}_96_224_b3_n17", f"ffn:c=96,ff=224,act={act}", "torch.nn", {"b": 3, "n": 17},
         f"nn.Sequential(nn.Linear(96, 224), nn.{kind}, nn.Linear(224, 96)), [x(3, 17, 96)]")
case("softmax_b3_n17_96", None, "torch.nn", {"b": 3, "n": 17}, "nn.Sequential(nn.Softmax(dim=-1)), [x(3, 17, 96)]")
case("mha_gelu_block_plain_96_4_224_b3_n17", "encoder-layer:c=96,h=4,ff=224,act=gelu,norm=pre", "plain",
     {"b": 3, "n": 17}, "Block(96, 4, 224), [x(3, 17, 96)]")
case("mha_gelu_block_sdpa_96_4_224_b3_n17", "encoder-layer:c=96,h=4,ff=224,act=gelu,norm=pre", "plain-sdpa",
     {"b": 3, "n": 17}, "Block(96, 4, 224, fused=True), [x(3, 17, 96)]")
case("mha_causal_sdpa_96_4_b3_n17", "mha:c=96,h=4,qkv_bias=false,mask=causal", "plain-sdpa", {"b": 3, "n": 17},
     "Plain(96, 4, fused=True, causal=True), [x(3, 17, 96)]")
case("nn_mha_no_bias_96_4_b3_n17", "mha:c=96,h=4,bias=false", "torch.nn", {"b": 3, "n": 17},
     "ToItself(nn.MultiheadAttention(96, 4, bias=False, batch_first=True), need_weights=False), [x(3, 17, 96)]")
case("nn_mha_weights_96_4_b3_n17", "mha:c=96,h=4,weights=mean", "torch.nn", {"b": 3, "n": 17},
     "ToItself(nn.MultiheadAttention(96, 4, batch_first=True)), [x(3, 17, 96)]")
case("nn_mha_weights_heads_96_4_b3_n17", "mha:c=96,h=4,weights=heads", "torch.nn", {"b": 3, "n": 17},
     "ToItself(nn.MultiheadAttention(96, 4, batch_first=True), average_attn_weights=False), [x(3, 17, 96)]")
case("nn_mha_causal_96_4_b3_n17", "mha:c=96,h=4,mask=causal", "torch.nn", {"b": 3, "n": 17},
     "ToItself(nn.MultiheadAttention(96, 4, batch_first=True), need_weights=False, attn_mask=causal(17), "
     "is_causal=True), [x(3, 17, 96)]")
case("nn_mha_cross_96_4_b3_n17_m23", "cross-attention:c=96,h=4", "torch.nn", {"b": 3, "n": 17, "m": 23},
     "ToItself(nn.MultiheadAttention(96, 4, batch_first=True), need_weights=False), [x(3, 17, 96), x(3, 23, 96)]")
case("nn_mha_kdim_vdim_96_4_b3_n17_m23", "cross-attention:c=96,h=4,kdim=40,vdim=56", "torch.nn",
     {"b": 3, "n": 17, "m": 23},
     "Call(nn.MultiheadAttention(96, 4, kdim=40, vdim=56, batch_first=True), need_weights=False), "
     "[x(3, 17, 96), x(3, 23, 40), x(3, 23, 56)]")
case("nn_mha_kdim_vdim_weights_96_4_b3_n17_m23", "cross-attention:c=96,h=4,kdim=40,vdim=56,weights=mean", "torch.nn",
     {"b": 3, "n": 17, "m": 23},
     "Call(nn.MultiheadAttention(96, 4, kdim=40, vdim=56, batch_first=True)), "
     "[x(3, 17, 96), x(3, 23, 40), x(3, 23, 56)]")
case("encoder_layer_gelu_768_12_3072_b1_n128", "encoder-layer:c=768,h=12,ff=3072,act=gelu,dropout=0.1", "torch.nn",
     {"b": 1, "n": 128},
     'nn.TransformerEncoderLayer(768, 12, 3072, activation="gelu", batch_first=True), [x(1, 128, 768)]')
case("encoder_layer_96_4_224_b3_n17", "encoder-layer:c=96,h=4,ff=224", "torch.nn", {"b": 3, "n": 17},
     "nn.TransformerEncoderLayer(96, 4, 224, dropout=0.0, batch_first=True), [x(3, 17, 96)]")
case("encoder_layer_pre_gelu_96_4_224_b3_n17", "encoder-layer:c=96,h=4,ff=224,act=gelu,norm=pre,dropout=0.1", "torch.nn",
     {"b": 3, "n": 17}, 'nn.TransformerEncoderLayer(96, 4, 224, activation="gelu", norm_first=True, '
     "batch_first=True), [x(3, 17, 96)]")
case("encoder_layer_no_bias_96_4_224_b3_n17", "encoder-layer:c=96,h=4,ff=224,bias=false,dropout=0.1", "torch.nn",
     {"b": 3, "n": 17}, "nn.TransformerEncoderLayer(96, 4, 224, bias=False, batch_first=True), [x(3, 17, 96)]")
case("encoder_layer_causal_96_4_224_b3_n17", "encoder-layer:c=96,h=4,ff=224,mask=causal,dropout=0.1", "torch.nn",
     {"b": 3, "n": 17}, "Call(nn.TransformerEncoderLayer(96, 4, 224, batch_first=True), src_mask=causal(17), "
     "is_causal=True), [x(3, 17, 96)]")
case("encoder_2_96_4_224_b3_n17", "encoder:l=2,c=96,h=4,ff=224,dropout=0.1", "torch.nn", {"b": 3, "n": 17},
     "nn.TransformerEncoder(nn.TransformerEncoderLayer(96, 4, 224, batch_first=True), 2), [x(3, 17, 96)]")
case("encoder_3_pre_norm_96_4_224_b2_n31", "encoder:l=3,c=96,h=4,ff=224,norm=pre,final_norm=true,dropout=0.1", "torch.nn",
     {"b": 2, "n": 31}, "nn.TransformerEncoder(nn.TransformerEncoderLayer(96, 4, 224, norm_first=True, "
     "batch_first=True), 3, norm=nn.LayerNorm(96)), [x(2, 31, 96)]")
case("decoder_layer_gelu_96_4_224_b3_n17_m23", "decoder-layer:c=96,h=4,ff=224,act=gelu,mask=none,dropout=0.1", "torch.nn",
     {"b": 3, "n": 17, "m": 23}, 'nn.TransformerDecoderLayer(96, 4, 224, activation="gelu", batch_first=True), '
     "[x(3, 17, 96), x(3, 23, 96)]")
case("decoder_layer_causal_96_4_224_b3_n17_m23", "decoder-layer:c=96,h=4,ff=224,dropout=0.1", "torch.nn",
     {"b": 3, "n": 17, "m": 23}, "Call(nn.TransformerDecoderLayer(96, 4, 224, batch_first=True), "
     "tgt_mask=causal(17), tgt_is_causal=True), [x(3, 17, 96), x(3, 23, 96)]")
case("decoder_2_96_4_224_b3_n17_m23", "decoder:l=2,c=96,h=4,ff=224,mask=none,dropout=0.1", "torch.nn",
     {"b": 3, "n": 17, "m": 23}, "nn.TransformerDecoder(nn.TransformerDecoderLayer(96, 4, 224, batch_first=True), 2), "
     "[x(3, 17, 96), x(3, 23, 96)]")
case("transformer_2_3_96_4_224_b3_n17_m23", "transformer:l=2,ld=3,c=96,h=4,ff=224,mask=none,dropout=0.1", "torch.nn",
     {"b": 3, "n": 17, "m": 23}, "nn.Transformer(96, 4, 2, 3, 224, batch_first=True), [x(3, 23, 96), x(3, 17, 96)]")

# Published families from their configuration, with random weights; first small ones.
SMALL = {
    "bert": {"architectures": ["BertModel"], "model_type": "bert", "vocab_size": 101, "hidden_size": 48,
             "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 112, "hidden_act": "gelu",
             "max_position_embeddings": 64, "type_vocab_size": 2, "layer_norm_eps": 1e-12, "pad_token_id": 0},
    "gpt2": {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "vocab_size": 101, "n_positions": 64,
             "n_embd": 48, "n_layer": 2, "n_head": 4, "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5,
             "tie_word_embeddings": True},
    "llama": {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 101, "hidden_size": 48,
              "intermediate_size": 112, "num_hidden_layers": 2, "num_attention_heads": 6, "num_key_value_heads": 2,
              "hidden_act": "silu", "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
              "attention_bias": False, "mlp_bias": False, "tie_word_embeddings": False},
    "t5": {"architectures": ["T5ForConditionalGeneration"], "model_type": "t5", "vocab_size": 101, "d_model": 48,
           "d_kv": 8, "d_ff": 112, "num_layers": 2, "num_decoder_layers": 3, "num_heads": 4,
           "relative_attention_num_buckets": 32, "relative_attention_max_distance": 128, "layer_norm_epsilon": 1e-6,
           "feed_forward_proj": "relu", "tie_word_embeddings": True, "pad_token_id": 0, "decoder_start_token_id": 0},
    "vit": {"architectures": ["ViTForImageClassification"], "model_type": "vit", "image_size": 32, "patch_size": 8,
            "num_channels": 3, "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
            "intermediate_size": 112, "hidden_act": "gelu", "layer_norm_eps": 1e-6, "qkv_bias": True, "num_labels": 10},
    "roberta": {"architectures": ["RobertaForMaskedLM"], "model_type": "roberta", "vocab_size": 101, "hidden_size": 48,
                "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 112, "hidden_act": "gelu",
                "max_position_embeddings": 64, "type_vocab_size": 1, "layer_norm_eps": 1e-5, "pad_token_id": 1},
    "distilbert": {"architectures": ["DistilBertModel"], "model_type": "distilbert", "vocab_size": 101, "dim": 48,
                   "n_layers": 2, "n_heads": 4, "hidden_dim": 112, "activation": "gelu", "max_position_embeddings": 64,
                   "pad_token_id": 0},
    "mixtral": {"architectures": ["MixtralForCausalLM"], "model_type": "mixtral", "vocab_size": 101, "hidden_size": 48,
                "intermediate_size": 112, "num_hidden_layers": 2, "num_attention_heads": 6, "num_key_value_heads": 2,
                "hidden_act": "silu", "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
                "tie_word_embeddings": False, "num_local_experts": 8, "num_experts_per_tok": 2, "sliding_window": None},
    "swin": {"architectures": ["SwinForImageClassification"], "model_type": "swin", "image_size": 64, "patch_size": 4,
             "num_channels": 3, "embed_dim": 24, "depths": [2, 2], "num_heads": [2, 4], "window_size": 4,
             "mlp_ratio": 4.0, "qkv_bias": True, "hidden_act": "gelu", "layer_norm_eps": 1e-5,
             "use_absolute_embeddings": False, "num_labels": 10},
}
INPUTS = {"t5": ({"b": 3, "n": 17, "m": 23}, "ids(3, 23), ids(3, 17)"), "vit": ({"b": 3}, "x(3, 3, 32, 32)"),
          "swin": ({"b": 3}, "x(3, 3, 64, 64)")}
WRITTEN = {"eager": "transformers-eager", "sdpa": "transformers"}

for attention, written in WRITTEN.items():
    for family, config in SMALL.items():
        sizes, inputs = INPUTS.get(family, ({"b": 3, "n": 17}, "ids(3, 17)"))
        labels = ', id2label={i: str(i) for i in range(10)}' if family in ("vit", "swin") else ""
        keys = ", ".join(f"{key}={value!r}" for key, value in config.items() if key != "num_labels")
        case(f"{family}_small_{attention}", "config.json", written, sizes,
             f'configured("{attention}", {keys}{labels}), [{inputs}]', config=config)
    keys = ", ".join(f"{key}={value!r}" for key, value in SMALL["mixtral"].items())
    case(f"mixtral_small_{attention}_experts", "config.json", f"{written}-experts", {"b": 3, "n": 17},
         f'configured("{attention}", experts="eager", {keys}), [ids(3, 17)]', config=SMALL["mixtral"])

for attention, written in WRITTEN.items():
    for name in ("bert-base", "gpt2"):
        case(f"{name}_{attention}_b1_n128", name, written, {"b": 1, "n": 128},
             f'preset("{attention}", "{name}"), [ids(1, 128)]')

IMAGE = "[x(1, 3, 224, 224)]"
for fused, written in {True: "timm", False: "timm-eager"}.items():
    for name, preset in {"vit_tiny_patch16_224": "vit-ti16", "vit_base_patch16_224": "vit-b16",
                         "swin_tiny_patch4_window7_224": "swin-t"}.items():
        # Swin's fused attention is experimental, and off.
        if fused and preset == "swin-t":
            continue
        case(f"timm_{name}{'' if fused else '_eager'}", preset, written, {"b": 1}, f'timm("{name}", {fused}), {IMAGE}')
for attention, written in WRITTEN.items():
    case(f"vit-b16_{attention}_b1", "vit-b16", written, {"b": 1}, f'preset("{attention}", "vit-b16"), {IMAGE}')
    case(f"t5-small_{attention}_b1_n64_m96", "t5-small", written, {"b": 1, "n": 64, "m": 96},
         f'preset("{attention}", "t5-small"), [ids(1, 96), ids(1, 64)]')

case("torchvision_swin_t", "swin-t", "torchvision", {"b": 1}, f'torchvision("swin_t"), {IMAGE}')
case("torchvision_swin_small", "config.json", "torchvision", {"b": 3},
     f"torchvision_swin(dict(id2label=range(10), **{SMALL['swin']!r})), [x(3, 3, 64, 64)]", config=SMALL["swin"])
