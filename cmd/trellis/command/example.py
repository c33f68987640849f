"""Writes example.json: what PyTorch (1.13, float64) gives for the examples that
its documentation has for NLLLoss and CTCLoss, on numbers that example.go makes
in the same way. The gradient is the one of the input of the log-softmax.

    python3 example.py > example.json
"""

import json

import torch

torch.set_default_dtype(torch.float64)


class Generator:
    """Knuth's MMIX generator: scores on a grid of 2^-22 in [-2, 2), exact in
    float32, and integers."""

    def __init__(self, state):
        self.state = state

    def next(self):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return self.state >> 40

    def scores(self, *shape):
        n = torch.Size(shape).numel()
        return torch.tensor([(self.next() - 2**23) / 2**22 for _ in range(n)]).reshape(shape).requires_grad_()

    def below(self, low, high):
        return low + self.next() % (high - low)

    def integers(self, low, high, n):
        return [self.below(low, high) for _ in range(n)]

    def labels(self, classes, n):
        """Labels without repeats in a row, so that n of them fit n frames."""
        out = [0]
        while len(out) <= n:
            label = self.below(1, classes)
            if label != out[-1]:
                out.append(label)
        return out[1:]


def nll():
    g = Generator(1)
    x = g.scores(3, 5)
    loss = torch.nn.NLLLoss()(torch.log_softmax(x, 1), torch.tensor([1, 0, 4]))
    return x, loss


def nll_images():
    g = Generator(2)
    x = g.scores(5, 4, 8, 8)
    targets = torch.tensor(g.integers(0, 4, 5 * 8 * 8)).reshape(5, 8, 8)
    return x, torch.nn.NLLLoss()(torch.log_softmax(x, 1), targets)


def ctc_padded():
    g = Generator(3)
    x = g.scores(50, 16, 20)
    targets = torch.tensor(g.integers(1, 20, 16 * 30)).reshape(16, 30)
    lengths = torch.tensor(g.integers(10, 30, 16))
    return x, torch.nn.CTCLoss()(torch.log_softmax(x, 2), targets, torch.full((16,), 50), lengths)


def ctc_concatenated():
    g = Generator(4)
    x = g.scores(50, 16, 20)
    lengths = g.integers(1, 50, 16)
    targets = sum((g.labels(20, n) for n in lengths), [])
    return x, torch.nn.CTCLoss()(
        torch.log_softmax(x, 2), torch.tensor(targets), torch.full((16,), 50), torch.tensor(lengths))


def ctc_unbatched():
    g = Generator(5)
    x = g.scores(50, 20)
    targets = g.labels(20, g.below(1, 50))
    return x, torch.nn.CTCLoss()(
        torch.log_softmax(x, 1), torch.tensor(targets), torch.tensor(50), torch.tensor(len(targets)))


def reference(example):
    x, loss = example()
    loss.backward()
    grad = x.grad.flatten()
    step = 1 if len(grad) < 100 else 61  # coprime to every axis
    return {"loss": loss.item(), "norm": grad.norm().item(), "step": step, "grad": grad[::step].tolist()}


if __name__ == "__main__":
    examples = [nll, nll_images, ctc_padded, ctc_concatenated, ctc_unbatched]
    print(json.dumps({e.__name__: reference(e) for e in examples}, indent=0))
