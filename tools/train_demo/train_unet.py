"""Stage 3: the denoiser and the text encoders, trained together with v-prediction.

The noise schedule is ComfyUI's own with zero terminal signal: at the first step the model sees noise alone
and must take the whole scene from the words.
"""

import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from . import crew, networks, settings
from .export import read_checkpoint, write_checkpoint
from .latents import LatentSet
from .world import TWO_SENSE, Scene, caption

STATE = "unet_state.safetensors"
MICRO_BATCH = 8
PEAK_RATE = 8e-4
BLANK_WEIGHT = 1.0  # how strongly positions behind the last word are held to those of an empty text
LOUD_WEIGHT = 0.1  # how strongly a token's mean square is held below LOUDEST
LOUDEST = 2.0
WORD_WEIGHT = 0.06  # how strongly attention is kept from words that do not help; see networks.WordCost
THING_WEIGHT = 3.0  # how much more an error counts where a thing is, against the background
RARE_SENSES = 2.0  # how much more often scenes are shown whose kind is a word of two senses
UNKNOWN_WORDS = 0.04  # share of captions with a word that the world does not know


def _often(scene: Scene) -> float:
    return RARE_SENSES if any(thing.kind in TWO_SENSE for thing in scene.things) else 1.0


def _discs(scene: Scene, height: int, width: int) -> np.ndarray:
    """float32 (1, height, width), mean 1: in a disc around each thing THING_WEIGHT times as much as elsewhere."""
    y, x = (np.mgrid[:height, :width] + 0.5) / np.array([height, width]).reshape(2, 1, 1)
    weight = np.ones((height, width), np.float32)
    for t in scene.things:
        weight[np.hypot(x - t.x, y - t.y) < 0.6 * t.extent] = THING_WEIGHT
    return (weight / weight.mean())[None]


class Batches:
    """Noised scenes and captions, drawn by ticket number."""

    def __init__(self, folder: Path, batch: int):
        self.data, self.batch = LatentSet(folder), batch
        self.tokens, self.sigmas = networks.Tokens(), networks.schedule()
        often = np.array([_often(scene) for scene in self.data.scenes])
        self.chances = np.cumsum(often / often.sum())

    def draw(self, ticket: int):
        """x0, noise (picture, channel, height, width); timestep (picture,); word rows, one list each;
        weight of errors (picture, 1, height, width)."""
        rng = np.random.default_rng(ticket)
        indices = np.searchsorted(self.chances, rng.random(self.batch)).clip(max=len(self.chances) - 1)
        rows = []
        for i in indices:
            words = self.tokens.rows(caption(self.data.scenes[i], rng))
            if words and rng.random() < UNKNOWN_WORDS:
                words.insert(int(rng.integers(len(words) + 1)), self.tokens.other)
            rows.append(words)
        x0 = self.data.latents(indices)
        noise = torch.from_numpy(rng.standard_normal(x0.shape, dtype=np.float32))
        # noisy timesteps more often: seven in ten above 500
        timestep = torch.from_numpy((1000 * (1 - rng.random(self.batch) ** 2)).astype(np.int64)).clamp(0, 999)
        discs = [_discs(self.data.scenes[i], *x0.shape[2:]) for i in indices]
        return x0, noise, timestep, rows, torch.from_numpy(np.stack(discs))


def encode_with_blank_ends(model: networks.DemoModel, tokens: networks.Tokens, rows, device):
    """Context (text, token, width) whose ends are those of the empty text, where words are (text, token), and
    the loss that makes the ends so and keeps the text quiet."""
    ids_l, ids_g = (ids.to(device) for ids in tokens.batch([[], *rows]))
    context = model.encode(ids_l, ids_g)
    empty, context = context[:1], context[1:]
    length = torch.tensor([len(words) for words in rows], device=device)
    # blank: bool (text, token, 1), true from the end token on
    blank = (torch.arange(networks.LENGTH, device=device)[None] > length[:, None])[..., None]
    gap = (context - empty.detach()).square().mean(-1, keepdim=True)
    loss = (gap * blank).sum() / blank.sum()
    # Without a limit the text grows until every softmax over it is one column: then no word gets a gradient.
    loud = (context.square().mean(-1) - LOUDEST).relu().mean()
    is_word = ~blank[..., 0]
    is_word[:, 0] = False
    return torch.where(blank, empty, context), is_word, BLANK_WEIGHT * loss + LOUD_WEIGHT * loud


