"""Writes the archives beside this file. Run with torch 2.15.0."""

import json
import pathlib
import re
import zipfile

import torch

HERE = pathlib.Path(__file__).parent
DYNAMIC = torch.export.Dim.DYNAMIC


def write(name, module, args, dynamic):
    """Exports a module in evaluation and saves it as name.pt2."""
    torch.manual_seed(0)
    with torch.no_grad():
        program = torch.export.export(module.eval(), args, dynamic_shapes=dynamic, strict=False)
    path = HERE / f"{name}.pt2"
    torch.export.save(program, path)
    clean(path)


def clean(path):
    """Leaves out the pickled example, and of the files of this machine all but their names."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in entries.items():
            if "/data/sample_inputs/" in name or "/.data/" in name:
                continue
            if name.endswith(".json"):
                text = re.sub(rb'(File \\")[^"\\]*/', rb"\1", data)
                data = json.dumps(json.loads(text), separators=(",", ":")).encode()
            archive.writestr(zipfile.ZipInfo(name), data)


torch.manual_seed(0)
write(
    "encoder_layer",
    torch.nn.TransformerEncoderLayer(32, 4, 64, batch_first=True),
    (torch.randn(3, 5, 32),),
    ({0: DYNAMIC, 1: DYNAMIC},),
)
