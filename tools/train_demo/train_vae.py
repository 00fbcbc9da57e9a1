"""Stage 1: the picture autoencoder. The encoder is computed, the decoder learned on crops."""

from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from . import crew, settings
from .autoencoder import Autoencoder, averages, fix_encoder, narrow
from .draw import render
from .world import sample_scene

CROP = 64
LATENT_NOISE = 0.06  # the decoder must bear small errors of the denoiser
PEAK_RATE = 2e-3


def render_pool(count: int, seed: int, workers: int = 2) -> np.ndarray:
    """uint8 (count, height, width, RGB) of new scenes."""
    chunks = [(seed * 1000 + i, min(100, count - 100 * i)) for i in range((count + 99) // 100)]
    with ProcessPoolExecutor(workers) as pool:
        return np.concatenate(list(pool.map(_render_chunk, chunks)))


def _render_chunk(job: tuple[int, int]) -> np.ndarray:
    seed, count = job
    rng = np.random.default_rng(seed)
    return np.stack([render(sample_scene(rng))[0] for _ in range(count)])


def take_from(checkpoint: Path, path: Path) -> None:
    """Put the autoencoder of a finished checkpoint into a file of its own."""
    prefix, tensors = "first_stage_model.", load_file(checkpoint)
    vae = narrow({name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)})
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(vae.state_dict(), path)


def to_tensor(pictures: np.ndarray, device) -> torch.Tensor:
    """uint8 (batch, height, width, RGB) → float (batch, RGB, height, width) in 0..1."""
    return torch.from_numpy(pictures).to(device).permute(0, 3, 1, 2).float().div_(255)


def crops(pool: np.ndarray, count: int, size: int, rng) -> np.ndarray:
    """Random crops: of three draws the liveliest, as empty background is learned soon."""
    out = []
    for i in rng.integers(len(pool), size=count):
        corners = rng.integers(0, 256 - size + 1, size=(3, 2))
        drawn = [pool[i, top : top + size, left : left + size] for top, left in corners]
        out.append(max(drawn, key=lambda crop: crop[::8, ::8].std()))
    return np.stack(out)


def edge_loss(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """L1 between horizontal and vertical differences."""
    return F.l1_loss(y[..., 1:] - y[..., :-1], x[..., 1:] - x[..., :-1]) + F.l1_loss(
        y[..., 1:, :] - y[..., :-1, :], x[..., 1:, :] - x[..., :-1, :]
    )


def make_encoder(path: Path, workers: int = 2, pictures: int = 400) -> None:
    """Measure mean and covariance of the averages over new scenes, save an autoencoder with that encoder."""
    pool = render_pool(pictures, seed=1, workers=workers)
    flat = averages(to_tensor(pool, "cpu")).movedim(1, 0).flatten(1).double()
    values, vectors = torch.linalg.eigh(torch.cov(flat))
    matrix = vectors @ torch.diag(values.rsqrt()) @ vectors.T
    torch.manual_seed(0)
    vae = Autoencoder()
    fix_encoder(vae, flat.mean(1).float(), matrix.float())
    save(vae, path)


def save(vae: Autoencoder, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    save_file({k: v.detach().clone().contiguous() for k, v in vae.state_dict().items()}, unfinished)
    unfinished.rename(path)


def train(path: Path, seconds: float, workers: int = 2, pool_size: int = 2000, batch: int = 16) -> None:
    """Train the decoder of the autoencoder at `path` for `seconds` of wall clock; it goes on from there."""
    device = settings.device()
    vae = load(path, device)
    vae.taesd_decoder.requires_grad_(True)
    pool = render_pool(pool_size, seed=2, workers=workers)

    def loss_of(vae, ticket: int) -> torch.Tensor:
        torch.manual_seed(ticket)
        x = to_tensor(crops(pool, batch, CROP, np.random.default_rng(ticket)), device)
        z = vae.taesd_encoder(x)
        with torch.autocast(device.type, torch.bfloat16):
            y = vae.taesd_decoder(z + LATENT_NOISE * torch.randn_like(z))
        y = y.float()
        # the squared error is what pulls colours apart: L1 alone settles on the commonest ones
        return F.l1_loss(y, x) + 5 * F.mse_loss(y, x) + edge_loss(y, x)

    def rate_of(step: int, done: float) -> float:
        return PEAK_RATE * min(1, (step + 1) / 30) * (0.5 + 0.5 * np.cos(np.pi * done)) + 2e-5

    def report(optimizer, loss: float, step_seconds: float) -> None:
        print(
            f"decoder step {optimizer.step_count}  loss {loss:.4f}  {step_seconds:.2f} s a step", flush=True
        )

    optimizer = crew.train(vae, loss_of, rate_of, seconds, micro_batches=2, workers=workers,
                           ema_decay=0.98, report=report, report_every=50)  # fmt: skip
    optimizer.weights.copy_(optimizer.ema)
    save(vae, path)


def load(path: Path, device) -> Autoencoder:
    vae = Autoencoder()
    vae.load_state_dict(load_file(path))
    return vae.to(device).eval().requires_grad_(False)
