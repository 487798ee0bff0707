"""Writes ONNX's own node tests beside this file: attributes as JSON, tensors as safetensors.

Run with onnx 1.23.2, numpy 2.4 and safetensors 0.8.0. A case is one node in single precision with one data
set; graphs among its attributes are written node by node. Left out are cases over 2,500 elements (of attention
1,500, and 4,000 with keys of the past; of FlexAttention 6,000), and those named in OTHER, whose operation the
graph does not have in that form.
"""

import json
import pathlib
import warnings

import numpy as np
import onnx
from onnx.backend.test.case.node import collect_testcases
from safetensors.numpy import save_file

HERE = pathlib.Path(__file__).parent
OPERATIONS = """
Abs Add ArgMax ArgMin Attention AveragePool BatchNormalization Ceil Celu Clip Concat Conv ConvTranspose Cos CumProd
CumSum Div Einsum Elu Equal Exp FlexAttention Floor Gather GatherElements GatherND Gelu Gemm GlobalAveragePool
GlobalMaxPool Greater GreaterOrEqual GroupNormalization HardSwish InstanceNormalization LayerNormalization LeakyRelu
Less LessOrEqual Log LogSoftmax MatMul Max MaxPool Min Mul Neg Pow RMSNormalization Reciprocal ReduceL1 ReduceL2
ReduceMax ReduceMean ReduceMin ReduceSum ReduceSumSquare Relu Resize RotaryEmbedding Round
ScatterElements ScatterND Selu Sigmoid Sign Sin Softmax Softplus Softsign Sqrt Sub Swish Tan Tanh TopK Transpose
Where
""".split()
# Parts of names: why such a case has no counterpart.
OTHER = {
    "_bcast": "dimensions of one that are repeated",
    "_broadcast": "the same",
    "_empty_set": "a maximum of nothing, and sums of nothing",
    "_select_last_index": "of equal ones the last",
    "same_upper": "padding that is worked out from the sizes",
    "same_lower": "the same",
    "autopad": "the same",
    "auto_pad": "the same",
    "_with_argmax": "places of the largest as a result",
    "exclusive": "sums before an element",
    "reverse": "sums from the end",
    "topk_smallest": "the smallest",
    "topk_uint64": "whole numbers",
    "_smallest": "the smallest",
    "batch_dims1": "look-ups item by item",
    "_training": "statistics of the batch",
    "_int": "whole numbers",
    "_uint": "whole numbers",
    "storage_order": "places as a result",
    "einsum_scalar": "a number by itself",
    "einsum_batch_diagonal": "a letter that stands twice in an operand",
    "output_shape": "padding that is worked out from the sizes",
    "kernel_shape": "the same",
    "test_selu_example": "constants of its own",
    "where_long": "whole numbers",
    "matmul_1d": "a vector on the left",
    "last_window_starts_on_pad": "results of four digits",
    "all_inputs_broadcast": "dimensions of one that are repeated",
    "crop_and_resize": "a region of the image",
    "exclude_outside": "weights of what lies inside alone",
    "half_pixel_symmetric": "places of its own",
    "not_larger": "sizes that keep a ratio",
    "not_smaller": "the same",
    "antialias": "weights of what lies outside too",
}


def numbers(tensor):
    """The elements of a constant; JSON has no infinity, which is written as a text."""
    return [x if np.isfinite(x) else str(x) for x in onnx.numpy_helper.to_array(tensor).flatten().tolist()]


def attribute(value):
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, (int, float)):
        return value
    if isinstance(value, onnx.GraphProto):
        return {
            "inputs": [value_info.name for value_info in value.input],
            "outputs": [value_info.name for value_info in value.output],
            "nodes": [" ".join([*node.output, "=", node.op_type, *node.input]) for node in value.node],
            "numbers": {tensor.name: numbers(tensor) for tensor in value.initializer},
        }
    if isinstance(value, (list, tuple)) and all(isinstance(v, (int, float)) for v in value):
        return list(value)
    return None


def main():
    cases, tensors = {}, {}
    for case in collect_testcases(None):
        graph = case.model.graph
        if len(graph.node) != 1 or graph.node[0].op_type not in OPERATIONS or case.name in cases:
            continue
        if any(part in case.name for part in OTHER) or case.name == "test_selu":
            continue
        node = graph.node[0]
        inputs, outputs = case.data_sets[0]
        arrays = [*inputs, *outputs]
        kinds = (np.float32, np.float64, np.int64, np.int32, np.bool_)
        if not all(isinstance(t, (np.ndarray, np.generic)) and t.dtype in kinds for t in arrays):
            continue
        if inputs[0].dtype not in (np.float32, np.float64) and node.op_type not in ("Where",):
            continue
        most = {"Attention": 4000 if any(node.input[4:6]) else 1500, "FlexAttention": 6000}.get(node.op_type, 2500)
        if sum(t.size for t in arrays) > most:
            continue
        # Inputs that are left out have no name.
        given = iter(inputs)
        for at, name in enumerate(node.input):
            if name:
                tensors[f"{case.name}.input.{at}"] = next(given)
        # Further results (means, masks, places) are told apart by the test.
        for at, output in enumerate(outputs[: 2 if node.op_type == "TopK" else 1]):
            tensors[f"{case.name}.output.{at}"] = output
        attributes = {a.name: attribute(onnx.helper.get_attribute_value(a)) for a in node.attribute}
        cases[case.name] = {"op": node.op_type, "attributes": attributes}
    def single(t):
        whole = t.dtype in (np.bool_, np.int32, np.int64)
        return np.ascontiguousarray(t.astype(np.int64 if whole else np.float32))

    tensors = {name: single(np.asarray(t)) for name, t in tensors.items()}
    save_file(tensors, HERE / "node.safetensors")
    text = json.dumps({"onnx": onnx.__version__, "cases": cases}, indent=0, sort_keys=True)
    (HERE / "node.json").write_text(text.replace("\n0", "0") + "\n")


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
