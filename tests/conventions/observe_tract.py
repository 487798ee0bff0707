"""What tract says of modules of PyTorch, exported to ONNX: the sum of the costs of a decluttered model.

    env/bin/python tests/conventions/observe_tract.py

in the environment of observe.py, with cargo on the path; writes observed_tract.json beside this file.
"""

import ast
import json
import pathlib
import subprocess
import tempfile

import torch
from torch import nn

from modules import Block, Plain, ToItself

VERSION = "0.23.9"
PROGRAM = """
use tract_onnx::prelude::*;

fn main() -> TractResult<()> {
    for path in std::env::args().skip(1) {
        let model = tract_onnx::onnx().model_for_path(&path)?.into_typed()?.into_decluttered()?;
        let mut fma = 0;
        for node in model.nodes() {
            let (inputs, _) = model.node_facts(node.id)?;
            for (cost, count) in node.op.cost(&inputs)? {
                if format!("{cost:?}").starts_with("FMA") {
                    fma += count.to_i64()?;
                }
            }
        }
        println!("{fma}");
    }
    Ok(())
}
"""
CASES = [
    ("linear", "linear:in=96,out=224", "torch.nn", nn.Sequential(nn.Linear(96, 224))),
    ("layer_norm", "layer-norm:c=96", "torch.nn", nn.Sequential(nn.LayerNorm(96))),
    ("rms_norm", "rms-norm:c=96", "torch.nn", nn.Sequential(nn.RMSNorm(96))),
    ("plain", "mha:c=96,h=4", "plain", Plain(96, 4, qkv_bias=True)),
    ("plain_sdpa", "mha:c=96,h=4", "plain-sdpa", Plain(96, 4, qkv_bias=True, fused=True)),
    ("mha", "mha:c=96,h=4", "torch.nn", ToItself(nn.MultiheadAttention(96, 4, batch_first=True), need_weights=False)),
    ("block", "encoder-layer:c=96,h=4,ff=224,act=gelu,norm=pre", "plain", Block(96, 4, 224)),
    ("encoder_layer", "encoder-layer:c=96,h=4,ff=224", "torch.nn", nn.TransformerEncoderLayer(96, 4, 224, batch_first=True)),
] + [
    (f"ffn_{act}", f"ffn:c=96,ff=224,act={act}", "torch.nn", nn.Sequential(nn.Linear(96, 224), module, nn.Linear(224, 96)))
    for act, module in [("relu", nn.ReLU()), ("gelu", nn.GELU()), ("gelu-tanh", nn.GELU(approximate="tanh")), ("silu", nn.SiLU())]
]


def main():
    here = pathlib.Path(__file__)
    with tempfile.TemporaryDirectory() as folder:
        project = pathlib.Path(folder)
        (project / "src").mkdir()
        (project / "src/main.rs").write_text(PROGRAM)
        manifest = f'[package]\nname = "cost"\nversion = "0.0.0"\nedition = "2021"\n[dependencies]\ntract-onnx = "={VERSION}"\n'
        (project / "Cargo.toml").write_text(manifest)
        files = []
        for name, _, _, module in CASES:
            module.eval()
            for parameter in module.parameters():
                nn.init.uniform_(parameter, -1, 1)
            files.append(str(project / f"{name}.onnx"))
            torch.onnx.export(module, (torch.rand(3, 17, 96),), files[-1], dynamo=True, opset_version=20, external_data=False)
        run = subprocess.run(["cargo", "run", "-q", "--", *files], cwd=project, check=True, capture_output=True, text=True)
    counts = [ast.literal_eval(line) for line in run.stdout.split()]
    cases = [
        {"name": name, "model": model, "sizes": {"b": 3, "n": 17}, "written": written, "tools": {"tract": {"fma": fma}}}
        for (name, model, written, _), fma in zip(CASES, counts, strict=True)
    ]
    result = {"versions": {"tract-onnx": VERSION, "torch": torch.__version__}, "cases": cases}
    here.with_name("observed_tract.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
