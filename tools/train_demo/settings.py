"""Shapes of the demo networks, where things lie, and how ComfyUI's modules are reached."""

import os
import sys
from pathlib import Path

import torch

PACK = Path(__file__).resolve().parents[2]
DEMO = PACK / "hrv_data" / "demo"
CHECKPOINT = DEMO / "demo_checkpoint.safetensors"
DIT = DEMO / "demo_transformer.safetensors"
JUDGE = DEMO / "judge.safetensors"
LATENT_SCALE = 0.13025  # SDXL's latent format
DIT_SHIFT = 3.0  # of the transformer's noise schedule

# Both text encoders. SDXL reads the last layer but one and ComfyUI asks for three at least: the first is
# trained, the others change nothing.
TEXT = {
    "hidden_size": 64,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "num_hidden_layers": 3,
    "hidden_act": "gelu",
    "max_position_embeddings": 77,
    "eos_token_id": 49407,
    "projection_dim": 64,
}


def comfy_path() -> Path:
    """The ComfyUI checkout to train with: that of a running test, else COMFYUI_PATH, else the newest that dev.py unpacked."""
    named = os.environ.get("HRV_COMFYUI") or os.environ.get("COMFYUI_PATH")
    found = [Path(named)] if named else sorted((PACK / ".host").glob("comfyui-*"))
    if not found or not (found[-1] / "comfy").is_dir():
        raise SystemExit(
            "No ComfyUI found. Run `python3 dev.py test` once (it unpacks one into .host), "
            "or let COMFYUI_PATH name a checkout."
        )
    return found[-1]


def use_comfy(cpu: bool | None = None) -> None:
    """Make `import comfy` work; ComfyUI reads its options from sys.argv, so hand it only its own."""
    if str(comfy_path()) not in sys.path:
        sys.path.insert(0, str(comfy_path()))
    argv, sys.argv = sys.argv, sys.argv[:1]
    if cpu if cpu is not None else not torch.cuda.is_available():
        sys.argv.append("--cpu")
    try:
        from comfy import options

        options.enable_args_parsing()
        import comfy.cli_args  # noqa: F401
    finally:
        sys.argv = argv


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def fast_dtype() -> torch.dtype:
    """What to multiply in while training. A CPU without bfloat16 instructions is several times slower with it."""
    slow = not torch.cuda.is_available() and not torch.cpu._is_avx512_bf16_supported()
    return torch.float32 if slow else torch.bfloat16


def unet_config() -> dict:
    """Arguments of ComfyUI's UNetModel. Lists that UNetModel consumes are made anew for every call."""
    return {
        "image_size": 32,
        "in_channels": 4,
        "out_channels": 4,
        "model_channels": 32,
        "channel_mult": [1, 2, 4],
        "num_res_blocks": [1, 2, 1],
        "num_head_channels": 8,
        "num_heads": -1,
        "transformer_depth": [0, 1, 1, 1],
        "transformer_depth_middle": 1,
        "transformer_depth_output": [0, 0, 1, 1, 1, 0, 0],
        "use_spatial_transformer": True,
        "use_linear_in_transformer": True,
        "legacy": False,
        "use_temporal_attention": False,
        "context_dim": 2 * TEXT["hidden_size"],
        "num_classes": "sequential",
        "adm_in_channels": TEXT["hidden_size"] + 6 * 256,
    }


def dit_config() -> dict:
    """Arguments of ComfyUI's NextDiT, the network of Lumina 2 and Z-Image."""
    return {
        "patch_size": 2,
        "in_channels": 4,
        "dim": 160,
        "n_layers": 6,
        "n_refiner_layers": 0,
        "n_heads": 10,
        "n_kv_heads": 10,
        "multiple_of": 32,
        "ffn_dim_multiplier": 2.8,
        "norm_eps": 1e-5,
        "qk_norm": True,
        "cap_feat_dim": 2 * TEXT["hidden_size"],
        "axes_dims": [4, 6, 6],
        "axes_lens": [128, 64, 64],
        "rope_theta": 256.0,
        "time_scale": 1000.0,
    }
