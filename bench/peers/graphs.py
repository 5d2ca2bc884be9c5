"""graphs.py -- the three tasks as ONNX graphs, written by hand: nothing of them depends on an exporter."""

import model
import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper

OPSET, IR = 20, 10


class Graph:
    """Nodes that are called like functions: y = g.MatMul(a, b)."""

    def __init__(self):
        self.nodes, self.constants, self.count = [], {}, 0

    def name(self):
        self.count += 1
        return f"v{self.count}"

    def constant(self, value):
        name = self.name()
        self.constants[name] = onnx.numpy_helper.from_array(np.asarray(value), name)
        return name

    def __getattr__(self, kind):
        def node(*inputs, outputs=1, domain="", **attributes):
            names = [self.name() for _ in range(outputs)]
            inputs = [x if isinstance(x, str) else self.constant(x) for x in inputs]
            self.nodes.append(helper.make_node(kind, inputs, names, domain=domain, **attributes))
            return names[0] if outputs == 1 else names
        return node

    def model(self, inputs, output, kind):
        self.nodes.append(helper.make_node("Identity", [output], ["output"]))
        graph = helper.make_graph(self.nodes, "task", [helper.make_tensor_value_info(*i) for i in inputs],
                                  [helper.make_tensor_value_info("output", kind, None)], list(self.constants.values()))
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR).SerializeToString()


def ints(*values):
    return np.array(values, np.int64)


def floats(*values):
    return np.array(values, np.float32)


def attention(g, qkv, dim, fused):
    q, k, v = g.Split(qkv, axis=-1, num_outputs=3, outputs=3)
    if fused:  # ONNX Runtime's own operator
        return g.MultiHeadAttention(q, k, v, domain="com.microsoft", num_heads=model.HEADS)
    heads = ints(1, -1, model.HEADS, 64)
    q, v = (g.Transpose(g.Reshape(x, heads), perm=[0, 2, 1, 3]) for x in (q, v))
    k = g.Transpose(g.Reshape(k, heads), perm=[0, 2, 3, 1])
    mix = g.MatMul(g.Softmax(g.MatMul(g.Mul(q, floats(0.125)), k), axis=-1), v)
    return g.Reshape(g.Transpose(mix, perm=[0, 2, 1, 3]), ints(1, -1, dim))


def features(path, fused):
    w, g = model.weights(path), Graph()
    dim = len(w["norm.weight"])
    x = g.Transpose(g.Cast("picture", to=T.FLOAT), perm=[2, 0, 1])
    std = np.array(model.STD, np.float32).reshape(3, 1, 1)
    x = g.Div(g.Sub(g.Div(x, floats(255)), np.array(model.MEAN, np.float32).reshape(3, 1, 1)), std)
    x = g.Conv(g.Unsqueeze(x, ints(0)), w["patch_embed.proj.weight"], w["patch_embed.proj.bias"],
               kernel_shape=[model.PATCH] * 2, strides=[model.PATCH] * 2)
    x = g.Add(g.Transpose(g.Reshape(x, ints(1, dim, -1)), perm=[0, 2, 1]), w["position"])
    x = g.Concat(w["extra"][None], x, axis=1)

    def linear(y, name):
        return g.Add(g.MatMul(y, np.ascontiguousarray(w[name + ".weight"].T)), w[name + ".bias"])

    def norm(y, name):
        return g.LayerNormalization(y, w[name + ".weight"], w[name + ".bias"], epsilon=model.EPS)

    for i in range(model.depth(w)):
        b = f"blocks.{i}."
        mix = attention(g, linear(norm(x, b + "norm1"), b + "attn.qkv"), dim, fused)
        x = g.Add(x, g.Mul(linear(mix, b + "attn.proj"), w[b + "ls1.gamma"]))
        y = linear(g.Gelu(linear(norm(x, b + "norm2"), b + "mlp.fc1")), b + "mlp.fc2")
        x = g.Add(x, g.Mul(y, w[b + "ls2.gamma"]))
    x = g.Slice(norm(x, "norm"), ints(5), ints(1 << 40), ints(1))
    return g.model([("picture", T.UINT8, [model.SIZE, model.SIZE, 3])], g.Squeeze(x, ints(0)), T.FLOAT)


