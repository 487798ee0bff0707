"""Writes `choices.json`: the probabilities of next tokens as `transformers` makes them of scores.

    python choices.py
"""

import json
import pathlib

import torch
from transformers import LogitsProcessorList
from transformers.generation import logits_process as of

SETTINGS = [
    {},
    {"temperature": 0.7},
    {"top_k": 3},
    {"top_p": 0.6},
    {"repetition_penalty": 1.5},
    {"temperature": 1.8, "top_k": 7, "top_p": 0.9},
    {"temperature": 0.4, "top_p": 0.95, "repetition_penalty": 1.05},
    {"top_k": 50, "top_p": 0.01},
]


def main():
    generator = torch.Generator().manual_seed(7)
    cases = []
    for settings in SETTINGS:
        scores = torch.randn(1, 17, generator=generator, dtype=torch.float32) * 3
        # Equal scores at the edge of the k highest.
        scores[0, 4] = scores[0, 11]
        context = torch.randint(0, 17, (1, 6), generator=generator)
        # In the order of `GenerationMixin._get_logits_processor`.
        processors = LogitsProcessorList()
        if "repetition_penalty" in settings:
            processors.append(of.RepetitionPenaltyLogitsProcessor(settings["repetition_penalty"]))
        if "temperature" in settings:
            processors.append(of.TemperatureLogitsWarper(settings["temperature"]))
        if "top_k" in settings:
            processors.append(of.TopKLogitsWarper(settings["top_k"]))
        if "top_p" in settings:
            processors.append(of.TopPLogitsWarper(settings["top_p"]))
        probabilities = processors(context, scores.clone()).double().softmax(-1)
        cases.append({
            "settings": settings,
            "scores": scores[0].tolist(),
            "context": context[0].tolist(),
            "probabilities": probabilities[0].tolist(),
        })
    text = json.dumps(cases, indent=1) + "\n"
    (pathlib.Path(__file__).parent / "choices.json").write_text(text)


if __name__ == "__main__":
    main()
