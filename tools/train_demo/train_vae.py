"""Stage 1: the picture autoencoder, trained on crops.

First both halves, held to white latents (zero mean, unit covariance); then the latents are whitened exactly
by a linear map folded into the encoder's last layer, and the decoder alone learns on.
"""

import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from . import crew, settings
from .autoencoder import Autoencoder
from .world import render, sample_scene

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


def white_loss(z: torch.Tensor) -> torch.Tensor:
    """How far latents (batch, channel, height, width) are from zero mean and unit covariance."""
    flat = z.movedim(1, 0).flatten(1)
    mean = flat.mean(1, keepdim=True)
    covariance = (flat - mean) @ (flat - mean).T / flat.shape[1]
    return (covariance - torch.eye(len(flat), device=z.device)).square().mean() + mean.square().mean()


def train(path: Path, seconds: float, workers: int = 2, pool_size: int = 2000, batch: int = 16) -> None:
    """Train for `seconds` of wall clock, three fifths on both halves; save the narrow weights to `path`.

    Goes on from `path` where it exists already.
    """
    torch.manual_seed(0)
    device = settings.device()
    vae = Autoencoder().to(device)
    if path.exists():
        vae.load_state_dict(load_file(path))
    pool = render_pool(pool_size, seed=1, workers=workers)

    def loss_of(vae, ticket: int) -> torch.Tensor:
        torch.manual_seed(ticket)
        x = to_tensor(crops(pool, batch, CROP, np.random.default_rng(ticket)), device)
        with torch.autocast(device.type, torch.bfloat16):
            z = vae.taesd_encoder(x)
            y = vae.taesd_decoder(z + LATENT_NOISE * torch.randn_like(z))
        y = y.float()
        # the squared error is what pulls colours apart: L1 alone settles on the commonest ones
        fit = F.l1_loss(y, x) + 5 * F.mse_loss(y, x) + edge_loss(y, x)
        return fit + 0.02 * white_loss(z.float())

    for half, share in (("both halves", 0.6), ("decoder", 0.4)):
        start = time.time()
        peak = PEAK_RATE if half == "both halves" else 0.5 * PEAK_RATE

        def rate_of(step: int, done: float, peak=peak) -> float:
            return peak * min(1, (step + 1) / 50) * (0.5 + 0.5 * np.cos(np.pi * done)) + 2e-5

        def report(optimizer, loss: float, step_seconds: float, half=half, start=start) -> None:
            print(
                f"vae {half} step {optimizer.step_count}  {time.time() - start:.0f} s  loss {loss:.4f}  "
                f"{step_seconds:.2f} s a step",
                flush=True,
            )

        optimizer = crew.train(
            vae,
            loss_of,
            rate_of,
            share * seconds,
            micro_batches=2,
            workers=workers,
            ema_decay=0.98,
            report=report,
            report_every=100,
        )
        optimizer.weights.copy_(optimizer.ema)
        if half == "both halves":
            whiten(vae, pool[:200], device)
            vae.taesd_encoder.requires_grad_(False)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({k: v.detach().clone().contiguous() for k, v in vae.state_dict().items()}, path)


@torch.no_grad()
def whiten(vae: Autoencoder, pictures: np.ndarray, device) -> None:
    """Fold z → M (z - mean) into the encoder's last layer and, but for the soft limit, M⁻¹ into the decoder."""
    parts = [vae.taesd_encoder(to_tensor(pictures[i : i + 8], device)) for i in range(0, len(pictures), 8)]
    flat = torch.cat(parts).movedim(1, 0).flatten(1).double()
    mean = flat.mean(1)
    values, vectors = torch.linalg.eigh(torch.cov(flat))
    matrix = vectors @ torch.diag(values.clamp(min=1e-6).rsqrt()) @ vectors.T
    print("latent mean", mean.tolist(), "variances", values.tolist(), flush=True)
    last, first = vae.taesd_encoder[14], vae.taesd_decoder[1]
    last.weight.copy_(torch.einsum("ij,jkyx->ikyx", matrix, last.weight.double()))
    last.bias.copy_(matrix @ (last.bias.double() - mean))
    first.bias += torch.einsum("ojyx,j->o", first.weight.double(), mean).float()
    first.weight.copy_(torch.einsum("ojyx,ji->oiyx", first.weight.double(), torch.linalg.inv(matrix)))


def load(path: Path, device) -> Autoencoder:
    vae = Autoencoder()
    vae.load_state_dict(load_file(path))
    return vae.to(device).eval().requires_grad_(False)
