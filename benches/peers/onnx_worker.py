"""The worker of onnxruntime: all graph optimisations, inputs and outputs bound once."""

import os

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

import data
import onnx_layers
from serve import serve

MICROSOFT = "com.microsoft"


def session(model):
    options = ort.SessionOptions()
    options.intra_op_num_threads = int(os.environ["OMP_NUM_THREADS"])
    options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    model = model if isinstance(model, (str, bytes)) else model.SerializeToString()
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def bound(model, feeds, output, shape, shared=()):
    """A run with everything bound; `shared` outputs lie in the memory of the input of a name."""
    ready = session(model)
    binding = ready.io_binding()
    values = {name: ort.OrtValue.ortvalue_from_numpy(v) for name, v in feeds.items()}
    for name, value in values.items():
        binding.bind_ortvalue_input(name, value)
    result = ort.OrtValue.ortvalue_from_shape_and_type(shape, np.float32)
    binding.bind_ortvalue_output(output, result)
    for name, source in shared:
        binding.bind_ortvalue_output(name, values[source])

    def run():
        ready.run_with_iobinding(binding)
        return result

    return run


def single(op, inputs, output, attributes, others=()):
    """A model of one operator of com.microsoft."""
    node = helper.make_node(
        op, list(inputs), [output, *(name for name, _ in others)], domain=MICROSOFT, **attributes
    )
    ins = [
        helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items() if name
    ]
    outs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)]
    outs += [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name, _ in others]
    return onnx_layers.model(helper.make_graph([node], op, ins, outs))


def attention(spec):
    q, k, v = data.attention(spec)
    if spec["queries"] == 1 and spec["keys"] > 1:
        return decode(spec, q, k, v)
    shape = q.shape
    # The operator takes [batch, tokens, heads·width].
    feeds = {n: x.reshape(x.shape[0], x.shape[1], -1) for n, x in zip("qkv", (q, k, v))}
    inputs = {n: (TensorProto.FLOAT, x.shape) for n, x in feeds.items()}
    attributes = {"num_heads": spec["heads"]}
    if spec["causal"]:
        attributes["unidirectional"] = 1
    model = single("MultiHeadAttention", inputs, "y", attributes)
    run = bound(model, feeds, "y", feeds["q"].shape)
    return run, lambda y: y.numpy().reshape(shape)


def decode(spec, q, k, v):
    """GroupQueryAttention over a cache shared by past and present; the new token is its last one."""
    batch, keys, heads, kv, width = (spec[n] for n in ("batch", "keys", "heads", "kv_heads", "width"))
    past = {n: np.ascontiguousarray(x.transpose(0, 2, 1, 3)) for n, x in (("pk", k), ("pv", v))}
    feeds = {
        "q": q.reshape(batch, 1, heads * width),
        "k": np.ascontiguousarray(k[:, -1:]).reshape(batch, 1, kv * width),
        "v": np.ascontiguousarray(v[:, -1:]).reshape(batch, 1, kv * width),
        **past,
        "last": np.full(batch, keys - 1, dtype=np.int32),
        "total": np.array(keys, dtype=np.int32),
    }
    kinds = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.int32): TensorProto.INT32}
    inputs = {n: (kinds[x.dtype], x.shape) for n, x in feeds.items()}
    attributes = {"num_heads": heads, "kv_num_heads": kv}
    others = [("present_k", "pk"), ("present_v", "pv")]
    model = single("GroupQueryAttention", inputs, "y", attributes, others)
    run = bound(model, feeds, "y", (batch, 1, heads * width), others)
    return run, lambda y: y.numpy().reshape(q.shape)


def layer(spec):
    x, values = data.layer(spec)
    model = {
        "fused": onnx_layers.fused,
        "exported": onnx_layers.exported,
        "optimised": onnx_layers.optimised,
    }[spec["variant"]](spec, values)
    run = bound(model, {"x": x}, "y", x.shape)
    return run, lambda y: y.numpy()


def encoder(spec):
    forms = {
        "fused": onnx_layers.fused_encoder,
        "exported": onnx_layers.exported_encoder,
        "optimised": onnx_layers.optimised_encoder,
    }
    model = forms[spec["variant"]](spec)
    run = bound(model, {"input_ids": data.ids(spec)}, "y", (spec["batch"], spec["tokens"], spec["width"]))
    return run, lambda y: y.numpy()


def gemm(spec):
    a, w = data.gemm(spec)
    node = helper.make_node("Gemm", ["a", "w"], ["y"], transB=1)
    ins = [helper.make_tensor_value_info("a", TensorProto.FLOAT, a.shape)]
    outs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    weight = numpy_helper.from_array(w, "w")
    model = onnx_layers.model(helper.make_graph([node], "gemm", ins, outs, [weight]))
    run = bound(model, {"a": a}, "y", (spec["m"], spec["n"]))
    return run, lambda y: y.numpy()


KINDS = {"attention": attention, "layer": layer, "gemm": gemm, "encoder": encoder}

if __name__ == "__main__":
    ort.set_default_logger_severity(3)
    serve(lambda spec: KINDS[spec["kind"]](spec))
