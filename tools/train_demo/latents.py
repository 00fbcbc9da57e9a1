"""Stage 2: render scenes and encode them once; the denoiser trains on the latents.

Scene number i is sample_scene(default_rng(FIRST_SEED + i)), so only latents are stored: one file of CHUNK
scenes each, float16 (scene, channel, height, width), white (the checkpoint's VAE divides by SDXL's scale factor).
Captions are written anew each time a scene is shown.
"""

import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch

from . import settings, train_vae
from .autoencoder import averages
from .draw import render
from .world import Scene, sample_scene

CHUNK = 500
FIRST_SEED = 10_000_000


def scene_of(index: int) -> Scene:
    return sample_scene(np.random.default_rng(FIRST_SEED + index))


@torch.no_grad()
def _make_chunk(job: tuple[Path, Path, int]) -> None:
    vae_path, folder, number = job
    path = folder / f"{number:04d}.npy"
    if path.exists():
        return
    torch.set_num_threads(1)
    device = settings.device()
    vae = train_vae.load(vae_path, device)
    parts = []
    for first in range(number * CHUNK, (number + 1) * CHUNK, 50):
        pictures = np.stack([render(scene_of(i))[0] for i in range(first, first + 50)])
        # the encoder's last layer on the averages is the whole encoder, only faster
        small = averages(train_vae.to_tensor(pictures, device))
        last = vae.taesd_encoder[14]
        matrix = torch.cat([last.weight[:, :3, 1, 1], last.weight[:, 3:4, 1, 1]], dim=1)
        z = torch.einsum("ij,njyx->niyx", matrix, small) + last.bias.view(-1, 1, 1)
        parts.append(z.half().cpu().numpy())
    unfinished = folder / f"{number:04d}.{os.getpid()}.part"
    with open(unfinished, "wb") as file:
        np.save(file, np.concatenate(parts))
    unfinished.rename(path)


def make(vae_path: Path, folder: Path, chunks: int, workers: int) -> None:
    """Make latents of the first `chunks` · CHUNK scenes; chunks that exist already are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [(vae_path, folder, number) for number in range(chunks)]
    with ProcessPoolExecutor(workers) as pool:
        for number, _ in enumerate(pool.map(_make_chunk, jobs)):
            print(f"latents of {(number + 1) * CHUNK} scenes", flush=True)


class LatentSet:
    """All finished chunks of a folder, in memory; `refresh` takes up chunks made meanwhile."""

    def __init__(self, folder: Path):
        self.folder, self.chunks, self.scenes = folder, [], []
        self.refresh()

    def refresh(self) -> None:
        while (path := self.folder / f"{len(self.chunks):04d}.npy").exists():
            self.chunks.append(np.load(path))
            self.scenes += [scene_of(i) for i in range(len(self.scenes), len(self.chunks) * CHUNK)]

    def __len__(self) -> int:
        return len(self.scenes)

    def latents(self, indices) -> torch.Tensor:
        """float32 (scene, channel, height, width)."""
        return torch.from_numpy(np.stack([self.chunks[i // CHUNK][i % CHUNK] for i in indices])).float()