def resize(g, x, height, width):
    """[n, c, h, w] -> [n, c, height, width], corners aligned."""
    sizes = g.Concat(g.Slice(g.Shape(x), ints(0), ints(2)), ints(height, width), axis=0)
    return g.Resize(x, "", "", sizes, mode="linear", coordinate_transformation_mode="align_corners")


def masks():
    g = Graph()
    length = g.Max(g.ReduceL2("features", ints(-1), keepdims=1), floats(1e-6))
    scores = g.Sigmoid(g.MatMul("text", g.Transpose(g.Div("features", length), perm=[1, 0])))
    maps = resize(g, g.Reshape(scores, ints(1, model.MASK_CLASSES, model.GRID, model.GRID)), model.MASK_HEIGHT,
                  model.MASK_WIDTH)
    labels = g.Squeeze(g.ArgMax(maps, axis=1, keepdims=0), ints(0))
    return g.model([("features", T.FLOAT, [model.GRID**2, 768]), ("text", T.FLOAT, [model.MASK_CLASSES, 768])], labels,
                   T.INT64)


def neighbours(g, x, d):
    """The eight shifts of [n, c, SIZE, SIZE] by d, edges repeated."""
    padded = g.Pad(x, ints(0, 0, d, d, 0, 0, d, d), mode="edge")
    for y, x in model.NEIGHBOURS:
        top, left = d + y * d, d + x * d
        yield g.Slice(padded, ints(top, left), ints(top + model.SIZE, left + model.SIZE), ints(2, 3))


def pamr():
    g = Graph()
    picture = g.Transpose(g.Cast("canvas", to=T.FLOAT), perm=[2, 0, 1])
    windows = [g.Unsqueeze(g.Slice(picture, ints(left), ints(left + model.SIZE), ints(2)), ints(0)) for left in model.PAMR_LEFT]
    guide = g.Concat(*windows, axis=0)
    around = [s for d in model.DILATIONS for s in neighbours(g, guide, d)]
    samples = [g.Unsqueeze(s, ints(0)) for s in around + [guide] * len(model.DILATIONS)]
    every = g.Concat(*samples, axis=0)
    centred = g.Sub(every, g.ReduceMean(every, ints(0), keepdims=1))
    deviation = g.Sqrt(g.Div(g.ReduceSum(g.Mul(centred, centred), ints(0), keepdims=0), floats(len(samples) - 1)))
    scale = g.Add(g.Mul(deviation, floats(0.1)), floats(1e-8))
    distances = [g.ReduceMean(g.Div(g.Abs(g.Sub(s, guide)), scale), ints(1), keepdims=1) for s in around]
    weights = g.Softmax(g.Neg(g.Concat(*distances, axis=1)), axis=1)
    weights = g.Split(weights, axis=1, num_outputs=len(around), outputs=len(around))
    maps = g.Reshape(g.Transpose("scores", perm=[0, 2, 1]), ints(2, model.PAMR_CLASSES, model.GRID, model.GRID))
    maps = resize(g, maps, model.SIZE, model.SIZE)
    for _ in range(model.ITERATIONS):
        total = None
        for weight, s in zip(weights, (s for d in model.DILATIONS for s in neighbours(g, maps, d))):
            part = g.Mul(weight, s)
            total = g.Add(total, part) if total else part
        maps = total
    total = None
    for i, left in enumerate(model.PAMR_LEFT):
        right = model.PAMR_WIDTH - model.SIZE - left
        wide = g.Pad(g.Slice(maps, ints(i), ints(i + 1), ints(0)), ints(0, 0, 0, left, 0, 0, 0, right))
        total = g.Add(total, wide) if total else wide
    labels = g.Squeeze(g.ArgMax(g.Div(total, model.coverage()), axis=1, keepdims=0), ints(0))
    return g.model([("scores", T.FLOAT, [2, model.GRID**2, model.PAMR_CLASSES]),
                    ("canvas", T.UINT8, [model.SIZE, model.PAMR_WIDTH, 3])], labels, T.INT64)


INPUTS = {"features": ("picture",), "masks": ("features", "text"), "pamr": ("scores", "canvas")}


def make(task, path, fused=False):
    return features(path, fused) if task == "features" else masks() if task == "masks" else pamr()
