#!/usr/bin/env python3
"""peer_onnxruntime.py -- ONNX Runtime on the CPU.  Ways: `plain` ONNX, which it fuses as it can, and `fused`, with its own
attention operator in the graph."""

import worker


def build(o):
    import graphs
    import onnxruntime as ort
    if o.device != "cpu":
        raise worker.Unsupported("ONNX Runtime's GPU package is another one; not compared here")
    if o.dtype != "fp32":
        raise worker.Unsupported(f"ONNX Runtime's CPU products have no {o.dtype} on x86")
    if o.way == "fused" and o.task != "features":
        raise worker.Unsupported("there is no attention in this task")
    settings = ort.SessionOptions()
    settings.intra_op_num_threads, settings.inter_op_num_threads = o.threads, 1
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = ort.InferenceSession(graphs.make(o.task, o.model, o.way == "fused"), settings, providers=["CPUExecutionProvider"])
    inputs = {name: worker.load(o.folder, name) for name in graphs.INPUTS[o.task]}
    return ("ONNX Runtime " + o.way, ort.__version__, {"threads": o.threads, "optimization": "all"},
            lambda: session.run(None, inputs)[0])


if __name__ == "__main__":
    worker.serve(worker.arguments("peer_onnxruntime.py", ("plain", "fused")), "ONNX Runtime", "onnx onnxruntime", build)
