"""Writes the archives beside this file. Run with torch 2.15.0."""

import json
import pathlib
import re
import zipfile

import torch

HERE = pathlib.Path(__file__).parent
DYNAMIC = torch.export.Dim.DYNAMIC


def write(name, module, args, dynamic, named=None):
    """Exports a module in evaluation and saves it as name.pt2."""
    torch.manual_seed(0)
    with torch.no_grad():
        program = torch.export.export(module.eval(), args, named, dynamic_shapes=dynamic, strict=False)
    path = HERE / f"{name}.pt2"
    torch.export.save(program, path)
    clean(path)


def without_unread(record):
    """A record of a tensor or size without what says nothing of its elements."""
    for key in ["hint", "requires_grad", "layout", "is_hop_single_tensor_return"]:
        record.pop(key, None)
    # Tensors on meta have no elements, by which two of them could be one.
    if "device" in record and record["device"].get("type") != "meta":
        del record["device"]
    return record


def clean(path):
    """Leaves out the pickled example, of a trace all but the last frame, and of its file all but the name."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in entries.items():
            if "/data/sample_inputs/" in name or "/.data/" in name:
                continue
            if name.endswith(".json"):
                text = re.sub(rb'(File \\")[^"\\]*/', rb"\1", data)
                record = json.loads(text, object_hook=without_unread)
                for node in record.get("graph_module", {}).get("graph", {}).get("nodes", []):
                    if "stack_trace" in node["metadata"]:
                        last = node["metadata"]["stack_trace"].rstrip().split('File "')[-1]
                        node["metadata"]["stack_trace"] = '  File "' + last
                data = json.dumps(record, separators=(",", ":")).encode()
            archive.writestr(zipfile.ZipInfo(name), data)


class Tied(torch.nn.Module):
    """Two maps of one shape, and a table that is the head as well."""

    def __init__(self):
        super().__init__()
        self.table, self.head = torch.nn.Embedding(10, 8), torch.nn.Linear(8, 10, bias=False)
        self.first, self.second = torch.nn.Linear(8, 8), torch.nn.Linear(8, 8)
        self.head.weight = self.table.weight

    def forward(self, tokens):
        return self.head(self.second(self.first(self.table(tokens))))


class Typed(torch.nn.Module):
    """Maps and norms of several types."""

    def __init__(self, first, norm, last):
        super().__init__()
        self.first, self.norm = torch.nn.Linear(16, 8, dtype=first), torch.nn.LayerNorm(8, dtype=norm)
        self.last = torch.nn.Linear(8, 3, bias=False, dtype=last)

    def forward(self, x):
        y = self.norm(self.first(x).to(self.norm.weight.dtype))
        return self.last(y.to(self.last.weight.dtype))


if __name__ == "__main__":
    torch.manual_seed(0)
    write(
        "encoder_layer",
        torch.nn.TransformerEncoderLayer(32, 4, 64, batch_first=True),
        (torch.randn(3, 5, 32),),
        ({0: DYNAMIC, 1: DYNAMIC},),
    )
    for device in ["cpu", "meta"]:
        with torch.device(device):
            write(f"tied_on_{device}", Tied(), (torch.zeros(2, 3, dtype=torch.long),), None)
    half, single, double = torch.bfloat16, torch.float32, torch.float64
    for name, types in ("halves", [half] * 3), ("doubles", [double] * 3), ("types", [torch.float16, single, double]):
        write(name, Typed(*types), (torch.zeros(2, 16, dtype=types[0]),), ({0: DYNAMIC},))
