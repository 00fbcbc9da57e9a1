"""The judge: a small network that tells what a picture of the demo world shows.

It is trained on renderings and on renderings that went through the autoencoder, never on generated pictures.
It looks at one object: for a picture with two, give it `halves(picture)`.
"""

import json
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from . import settings, train_vae
from .draw import render
from .world import BACKGROUNDS, COLOURS, KINDS, PATTERNS, SIZES, Scene, sample_scene

SIDE = 128  # pictures are averaged down to this
QUESTIONS: dict[str, tuple[str, ...]] = {
    "kind": KINDS,
    "colour": tuple(COLOURS),
    "pattern": PATTERNS,
    "size": tuple(SIZES),
    "background": tuple(BACKGROUNDS),
}


class Judge(nn.Module):
    """float (picture, RGB 0..1, SIDE, SIDE) → {question: logits (picture, answer)}."""

    def __init__(self):
        super().__init__()
        layers, width_in = [], 3
        for width in (24, 48, 96, 128):
            layers += [
                nn.Conv2d(width_in, width, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            ]
            width_in = width
        self.features = nn.Sequential(*layers)
        self.heads = nn.ModuleDict({q: nn.Linear(2 * width_in, len(a)) for q, a in QUESTIONS.items()})

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        maps = self.features(x * 2 - 1)
        pooled = torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], dim=1)
        return {question: head(pooled) for question, head in self.heads.items()}


def shrink(picture: np.ndarray) -> np.ndarray:
    """uint8 (height, width, RGB) → uint8 (SIDE, SIDE, RGB)."""
    return cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def halves(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Left and right half of (height, width, RGB), each with its edge columns repeated to the full width."""
    width = picture.shape[1]
    pad = width // 4
    return tuple(
        np.pad(half, ((0, 0), (pad, width - half.shape[1] - pad), (0, 0)), mode="edge")
        for half in (picture[:, : width // 2], picture[:, width // 2 :])
    )


def answers_of(scene: Scene, index: int = 0) -> dict[str, int]:
    """The right answers for one object of a scene."""
    thing = scene.things[index]
    values = {
        "kind": thing.kind,
        "colour": thing.colour,
        "pattern": thing.pattern,
        "size": thing.size,
        "background": scene.background,
    }
    return {question: QUESTIONS[question].index(value) for question, value in values.items()}


@torch.no_grad()
def ask(judge: Judge, pictures: list[np.ndarray]) -> list[dict[str, str]]:
    """The judge's answers in words for pictures uint8 (height, width, RGB)."""
    x = torch.from_numpy(np.stack([shrink(p) for p in pictures])).permute(0, 3, 1, 2).float() / 255
    logits = judge(x)
    best = {question: values.argmax(1).tolist() for question, values in logits.items()}
    return [{q: QUESTIONS[q][best[q][i]] for q in QUESTIONS} for i in range(len(pictures))]


def load(path: Path = settings.JUDGE) -> Judge:
    with safe_open(path, framework="pt") as file:
        found = json.loads((file.metadata() or {}).get("questions", "null"))
        if found != {q: list(a) for q, a in QUESTIONS.items()}:
            raise ValueError(
                f"{path} answers other questions than this world asks. Make it again with "
                "`python tools/train_demo/train.py --stages judge`."
            )
        state = {name: file.get_tensor(name).float() for name in file.keys()}
    judge = Judge()
    judge.load_state_dict(state, strict=False)  # BatchNorm's batch counter is not kept
    return judge.eval().requires_grad_(False)


@torch.no_grad()
def _examples(vae, count: int, seed: int, soften: bool):
    """Shrunk pictures uint8 (count, SIDE, SIDE, RGB) and answers {question: int64 (count,)}."""
    rng = np.random.default_rng(seed)
    pictures, answers = [], []
    while len(pictures) < count:
        scene = sample_scene(rng, two_objects=0.25)
        picture = render(scene)[0]
        if soften:
            picture = _soften(vae, picture, rng.uniform(0, 0.2))
        parts = [picture] if len(scene.things) == 1 else halves(picture)
        for index, part in enumerate(parts):
            pictures.append(shrink(part))
            answers.append(answers_of(scene, index))
    labels = {q: torch.tensor([a[q] for a in answers[:count]]) for q in QUESTIONS}
    return np.stack(pictures[:count]), labels


def _soften(vae, picture: np.ndarray, noise: float) -> np.ndarray:
    """The picture, uint8 (height, width, RGB), through the narrow autoencoder with a little latent noise."""
    z = vae.taesd_encoder(train_vae.to_tensor(picture[None], "cpu"))
    y = vae.taesd_decoder(z + noise * torch.randn_like(z))
    return (y[0].clamp(0, 1) * 255).byte().permute(1, 2, 0).numpy()


def train(path: Path, vae_path: Path, renderings: int = 9000, softened: int = 4000, epochs: int = 10) -> None:
    """Train on one CPU core and save; prints the share of right answers on new renderings."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    vae = train_vae.load(vae_path, "cpu")
    sharp, soft = _examples(vae, renderings, 21, False), _examples(vae, softened, 22, True)
    pictures = torch.from_numpy(np.concatenate([sharp[0], soft[0]])).permute(0, 3, 1, 2).contiguous()
    labels = {q: torch.cat([sharp[1][q], soft[1][q]]) for q in QUESTIONS}
    print(f"judge: {len(pictures)} examples", flush=True)
    judge = Judge()
    optimizer = torch.optim.AdamW(judge.parameters(), lr=3e-3, weight_decay=0.02)
    batch = 64
    steps = epochs * (len(pictures) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps, pct_start=0.15)
    for epoch in range(epochs):
        order, total = torch.randperm(len(pictures)), 0.0
        for first in range(0, len(order) - batch + 1, batch):
            chosen = order[first : first + batch]
            x = pictures[chosen].float() / 255
            if torch.rand(()) < 0.5:
                x = x.flip(3)
            shift = torch.randint(-5, 6, (2,))
            x = torch.roll(F.pad(x, (5, 5, 5, 5), mode="replicate"), tuple(shift.tolist()), (2, 3))[
                ..., 5:-5, 5:-5
            ]
            logits = judge(x + 0.015 * torch.randn_like(x))
            loss = sum(F.cross_entropy(logits[q], labels[q][chosen]) for q in QUESTIONS)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += float(loss.detach())
        print(f"judge epoch {epoch + 1}  loss {total / (len(order) // batch):.4f}", flush=True)
    judge.eval()
    state = {k: v.half() for k, v in judge.state_dict().items() if not k.endswith("num_batches_tracked")}
    metadata = {
        "format": "hrv_demo_judge",
        "format_version": "1",
        "license": "Apache-2.0",
        "description": "Tells what a picture of the demo world shows. See docs/demo_model.md.",
        "questions": json.dumps(QUESTIONS),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, path, metadata)
    print(check(load(path), vae), flush=True)


def check(judge: Judge, vae=None, count: int = 500) -> dict[str, dict[str, float]]:
    """Share of right answers on new renderings and, with an autoencoder, on new softened ones."""
    out = {}
    for name, soften in (("renderings", False), ("softened", True))[: 2 if vae else 1]:
        pictures, labels = _examples(vae, count, 31, soften)
        with torch.no_grad():
            logits = judge(torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255)
        out[name] = {q: float((logits[q].argmax(1) == labels[q]).float().mean()) for q in QUESTIONS}
    return out
