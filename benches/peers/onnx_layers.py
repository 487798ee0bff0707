"""Layers as ONNX models: of the fused operators of com.microsoft, exported from PyTorch, and exported
and rewritten by the optimiser for Transformers that comes with onnxruntime."""

import os
import tempfile
import warnings

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def model(graph):
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def fused(spec, values):
    """Attention with packed weights, MatMul and Add; of an encoder layer also SkipLayerNormalization
    and BiasGelu."""
    width = spec["width"]
    encoder = spec["layer"] == "encoder-layer"
    inside = "self_attn." if encoder else ""
    nodes, constants = [], []

    def constant(name, transposed=False):
        value = values[name]
        constants.append(numpy_helper.from_array(np.ascontiguousarray(value.T if transposed else value), name))
        return name

    def node(op, inputs, output, domain="", **attributes):
        nodes.append(helper.make_node(op, inputs, [output], domain=domain, **attributes))
        return output

    def product(x, name, output):
        return node("MatMul", [x, constant(f"{name}.weight", transposed=True)], output)

    def linear(x, name, output):
        return node("Add", [product(x, name, f"{output}_product"), constant(f"{name}.bias")], output)

    def norm(x, skip, name, output):
        gain, bias = constant(f"{name}.weight"), constant(f"{name}.bias")
        return node(
            "SkipLayerNormalization", [x, skip, gain, bias], output, "com.microsoft", epsilon=1e-5
        )

    packed = [constant(f"{inside}in_proj_weight", transposed=True), constant(f"{inside}in_proj_bias")]
    heads = node("Attention", ["x", *packed], "heads", "com.microsoft", num_heads=spec["heads"])
    if encoder:
        attended = linear(heads, "self_attn.out_proj", "attended")
        x = norm(attended, "x", "norm1", "x1")
        hidden = product(x, "linear1", "hidden_product")
        hidden = node("BiasGelu", [hidden, constant("linear1.bias")], "hidden", "com.microsoft")
        norm(linear(hidden, "linear2", "fed"), x, "norm2", "y")
    else:
        linear(heads, "out_proj", "y")
    shape = [spec["batch"], spec["tokens"], width]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy"]
    return model(helper.make_graph(nodes, "layer", ends[:1], ends[1:], constants))


def exported(spec, values):
    """The graph that torch.onnx.export records of PyTorch's module."""
    import torch

    import torch_worker

    del values
    block, x = torch_worker.module(spec)

    class Layer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.block = block

        def forward(self, x):
            if spec["layer"] == "mha":
                return self.block(x, x, x, need_weights=False)[0]
            return self.block(x)

    torch.backends.mha.set_fastpath_enabled(False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            Layer().eval(), (x,), input_names=["x"], output_names=["y"], opset_version=18, dynamo=True, verbose=False
        )
    return program.model_proto


def optimised(spec, values):
    """The exported graph after onnxruntime.transformers.optimizer."""
    return rewritten(exported(spec, values), spec)


def exported_encoder(spec):
    """The graph that torch.onnx.export records of an encoder of sentences."""
    import encoder

    return onnx.load(encoder.exported(spec))


def optimised_encoder(spec):
    """The same after onnxruntime.transformers.optimizer."""
    return rewritten(exported_encoder(spec), spec)


def fused_encoder(spec):
    """The encoder of operators of com.microsoft, which the optimiser does not find in the export."""
    import encoder

    values = {name: v.detach().numpy() for name, v in encoder.module().state_dict().items()}
    nodes, constants = [], []

    def constant(name, value):
        constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(op, inputs, output, domain="com.microsoft", **attributes):
        nodes.append(helper.make_node(op, inputs, [output], domain=domain, **attributes))
        return output

    def product(x, name, output):
        return node("MatMul", [x, constant(f"{name}.weight", values[f"{name}.weight"].T)], output, "")

    def linear(x, name, output):
        return node("Add", [product(x, name, f"{output}_product"), bias(name)], output, "")

    def bias(name):
        return constant(f"{name}.bias", values[f"{name}.bias"])

    def norm(x, skip, name, output):
        gain = constant(f"{name}.weight", values[f"{name}.weight"])
        return node("SkipLayerNormalization", [x, skip, gain, bias(name)], output, epsilon=1e-12)

    word = constant("word", values["embeddings.word_embeddings.weight"])
    rows = values["embeddings.position_embeddings.weight"][: spec["tokens"]]
    place = constant("place", np.tile(rows + values["embeddings.token_type_embeddings.weight"][0], (spec["batch"], 1, 1)))
    x = norm(node("Gather", [word, "input_ids"], "words", ""), place, "embeddings.LayerNorm", "x0")
    for at in range(6):
        layer = f"encoder.layer.{at}"
        three = [f"{layer}.attention.self.{n}" for n in ("query", "key", "value")]
        weight = constant(f"{layer}.qkv", np.concatenate([values[f"{n}.weight"].T for n in three], 1))
        shift = constant(f"{layer}.qkv_bias", np.concatenate([values[f"{n}.bias"] for n in three]))
        heads = node("Attention", [x, weight, shift], f"heads{at}", num_heads=spec["heads"])
        attended = linear(heads, f"{layer}.attention.output.dense", f"attended{at}")
        x = norm(attended, x, f"{layer}.attention.output.LayerNorm", f"middle{at}")
        hidden = product(x, f"{layer}.intermediate.dense", f"hidden_product{at}")
        hidden = node("BiasGelu", [hidden, bias(f"{layer}.intermediate.dense")], f"hidden{at}")
        fed = linear(hidden, f"{layer}.output.dense", f"fed{at}")
        x = norm(fed, x, f"{layer}.output.LayerNorm", "y" if at == 5 else f"x{at + 1}")
    sizes = [spec["batch"], spec["tokens"]]
    ins = [helper.make_tensor_value_info("input_ids", TensorProto.INT64, sizes)]
    outs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [*sizes, spec["width"]])]
    return model(helper.make_graph(nodes, "encoder", ins, outs, constants))


def rewritten(exported, spec):
    from onnxruntime.transformers import optimizer

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "layer.onnx")
        onnx.save(exported, path)
        return optimizer.optimize_model(
            path, model_type="bert", num_heads=spec["heads"], hidden_size=spec["width"], opt_level=0
        ).model
