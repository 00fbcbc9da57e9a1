"""Data-parallel training on a few CPU cores that others use too, or plainly on one GPU.

One process per core, each with a single thread: threads inside an operator wait for the slowest core at
every operator, these processes wait only once a step. A step's micro-batches are taken from a shared
counter, so a core that is busy with something else simply does fewer of them.
"""

import time
from collections.abc import Callable

import torch
import torch.multiprocessing as multiprocessing

from . import settings

MATRIX_SCALE = 4  # a matrix's update has singular values near this times the learning rate
DECAY = 0.1  # weight decay, times the learning rate


class Optimizer:
    """Muon for matrices, AdamW for the rest, over one flat tensor, with a moving average of the weights.

    Muon (Jordan et al. 2024) orthogonalises the momentum of every weight matrix. `plain(name)` says which
    weights AdamW takes all the same. All flat tensors: float32 (weight,).
    """

    def __init__(
        self,
        model: torch.nn.Module,
        flat: torch.Tensor,
        ema_decay: float,
        plain: Callable[[str], bool],
        betas=(0.95, 0.98),
    ):
        self.weights, self.betas, self.ema_decay = flat, betas, ema_decay
        self.mean, self.square = torch.zeros_like(flat), torch.zeros_like(flat)
        self.ema, self.step_count = flat.clone(), 0
        # matrices of one shape (rows, columns) → where they begin in the flat tensor
        self.matrices: dict[tuple[int, int], list[int]] = {}
        offset = 0
        for name, weight in model.named_parameters():
            if not weight.requires_grad:
                continue
            shape = (weight.shape[0], weight[0].numel()) if weight.ndim > 1 else (1, 1)
            if min(shape) >= 32 and not plain(name):
                self.matrices.setdefault(shape, []).append(offset)
            offset += weight.numel()

    @torch.no_grad()
    def step(self, grad: torch.Tensor, rate: float, clip: float = 1.0) -> None:
        """Clip the gradient's norm, update the weights in place."""
        self.step_count += 1
        grad.mul_(min(1.0, clip / (float(grad.norm()) + 1e-6)))
        b1, b2 = self.betas
        self.mean.lerp_(grad, 1 - b1)
        self.square.mul_(b2).addcmul_(grad, grad, value=1 - b2)
        scale = (self.square / (1 - b2**self.step_count)).sqrt_().add_(1e-8)
        update = self.mean / scale / (1 - b1**self.step_count)
        for (rows, columns), offsets in self.matrices.items():
            parts = [slice(offset, offset + rows * columns) for offset in offsets]
            # momenta: (matrix, rows, columns), looking one step ahead (Nesterov)
            momenta = torch.stack([torch.lerp(grad[p], self.mean[p], b1) for p in parts])
            flat = _orthogonal(momenta.view(-1, rows, columns)).flatten(1) * MATRIX_SCALE
            for part, values in zip(parts, flat):
                update[part] = values
        self.weights.mul_(1 - DECAY * rate).add_(update, alpha=-rate)
        decay = min(self.ema_decay, (1 + self.step_count) / (10 + self.step_count))
        self.ema.lerp_(self.weights, 1 - decay)

    def state(self) -> dict[str, torch.Tensor]:
        return {
            "weights": self.weights,
            "mean": self.mean,
            "square": self.square,
            "ema": self.ema,
            "step": torch.tensor([self.step_count]),
        }

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        for name in ("weights", "mean", "square", "ema"):
            getattr(self, name).copy_(state[name])
        self.step_count = int(state["step"])


def _orthogonal(matrices: torch.Tensor) -> torch.Tensor:
    """Nearest matrices with all singular values near 1, by Newton–Schulz: (matrix, rows, columns)."""
    x = matrices.to(settings.fast_dtype())
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    for _ in range(5):
        square = x @ x.mT
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return (x.mT if tall else x).float()


def flatten(model: torch.nn.Module, flat: torch.Tensor | None = None) -> torch.Tensor:
    """Move all trainable weights into one flat tensor (a new one, or `flat`, whose values they take)."""
    weights = [w for w in model.parameters() if w.requires_grad]
    new = flat is None
    if new:
        flat = torch.empty(sum(w.numel() for w in weights), device=weights[0].device)
    offset = 0
    for weight in weights:
        part = flat[offset : offset + weight.numel()].view(weight.shape)
        if new:
            part.copy_(weight.data)
        weight.data = part
        offset += weight.numel()
    return flat


