"""The worker of OpenVINO: the exported graph in f32, one stream over all threads, output read in place."""

import os

import numpy as np
import openvino as ov

import data
from serve import serve


def encoder(spec):
    import encoder as model

    core = ov.Core()
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": int(os.environ["OMP_NUM_THREADS"]),
        "NUM_STREAMS": 1,
        # By default it computes in bf16 where the processor can.
        "INFERENCE_PRECISION_HINT": "f32",
    }
    model = core.read_model(model.exported(spec))
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    request.set_input_tensor(ov.Tensor(np.ascontiguousarray(data.ids(spec))))

    def run():
        request.infer()
        return request.get_output_tensor()

    return run, lambda y: y.data


KINDS = {"encoder": encoder}

if __name__ == "__main__":
    serve(lambda spec: KINDS[spec["kind"]](spec))
