"""Writes operations.json: operations that no layer records, computed by PyTorch in double precision.

    python -m venv env && env/bin/pip install -r requirements.txt && env/bin/python operations.py

A case names the operation as Opledger does, with its constants and sizes, and holds the operands and
the expected result, each as its shape and its numbers. Operands are numbers of single precision, so that
every implementation starts from the same values.
"""

import json
import pathlib

import torch
import torch.nn.functional as F

GENERATOR = torch.Generator().manual_seed(7)


def uniform(*shape, low=-3.0, high=3.0):
    return (torch.rand(shape, generator=GENERATOR) * (high - low) + low).float().double()


def written(tensor):
    return {"shape": list(tensor.shape), "data": tensor.double().flatten().tolist()}


def case(op, operands, expected, **attributes):
    operands = [written(operand) for operand in operands]
    return {"op": op, **attributes, "operands": operands, "expected": written(expected)}


def pointwise():
    edges = torch.tensor([0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.5, -3.5, 6.0, -4.0]).double()
    any_number = torch.cat([edges, uniform(30)])
    positive = uniform(20, low=0.1, high=5.0)
    above = {"log": torch.log, "log2": torch.log2, "log10": torch.log10, "log1p": torch.log1p,
             "sqrt": torch.sqrt, "rsqrt": torch.rsqrt, "reciprocal": torch.reciprocal}
    anywhere = {"neg": torch.neg, "abs": torch.abs, "exp": torch.exp, "exp2": torch.exp2,
                "expm1": torch.expm1, "sin": torch.sin, "cos": torch.cos, "tan": torch.tan,
                "erf": torch.erf, "selu": F.selu, "hard_sigmoid": F.hardsigmoid,
                "hard_swish": F.hardswish, "mish": F.mish, "log_sigmoid": F.logsigmoid,
                "softsign": F.softsign, "floor": torch.floor, "ceil": torch.ceil,
                "round": torch.round, "sign": torch.sign}
    with_constant = {"shift": lambda x, c: x + c, "leaky_relu": F.leaky_relu, "elu": F.elu,
                     "celu": F.celu}
    for functions, x in [(above, positive), (anywhere, any_number)]:
        for name, function in functions.items():
            yield case(name, [x], function(x))
    for name, function in with_constant.items():
        for constant in [0.1, 1.7]:
            yield case(name, [any_number], function(any_number, constant), constant=constant)
    for power in [0.0, 1.0, 2.0, 3.0, 7.0]:
        yield case("power", [any_number], any_number.pow(power), constant=power)
    for power in [-2.0, 0.5, -0.5, 1.5, -0.3]:
        yield case("power", [positive], positive.pow(power), constant=power)
    for least, greatest in [(-0.5, None), (None, 0.75), (-0.5, 0.75), (0.75, -0.5)]:
        expected = any_number.clamp(least, greatest)
        yield case("clamp", [any_number], expected, min=least, max=greatest)


def arithmetic():
    a, b = uniform(4, 5), uniform(5)
    base = torch.tensor([[2.0, -2.0, -2.0, 0.0, 1.5], [0.5, -3.0, -1.5, 4.0, -1.0]]).double()
    exponent = torch.tensor([0.3, 2.0, -3.0, 2.0, 0.0]).double()
    yield case("sub", [a, b], a - b)
    yield case("max", [a, b], torch.maximum(a, b))
    yield case("min", [a, b], torch.minimum(a, b))
    yield case("pow", [base, exponent], base.pow(exponent))


def convolutions():
    functions = [F.conv1d, F.conv2d, F.conv3d]
    for input, out, kernel, stride, padding, dilation, groups in [
        ((2, 3, 11), 5, (4,), (2,), (1,), (1,), 1),
        ((2, 4, 9, 7), 6, (3, 2), (1, 1), (1, 0), (1, 1), 1),
        ((1, 4, 9, 12), 6, (3, 3), (2, 1), (2, 3), (2, 1), 2),
        ((2, 5, 8, 8), 5, (3, 3), (1, 1), (1, 1), (1, 1), 5),
        ((1, 6, 10, 10), 12, (2, 4), (3, 2), (0, 2), (1, 2), 6),
        ((1, 2, 5, 6, 7), 9, (2, 3, 3), (1, 2, 1), (1, 0, 1), (1, 1, 2), 1),
    ]:
        x, weight = uniform(*input), uniform(out, input[1] // groups, *kernel)
        expected = functions[len(kernel) - 1](x, weight, None, stride, padding, dilation, groups)
        yield case("convolution", [x, weight], expected, strides=stride, padding=padding,
                   dilations=dilation, groups=groups)


def pools():
    maxima, means = [F.max_pool1d, F.max_pool2d, F.max_pool3d], [F.avg_pool1d, F.avg_pool2d, F.avg_pool3d]
    for input, window, stride, padding, partial in [
        ((2, 3, 11), (4,), (2,), (2,), False),
        ((2, 3, 11), (4,), (3,), (1,), True),
        ((2, 2, 9, 8), (3, 2), (2, 3), (1, 1), False),
        ((1, 2, 9, 8), (3, 4), (3, 3), (1, 2), True),
        ((1, 2, 5, 6, 7), (2, 3, 2), (2, 2, 2), (1, 0, 1), False),
        ((1, 2, 5, 6, 7), (2, 2, 3), (2, 3, 2), (0, 1, 1), True),
    ]:
        x, axes = uniform(*input), len(window) - 1
        common = {"window": window, "strides": stride, "padding": padding, "partial": partial}
        expected = maxima[axes](x, window, stride, padding, ceil_mode=partial)
        yield case("max_pool", [x], expected, dilations=[1] * len(window), **common)
        for counted in [False, True]:
            expected = means[axes](x, window, stride, padding, partial, counted)
            yield case("mean_pool", [x], expected, dilations=[1] * len(window), counted=counted, **common)
    x = uniform(2, 2, 9, 12)
    expected = F.max_pool2d(x, (2, 3), (1, 2), (1, 1), (2, 3))
    yield case("max_pool", [x], expected, window=(2, 3), strides=(1, 2), padding=(1, 1),
               partial=False, dilations=(2, 3))


if __name__ == "__main__":
    cases = [*pointwise(), *arithmetic(), *convolutions(), *pools()]
    lines = ",\n".join(json.dumps(case) for case in cases)
    pathlib.Path(__file__).with_name("operations.json").write_text(f"[\n{lines}\n]\n")
