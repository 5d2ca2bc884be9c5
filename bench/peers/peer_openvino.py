#!/usr/bin/env python3
"""peer_openvino.py -- OpenVINO on the CPU, tuned for latency: one stream, all threads."""

import worker


def build(o):
    import graphs
    import openvino as ov
    if o.device != "cpu":
        raise worker.Unsupported("OpenVINO runs on CPUs and on Intel's GPUs")
    if o.task != "features" and o.dtype != "fp32":
        raise worker.Unsupported("post-processing is fp32 in the published code and in ours")
    core = ov.Core()
    able = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if o.dtype != "fp32" and o.dtype.upper() not in able:
        raise worker.Unsupported(f"OpenVINO has no {o.dtype} on this CPU: {', '.join(able)}")
    settings = {"INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}[o.dtype],
                "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1", "INFERENCE_NUM_THREADS": o.threads}
    request = core.compile_model(core.read_model(graphs.make(o.task, o.model)), "CPU", settings).create_infer_request()
    inputs = {name: worker.load(o.folder, name) for name in graphs.INPUTS[o.task]}
    return "OpenVINO", ov.__version__, settings, lambda: request.infer(inputs, share_inputs=True)["output"].copy()


if __name__ == "__main__":
    worker.serve(worker.arguments("peer_openvino.py"), "OpenVINO", "onnx openvino", build)
