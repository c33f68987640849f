"""Losses and gradients of 500 random cases by PyTorch in float64, for torch_cases_test.go.

    python3 torch_cases.py

writes torch_cases.json.gz beside this file. It needs PyTorch and NumPy, and with
PyTorch 1.13 (Debian 12, python3-torch), on an x86 processor with FMA, it
reproduces that file byte for byte.

Only parameters and results are kept. Inputs come from a generator of integers,
SplitMix64, that torch_cases_test.go has too: every array of a case is a stream of its
own. All inputs are small multiples of powers of two, exact in float32; but scores
"normalised" are a log-softmax, rounded so that both sides round alike.
"""

import gzip
import json
import math
import os

# The same vector code on every processor. This must come before torch.
os.environ["ATEN_CPU_CAPABILITY"] = "default"

import numpy as np
import torch
from torch.nn import functional

CASES = {"nll": 90, "ce": 120, "ce_probs": 90, "ctc": 200}

# The streams of a case.
PARAMETERS, SCORES, TARGETS, WEIGHTS, UPSTREAM, PROBABILITIES, SIGNS = range(7)

# A gradient of more elements than this is kept as this many sums with random signs.
MOST_ELEMENTS, PROJECTIONS = 100, 6

# Class losses: up to this many positions have their losses kept one by one.
MOST_LOSSES = 24


class Stream:
    """SplitMix64 (G. L. Steele et al., 2014), seeded by a case and an array of it."""

    GAMMA = 0x9E3779B97F4A7C15

    def __init__(self, case, array):
        self.state = case << 32 | array << 24

    def take(self, n):
        steps = np.arange(1, n + 1, dtype=np.uint64)
        z = np.uint64(self.state) + steps * np.uint64(self.GAMMA)
        self.state = (self.state + n * self.GAMMA) % 2**64
        z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        return z ^ z >> np.uint64(31)

    def below(self, n):
        return int(self.take(1)[0] >> np.uint64(32)) % n

    def between(self, low, high):
        return low + self.below(high - low + 1)

    def choice(self, options):
        return options[self.below(len(options))]

    def grid(self, n, bits):
        """Integers from 0 to 2^bits-1, as floats."""
        return (self.take(n) >> np.uint64(64 - bits)).astype(np.float64)


def scores(case, size, scale):
    """Uniform in ±8·2^scale."""
    return (Stream(case, SCORES).grid(size, 24) - 2**23) * 2.0 ** (scale - 20)


def weights(case, classes):
    return Stream(case, WEIGHTS).grid(classes, 5) / 8


def upstream(case, size):
    return (Stream(case, UPSTREAM).grid(size, 6) - 32) / 32


def probabilities(case, shape, classes):
    """Not normalised, of the order of 1/classes, an eighth of them 0."""
    stream = Stream(case, PROBABILITIES)
    y = stream.grid(math.prod(shape), 16) * 2.0 ** -(15 + classes.bit_length())
    return np.where(stream.grid(len(y), 3) == 0, 0, y).reshape(shape)


def class_targets(case, size, classes, ignore):
    """A quarter is ignored, if ignore is not None."""
    stream = Stream(case, TARGETS)
    targets = [stream.below(classes) for _ in range(size)]
    if ignore is not None:
        targets = [ignore if stream.below(4) == 0 else y for y in targets]
    return targets


def labels(stream, length, classes, blank):
    """Labels that often repeat the one before."""
    target = []
    for i in range(length):
        label = stream.below(classes - 1)
        label += label >= blank
        if stream.below(3) == 0 and i > 0:
            label = target[-1]
        target.append(label)
    return target


def number(x, digits=None):
    """A JSON number, rounded after so many digits, or a string if it is not finite."""
    x = float(x)
    if not math.isfinite(x):
        return str(x)
    return (x if digits is None else round(x, digits)) + 0.0


