"""Models with random weights in the shapes of SD1.5 and SDXL, in ComfyUI's own classes.

Import only after the host is on sys.path (fixture `comfy`).
"""

from __future__ import annotations

import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.sd1_clip
import comfy.supported_models
import torch

SD1 = {
    "image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 320, "num_res_blocks": [2, 2, 2, 2],
    "channel_mult": [1, 2, 4, 4], "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0], "transformer_depth_middle": 1,
    "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0], "context_dim": 768, "use_linear_in_transformer": False,
    "adm_in_channels": None, "use_temporal_attention": False, "num_heads": 8, "num_head_channels": -1,
    "use_spatial_transformer": True, "legacy": False,
}  # fmt: skip
SDXL = {
    "image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 320, "num_res_blocks": [2, 2, 2],
    "channel_mult": [1, 2, 4], "transformer_depth": [0, 0, 2, 2, 10, 10], "transformer_depth_middle": 10,
    "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10], "context_dim": 2048, "use_linear_in_transformer": True,
    "adm_in_channels": 2816, "num_classes": "sequential", "use_temporal_attention": False, "num_heads": -1,
    "num_head_channels": 64, "use_spatial_transformer": True, "legacy": False,
}  # fmt: skip
TINY_SD1 = {**SD1, "model_channels": 32, "context_dim": 24, "num_heads": 4}
TINY_SDXL = {**SDXL, "model_channels": 32, "context_dim": 48, "adm_in_channels": 1536 + 24, "num_head_channels": 16,
             "transformer_depth": [0, 0, 1, 1, 2, 2], "transformer_depth_middle": 2,
             "transformer_depth_output": [0, 0, 0, 1, 1, 1, 2, 2, 2]}  # fmt: skip


def random_model(config: dict, dtype: torch.dtype = torch.float32, shared: bool = False):
    """A ModelPatcher around a UNet of this configuration, with random weights of a sane size."""
    is_sdxl = config["adm_in_channels"] is not None
    cls = comfy.supported_models.SDXL if is_sdxl else comfy.supported_models.SD15
    model_config = cls(config)
    model_config.unet_config.update(config)  # the class puts its own head sizes in
    model_config.set_inference_dtype(dtype, None)
    device = torch.device("cpu")
    base = comfy.model_base.SDXL if is_sdxl else comfy.model_base.BaseModel
    model = base(model_config, comfy.model_base.ModelType.EPS, device=device)
    fill(model.diffusion_model, 0, shared)
    model.eval()
    return patcher_of(model)


def patcher_of(model) -> comfy.model_patcher.ModelPatcher:
    """Runs where ComfyUI would run it, and rests in memory."""
    return comfy.model_patcher.ModelPatcher(
        model, load_device=comfy.model_management.get_torch_device(), offload_device=torch.device("cpu")
    )


@torch.no_grad()
def fill(module: torch.nn.Module, seed: int, shared: bool = False) -> None:
    """Uniform weights of variance 1/fan-in, norms one, biases zero.

    shared: weights of the same shape are one tensor, so that billions of them take seconds and little memory.
    """
    generator = torch.Generator().manual_seed(seed)
    known: dict[torch.Size, torch.Tensor] = {}
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(False)
        if parameter.ndim < 2:
            parameter.fill_(1.0 if name.endswith("weight") else 0.0)
        elif shared and parameter.shape in known:
            parameter.data = known[parameter.shape]
        else:
            bound = (3.0 / parameter[0].numel()) ** 0.5
            parameter.uniform_(-bound, bound, generator=generator)
            known[parameter.shape] = parameter.data


def conditioning(length: int = 77, width: int = 24, seed: int = 0, pooled: int = 24):
    """A conditioning that no CLIP encoded: [[embedding (1, length, width), {pooled_output}]]."""
    generator = torch.Generator().manual_seed(seed)
    embedding = torch.randn((1, length, width), generator=generator)
    return [[embedding, {"pooled_output": torch.randn((1, pooled), generator=generator)}]]


def random_clip(width: int = 24, layers: int = 2, seed: int = 1):
    """ComfyUI's SD1 CLIP class with the real tokenizer and a small random text model of this width."""
    import comfy.sd

    class Target:
        params = {}
        clip = comfy.sd1_clip.SD1ClipModel
        tokenizer = comfy.sd1_clip.SD1Tokenizer

    config = {
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "intermediate_size": 4 * width,
    }
    clip = comfy.sd.CLIP(Target, model_options={"clip_l_model_config": config, "model_name": "clip_l"})
    fill(clip.cond_stage_model, seed)
    clip.tokenizer.clip_l.embedding_size = width
    return clip
