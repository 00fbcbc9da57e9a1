"""Keys of the options that ComfyUI hands down while it samples. Each name is the host's own.

model_options hold TRANSFORMER_OPTIONS; what replaces a layer's attention is called with (q, k, v, extra_options).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# model_options
TRANSFORMER_OPTIONS = "transformer_options"
DISABLE_CFG1_OPTIMIZATION = "disable_cfg1_optimization"
"""Set where the negative prompt is evaluated at CFG 1 as well."""
GUIDANCE_CHANGED = (
    "sampler_cfg_function",
    "sampler_pre_cfg_function",
    "sampler_post_cfg_function",
    "sampler_calc_cond_batch_function",
)
"""Set where something else than CFG alone weighs the prompts."""

# transformer_options
COND_OR_UNCOND = "cond_or_uncond"
"""For each chunk of the batch, the number of the list of conditionings it came from."""
UUIDS = "uuids"
"""For each chunk of the batch, the uuid of its conditioning."""
SIGMAS = "sigmas"
"""The noise level of the evaluation, a tensor."""
WRAPPERS = "wrappers"
"""Kind → key → list of wrappers."""
PATCHES = "patches"
"""Name → list of patches."""
OUTPUT_BLOCK_PATCH = "output_block_patch"
"""A name in PATCHES. Called with (h, skip, transformer_options) before each output block."""
PATCHES_REPLACE = "patches_replace"
"""ATTN1 or ATTN2 → key of a layer → what replaces its attention."""
ATTN1, ATTN2 = "attn1", "attn2"
"""Self-attention and cross-attention; the modules of a transformer have these names, too."""
BLOCK = "block"
"""(part, number of the block) where the UNet is just now."""
BLOCK_TYPE, BLOCK_INDEX = "block_type", "block_index"
"""In which kind of block and in which of them a transformer is just now, where it says so."""
OPTIMIZED_ATTENTION_OVERRIDE = "optimized_attention_override"
"""Called with (attention, *its arguments) in place of each attention."""

# extra_options
N_HEADS = "n_heads"
ATTN_PRECISION = "attn_precision"
ACTIVATIONS_SHAPE = "activations_shape"
"""(…, height, width) of the layer."""


def occupant_of(replacements: Mapping[tuple, Any], key: tuple[str, int, int]) -> Any:
    """What replaces the attention of the layer (part, block, transformer): a replacement of its own, or of its whole block."""
    return replacements.get(key, replacements.get(key[:2]))