def flat_grad(model: torch.nn.Module, like: torch.Tensor) -> torch.Tensor:
    """A zeroed flat gradient into which backward passes accumulate."""
    flat, offset = torch.zeros_like(like), 0
    for weight in model.parameters():
        if weight.requires_grad:
            weight.grad = flat[offset : offset + weight.numel()].view(weight.shape)
            offset += weight.numel()
    return flat


def train(
    model: torch.nn.Module,
    loss_of: Callable[[torch.nn.Module, int], torch.Tensor],
    rate_of: Callable[[int, float], float],
    seconds: float,
    micro_batches: int,
    workers: int,
    ema_decay: float = 0.999,
    state: dict[str, torch.Tensor] | None = None,
    report: Callable[[Optimizer, float, float], None] | None = None,
    report_every: int = 50,
    plain: Callable[[str], bool] = lambda name: "embedding" in name,
) -> Optimizer:
    """Train for `seconds` of wall clock.

    loss_of(model, ticket): loss of one micro-batch; `ticket` is its running number, use it as the seed.
    rate_of(step, elapsed share of `seconds`): learning rate.
    report(optimizer, mean loss, seconds a step): called every `report_every` steps in the first process.
    plain(name of a weight): true where AdamW is wanted for a matrix.
    Returns the optimizer; the model holds the last weights and `optimizer.ema` their average.
    """
    flat = flatten(model)
    if flat.is_cuda:
        workers = 1
    else:
        flat.share_memory_()
        torch.set_num_threads(1)
    optimizer = Optimizer(model, flat, ema_decay, plain)
    if state:
        optimizer.restore(state)
    context = multiprocessing.get_context("fork")
    shared = _Shared(flat, workers, context, micro_batches)
    helpers = [
        context.Process(target=_help, args=(rank, model, loss_of, shared), daemon=True)
        for rank in range(1, workers)
    ]
    for helper in helpers:
        helper.start()
    grad = flat_grad(model, flat)
    start = last = time.time()
    losses: list[float] = []
    while (share := (time.time() - start) / seconds) < 1:
        shared.next_ticket.value = 0
        shared.first_seed.value = optimizer.step_count * micro_batches
        shared.gate.wait()
        losses.append(_work(0, model, loss_of, shared, grad))
        total = shared.grads.sum(0).to(flat.device) if workers > 1 else grad
        optimizer.step(total, rate_of(optimizer.step_count, share))
        if report and optimizer.step_count % report_every == 0:
            report(optimizer, sum(losses) / len(losses), (time.time() - last) / len(losses))
            losses, last = [], time.time()
    shared.stop.value = 1
    shared.gate.wait()
    for helper in helpers:
        helper.join()
    return optimizer


class _Shared:
    """What the processes share; `grads`: (worker, weight)."""

    def __init__(self, flat: torch.Tensor, workers: int, context, micro_batches: int):
        self.micro_batches = micro_batches
        self.grads = torch.zeros(workers if workers > 1 else 0, flat.numel()).share_memory_()
        self.losses = torch.zeros(workers).share_memory_()
        self.gate = context.Barrier(workers)
        self.next_ticket = context.Value("l", 0)
        self.first_seed = context.Value("l", 0)
        self.stop = context.Value("b", 0)

    def take_ticket(self) -> int | None:
        with self.next_ticket.get_lock():
            ticket = self.next_ticket.value
            self.next_ticket.value += 1
        return self.first_seed.value + ticket if ticket < self.micro_batches else None


def _work(rank: int, model, loss_of, shared: _Shared, grad: torch.Tensor) -> float:
    """Take micro-batches until none is left; leave the gradient in shared.grads; returns the mean loss."""
    grad.zero_()
    total = 0.0
    while (ticket := shared.take_ticket()) is not None:
        loss = loss_of(model, ticket) / shared.micro_batches
        loss.backward()
        total += float(loss.detach())
    shared.losses[rank] = total
    if len(shared.grads):
        shared.grads[rank].copy_(grad)
    shared.gate.wait()
    return float(shared.losses.sum())


def _help(rank: int, model, loss_of, shared: _Shared) -> None:
    torch.set_num_threads(1)
    grad = flat_grad(model, torch.cat([w.detach().flatten() for w in model.parameters() if w.requires_grad]))
    while True:
        shared.gate.wait()
        if shared.stop.value:
            return
        _work(rank, model, loss_of, shared, grad)
