"""The denoiser and the two text encoders as they are trained; keys match ComfyUI's.

Every word reaches the picture through cross-attention: the pooled text is not used (its way in, label_emb,
is zero and frozen), and the positions behind the last word are trained to carry nothing.
"""

import math

import torch

from . import settings
from .world import WORDS

START, END, CLIP_G_PAD = 49406, 49407, 0
LENGTH = 77


def vocabulary() -> list[int]:
    """Token ids that get a row of their own; all other tokens share one more row, the last."""
    tokenizer = _tokenizer()
    ids = {w: [t for t, _ in tokenizer.tokenize_with_weights(w)[0]][1:] for w in WORDS}
    several = [w for w, row in ids.items() if row.index(END) != 1]
    if several:
        raise ValueError(f"These words are more than one token: {several}. Choose others.")
    return sorted({row[0] for row in ids.values()} | {START, END, CLIP_G_PAD})


def _tokenizer():
    settings.use_comfy()
    from comfy import sd1_clip

    return sd1_clip.SDTokenizer()


class Tokens:
    """Text → rows of the compact embedding table, as CLIP's own tokenizer would split it."""

    def __init__(self):
        self.ids = vocabulary()
        row_of = {token: row for row, token in enumerate(self.ids)}
        tokenizer = _tokenizer()
        self.row_of_word = {w: row_of[tokenizer.tokenize_with_weights(w)[0][1][0]] for w in WORDS}
        self.start, self.end, self.pad_g = (row_of[t] for t in (START, END, CLIP_G_PAD))
        self.padding_rows = [self.end, self.pad_g]
        self.other = len(self.ids)

    def rows(self, text: str) -> list[int]:
        """Rows of the words alone, without start and end."""
        words = text.replace(",", " , ").split()
        return [self.row_of_word.get(word, self.other) for word in words]

    def batch(self, rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """(clip_l ids, clip_g ids), both int64 (text, LENGTH)."""
        l_ids, g_ids = [], []
        for words in rows:
            head = [self.start, *words, self.end]
            l_ids.append(head + [self.end] * (LENGTH - len(head)))
            g_ids.append(head + [self.pad_g] * (LENGTH - len(head)))
        return torch.tensor(l_ids), torch.tensor(g_ids)


class _AttentionByPicture(torch.autograd.Function):
    """softmax(q kᵀ / √d) v one picture at a time, so that the probabilities stay in a core's cache.

    On a CPU with heads of 8 channels it is three times faster than the fused kernel. q, k, v and the
    result: (picture, head, token, channel).
    """

    @staticmethod
    def forward(ctx, q, k, v):
        out, kept, scale = torch.empty_like(q), [], q.shape[-1] ** -0.5
        for i in range(len(q)):
            probs = torch.bmm(q[i] * scale, k[i].transpose(1, 2)).softmax(-1)
            out[i] = torch.bmm(probs, v[i])
            kept.append(probs)
        ctx.save_for_backward(q, k, v, *kept)
        return out

    @staticmethod
    def backward(ctx, grad):
        q, k, v, *kept = ctx.saved_tensors
        scale = q.shape[-1] ** -0.5
        dq, dk, dv = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        for i, probs in enumerate(kept):
            dv[i] = torch.bmm(probs.transpose(1, 2), grad[i])
            d_probs = torch.bmm(grad[i], v[i].transpose(1, 2))
            d_scores = torch._softmax_backward_data(d_probs, probs, -1, probs.dtype)
            dq[i] = torch.bmm(d_scores, k[i]) * scale
            dk[i] = torch.bmm(d_scores.transpose(1, 2), q[i] * scale)
        return dq, dk, dv


COARSE_GRID, COARSE_COST = 64, 8.0  # pixels of the 8×8 grid; how much more a look at a word costs there


class WordCost:
    """How much attention words get, summed over the cross-attention layers of one pass, for the loss.

    A head that looks at a word where it does not help costs a little, so heads learn to rest on the start
    token and the padding; on the coarse grid COARSE_COST times as much, because heads there look at nouns
    mostly outside their object. No mask of any object is involved.
    """

    def __init__(self):
        self.words: torch.Tensor | None = None  # (picture, token), 1 at words
        self.shares: list[torch.Tensor] = []

    def note(self, probs: torch.Tensor) -> None:
        """probs: (picture, head, pixel, token)."""
        if self.words is not None:
            share = (probs @ self.words[:, None, :, None].to(probs.dtype)).float().mean()
            self.shares.append(share * (COARSE_COST if probs.shape[2] <= COARSE_GRID else 1.0))

    def take(self) -> torch.Tensor:
        """Mean share of attention on words since the last call."""
        total = torch.stack(self.shares).mean()
        self.shares, self.words = [], None
        return total


word_cost = WordCost()


def plain_attention(q, k, v, heads, mask=None, **_):
    """Stands in for ComfyUI's optimized_attention: (picture, token, head · channel) in and out."""
    # → (picture, head, token, channel)
    q, k, v = (t.unflatten(2, (heads, -1)).transpose(1, 2) for t in (q, k, v))
    if q.device.type == "cpu" and k.shape[2] >= 256:
        with torch.autocast("cpu", enabled=False):
            out = _AttentionByPicture.apply(q, k, v)
    elif q.device.type == "cpu" or k.shape[2] == LENGTH:
        with torch.autocast(q.device.type, enabled=False):
            probs = torch.softmax(q * q.shape[-1] ** -0.5 @ k.transpose(-1, -2), -1)
            if k.shape[2] == LENGTH:
                word_cost.note(probs)
            out = probs @ v
    else:
        out = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    return out.transpose(1, 2).flatten(2)


class TextEncoder(torch.nn.Module):
    """Embeddings and the one CLIP layer in use; its weights go under encoder.layers.0."""

    def __init__(self, rows: int):
        super().__init__()
        from comfy import clip_model, ops

        width = settings.TEXT["hidden_size"]
        self.token_embedding = torch.nn.Embedding(rows, width)
        self.position_embedding = torch.nn.Embedding(LENGTH, width)
        self.layer = clip_model.CLIPLayer(
            width,
            settings.TEXT["num_attention_heads"],
            settings.TEXT["intermediate_size"],
            settings.TEXT["hidden_act"],
            torch.float32,
            None,
            ops.disable_weight_init,
        )

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """int64 (text, token) → (text, token, width)."""
        x = self.token_embedding(ids) + self.position_embedding.weight
        layer, attention = self.layer, self.layer.self_attn
        h = layer.layer_norm1(x)
        # (text, token, width) → (text, head, token, width of a head)
        q, k, v = (
            p(h).unflatten(2, (attention.heads, -1)).transpose(1, 2)
            for p in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        h = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + attention.out_proj(h.transpose(1, 2).flatten(2))
        return x + layer.mlp(layer.layer_norm2(x))


class DemoModel(torch.nn.Module):
    """Denoiser and text encoders, trained together."""

    def __init__(self, tokens: Tokens):
        super().__init__()
        settings.use_comfy()
        from comfy import ops
        from comfy.ldm.modules import attention
        from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

        attention.optimized_attention = plain_attention
        self.unet = UNetModel(**settings.unet_config(), operations=ops.disable_weight_init).float()
        rows = tokens.other + 1
        self.clip_l, self.clip_g = TextEncoder(rows), TextEncoder(rows)
        _init_weights(self, tokens.padding_rows)

    def encode(self, ids_l: torch.Tensor, ids_g: torch.Tensor) -> torch.Tensor:
        """int64 (text, token) twice → context (text, token, both widths)."""
        return torch.cat([self.clip_l(ids_l), self.clip_g(ids_g)], dim=-1)

    def velocity(self, x: torch.Tensor, timestep: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """Predicted v, all (picture, channel, height, width) but `timestep` (picture,)."""
        adm = x.new_zeros(x.shape[0], settings.unet_config()["adm_in_channels"])
        return self.unet(x, timestep, context=context, y=adm, transformer_options={})


def _init_weights(model: DemoModel, padding_rows: list[int]) -> None:
    for name, module in model.named_modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            fan_in = module.weight[0].numel()
            torch.nn.init.trunc_normal_(module.weight, std=1 / math.sqrt(fan_in))
            if module.bias is not None:
                torch.nn.init.zeros_(module.bias)
        elif isinstance(module, (torch.nn.GroupNorm, torch.nn.LayerNorm)):
            torch.nn.init.ones_(module.weight)
            torch.nn.init.zeros_(module.bias)
        elif isinstance(module, torch.nn.Embedding):
            torch.nn.init.normal_(module.weight, std=1.0 if "token" in name else 0.02)
    for name, module in model.unet.named_modules():  # blocks start as the identity
        if name.endswith(("out_layers.3", "proj_out")) or name == "out.2":
            module.weight.data.mul_(0.1)
    for encoder in (model.clip_l, model.clip_g):
        for module in (encoder.layer.self_attn.out_proj, encoder.layer.mlp.fc2):
            module.weight.data.mul_(0.1)
        # Some sixty columns behind the words are padding; quiet ones leave the words a share from the start.
        encoder.token_embedding.weight.data[padding_rows] *= 0.05
    for name, module in model.unet.named_modules():
        if name.endswith("attn2.to_k"):
            module.weight.data.mul_(2)
    for weight in model.unet.label_emb.parameters():
        weight.data.zero_()
        weight.requires_grad_(False)


def schedule() -> torch.Tensor:
    """ComfyUI's own 1000 noise levels (sigma) with zero terminal signal: float32 (timestep,)."""
    settings.use_comfy()
    from comfy.model_sampling import ModelSamplingDiscrete

    return ModelSamplingDiscrete(zsnr=True).sigmas
