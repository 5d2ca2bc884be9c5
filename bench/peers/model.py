"""model.py -- a model file's vision tower for the peers: weights, and the position table brought to a window's grid.

Written from the description of the numbers: antialiased bicubic, a = -0.5, taps outside dropped and the rest renormalised,
as the published code's interpolation does for models with registers."""

import numpy as np

PATCH, HEADS, EPS = 14, 12, 1e-6
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIZE, GRID = 448, 32


def cubic(t, a=-0.5):
    t = np.abs(t)
    return np.where(t <= 1, (a + 2) * t**3 - (a + 3) * t**2 + 1, np.where(t < 2, a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a, 0))


def taps(n, m):
    """[n, m]: an axis of m samples brought to n."""
    scale, table = m / n, np.zeros((n, m))
    support, inverse = 2 * max(scale, 1), min(1 / scale, 1)
    for i in range(n):
        centre = scale * (i + 0.5)
        low, high = max(int(centre - support + 0.5), 0), min(int(centre + support + 0.5), m)
        weights = cubic((np.arange(low, high) - centre + 0.5) * inverse)
        table[i, low:high] = weights / weights.sum()
    return table


def weights(path, grid=GRID):
    """fp32 arrays by their official names; `cls` has its position, `position` is [grid * grid, dim]."""
    from safetensors import safe_open
    with safe_open(path, framework="np") as file:
        found = {name[7:]: file.get_tensor(name) for name in file.keys() if name.startswith("vision.")}
    table = found["pos_embed"][0]
    native = int(len(table[1:]) ** 0.5)
    axis = taps(grid, native)
    square = table[1:].reshape(native, native, -1).astype(np.float64)
    position = np.einsum("yi,xj,ijd->yxd", axis, axis, square).reshape(grid * grid, -1)
    found["cls"] = found["cls_token"][0] + table[:1]
    found["position"] = position.astype(np.float32)
    found["extra"] = np.concatenate((found["cls"], found["register_tokens"][0]))
    return {name: np.ascontiguousarray(value, np.float32) for name, value in found.items()}


def depth(found):
    return sum(name.endswith("norm1.weight") for name in found)


# ---- PAMR, as the paper's code computes it ----
DILATIONS, ITERATIONS = (1, 2, 4, 8, 12, 24), 10
NEIGHBOURS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))


# ---- the work of the tasks `masks` and `pamr`, beside features and text of the first ----
MASK_WIDTH, MASK_HEIGHT, MASK_CLASSES = 683, 512, 150
PAMR_WIDTH, PAMR_CLASSES, PAMR_LEFT = 671, 21, (0, 223)


def coverage():
    """How many windows cover a column of PAMR's canvas."""
    count = np.zeros(PAMR_WIDTH, np.float32)
    for left in PAMR_LEFT:
        count[left:left + SIZE] += 1
    return count
