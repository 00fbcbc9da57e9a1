"""Shapes of the small transformers of `token_rig`: how each family is built, and where text and image stand in its calls."""

from __future__ import annotations

from dataclasses import dataclass, replace

from stand_in_models import ModelType

WIDTH = 24  # of the text's embedding
LUMINA = {
    "image_model": "lumina2", "patch_size": 2, "in_channels": 16, "dim": 48, "n_layers": 3, "n_refiner_layers": 1, "n_heads": 4,
    "n_kv_heads": 2, "qk_norm": True, "cap_feat_dim": WIDTH, "axes_dims": [4, 4, 4], "axes_lens": [300, 512, 512], "multiple_of": 16,
}  # fmt: skip
Z_IMAGE = {
    **LUMINA, "dim": 256, "n_kv_heads": 4, "axes_dims": [16, 24, 24], "z_image_modulation": True, "time_scale": 1000.0,
    "pad_tokens_multiple": 32,
}  # fmt: skip
FLUX = {
    "image_model": "flux", "in_channels": 16, "out_channels": 16, "vec_in_dim": 24, "context_in_dim": WIDTH, "hidden_size": 48,
    "mlp_ratio": 2.0, "num_heads": 2, "depth": 2, "depth_single_blocks": 3, "axes_dim": [8, 8, 8], "theta": 10000, "patch_size": 2,
    "qkv_bias": True, "guidance_embed": True, "txt_ids_dims": [],
}  # fmt: skip
CHROMA = {
    "image_model": "chroma", "in_channels": 64, "out_channels": 64, "context_in_dim": WIDTH, "hidden_size": 48, "mlp_ratio": 2.0,
    "num_heads": 2, "depth": 2, "depth_single_blocks": 3, "axes_dim": [8, 8, 8], "theta": 10000, "patch_size": 2, "qkv_bias": True,
    "in_dim": 64, "out_dim": 48, "hidden_dim": 32, "n_layers": 1, "txt_ids_dims": [], "vec_in_dim": None,
}  # fmt: skip
QWEN = {
    "image_model": "qwen_image", "patch_size": 2, "in_channels": 64, "out_channels": 16, "num_layers": 3, "attention_head_dim": 24,
    "num_attention_heads": 2, "joint_attention_dim": WIDTH, "axes_dims_rope": [8, 8, 8],
}  # fmt: skip
SD3 = {
    "in_channels": 16, "patch_size": 2, "depth": 2, "num_blocks": 3, "num_patches": 256, "pos_embed_max_size": 16, "adm_in_channels": 24,
    "pos_embed_scaling_factor": None, "input_size": None, "x_block_self_attn_layers": [0, 1],
    "context_embedder_config": {"target": "torch.nn.Linear", "params": {"in_features": WIDTH, "out_features": 128}},
}  # fmt: skip
FLUX2 = {
    **FLUX, "image_model": "flux2", "vec_in_dim": None, "patch_size": 1, "in_channels": 128, "out_channels": 128, "axes_dim": [4, 4, 8, 8],
    "global_modulation": True, "mlp_silu_act": True, "qkv_bias": False, "ops_bias": False, "default_ref_method": "index",
    "ref_index_scale": 10.0, "txt_ids_dims": [3],
}  # fmt: skip
AURA = {"in_channels": 4, "out_channels": 4, "dim": 48, "n_layers": 5, "n_double_layers": 2, "n_heads": 3, "global_conddim": 48,
        "cond_seq_dim": WIDTH, "max_seq": 256}  # fmt: skip