def digest(case, gradient):
    """All elements if they are few, else sums with random signs and the largest."""
    g = gradient.reshape(-1).tolist()
    assert all(math.isfinite(v) for v in g)
    if len(g) <= MOST_ELEMENTS:
        return {"gradient": [number(v, 14) for v in g]}
    stream, sums = Stream(case, SIGNS), []
    for _ in range(PROJECTIONS):
        signs = 1 - 2 * stream.grid(len(g), 1)
        sums.append(number(math.fsum((signs * g).tolist()), 13))
    return {"projections": sums, "largest": number(max(map(abs, g)), 14)}


def results(case, function, x, reduction):
    """The loss, and its gradient with respect to x; or all losses, and the gradient for a random upstream."""
    x = torch.tensor(x, requires_grad=True)
    loss = function(x)
    factors = torch.tensor(upstream(case, loss.numel())).reshape(loss.shape) if reduction == "none" else None
    (gradient,) = torch.autograd.grad(loss, x, factors)
    return [number(v) for v in loss.detach().reshape(-1)], gradient.numpy()


def class_shape(stream, reduction):
    """(C), (N,C) or (N,C,d1…dk), now and then long or wide."""
    few = reduction == "none"
    classes = stream.choice([1, 2, 3, 5, 8, 13, 17, 32, 33, 70])
    kind = stream.below(8)
    if kind == 0:
        return [stream.choice([classes, 700, 4097, 9000])]
    if kind <= 2:
        return [stream.between(1, MOST_LOSSES if few else 150), classes]
    if kind == 3:
        return [stream.between(1, 3), stream.choice([500, 5000])]
    if kind == 4 and not few:
        return [2, stream.between(1, 6), stream.between(120, 300)]
    inner = [stream.between(1, 3) for _ in range(stream.between(1, 4))]
    while math.prod(inner) > 12:
        inner.pop()
    return [stream.between(1, 2), classes] + inner


def class_case(case, kind):
    stream = Stream(case, PARAMETERS)
    reduction = stream.choice(["mean", "sum", "none"])
    shape = class_shape(stream, reduction)
    axis = min(1, len(shape) - 1)
    classes = shape[axis]
    positions = shape[:axis] + shape[axis + 1 :]
    p = {"kind": kind, "shape": shape, "reduction": reduction, "scale": stream.choice([-3, -1, 0, 1, 3])}
    p["weighted"] = classes > 1 and stream.below(2) == 1
    weight = torch.tensor(weights(case, classes)) if p["weighted"] else None
    x = scores(case, math.prod(shape), p["scale"]).reshape(shape)
    options = {"weight": weight, "reduction": reduction}
    if kind != "nll":
        p["smoothing"] = options["label_smoothing"] = stream.choice([0, 0, 0.0625, 0.25, 1])
    if kind == "ce_probs":
        targets = torch.tensor(probabilities(case, shape, classes))
    else:
        p["masked"] = stream.below(2) == 1
        p["ignore"] = stream.choice([None, -1, 0, classes, 255])
        options["ignore_index"] = -100 if p["ignore"] is None else p["ignore"]
        y = class_targets(case, math.prod(positions), classes, options["ignore_index"] if p["masked"] else None)
        counted = [1 if weight is None else weight[i] for i in y if i != options["ignore_index"]]
        if sum(counted) == 0:
            p["reduction"] = options["reduction"] = reduction = "sum"
        targets = torch.tensor(y).reshape(positions)
    if kind == "nll":
        x = -abs(x)  # losses of one sign: their sum is as accurate as they are
    function = functional.nll_loss if kind == "nll" else functional.cross_entropy
    p["loss"], gradient = results(case, lambda x: function(x, targets, **options), x, reduction)
    return {**p, **digest(case, gradient)}


