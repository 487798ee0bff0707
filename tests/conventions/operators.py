"""Writes operators.json: which operators tools that watch calls met and counted nothing for.

Run in the environment of observe.py. Each tool meets each operator in a module that calls nothing else, every tool in
a process of its own; what it counts for products, which it must see, is written beside.
"""

import json
import pathlib
import sys

import torch
from torch import nn
from torch.nn import functional as F

from observe import isolated
from tools import TOOLS

OUT = pathlib.Path(__file__).parent / "operators.json"
WATCH_CALLS = ["torch-flop-counter", "torch-flop-counter-training", "fvcore", "ptflops", "ptflops-aten", "calflops",
               "deepspeed"]
#: Tools whose conventions have rules for modules beside those for calls.
MODULE_RULES = ["ptflops"]
WATCH_MODULES = ["thop", "ultralytics-thop", "ptflops", "torchinfo", "calflops", "deepspeed"]

VALUES = {
    "x": torch.rand(2, 3, 4, 4) + 0.5,
    "y": torch.rand(2, 3, 4, 4) + 0.5,
    "v": torch.rand(4),
    "i": torch.arange(24).reshape(2, 3, 4) % 3,
    "t": torch.rand(2, 3, 4, 4) > 0.5,
}

unary = ["abs", "cos", "erf", "exp", "floor", "log", "neg", "reciprocal", "rsqrt", "sigmoid", "sign", "sin", "sqrt",
         "square", "tanh", "relu", "ceil", "round", "trunc", "log2", "log1p", "expm1", "isnan", "isinf", "tan", "atan",
         "sinh", "cosh", "erfc", "sgn", "selu", "argmax", "argsort", "sort", "asinh", "acosh", "atanh", "sinc",
         "deg2rad", "rad2deg", "positive", "absolute", "acos", "arccos", "asin", "arcsin", "arctan", "angle",
         "nanmedian"]
binary = ["add", "sub", "mul", "div", "maximum", "minimum", "eq", "ne", "lt", "le", "gt", "ge", "pow", "remainder",
          "floor_divide", "rsub", "atan2", "arctan2", "logaddexp", "fmod", "hypot", "ldexp"]
truth = ["logical_and", "logical_or", "logical_xor", "bitwise_and", "bitwise_or"]
functions = ["elu", "gelu", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "mish", "relu6", "silu", "softplus",
             "dropout", "celu", "softsign", "logsigmoid", "glu"]
reductions = ["amax", "mean", "sum", "std", "var", "cumsum", "logsumexp", "amin", "prod", "cumprod", "log_softmax"]

