"""A checkpoint of the shape of all-MiniLM-L6-v2 with drawn weights, and its forms in other engines."""

import functools
import warnings
from pathlib import Path

import onnx
import torch
from transformers import BertConfig, BertModel

import data

FOLDER = Path(__file__).resolve().parent / "target/encoder"
# config.json of sentence-transformers/all-MiniLM-L6-v2.
SIZES = dict(
    vocab_size=30522,
    hidden_size=384,
    num_hidden_layers=6,
    num_attention_heads=12,
    intermediate_size=1536,
    hidden_act="gelu",
    max_position_embeddings=512,
    type_vocab_size=2,
    layer_norm_eps=1e-12,
)


def write():
    """Writes the checkpoint once, and says where."""
    if not (FOLDER / "model.safetensors").exists():
        torch.manual_seed(0)
        BertModel(BertConfig(**SIZES), add_pooling_layer=False).save_pretrained(FOLDER)
    return FOLDER


@functools.cache
def module():
    return BertModel.from_pretrained(FOLDER, add_pooling_layer=False, attn_implementation="sdpa").eval()


class States(torch.nn.Module):
    """The last hidden states of token ids."""

    def __init__(self):
        super().__init__()
        self.model = module()

    def forward(self, input_ids):
        return self.model(input_ids=input_ids, return_dict=True).last_hidden_state


def exported(spec):
    """The graph that torch.onnx.export records, at the sizes of a problem; kept in a file."""
    path = FOLDER / f"exported-{spec['batch']}x{spec['tokens']}.onnx"
    if not path.exists():
        ids = torch.from_numpy(data.ids(spec))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                States().eval(), (ids,), input_names=["input_ids"], output_names=["y"], opset_version=18,
                dynamo=True, verbose=False,
            )
        onnx.save(program.model_proto, path)
    return path
