"""Loads the demo checkpoint into ComfyUI's own MODEL, CLIP and VAE classes.

The checkpoint is a small text-to-image model in SDXL's shape (docs/demo_model.md). Its metadata says which
shapes it has; nothing about them is repeated here. Embeddings are stored for the words of its world only:
all other tokens share one row.
"""

import json
from pathlib import Path

import torch
from safetensors import safe_open

from ..facts import checkpoint, paths
from ..facts.checkpoint import CLIP_ENCODERS, VOCABULARY

PATH = paths.DATA / "demo" / "demo_checkpoint.safetensors"
TRANSFORMER = paths.DATA / "demo" / "demo_transformer.safetensors"
FORMAT, TRANSFORMER_FORMAT = "hrv_demo_checkpoint", "hrv_demo_transformer"
FORMAT_VERSION = "1"
UNET_PREFIX, TEXT_PREFIX, VAE_PREFIX = "model.diffusion_model.", "text_encoders.", "first_stage_model."


def load(path: Path = PATH) -> tuple[checkpoint.ModelPatcher, checkpoint.CLIP, checkpoint.VAE]:
    """MODEL, CLIP and VAE of the demo checkpoint.

    Raises FileNotFoundError without the file and ValueError when it is not a demo checkpoint.
    """
    tensors, config = read(path)
    text: dict[str, torch.Tensor] = {}
    for encoder in CLIP_ENCODERS:
        text |= _text_weights(tensors, encoder, config["text"])
    vae = _without_prefix(tensors, VAE_PREFIX, torch.float32)
    return (
        checkpoint.sdxl_model(tensors, UNET_PREFIX, config["unet"]),
        checkpoint.sdxl_clip(text, config["text"]),
        checkpoint.vae(vae),
    )


def load_transformer(
    path: Path = TRANSFORMER,
) -> tuple[checkpoint.ModelPatcher, checkpoint.CLIP, checkpoint.VAE]:
    """MODEL of the demo transformer, which has the class of Lumina 2 and Z-Image; CLIP and VAE are the demo checkpoint's, which it was trained
    with. Raises as `load` does."""
    tensors, config = _contents(path, TRANSFORMER_FORMAT)
    width = config["transformer"]["dim"]
    _check(tensors, {"cap_embedder.1.weight": (width, config["transformer"]["cap_feat_dim"])}, path)
    _, clip, vae = load()
    return checkpoint.lumina_model(tensors, config["transformer"], config["shift"]), clip, vae


def read(path: Path) -> tuple[dict[str, torch.Tensor], dict]:
    """All tensors of the checkpoint and its configuration: {"unet": {...}, "text": {...}}."""
    tensors, config = _contents(path, FORMAT)
    _check(tensors, _shapes(tensors, config), path)
    return tensors, config


def _contents(path: Path, wanted: str) -> tuple[dict[str, torch.Tensor], dict]:
    """All tensors of a file of this format, and its configuration."""
    if not path.is_file():
        raise FileNotFoundError(
            f"The demo checkpoint is missing: {path} does not exist. It comes with the pack; "
            "`git checkout -- hrv_data/demo` or a fresh download of the pack brings it back."
        )
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        found = (metadata.get("format"), metadata.get("format_version"))
        if found != (wanted, FORMAT_VERSION):
            raise ValueError(
                f"{path} is not a demo checkpoint that this version of the pack can read: it says format "
                f"{found[0]!r}, version {found[1]!r}; expected {wanted!r}, version {FORMAT_VERSION!r}. "
                "Reinstall the pack so that the file and the code match."
            )
        # copies: these tensors lie in the mapped file, which Windows lets nobody replace while one of them lives
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}
    return tensors, json.loads(metadata["config"])


def _shapes(tensors: dict[str, torch.Tensor], config: dict) -> dict[str, tuple[int, ...]]:
    """What the configuration promises."""
    unet, width = config["unet"], config["text"]["hidden_size"]
    expected = {
        UNET_PREFIX + "input_blocks.0.0.weight": (unet["model_channels"], unet["in_channels"], 3, 3),
        UNET_PREFIX + "out.2.weight": (unet["out_channels"], unet["model_channels"], 3, 3),
        VAE_PREFIX + "taesd_decoder.1.weight": (64, unet["in_channels"], 3, 3),
    }
    for encoder in CLIP_ENCODERS:
        rows = len(tensors[TEXT_PREFIX + "token_ids"]) + 1
        expected[f"{TEXT_PREFIX}{encoder}.token_rows"] = (rows, width)
    return expected


def _check(tensors: dict[str, torch.Tensor], expected: dict[str, tuple[int, ...]], path: Path) -> None:
    """Another shape would fail deep inside ComfyUI."""
    for name, shape in expected.items():
        found = tuple(tensors[name].shape) if name in tensors else None
        if found != shape:
            raise ValueError(
                f"{path} is damaged: tensor {name} has shape {found}, expected {shape}. Reinstall the pack."
            )


def _without_prefix(
    tensors: dict[str, torch.Tensor], prefix: str, dtype: torch.dtype
) -> dict[str, torch.Tensor]:
    return {name[len(prefix) :]: t.to(dtype) for name, t in tensors.items() if name.startswith(prefix)}


def _text_weights(tensors: dict[str, torch.Tensor], encoder: str, text: dict) -> dict[str, torch.Tensor]:
    """ComfyUI's full state dict of one text encoder.

    Rows of the embedding table (token, width) are put in their places, the last stored row everywhere else.
    Only the first layer is trained: ComfyUI wants three (SDXL reads the last but one), so two that change
    nothing follow. The pooled text's projection is zero.
    """
    prefix = f"{TEXT_PREFIX}{encoder}."
    stored = _without_prefix(tensors, prefix, torch.float32)
    rows = stored.pop("token_rows")
    width, inner = text["hidden_size"], text["intermediate_size"]
    table = rows[-1].repeat(VOCABULARY, 1)
    table[tensors[TEXT_PREFIX + "token_ids"].long()] = rows[:-1]
    out = {f"{encoder}.transformer.text_model.{name}": t for name, t in stored.items()}
    out[f"{encoder}.transformer.text_model.embeddings.token_embedding.weight"] = table
    out[f"{encoder}.transformer.text_projection.weight"] = torch.zeros(width, width)
    out[f"{encoder}.transformer.text_model.final_layer_norm.weight"] = torch.ones(width)
    out[f"{encoder}.transformer.text_model.final_layer_norm.bias"] = torch.zeros(width)
    shapes = {
        "mlp.fc1": (inner, width),
        "mlp.fc2": (width, inner),
        "layer_norm1": (width,),
        "layer_norm2": (width,),
    }
    shapes |= {f"self_attn.{part}_proj": (width, width) for part in ("q", "k", "v", "out")}
    for layer in range(1, text["num_hidden_layers"]):  # with zero weights a layer changes nothing
        for name, shape in shapes.items():
            key = f"{encoder}.transformer.text_model.encoder.layers.{layer}.{name}"
            out[f"{key}.weight"], out[f"{key}.bias"] = torch.zeros(shape), torch.zeros(shape[0])
    return out