def _trained_plainly(name: str) -> bool:
    """Text and what makes attention's logits: Muon would grow every direction of them until softmax saturates."""
    return name.startswith("clip_") or "to_q" in name or "to_k" in name


def begin_from(checkpoint: Path, work: Path) -> None:
    """Put a finished checkpoint's weights and autoencoder into `work`, as if training had stopped there."""
    model = networks.DemoModel(networks.Tokens())
    vae, steps = read_checkpoint(checkpoint, model)
    work.mkdir(parents=True, exist_ok=True)
    save_file(vae.state_dict(), work / "vae.safetensors")
    weights = crew.flatten(model)
    zeros = torch.zeros_like(weights)
    state = {"weights": weights, "ema": weights.clone(), "mean": zeros, "square": zeros.clone()}
    save_file(state | {"step": torch.tensor([steps])}, work / STATE)


def train(
    work: Path,
    seconds: float,
    workers: int,
    batch: int = MICRO_BATCH,
    checkpoint: Path = settings.CHECKPOINT,
    rate: float = PEAK_RATE,
    micro_batches: int = 4,
) -> None:
    """Train for `seconds`, keeping state in `work` and `checkpoint` up to date."""
    torch.manual_seed(0)
    device, dtype = settings.device(), settings.fast_dtype()
    batches = Batches(work / "latents", batch)
    model = networks.DemoModel(batches.tokens).to(device)
    sigmas = batches.sigmas.to(device)
    state_path = work / STATE
    state = load_file(state_path) if state_path.exists() else None

    def loss_of(model, ticket: int) -> torch.Tensor:
        x0, noise, timestep, rows, weight = batches.draw(ticket)
        x0, noise, timestep = x0.to(device), noise.to(device), timestep.to(device)
        sigma = sigmas[timestep].view(-1, 1, 1, 1)
        signal = (1 + sigma**2).rsqrt()
        spread = sigma * signal
        with torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
            context, is_word, text_loss = encode_with_blank_ends(model, batches.tokens, rows, device)
            networks.word_cost.words = is_word.to(context.dtype)
            v = model.velocity(signal * x0 + spread * noise, timestep.float(), context)
        error = F.mse_loss(v.float(), signal * noise - spread * x0, reduction="none")
        loss = (error * weight.to(device)).mean()
        return loss + text_loss.float() + WORD_WEIGHT * networks.word_cost.take()

    def rate_of(step: int, share: float) -> float:
        rise = min(1.0, (step + 1) / 150)
        return rate * rise * min(1.0, max(0.03, (1 - share) / 0.7))  # flat, then straight down

    start, saved = time.time(), [time.time()]

    def save(optimizer: crew.Optimizer) -> None:
        unfinished = state_path.with_suffix(".part")
        save_file({k: v.cpu().contiguous() for k, v in optimizer.state().items()}, unfinished)
        unfinished.rename(state_path)
        write_checkpoint(
            checkpoint,
            work / "vae.safetensors",
            model,
            batches.tokens,
            ema=optimizer.ema,
            steps=optimizer.step_count,
        )

    def report(optimizer: crew.Optimizer, loss: float, step_seconds: float) -> None:
        print(
            f"unet step {optimizer.step_count}  {time.time() - start:.0f} s  loss {loss:.4f}  "
            f"{step_seconds:.2f} s a step  {len(batches.data)} scenes",
            flush=True,
        )
        batches.data.refresh()
        if time.time() - saved[0] > 300:
            save(optimizer)
            saved[0] = time.time()

    optimizer = crew.train(
        model,
        loss_of,
        rate_of,
        seconds,
        micro_batches,
        workers,
        ema_decay=0.998,
        state=state,
        report=report,
        plain=_trained_plainly,
    )
    save(optimizer)
