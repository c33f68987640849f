# PyTorch's side: reads requests from stdin and writes answers to
# stdout, one line of JSON each, as side.go describes.
import functools
import json
import math
import os
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
ALL_THREADS = torch.get_num_threads()


def mix(i):
    """splitmix64, as in inputs.go."""
    z = (i + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def uniform(i):
    """Numbers between 0 and 1, as in inputs.go."""
    return ((mix(i) >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def count(shape):
    return np.arange(np.prod(shape), dtype=np.uint64)


@functools.lru_cache(None)
def normals():
    """As in inputs.go."""
    i = np.arange(1000003, dtype=np.uint64) * np.uint64(2)
    return np.sqrt(-2 * np.log(uniform(i))) * np.cos(2 * np.pi * uniform(i + np.uint64(1)))


def tensor(numbers, shape, dtype):
    """Numbers as inputs.go has them: rounded to float32."""
    return torch.from_numpy(np.resize(numbers.astype(np.float32).astype(dtype), shape)).to(DEVICE)


def scores(job):
    """As in inputs.go."""
    shape, dtype = job["shape"], job["type"]
    if "recording" in job:
        x = np.load(os.path.join(job["recording"], "emissions.npy"))
        if x.ndim == 3:
            x = x.transpose(1, 0, 2)
        return tensor(x, shape, dtype)
    x = tensor(job.get("scale", 1) * normals(), shape, dtype)
    if "mask" in job:
        masked = uniform(count(shape) + np.uint64(2**32)) < job["mask"]["share"]
        x[torch.from_numpy(masked).view(shape)] = float(job["mask"]["score"])
    return x


def probabilities(shape, dtype):
    """As in inputs.go."""
    return tensor(2 * uniform(count(shape)) / shape[1], shape, dtype)


def factors(shape, dtype):
    """As in inputs.go."""
    return tensor(0.5 + uniform(count(shape)), shape, dtype)


def classes(shape, of):
    """Random classes, the same as in inputs.go."""
    y = mix(count(shape)) % np.uint64(of)
    return torch.from_numpy(y.astype(np.int64)).view(shape).to(DEVICE)


def ctc(job):
    """CTC's loss of logits, or of log-probabilities."""
    frames, sequences, of = job["shape"]
    least, most = job["targets"]
    lengths = least + classes((sequences,), most - least + 1)
    y, blank = 1 + classes((sequences, most), of - 1), 0
    frames = torch.full((sequences,), frames, device=DEVICE)
    if "recording" in job:
        with open(os.path.join(job["recording"], "index.json")) as file:
            index = json.load(file)
        y, blank = torch.tensor(index["target_tokens"], device=DEVICE), index["blank"]
        lengths = torch.tensor(index.get("target_lengths", [len(y)]), device=DEVICE)
        frames = torch.tensor(index.get("input_lengths", frames.tolist()), device=DEVICE)

    def loss(x, reduction):
        log_probs = x if "log_probs" in job else F.log_softmax(x, -1)
        return F.ctc_loss(log_probs, y, frames, lengths, blank, reduction, zero_infinity="mask" in job)

    return loss


def of_classes(op, job):
    """The loss of class targets or probabilities."""
    shape, dtype = job["shape"], job["type"]
    options = {"weight": factors(shape[1:2], dtype) if "weighted" in job else None}
    if op == "NLL":
        loss = F.nll_loss
    else:
        loss, options["label_smoothing"] = F.cross_entropy, job.get("smoothing", 0)
    if op == "cross-entropy probs":
        y = probabilities(shape, dtype)
    else:
        y = classes(shape[:1] + shape[2:], shape[1])
    return lambda x, reduction: loss(x, y, reduction=reduction, **options)


def prepare(job):
    """Returns what is to be measured, and what sums its result up."""
    op, x = job["op"], scores(job)
    if "log_probs" in job:
        x = F.log_softmax(x, -1)

    def product(y):
        """The dot product of y, of x's shape, with normal numbers."""
        return (y.double() * tensor(normals(), job["shape"], job["type"]).double()).sum().item()

    if op == "log-sum-exp":
        return lambda: torch.logsumexp(x, -1), lambda y: [y.double().mean().item()]
    if op == "softmax":
        return lambda: torch.softmax(x, -1), lambda y: [product(y)]
    if op == "log-softmax":
        return lambda: torch.log_softmax(x, -1), lambda y: [product(y)]
    if op == "gather":
        index = classes(job["shape"], job["shape"][-1])
        return lambda: torch.gather(x, -1, index), lambda y: [product(y)]

    if op == "alignment":  # there is none: the forward pass of the loss is next to it
        loss = ctc(job)
        return lambda: loss(x, "none"), lambda value: []

    name, method = re.fullmatch(r"(.+?)(|\+grad| losses| losses\+grad| VJP| gradient)", op).groups()
    loss = ctc(job) if name == "CTC" else of_classes(name, job)
    if method == "":
        return lambda: loss(x, "mean"), lambda value: [value.item()]
    if method == " losses":
        return lambda: loss(x, "none"), lambda value: [value.double().mean().item()]

    if method == " losses+grad":
        x.requires_grad_()

        def both():
            x.grad = None
            losses = loss(x, "none")
            losses.mean().backward()
            return losses

        def values(losses):
            mean = losses.double().mean().item()
            return [mean, mean, product(x.grad)]

        return both, values

    reduction, upstream = "mean", None
    if method == " VJP":
        reduction, upstream = "none", factors(loss(x, "none").shape, job["type"])
    elif method == " gradient":
        reduction = "sum"
    x.requires_grad_()

    def call():
        x.grad = None
        value = loss(x, reduction)
        value.backward(upstream)
        return value

    if method == "+grad":
        return call, lambda value: [value.item(), product(x.grad)]
    if method == " VJP":
        return call, lambda value: [product(x.grad) / value.numel()]
    return call, lambda value: x.grad.flatten().tolist()


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
        job = json.loads(line)
        seconds, workers = job.pop("seconds"), job.pop("workers")
        answer = {}
        try:
            if job["op"] == "forget":
                jobs.clear()
            else:
                torch.set_num_threads(workers or ALL_THREADS)
                key = json.dumps(job)
                if key not in jobs:
                    jobs[key] = prepare(job)
                call, values = jobs[key]
                if seconds:
                    answer["samples"] = sample(call, seconds)
                else:
                    answer["values"] = values(call())
                    if not all(map(math.isfinite, answer["values"])):
                        raise ValueError("a result is not finite")
        except Exception as error:
            answer = {"error": repr(error)}
        print(json.dumps(answer), flush=True)


main()
