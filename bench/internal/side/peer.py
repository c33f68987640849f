# PyTorch's side: reads requests from stdin and writes answers to
# stdout, one line of JSON each, as side.go describes.
import json
import re
import signal
import sys
import time

try:
    import numpy as np
    import torch
    import torch.nn.functional as F
except (ImportError, OSError) as error:  # missing, or installed for another machine
    print(json.dumps({"error": str(error)}), flush=True)
    sys.exit()

signal.signal(signal.SIGINT, signal.SIG_DFL)  # an interrupt needs no stack trace
DEVICE = torch.device(sys.argv[1])
if DEVICE.type == "cuda" and not torch.cuda.is_available():
    print(json.dumps({"error": "no CUDA"}), flush=True)
    sys.exit()


def mix(i):
    """splitmix64, as in inputs.go."""
    z = (i + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def normal(shape, dtype, scale):
    """Standard normal numbers, the same as in inputs.go."""
    i = np.arange(1000003, dtype=np.uint64) * np.uint64(2)
    u, v = (((mix(k) >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53 for k in (i, i + np.uint64(1)))
    x = np.sqrt(-2 * np.log(u)) * np.cos(2 * np.pi * v)
    return torch.from_numpy(np.resize((scale * x).astype(np.float32).astype(dtype), shape)).to(DEVICE)


def classes(shape, of):
    """Random classes, the same as in inputs.go."""
    y = mix(np.arange(np.prod(shape), dtype=np.uint64)) % np.uint64(of)
    return torch.from_numpy(y.astype(np.int64)).view(shape).to(DEVICE)


def ctc(shape, least, most, reduction):
    """CTC's loss of logits and padded targets, the targets, and their lengths."""
    frames = torch.full(shape[1:2], shape[0], device=DEVICE)
    lengths = least + classes(shape[1:2], most - least + 1)

    def loss(x, y):
        return F.ctc_loss(F.log_softmax(x, -1), y, frames, lengths, reduction=reduction)

    return loss, 1 + classes((shape[1], most), shape[2] - 1)


def prepare(op, dtype, shape, targets, scale):
    """Returns what is to be measured, and what gives its results."""
    x = normal(shape, dtype, scale)
    if op == "log-sum-exp":
        call = lambda: torch.logsumexp(x, -1)
        return call, lambda: [call().double().mean().item()]
    if op == "softmax":
        call = lambda: torch.softmax(x, -1)
        return call, lambda: [(call().double() * x.double()).sum().item()]

    if op.startswith("CTC"):
        loss, y = ctc(shape, *targets, "sum" if op == "CTC gradient" else "mean")
    else:
        loss = F.nll_loss if op.startswith("NLL") else F.cross_entropy
        y = classes(shape[:1] + shape[2:], shape[1])
    if op in ("CTC", "cross-entropy"):
        call = lambda: loss(x, y)
        return call, lambda: [call().item()]
    x.requires_grad_()

    def call():
        x.grad = None
        value = loss(x, y)
        value.backward()
        return value

    def gradient():
        call()
        return x.grad.flatten().tolist()

    if op == "CTC gradient":
        return call, gradient
    return call, lambda: [call().item(), (x.grad.double() * x.detach().double()).sum().item()]


def sample(call, seconds):
    """As sample in computer.go."""
    samples, calls, start = [], 1, time.perf_counter_ns()
    while not samples or time.perf_counter_ns() - start < seconds * 1e9:
        before = time.perf_counter_ns()
        for _ in range(calls):
            call()
        if DEVICE.type == "cuda":
            torch.cuda.synchronize()
        took = time.perf_counter_ns() - before
        if took < 20e3:
            calls *= 2
        else:
            samples.append(took / calls)
    return samples


def main():
    jobs = {}
    kernels = re.search(r"CPU capability usage: (\S+)", torch.__config__.show())
    about = torch.__version__ + (" with " + kernels[1] if kernels else "")
    if DEVICE.type == "cuda":
        about = torch.__version__ + " on " + torch.cuda.get_device_name()
    print(json.dumps({"about": about}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        answer = {}
        try:
            if request["op"] == "forget":
                jobs.clear()
            else:
                torch.set_num_threads(request["workers"])
                key = (
                    request["op"],
                    request["type"],
                    tuple(request["shape"]),
                    tuple(request.get("targets", ())),
                    request.get("scale", 1),
                )
                if key not in jobs:
                    jobs[key] = prepare(*key)
                call, values = jobs[key]
                if request["seconds"]:
                    answer["samples"] = sample(call, request["seconds"])
                else:
                    answer["values"] = values()
        except Exception as error:
            answer = {"error": repr(error)}
        print(json.dumps(answer), flush=True)


main()
