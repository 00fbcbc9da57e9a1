"""Makes ComfyUI's own MODEL, CLIP and VAE of tensors in SDXL's or Lumina 2's shape, whatever their sizes."""

from __future__ import annotations

import comfy.latent_formats
import comfy.model_management as management
import comfy.supported_models
import comfy.supported_models_base
import torch
from comfy import sdxl_clip as sdxl_text
from comfy.model_patcher import ModelPatcher
from comfy.sd import CLIP, VAE

from . import paths

CLIP_ENCODERS = ("clip_l", "clip_g")
VOCABULARY = 49408
"""Tokens that CLIP knows."""


def sdxl_model(tensors: dict[str, torch.Tensor], prefix: str, config: dict) -> ModelPatcher:
    """prefix: of the names of the UNet's tensors. config: of the UNet. “v_pred” and “ztsnr” among the tensors make it a v-prediction
    model with zero terminal signal."""
    model_config = comfy.supported_models.SDXL(config)
    # the constructor puts SDXL's 64 back; other models' heads may be narrower
    model_config.unet_config["num_head_channels"] = config["num_head_channels"]
    weights = {name: t for name, t in tensors.items() if name.startswith(prefix)}
    count = sum(t.numel() for t in weights.values())
    device = management.get_torch_device()
    dtypes = model_config.supported_inference_dtypes
    dtype = management.unet_dtype(model_params=count, supported_dtypes=dtypes, weight_dtype=torch.float16)
    model_config.set_inference_dtype(dtype, management.unet_manual_cast(dtype, device, dtypes))
    model = model_config.get_model(tensors, prefix)
    model.load_model_weights({name: t.to(dtype) for name, t in weights.items()}, prefix)
    return ModelPatcher(model, load_device=device, offload_device=management.unet_offload_device())


def lumina_model(tensors: dict[str, torch.Tensor], config: dict, shift: float) -> ModelPatcher:
    """A transformer of Lumina 2's and Z-Image's class that draws SDXL's latents. config: of the network; shift: of its noise schedule."""
    model_config = comfy.supported_models.Lumina2({"image_model": "lumina2", **config})
    model_config.latent_format = comfy.latent_formats.SDXL()
    model_config.sampling_settings = {"multiplier": 1.0, "shift": shift}
    device = management.get_torch_device()
    count = sum(t.numel() for t in tensors.values())
    dtypes = model_config.supported_inference_dtypes
    dtype = management.unet_dtype(model_params=count, supported_dtypes=dtypes, weight_dtype=torch.float16)
    model_config.set_inference_dtype(dtype, management.unet_manual_cast(dtype, device, dtypes))
    model = model_config.get_model({}, "")
    model.load_model_weights({name: t.to(dtype) for name, t in tensors.items()})
    return ModelPatcher(model, load_device=device, offload_device=management.unet_offload_device())


def sdxl_clip(weights: dict[str, torch.Tensor], config: dict) -> CLIP:
    """weights: of both encoders, by the host's names. config: of each of them."""
    clip = CLIP(
        comfy.supported_models_base.ClipTarget(sdxl_text.SDXLTokenizer, sdxl_text.SDXLClipModel),
        embedding_directory=paths.embeddings(),
        state_dict=weights,
        parameters=sum(t.numel() for t in weights.values()),
        model_options={f"{encoder}_model_config": config for encoder in CLIP_ENCODERS},
    )
    for encoder in CLIP_ENCODERS:  # textual inversions of this width fit
        getattr(clip.tokenizer, encoder).embedding_size = config["hidden_size"]
    return clip


def vae(tensors: dict[str, torch.Tensor]) -> VAE:
    return VAE(sd=tensors)
