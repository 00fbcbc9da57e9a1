"""The small transformer (Lumina 2's class), trained on the same scenes by flow matching. It reads the demo checkpoint's own text encoders,
which stay as they are, and draws for its autoencoder.

At noise level σ from 0 to 1 the latent is (1 − σ) x0 + σ noise, and the network says noise − x0.
"""

import json
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch.utils.data import DataLoader, Dataset

from . import crew, networks, settings, train_unet
from .export import read_checkpoint
from .latents import LatentSet
from .world import caption

STATE = "dit_state.safetensors"
BATCH = 16
PEAK_RATE = 1e-3
SHIFT = settings.DIT_SHIFT
AHEAD = 4  # batches that each process draws before they are asked for


class Drawn(Dataset):
    """Batches by ticket number: latents x0 and noise (image, channel, height, width), σ (image,), token rows of both text encoders
    (image, token), weight of errors (image, 1, height, width)."""

    def __init__(self, folder: Path, batch: int, tokens: networks.Tokens):
        self.data, self.batch, self.tokens = LatentSet(folder), batch, tokens
        often = np.array([train_unet._often(scene) for scene in self.data.scenes])
        self.chances = np.cumsum(often / often.sum())

    def __getitem__(self, ticket: int) -> tuple[torch.Tensor, ...]:
        rng = np.random.default_rng(ticket)
        indices = np.searchsorted(self.chances, rng.random(self.batch)).clip(max=len(self.chances) - 1)
        rows = []
        for i in indices:
            words = self.tokens.rows(caption(self.data.scenes[i], rng))
            if words and rng.random() < train_unet.UNKNOWN_WORDS:
                words.insert(int(rng.integers(len(words) + 1)), self.tokens.other)
            rows.append(words)
        x0 = self.data.latents(indices)
        noise = torch.from_numpy(rng.standard_normal(x0.shape, dtype=np.float32))
        # one noise level in each of `batch` equal parts, then moved towards noise as the sampler's schedule is
        even = (np.arange(self.batch) + rng.random(self.batch)) / self.batch
        sigma = torch.from_numpy((SHIFT * even / (1 + (SHIFT - 1) * even)).astype(np.float32))
        discs = [train_unet._discs(self.data.scenes[i], *x0.shape[2:]) for i in indices]
        return x0, noise, sigma, *self.tokens.batch(rows), torch.from_numpy(np.stack(discs))


def attention(q, k, v, heads, mask=None, skip_reshape=True, **_):
    """Stands in for ComfyUI's, whose fast ones have no gradient: (image, head, token, channel) in, (image, token, head · channel) out."""
    return torch.nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def network() -> torch.nn.Module:
    """ComfyUI's own class, its weights so that each layer hardly changes anything at first."""
    settings.use_comfy()
    import comfy.model_management
    import comfy.ops
    from comfy.ldm.lumina import model as lumina

    comfy.model_management.in_training = True
    lumina.optimized_attention_masked = attention
    made = lumina.NextDiT(
        **settings.dit_config(), device="cpu", dtype=torch.float32, operations=comfy.ops.disable_weight_init
    )
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in made.named_parameters():
            if weight.ndim == 1:
                weight.fill_(0.0 if name.endswith("bias") else 1.0)
            else:
                torch.nn.init.trunc_normal_(weight, std=weight.shape[1] ** -0.5, generator=generator)
        for layer in made.layers:
            modulation = layer.adaLN_modulation[1]
            modulation.weight.mul_(0.05)
            modulation.bias.view(4, -1)[[1, 3]] = 0.3  # the gates
        made.final_layer.adaLN_modulation[1].weight.mul_(0.05)
        made.final_layer.linear.weight.mul_(0.1)
    return made.requires_grad_(True)