# Lines of Python, which look functions up when they run: tools put others in their places.
OPERATORS = {
    **{name: f"torch.{name}(x)" for name in unary},
    **{name: f"torch.{name}(x, y)" for name in binary},
    **{name: f"torch.{name}(t, t)" for name in truth},
    **{name: f"F.{name}(x)" for name in functions},
    **{name: f"torch.{name}(x, 1)" for name in reductions},
    "__and__": "t & t",
    "special_ndtr": "torch.special.ndtr(x)",
    "__or__": "t | t",
    "bitwise_not": "torch.bitwise_not(t)",
    "logical_not": "torch.logical_not(t)",
    "all": "torch.all(t, -1)",
    "any": "torch.any(t, -1)",
    "max": "torch.max(x)",
    "min": "torch.min(x)",
    "addcmul": "torch.addcmul(x, x, y)",
    "cat": "torch.cat([x, y])",
    "clamp": "torch.clamp(x, 0.6, 1.0)",
    "clamp_max": "torch.clamp_max(x, 1.0)",
    "clamp_min": "torch.clamp_min(x, 1.0)",
    "diff": "torch.diff(x)",
    "polar": "torch.polar(x, y)",
    "dot": "torch.dot(v, v)",
    "mv": "torch.mv(x[0, 0], v)",
    "embedding": "F.embedding(i, x[0, 0])",
    "gather": "torch.gather(x[0], 1, i[:1].repeat(3, 1, 1)[:, :3])",
    "gelu_tanh": "F.gelu(x, approximate='tanh')",
    "index": "x[0, 0][i]",
    "index_select": "torch.index_select(x, 2, i[0, 0])",
    "lerp": "torch.lerp(x, y, 0.5)",
    "linalg_vector_norm": "torch.linalg.vector_norm(x)",
    "norm": "torch.norm(x)",
    "masked_fill": "torch.masked_fill(x, t, 0.0)",
    "softmax": "F.softmax(x, -1)",
    "topk": "torch.topk(x, 2)",
    "where": "torch.where(t, x, y)",
    "layer_norm": "F.layer_norm(x, (4,), v, v)",
    "rms_norm": "F.rms_norm(x, (4,), v)",
    "group_norm": "F.group_norm(x, 3)",
    "batch_norm": "F.batch_norm(x, v[:3], v[:3])",
    "adaptive_avg_pool1d": "F.adaptive_avg_pool1d(x[0], 2)",
    "adaptive_avg_pool2d": "F.adaptive_avg_pool2d(x, 2)",
    "avg_pool1d": "F.avg_pool1d(x[0], 2)",
    "max_pool1d": "F.max_pool1d(x[0], 2)",
    "avg_pool2d": "F.avg_pool2d(x, 2)",
    "max_pool2d": "F.max_pool2d(x, 2)",
    "adaptive_avg_pool3d": "F.adaptive_avg_pool3d(x[None], 2)",
    "avg_pool3d": "F.avg_pool3d(x[None], 2)",
    "max_pool3d": "F.max_pool3d(x[None], 2)",
    "sdpa": "F.scaled_dot_product_attention(x, x, y)",
    "linear": "F.linear(x, x[0, 0])",
    "addmm": "torch.addmm(v, x[0, 0], y[0, 0])",
    "addmm_matrix": "torch.addmm(x[0, 0], x[0, 0], y[0, 0])",
    "matmul": "torch.matmul(x, y)",
    "matmul_vector": "torch.matmul(x, v)",
    "bmm": "torch.bmm(x[0], y[0])",
    "baddbmm": "torch.baddbmm(x[0], x[0], y[0])",
    "einsum": "torch.einsum('bhij,bhjk->bhik', x, y)",
    "conv1d": "F.conv1d(x[0], x[0])",
    "conv2d": "F.conv2d(x, y)",
    "conv3d": "F.conv3d(x[None], y[None, :, :, :2, :2])",
    "convolution_mode": "F.conv2d(x, y[..., :3, :3], padding='same')",
    "conv_transpose1d": "F.conv_transpose1d(x[0, :, :3], x[0])",
    "conv_transpose2d": "F.conv_transpose2d(x[:, :2], x)",
    "conv_transpose3d": "F.conv_transpose3d(x[None], y[:, None])",
    "upsample_nearest2d": "F.interpolate(x, scale_factor=2, mode='nearest')",
    "upsample_bilinear2d": "F.interpolate(x, scale_factor=2, mode='bilinear')",
    "scatter": "torch.scatter(x[0], 1, i[:1].repeat(3, 1, 1)[:, :3], 1.0)",
    "scatter_add": "torch.scatter_add(x[0], 1, i[:1].repeat(3, 1, 1)[:, :3], y[0])",
    "index_add": "torch.index_add(x, 2, i[0, 0], y)",
    "index_put": "torch.index_put(x, (i[0, 0] % 2,), y[0, 0, 0, 0])",
    "addcdiv": "torch.addcdiv(x, x, y)",
    "addbmm": "torch.addbmm(x[0, 0], x[0], y[0])",
    "histc": "torch.histc(x, 4, 0, 2)",
    "bucketize": "torch.bucketize(x, v.sort().values)",
    "searchsorted": "torch.searchsorted(v.sort().values, x)",
    "copy": "torch.empty_like(x).copy_(y)",
    "_weight_norm": "torch._weight_norm(x, y[:, :1, :1, :1], 0)",
    "scatter_reduce": "torch.scatter_reduce(x[0], 1, i[:1].repeat(3, 1, 1)[:, :3], y[0], 'amax')",
    "index_reduce": "torch.index_reduce(x, 2, i[0, 0], y, 'amax')",
    "index_copy": "torch.index_copy(x, 2, i[0, 0], y)",
    "index_fill": "torch.index_fill(x, 2, i[0, 0], 1.0)",
    "masked_scatter": "torch.masked_scatter(x, t, y)",
    "take": "torch.take(x, i)",
    "isfinite": "torch.isfinite(x)",
    "nan_to_num": "torch.nan_to_num(x)",
    "frac": "torch.frac(x)",
    "hardshrink": "F.hardshrink(x)",
    "softshrink": "F.softshrink(x)",
    "threshold": "F.threshold(x, 0.7, 0.0)",
    "prelu": "F.prelu(x, v[:1])",
    "log10": "torch.log10(x)",
    "exp2": "torch.exp2(x)",
    "var_mean": "torch.var_mean(x, 1)",
    "std_mean": "torch.std_mean(x, 1)",
    "aminmax": "torch.aminmax(x, dim=1)",
    "count_nonzero": "torch.count_nonzero(x)",
    "logcumsumexp": "torch.logcumsumexp(x, 1)",
    "linspace": "torch.linspace(0.0, 1.0, 4)",
    "vdot": "torch.vdot(v, v)",
    "grid_sampler": "F.grid_sample(x, y[..., :2], align_corners=False)",
    "affine_grid_generator": "F.affine_grid(x[:, 0, :2, :3], (2, 3, 4, 4), align_corners=False)",
    "upsample_bicubic2d": "F.interpolate(x, scale_factor=2, mode='bicubic')",
    "_upsample_bilinear2d_aa": "F.interpolate(x, size=(3, 3), mode='bilinear', antialias=True)",
    "_upsample_bicubic2d_aa": "F.interpolate(x, size=(3, 3), mode='bicubic', antialias=True)",
    "instance_norm": "F.instance_norm(x)",
    "cosine_similarity": "F.cosine_similarity(x, y)",
    "cdist": "torch.cdist(x, y)",
    "pairwise_distance": "F.pairwise_distance(x, y)",
    "im2col": "F.unfold(x, 2)",
    "col2im": "F.fold(x.reshape(2, 12, 4), 3, 2)",
    "_upsample_nearest_exact1d": "F.interpolate(x[0], scale_factor=2, mode='nearest-exact')",
    "_upsample_nearest_exact2d": "F.interpolate(x, scale_factor=2, mode='nearest-exact')",
    "_upsample_nearest_exact3d": "F.interpolate(x[None], scale_factor=2, mode='nearest-exact')",
    "upsample_linear1d": "F.interpolate(x[0], scale_factor=2, mode='linear')",
    "upsample_nearest1d": "F.interpolate(x[0], scale_factor=2, mode='nearest')",
    "upsample_nearest3d": "F.interpolate(x[None], scale_factor=2, mode='nearest')",
    "upsample_trilinear3d": "F.interpolate(x[None], scale_factor=2, mode='trilinear')",
    "adaptive_max_pool1d": "F.adaptive_max_pool1d(x[0], 2)",
    "adaptive_max_pool2d": "F.adaptive_max_pool2d(x, 2)",
    "adaptive_max_pool3d": "F.adaptive_max_pool3d(x[None], 2)",
    "argmin": "torch.argmin(x)",
    "bincount": "torch.bincount(i.flatten())",
    "bitwise_xor": "torch.bitwise_xor(t, t)",
    "channel_shuffle": "F.channel_shuffle(x[:, :2], 2)",
    "clip": "torch.clip(x, 0.6, 1.0)",
    "embedding_bag": "F.embedding_bag(i[0], x[0, 0])",
    "eye": "x + torch.eye(4)",
    "fix": "torch.fix(x)",
    "fliplr": "torch.fliplr(x)",
    "flipud": "torch.flipud(x)",
    "log_sigmoid": "F.logsigmoid(x)",
    "masked_select": "torch.masked_select(x, t)",
    "nonzero": "torch.nonzero(t)",
    "one_hot": "F.one_hot(i, 3)",
    "outer": "torch.outer(v, v)",
    "ger": "torch.ger(v, v)",
    "pixel_shuffle": "F.pixel_shuffle(x.reshape(2, 12, 2, 2), 2)",
    "pixel_unshuffle": "F.pixel_unshuffle(x, 2)",
    "reflection_pad1d": "F.pad(x[0], (1, 1), mode='reflect')",
    "reflection_pad2d": "F.pad(x, (1, 1, 1, 1), mode='reflect')",
    "reflection_pad3d": "F.pad(x[None], (1, 1, 1, 1, 1, 1), mode='reflect')",
    "replication_pad1d": "F.pad(x[0], (1, 1), mode='replicate')",
    "replication_pad2d": "F.pad(x, (1, 1, 1, 1), mode='replicate')",
    "replication_pad3d": "F.pad(x[None], (1, 1, 1, 1, 1, 1), mode='replicate')",
    "rrelu": "F.rrelu(x)",
    "select_scatter": "torch.select_scatter(x, y[:, 0], 1, 0)",
    "slice_scatter": "torch.slice_scatter(x, y[:, :1], 1, 0, 1)",
    "take_along_dim": "torch.take_along_dim(x[0], i[:1].repeat(3, 1, 1)[:, :3], 1)",
    "unique": "torch.unique(i)",
    "lstm": "lstm(x[0])",
    "gru": "gru(x[0])",
    "lstm_projected": "lstm_projected(x[0])",
    "rnn_tanh": "rnn(x[0])",
    "rnn_relu": "rnn_relu(x[0])",
    "bilinear": "F.bilinear(x, y, torch.ones(5, 4, 4))",
    "tensordot": "torch.tensordot(x[0, 0], y[0, 0], 1)",
    "inner": "torch.inner(x[0, 0], y[0, 0])",
    "gru_cell": "gru_cell(x[0, 0])",
    "lstm_cell": "lstm_cell(x[0, 0])",
    "rnn_tanh_cell": "rnn_cell(x[0, 0])",
    "rnn_relu_cell": "rnn_relu_cell(x[0, 0])",
    **{name: f"F.{name}(x, y)" for name in ["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "kl_div"]},
    "binary_cross_entropy": "F.binary_cross_entropy(torch.sigmoid(x), y - 0.5)",
    "binary_cross_entropy_with_logits": "F.binary_cross_entropy_with_logits(x, y)",
    "cross_entropy_loss": "F.cross_entropy(x, i.repeat(1, 2, 1)[:, :4] % 3)",
    "nll_loss_nd": "F.nll_loss(x, i.repeat(1, 2, 1)[:, :4] % 3)",
    "xlogy": "torch.xlogy(x, y)",
    "broadcast_tensors": "torch.broadcast_tensors(x, v)[1] + x",
    "cartesian_prod": "torch.cartesian_prod(v, v)",
    "cummax": "torch.cummax(x, 1)",
    "cummin": "torch.cummin(x, 1)",
    "msort": "torch.msort(x)",
    "median": "torch.median(x)",
    "kthvalue": "torch.kthvalue(x, 2)",
    "fmax": "torch.fmax(x, y)",
    "fmin": "torch.fmin(x, y)",
    "logit": "torch.logit(x, 0.1)",
    "margin_ranking_loss": "F.margin_ranking_loss(v, v, v)",
    "hinge_embedding_loss": "F.hinge_embedding_loss(x, y)",
    "cosine_embedding_loss": "F.cosine_embedding_loss(x[0, 0], y[0, 0], v)",
    "triplet_margin_loss": "F.triplet_margin_loss(x, y, y + 1)",
    "soft_margin_loss": "F.soft_margin_loss(x, y)",
    "poisson_nll_loss": "F.poisson_nll_loss(x, y)",
    "multi_margin_loss": "F.multi_margin_loss(x[0, 0], i[0, 0])",
    "hstack": "torch.hstack([x, y])",
    "vstack": "torch.vstack([x, y])",
    "dstack": "torch.dstack([x, y])",
    "column_stack": "torch.column_stack([x, y])",
    "atleast_2d": "torch.atleast_2d(v)",
    "atleast_3d": "torch.atleast_3d(v)",
    "adjoint": "x.adjoint()",
    "mH": "x.mH",
    "moveaxis": "torch.moveaxis(x, 0, 1)",
    "rot90": "torch.rot90(x, 1, (2, 3))",
    "diag": "torch.diag(v)",
    "diag_embed": "torch.diag_embed(x)",
    "trace": "torch.trace(x[0, 0])",
    "kron": "torch.kron(x[0, 0], y[0, 0])",
    "cross": "torch.cross(x, y, dim=1)",
    "linalg_cross": "torch.linalg.cross(x, y, dim=1)",
    "linalg_vecdot": "torch.linalg.vecdot(x, y)",
    "linalg_matrix_norm": "torch.linalg.matrix_norm(x)",
    "trapezoid": "torch.trapezoid(x)",
    "nansum": "torch.nansum(x)",
    "nanmean": "torch.nanmean(x)",
    "quantile": "torch.quantile(x, 0.5)",
    "nanquantile": "torch.nanquantile(x, 0.5)",
    "put": "x.put(torch.arange(4), v)",
    "linalg_norm": "torch.linalg.norm(v)",
    "max_unpool2d": "F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2)",
    "max_unpool3d": "F.max_unpool3d(*F.max_pool3d(x[None], 2, return_indices=True), 2)",
    "special_entr": "torch.special.entr(x)",
    "special_xlog1py": "torch.special.xlog1py(x, y)",
    "float_power": "torch.float_power(x, 2)",
    "addmv": "torch.addmv(v, x[0, 0], v)",
    "addr": "torch.addr(x[0, 0], v, v)",
    "__xor__": "i ^ 1",
    "__lshift__": "i << 1",
    "__rshift__": "i >> 1",
    "max_pool1d_with_indices": "F.max_pool1d(x[0], 2, return_indices=True)[0]",
    "max_pool2d_with_indices": "F.max_pool2d(x, 2, return_indices=True)[0]",
    **{f"special_{name}": f"torch.special.{name}(x)" for name in
       ["erf", "erfc", "exp2", "expit", "expm1", "log1p", "round"]},
    "special_logit": "torch.special.logit(x, 0.1)",
    **{f"special_{name}": f"torch.special.{name}(x, 1)" for name in ["log_softmax", "logsumexp", "softmax"]},
    "tril": "torch.tril(x)",
    "triu": "torch.triu(x)",
}

#: Recurrent layers, which operators are called of as functions.
RECURRENT = {
    "lstm": nn.LSTM(4, 5).requires_grad_(False),
    "gru": nn.GRU(4, 5).requires_grad_(False),
    "rnn": nn.RNN(4, 5).requires_grad_(False),
    "rnn_relu": nn.RNN(4, 5, nonlinearity="relu").requires_grad_(False),
    "lstm_projected": nn.LSTM(4, 5, proj_size=2).requires_grad_(False),
    "gru_cell": nn.GRUCell(4, 5).requires_grad_(False),
    "lstm_cell": nn.LSTMCell(4, 5).requires_grad_(False),
    "rnn_cell": nn.RNNCell(4, 5).requires_grad_(False),
    "rnn_relu_cell": nn.RNNCell(4, 5, nonlinearity="relu").requires_grad_(False),
}

# The figure of each tool.
FIGURE = {"torch-flop-counter": "total", "torch-flop-counter-training": "total", "fvcore": "total", "ptflops": "macs",
          "ptflops-aten": "macs", "thop": "macs", "ultralytics-thop": "macs", "torchinfo": "mult_adds",
          "calflops": "flops", "deepspeed": "flops"}


class Operator(nn.Module):
    """One operator, and a parameter that nothing reads: some tools want one."""

    def __init__(self, line):
        super().__init__()
        self.line = line
        self.unread = nn.Parameter(torch.zeros(1))

    def forward(self, x, y, v, i, t):
        return eval(self.line, RECURRENT | {"torch": torch, "F": F, "x": x, "y": y, "v": v, "i": i, "t": t})


#: The operators of cells, and the modules that make them.
CELLS = {"lstm": "LSTM", "lstm_projected": "LSTM", "gru": "GRU", "rnn_tanh": "RNN", "rnn_relu": "RNN",
         "lstm_cell": "LSTMCell", "gru_cell": "GRUCell", "rnn_tanh_cell": "RNNCell", "rnn_relu_cell": "RNNCell"}



class Both(nn.Module):
    """A module of two operands, given one twice."""

    def __init__(self, own):
        super().__init__()
        self.own = own

    def forward(self, x):
        return self.own(x, x)


#: Modules of torch.nn, and which of VALUES each is given.
MODULES = {
    "Conv1d": (nn.Conv1d(4, 6, 3), lambda x: x[0]),
    "Conv3d": (nn.Conv3d(2, 4, 2), lambda x: x[None]),
    "BatchNorm1d": (nn.BatchNorm1d(4), lambda x: x[0]),
    "BatchNorm2d": (nn.BatchNorm2d(3), lambda x: x),
    "BatchNorm3d": (nn.BatchNorm3d(2), lambda x: x[None]),
    **{f"{kind}Pool1d": (getattr(nn, f"{kind}Pool1d")(2), lambda x: x[0]) for kind in ("Max", "Avg", "AdaptiveAvg")},
    **{f"{kind}Pool2d": (getattr(nn, f"{kind}Pool2d")(2), lambda x: x) for kind in ("Max", "Avg", "AdaptiveAvg")},
    **{f"{kind}Pool3d": (getattr(nn, f"{kind}Pool3d")(2), lambda x: x[None]) for kind in ("Max", "Avg", "AdaptiveAvg")},
    **{kind: (getattr(nn, kind)(), lambda x: x) for kind in ("ReLU6", "ELU", "LeakyReLU")},
    **{kind: (getattr(nn, kind)(4, 5), lambda x: x[0]) for kind in ("LSTM", "GRU", "RNN")},
    **{kind: (getattr(nn, kind)(4, 5), lambda x: x[0, 0]) for kind in ("LSTMCell", "GRUCell", "RNNCell")},
    "ConvTranspose1d": (nn.ConvTranspose1d(4, 6, 3), lambda x: x[0].mT),
    "ConvTranspose2d": (nn.ConvTranspose2d(3, 6, 3), lambda x: x),
    "ConvTranspose3d": (nn.ConvTranspose3d(2, 6, 3), lambda x: x[None]),
    "InstanceNorm1d": (nn.InstanceNorm1d(3), lambda x: x[0]),
    "InstanceNorm2d": (nn.InstanceNorm2d(3), lambda x: x),
    "InstanceNorm3d": (nn.InstanceNorm3d(2), lambda x: x[None]),
    "SyncBatchNorm": (nn.SyncBatchNorm(3), lambda x: x),
    "PReLU": (nn.PReLU(), lambda x: x),
    "AdaptiveMaxPool1d": (nn.AdaptiveMaxPool1d(2), lambda x: x[0]),
    "AdaptiveMaxPool2d": (nn.AdaptiveMaxPool2d(2), lambda x: x),
    "AdaptiveMaxPool3d": (nn.AdaptiveMaxPool3d(2), lambda x: x[None]),
    "Upsample": (nn.Upsample(scale_factor=2, mode="bilinear"), lambda x: x),
    "UpsamplingBilinear2d": (nn.UpsamplingBilinear2d(scale_factor=2), lambda x: x),
    "UpsamplingNearest2d": (nn.UpsamplingNearest2d(scale_factor=2), lambda x: x),
    "PixelShuffle": (nn.PixelShuffle(2), lambda x: x.reshape(2, 12, 2, 2)),
    "ZeroPad2d": (nn.ZeroPad2d(1), lambda x: x),
    "Bilinear": (Both(nn.Bilinear(4, 4, 5)), lambda x: x),
    "LogSoftmax": (nn.LogSoftmax(1), lambda x: x),
    "Softmin": (nn.Softmin(1), lambda x: x),
    "Softmax2d": (nn.Softmax2d(), lambda x: x),
}


class Weighted(nn.Module):
    """A module of a class that no tool knows, with a parameter of a name."""

    def __init__(self, name):
        super().__init__()
        self.name = name
        setattr(self, name, nn.Parameter(torch.ones(4)))

    def forward(self, x):
        return x * getattr(self, self.name)


WEIGHTED = {"module with a weight": "weight", "module with parameters": "factor"}


def boxed(tool, module):
    """A module in another, with a parameter for a tool that wants one."""
    box = nn.Sequential(module).eval()
    if tool == "calflops":
        box.unread = nn.Parameter(torch.zeros(1))
    return box


def all_modules(tool):
    of = {kind: (Weighted(name), lambda x: x) for kind, name in WEIGHTED.items()} | MODULES
    return lambda *_: {
        kind: TOOLS[tool](boxed(tool, module), (given(VALUES["x"]),))[FIGURE[tool]]
        for kind, (module, given) in of.items()
    }


def all_operators(tool):
    def met(*_):
        said = {}
        for name, line in OPERATORS.items():
            try:
                said[name] = TOOLS[tool](Operator(line).eval(), tuple(VALUES.values()))[FIGURE[tool]]
            except Exception as error:
                said[name] = f"{type(error).__name__}: {error}".splitlines()[0][:120]
        return said

    return met


def main():
    torch.set_num_threads(1)
    record = {"torch": torch.__version__.split("+")[0], "tools": {}}
    for tool in dict.fromkeys(WATCH_CALLS + WATCH_MODULES):
        said = isolated(all_operators(tool), None, (), 1) if tool in WATCH_CALLS else {}
        classes = isolated(all_modules(tool), None, (), 1) if tool in WATCH_MODULES else {}
        # What is counted for a cell is counted by a hook of its module: the operator alone is no cell.
        said = {name: figure for name, figure in said.items() if not classes.get(CELLS.get(name)) or tool in MODULE_RULES}
        said |= classes
        print(tool, {k: v for k, v in said.items() if v}, file=sys.stderr, flush=True)
        if not any(isinstance(figure, int) for figure in said.values()):
            sys.exit(f"{tool} met nothing: is it installed?")
        record["tools"][tool] = {
            "passed": sorted(name for name, figure in said.items() if figure == 0),
            "counted": {name: figure for name, figure in said.items() if isinstance(figure, int) and figure},
            "errors": {name: figure for name, figure in said.items() if isinstance(figure, str)},
        }
    OUT.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