COSMOS = {
    "image_model": "cosmos_predict2", "max_img_h": 240, "max_img_w": 240, "max_frames": 128, "in_channels": 16, "out_channels": 16,
    "patch_spatial": 2, "patch_temporal": 1, "concat_padding_mask": True, "crossattn_emb_channels": WIDTH, "pos_emb_cls": "rope3d",
    "pos_emb_learnable": True, "pos_emb_interpolation": "crop", "min_fps": 1, "max_fps": 30, "use_adaln_lora": True, "adaln_lora_dim": 16,
    "model_channels": 48, "num_blocks": 3, "num_heads": 2, "extra_per_block_abs_pos_emb": False, "rope_h_extrapolation_ratio": 4.0,
    "rope_w_extrapolation_ratio": 4.0, "rope_t_extrapolation_ratio": 1.0,
}  # fmt: skip
WAN = {
    "image_model": "wan2.1", "model_type": "t2v", "patch_size": (1, 2, 2), "text_len": 16, "in_dim": 16, "dim": 48, "ffn_dim": 48,
    "freq_dim": 16, "text_dim": WIDTH, "out_dim": 16, "num_heads": 2, "num_layers": 3,
}  # fmt: skip
ADAPTER = {"source_dim": WIDTH, "target_dim": WIDTH, "model_dim": WIDTH, "num_layers": 1, "num_heads": 2}
"""Anima's, which is of one size."""
KREA = {
    "image_model": "krea2", "features": 64, "heads": 4, "kvheads": 2, "layers": 3, "multiplier": 2, "channels": 16, "txtlayers": 3,
    "txtdim": WIDTH // 3, "txtheads": 2, "txtkvheads": 2,
}  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """A family's small model. layers: (part, heads) of each that looks at the text. patch: latent pixels of a token; multiple: text and
    image are filled up to it; frames: whether its latents have an axis for them; values: what its conditioning holds beside the text."""

    config: dict
    supported: str
    base: str
    layers: tuple[tuple[str, int], ...]
    kind: ModelType = ModelType.FLOW
    channels: int = 16
    patch: int = 2
    multiple: int = 1
    registers: int = 0
    frames: bool = False
    values: tuple = ()
    references: int = 0
    fills: int = 0  # the model fills a shorter text up with zeros
    fills_behind: bool = False
    joint: bool = True

    def first(self, tokens: int) -> int:
        """The column of the first of so many tokens."""
        return 0 if self.fills_behind else max(self.fills - tokens, 0)

    def place(self, tokens: int, height: int, width: int, frames: int = 1) -> Place:
        """Where text and image stand in a call."""
        grid = (-(-height // self.patch), -(-width // self.patch))
        pixels = grid[0] * grid[1]

        def filled(count: int) -> int:
            return -(-count // self.multiple) * self.multiple

        tokens = max(tokens, self.fills)
        if not self.joint:
            return Place(pixels * frames, tokens, range(tokens), range(pixels * frames), grid)
        first = self.registers + filled(tokens)
        total = first + filled(pixels) + self.references
        return Place(
            total, total, range(self.registers, self.registers + tokens), range(first, first + pixels), grid
        )


@dataclass(frozen=True)
class Place:
    queries: int
    keys: int
    text: range
    image: range
    grid: tuple[int, int]

    def has(self, call) -> bool:
        """Whether it is one of text and image."""
        return (call.q.shape[2], call.k.shape[2]) == (self.queries, self.keys)


GUIDED = (("pooled_output", 24), ("guidance", 3.5))
_FLUX = Shape(
    FLUX, "Flux", "Flux", (("double", 2),) * 2 + (("single", 2),) * 3, ModelType.FLUX, values=GUIDED
)
_QWEN = Shape(QWEN, "QwenImage", "QwenImage", (("double", 2),) * 3, frames=True)
SHAPES = {
    "Lumina 2": Shape(LUMINA, "Lumina2", "Lumina2", (("single", 4),) * 3),
    "Z-Image": Shape(Z_IMAGE, "ZImage", "Lumina2", (("single", 4),) * 3, multiple=32),
    "Flux": _FLUX,
    "Flux Kontext": replace(_FLUX, values=(*GUIDED, ("reference_latents", (10, 6))), references=5 * 3),
    "Chroma": Shape(CHROMA, "Chroma", "Chroma", (("double", 2),) * 2 + (("single", 2),) * 3, ModelType.FLUX, values=GUIDED),
    "Qwen-Image": _QWEN,
    "Qwen-Image with a mask": replace(_QWEN, values=(("attention_mask", 3),)),
    "Qwen-Image with a reference": replace(_QWEN, values=(("reference_latents", (1, 6, 10)),), references=3 * 5),
    "Flux 2": replace(_FLUX, config=FLUX2, supported="Flux2", base="Flux2", channels=128, patch=1, fills=512),
    "AuraFlow": Shape(AURA, "AuraFlow", "AuraFlow", (("double", 3),) * 2 + (("single", 3),) * 3, channels=4, registers=8),
    "Cosmos-Predict2": Shape(
        COSMOS, "CosmosT2IPredict2", "CosmosPredict2", (("cross", 2),) * 3, ModelType.FLOW_COSMOS, frames=True, joint=False
    ),
    "Anima": Shape(
        {**COSMOS, "image_model": "anima"}, "Anima", "Anima", (("cross", 2),) * 3, frames=True, joint=False, fills=512,
        fills_behind=True, values=(("t5xxl_ids", None), ("t5xxl_weights", None)),
    ),
    "Wan": Shape(WAN, "WAN21_T2V", "WAN21", (("cross", 2),) * 3, frames=True, joint=False),
    "Wan, from an image": Shape(
        {**WAN, "model_type": "i2v", "in_dim": 36}, "WAN21_I2V", "WAN21", (("cross", 2),) * 3, frames=True, joint=False,
        values=(("clip_vision_output", 5),),
    ),
    "Krea 2": Shape(KREA, "Krea2", "Krea2", (("single", 4),) * 3, frames=True),
    "Stable Diffusion 3": Shape(SD3, "SD3", "SD3", (("double", 2),) * 3, values=(("pooled_output", 24),)),
}  # fmt: skip