def velocity(model, x: torch.Tensor, sigma: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
    """noise − x0: (image, channel, height, width). context: (image, token, width)."""
    return model(x, sigma, context, context.shape[1], transformer_options={})


def _plain(name: str) -> bool:
    """What AdamW trains: what little there is beside the layers' matrices."""
    return "adaLN" in name or "t_embedder" in name or "cap_embedder" in name


class Graph:
    """A loss and its gradient, replayed as one CUDA graph: such small networks otherwise wait for their own launches."""

    def __init__(self, loss_of, model: torch.nn.Module):
        self._loss_of, self._model = loss_of, model
        self._graph = None

    def __call__(self, *inputs: torch.Tensor) -> torch.Tensor:
        """The loss; its gradient is in the weights already, so that `backward` of what is returned adds nothing."""
        if self._graph is None:
            self._record(inputs)
        for kept, new in zip(self._inputs, inputs, strict=True):
            kept.copy_(new)
        self._graph.replay()
        return self._loss.detach().clone().requires_grad_()

    def _record(self, inputs: tuple[torch.Tensor, ...]) -> None:
        self._inputs = [one.clone() for one in inputs]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self._loss_of(*self._inputs).backward()
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._loss = self._loss_of(*self._inputs)
            self._loss.backward()
        for weight in self._model.parameters():
            weight.grad.zero_()


def train(
    work: Path,
    seconds: float,
    workers: int,
    batch: int = BATCH,
    file: Path = settings.DIT,
    rate: float = PEAK_RATE,
    begin: Path | None = None,
) -> None:
    """Train for `seconds`, keeping state in `work` and `file` up to date. begin: a trained file to start from where there is no state."""
    torch.manual_seed(0)
    device, dtype = settings.device(), settings.fast_dtype()
    tokens = networks.Tokens()
    text = networks.DemoModel(tokens)
    read_checkpoint(settings.CHECKPOINT, text)
    text.requires_grad_(False).to(device)
    drawn = Drawn(work / "latents", batch, tokens)
    model = network()
    if begin is not None:
        model.load_state_dict({name: weight.float() for name, weight in load_file(begin).items()})
    model.to(device)
    state_path = work / STATE
    state = load_file(state_path) if state_path.exists() else None
    first = 0 if state is None else int(state["step"])
    on_card = device.type == "cuda"
    ahead = None
    if on_card:  # drawing would keep the card waiting
        tickets = range(first, first + 10_000_000)
        ahead = iter(
            DataLoader(drawn, batch_size=None, sampler=tickets, num_workers=workers, prefetch_factor=AHEAD)
        )

    def plain_loss(x0, noise, sigma, context, weight) -> torch.Tensor:
        level = sigma.view(-1, 1, 1, 1)
        with torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
            found = velocity(model, (1 - level) * x0 + level * noise, sigma, context)
        return ((found.float() - (noise - x0)).square() * weight).mean()

    graph = Graph(plain_loss, model) if on_card else None

    def loss_of(model, ticket: int) -> torch.Tensor:
        parts = next(ahead) if ahead else drawn[ticket]
        x0, noise, sigma, ids_l, ids_g, weight = (part.to(device, non_blocking=True) for part in parts)
        with torch.no_grad():
            context = text.encode(ids_l, ids_g)
        inputs = (x0, noise, sigma, context, weight)
        return graph(*inputs) if graph else plain_loss(*inputs)

    def rate_of(step: int, share: float) -> float:
        rise = min(1.0, (step - first + 1) / 100)
        return rate * rise * min(1.0, max(0.03, (1 - share) / 0.5))  # flat, then straight down

    start, saved = time.time(), [time.time()]

    def save(optimizer: crew.Optimizer) -> None:
        unfinished = state_path.with_suffix(".part")
        save_file({k: v.cpu().contiguous() for k, v in optimizer.state().items()}, unfinished)
        unfinished.rename(state_path)
        write(file, model, optimizer.ema, optimizer.step_count)

    def report(optimizer: crew.Optimizer, loss: float, step_seconds: float) -> None:
        if optimizer.step_count % 250:
            return
        print(
            f"dit step {optimizer.step_count}  {time.time() - start:.0f} s  loss {loss:.4f}  {step_seconds:.3f} s a step",
            flush=True,
        )
        if time.time() - saved[0] > 120:
            save(optimizer)
            saved[0] = time.time()

    optimizer = crew.train(
        model, loss_of, rate_of, seconds, 1, workers, ema_decay=0.998, state=state, report=report, plain=_plain
    )  # fmt: skip
    save(optimizer)


@torch.no_grad()
def write(file: Path, model, ema: torch.Tensor, steps: int) -> None:
    """Put the averaged weights (weight,) into a file in half precision, replaced at once."""
    tensors, offset = {}, 0
    for name, weight in model.named_parameters():
        averaged = ema[offset : offset + weight.numel()].view(weight.shape)
        tensors[name] = averaged.half().cpu().contiguous().clone()
        offset += weight.numel()
    metadata = {
        "format": "hrv_demo_transformer",
        "format_version": "1",
        "license": "Apache-2.0",
        "modelspec.title": "ComfyUI-HRV demo transformer",
        "description": "A small text-to-image transformer of drawn scenes, in Lumina 2's shape. Made by tools/train_demo/train.py; "
        "see docs/demo_model.md.",
        "training_steps": str(steps),
        "config": json.dumps({"transformer": settings.dit_config(), "shift": SHIFT}),
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(".part")
    save_file(tensors, unfinished, metadata)
    unfinished.rename(file)
