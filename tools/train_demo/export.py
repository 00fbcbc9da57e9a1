"""Writes the shipped checkpoint: half precision, with its shapes in the metadata (read by host/store/demo_checkpoint.py)."""

import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from . import settings, train_vae
from .autoencoder import Autoencoder, narrow, widen

LAYER_NAME = "encoder.layers.0."


@torch.no_grad()
def write_checkpoint(path: Path, vae_path: Path, model, tokens, ema: torch.Tensor, steps: int) -> None:
    """Put the averaged weights `ema` (weight,) with the autoencoder into one file, replaced atomically."""
    averaged = {}
    offset = 0
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            averaged[name] = ema[offset : offset + weight.numel()].view(weight.shape)
            offset += weight.numel()
    tensors = {
        "v_pred": torch.zeros(1),
        "ztsnr": torch.zeros(1),
        "text_encoders.token_ids": torch.tensor(tokens.ids, dtype=torch.int32),
    }
    for name, weight in model.state_dict().items():
        weight = averaged.get(name, weight).detach().cpu()
        part, _, rest = name.partition(".")
        if part == "unet":
            tensors[f"model.diffusion_model.{rest}"] = weight.half()
            continue
        tensors[_text_key(part, rest)] = weight.half()
    vae = widen(train_vae.load(vae_path, "cpu"), settings.LATENT_SCALE)
    tensors |= {f"first_stage_model.{name}": t.half() for name, t in vae.items()}
    metadata = {
        "format": "hrv_demo_checkpoint",
        "format_version": "1",
        "license": "Apache-2.0",
        "modelspec.title": "ComfyUI-HRV demo checkpoint",
        "description": "A small text-to-image model of drawn scenes, in SDXL's shape. Made by "
        "tools/train_demo/train.py; see docs/demo_model.md.",
        "training_steps": str(steps),
        "config": json.dumps({"unet": settings.unet_config(), "text": settings.TEXT}),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    save_file({name: t.contiguous().clone() for name, t in tensors.items()}, unfinished, metadata)
    unfinished.rename(path)


def _text_key(encoder: str, name: str) -> str:
    """Where a text encoder's weight lies in the checkpoint."""
    name = {
        "token_embedding.weight": "token_rows",
        "position_embedding.weight": "embeddings.position_embedding.weight",
    }.get(name, name.replace("layer.", LAYER_NAME, 1))
    return f"text_encoders.{encoder}.{name}"


@torch.no_grad()
def read_checkpoint(path: Path, model) -> tuple[Autoencoder, int]:
    """Load denoiser and text encoders of a written checkpoint into `model`; returns (autoencoder, training steps)."""
    tensors = load_file(path)
    weights = {}
    for name in model.state_dict():
        part, _, rest = name.partition(".")
        key = f"model.diffusion_model.{rest}" if part == "unet" else _text_key(part, rest)
        weights[name] = tensors[key].float()
    model.load_state_dict(weights)
    prefix = "first_stage_model."
    vae = narrow({name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)})
    with safe_open(path, "pt") as file:
        return vae, int(file.metadata()["training_steps"])