def ctc_lengths(stream, batch, longest):
    """Input lengths, and target lengths of which one in twelve needs more frames than there are."""
    frames, lengths = [], []
    ragged = stream.below(2) == 1
    for _ in range(batch):
        t = stream.between(1, longest) if ragged else longest
        feasible = stream.between(0, t) * stream.between(1, 4) // 5
        frames.append(t)
        lengths.append(t + stream.between(1, 3) if stream.below(12) == 0 else feasible)
    return frames, lengths


def ctc_targets(case, p, classes):
    """The targets as torch takes them; rows are padded with a label that is none."""
    stream = Stream(case, TARGETS)
    rows = [labels(stream, n, classes, p["blank"]) for n in p["target_lengths"]]
    if p["width"] is None or len(p["shape"]) == 2:
        return torch.tensor(sum(rows, []), dtype=torch.int64)
    return torch.tensor([row + [-1] * (p["width"] - len(row)) for row in rows], dtype=torch.int64)


def ctc_case(case, kind):
    stream = Stream(case, PARAMETERS)
    frames = stream.between(1, stream.choice([6, 20, 60, 150]))
    batch = stream.between(1, 5)
    classes = stream.choice([2, 3, 5, 8, 17, 28, 33, 80])
    p = {"kind": kind, "reduction": stream.choice(["mean", "sum", "none"]), "scale": stream.choice([-3, -1, 0, 1])}
    p["scores"] = stream.choice(["logits", "logits", "logits", "normalised", "normalised", "raw"])
    p["blank"] = stream.choice([0, 0, classes - 1, stream.below(classes)])
    p["zero_infinity"] = stream.below(2) == 1
    p["batch_first"] = stream.below(3) == 0
    unbatched = stream.below(6) == 0
    if unbatched:
        batch = 1
    p["shape"] = [frames, classes] if unbatched else [batch, frames, classes] if p["batch_first"] else [frames, batch, classes]
    p["input_lengths"], p["target_lengths"] = ctc_lengths(stream, batch, frames)
    padding = max(p["target_lengths"]) + stream.below(3)
    p["width"] = stream.choice([None, padding]) if sum(p["target_lengths"]) > 0 and not unbatched else None
    x = scores(case, math.prod(p["shape"]), p["scale"]).reshape(p["shape"])
    if p["scores"] == "normalised":
        x = np.round(torch.log_softmax(torch.tensor(x), -1).numpy() * 2**18) / 2**18
    if p["scores"] == "raw":
        x = -abs(x)
    p["loss"], gradient = ctc_results(case, p, x, ctc_targets(case, p, classes))
    return {**p, **digest(case, gradient)}


def ctc_results(case, p, x, targets):
    """Infeasible sequences have the gradient 0, as torch has it only with zero_infinity."""
    input_lengths, target_lengths = torch.tensor(p["input_lengths"]), torch.tensor(p["target_lengths"])
    if len(p["shape"]) == 2:
        input_lengths, target_lengths = input_lengths[0], target_lengths[0]

    def function(x, zero_infinity):
        if p["batch_first"] and len(p["shape"]) == 3:
            x = x.transpose(0, 1)
        if p["scores"] == "logits":
            x = functional.log_softmax(x, -1)
        return functional.ctc_loss(
            x, targets, input_lengths, target_lengths, p["blank"], p["reduction"], zero_infinity)

    _, gradient = results(case, lambda x: function(x, True), x, p["reduction"])
    loss = function(torch.tensor(x), p["zero_infinity"])
    return [number(v) for v in loss.reshape(-1)], gradient


def main():
    torch.set_num_threads(1)
    cases = []
    for kind, count in CASES.items():
        for _ in range(count):
            make = ctc_case if kind == "ctc" else class_case
            cases.append(make(len(cases), kind))
    lines = ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases)
    name = os.path.join(os.path.dirname(os.path.abspath(__file__)), "torch_cases.json.gz")
    with open(name, "wb") as file:
        file.write(gzip.compress(f"[\n{lines}\n]\n".encode(), mtime=0))


if __name__ == "__main__":
    main()
