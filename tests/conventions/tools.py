"""What each tool says of a module: a function per tool, from module and arguments to a record of numbers."""

import collections
import io
import os
import sys

import torch
from torch import nn


class Parent(nn.Module):
    """A module with one child, called by keywords: ptflops averages over the items of a first positional argument."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, **named):
        return self.inner(*named.values())


def whole(number):
    """A count as an integer, or as it is where it is none."""
    return int(number) if number == int(number) else number


def sums(pairs):
    """The sum for each name, without what is nought."""
    by = collections.Counter()
    for name, number in pairs:
        by[name] += whole(number)
    return {name: number for name, number in sorted(by.items()) if number}


def flop_counter(module, args, backward=False):
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with counter:
        result = module(*args)
        if backward:
            sum(t.sum() for t in (result if isinstance(result, tuple) else [result])).backward()
    by = counter.get_flop_counts().get("Global", {})
    return {"total": counter.get_total_flops(), "by": {str(op): n for op, n in by.items()}}


def torch_evaluation(module, args):
    with torch.no_grad():
        return flop_counter(module.eval(), args)


def torch_training(module, args):
    return flop_counter(module.train(), args)


def torch_backward(module, args):
    return flop_counter(module.train(), args, backward=True)


def fvcore(module, args):
    from fvcore.nn import FlopCountAnalysis

    analysis = FlopCountAnalysis(module.eval(), tuple(args))
    return {
        "total": whole(analysis.total()),
        "by": {op: whole(n) for op, n in analysis.by_operator().items()},
        "unsupported": dict(analysis.unsupported_ops()),
    }


def thop(module, args):
    import thop

    macs, params, layers = thop.profile(module, tuple(args), verbose=False, ret_layer_info=True)
    kinds = {name: type(m).__name__ for name, m in module.named_modules()}

    def own(layers, path):
        for name, (total, _, below) in layers.items():
            yield kinds[".".join(path + [name])], total - sum(part for part, _, _ in below.values())
            yield from own(below, path + [name])

    return {"macs": whole(macs), "params": whole(params), "by": sums(own(layers, []))}


def ultralytics_thop(module, args):
    sys.path.insert(0, os.environ["ULTRALYTICS_THOP"])
    return thop(module, args)


def ptflops_pytorch(module, args):
    import ptflops
    from ptflops import pytorch_engine as engine

    calls, modules = [], []
    wrapper = engine.torch_function_wrapper

    def call(self, *args, **named):
        result = wrapper_call(self, *args, **named)
        calls.append((getattr(self.op, "__name__", str(self.op)), self.collector[-1]))
        return result

    wrapper_call, wrapper.__call__ = wrapper.__call__, call
    engine.print_model_with_flops = lambda model, *_, **__: modules.extend(
        (type(m).__name__, m.__flops__) for m in model.modules() if hasattr(m, "__flops__")
    )
    macs, params = complexity(ptflops, module, args, "pytorch", True)
    return {"macs": macs, "params": params, "by_module": sums(modules), "by_call": sums(calls)}


def ptflops_aten(module, args):
    import ptflops
    from ptflops import aten_engine as engine

    by, leave = {}, engine.FlopCounterMode.__exit__

    def exit(self, *rest):
        by.update({str(op): n for op, n in self.flop_counts["Global"].items()})
        return leave(self, *rest)

    engine.FlopCounterMode.__exit__ = exit
    macs, params = complexity(ptflops, module, args, "aten", False)
    return {"macs": macs, "params": params, "by": by}


def complexity(ptflops, module, args, backend, per_layer):
    macs, params = ptflops.get_model_complexity_info(
        Parent(module), (1,), as_strings=False, print_per_layer_stat=per_layer, backend=backend,
        input_constructor=lambda _: {f"x{i}": a for i, a in enumerate(args)},
    )
    if macs is None:
        raise RuntimeError("ptflops ended with an exception that it caught")
    return macs, params


class Calls(list):
    """A stack of lists of (function, number), one list per module at work, that keeps what is taken from it."""

    def __init__(self):
        super().__init__()
        self.kept = []

    def pop(self):
        top = super().pop()
        self.kept += top
        return top


def calls_of(pipeline, profile):
    """The result of `profile`, and its FLOPs and MACs by function."""
    pipeline.module_flop_count, pipeline.module_mac_count = flops, macs = Calls(), Calls()
    total = profile()
    by, macs_by = (sums((name.__self__.__name__, n) for name, n in calls.kept) for calls in (flops, macs))
    return {
        "flops": whole(total[0]), "macs": whole(total[1]), "params": total[2], "by": by, "macs_by": macs_by,
    }


def calflops(module, args):
    from calflops import calculate_flops, calculate_pipline

    return calls_of(calculate_pipline, lambda: calculate_flops(
        module, args=list(args), print_results=False, output_as_string=False))


def deepspeed(module, args):
    from deepspeed.profiling.flops_profiler import profiler

    return calls_of(profiler, lambda: profiler.get_model_profile(
        module, args=list(args), print_profile=False, as_string=False))


def torchinfo(module, args):
    import torchinfo

    stats = torchinfo.summary(module, input_data=list(args), mode="eval", verbose=0)
    leaves = [layer for layer in stats.summary_list if layer.is_leaf_layer]
    return {
        "mult_adds": stats.total_mult_adds, "params": stats.total_params,
        "by": sums((layer.class_name, layer.macs) for layer in leaves),
    }


def torchlens(module, args):
    import torchlens

    trace = torchlens.trace(module.eval(), list(args))
    ops = [(op.func_name, op.flops_forward, op.macs_forward) for op in trace.ops]
    return {
        "flops": int(trace.total_flops_forward), "macs": int(trace.total_macs_forward),
        "by": sums((name, int(flops)) for name, flops, _ in ops if flops),
        "macs_by": sums((name, int(macs)) for name, _, macs in ops if macs),
        "unsupported": dict(collections.Counter(name for name, flops, _ in ops if flops is None and name != "none")),
    }


def onnx_tool(module, args):
    import onnx
    import onnx_tool

    model = torch.onnx.export(module.eval(), tuple(args), dynamo=True, verbose=False).model_proto
    graph = onnx_tool.Model(model).graph
    graph.shape_infer()
    graph.profile()
    nodes = list(graph.nodemap.values())
    return {
        "macs": whole(graph.macs[0]), "params": int(graph.params),
        "by": sums((node.op_type, node.macs[0]) for node in nodes),
        "nodes": dict(collections.Counter(node.op_type for node in nodes)),
        "exporter": "torch.onnx.export(dynamo=True)",
        "opset": next(o.version for o in model.opset_import if o.domain == ""),
    }


TOOLS = {
    "torch-flop-counter": torch_evaluation,
    "torch-flop-counter-training": torch_training,
    "torch-flop-counter-backward": torch_backward,
    "fvcore": fvcore,
    "thop": thop,
    "ultralytics-thop": ultralytics_thop,
    "ptflops": ptflops_pytorch,
    "ptflops-aten": ptflops_aten,
    "calflops": calflops,
    "deepspeed": deepspeed,
    "torchinfo": torchinfo,
    "torchlens": torchlens,
    "onnx-tool": onnx_tool,
}
