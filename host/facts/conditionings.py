"""Keys of a conditioning as a guider holds it. Each name is the host's own."""

from __future__ import annotations

from typing import Any

UUID = "uuid"
"""Given to each when a sampling begins; copies with an area keep it."""
CROSS_ATTN = "cross_attn"
"""The embedding of the prompt, (1, token, channel)."""
COLUMN_IDS = "t5xxl_ids"
"""There where the network makes the columns of the text itself (Anima): the id of each, a tensor."""
MODEL_CONDS = "model_conds"
C_CROSSATTN = "c_crossattn"
"""In MODEL_CONDS: the embedding as the model is given it, in `.cond`. Shorter ones are repeated to the length of longer ones."""
AREA = "area"
"""(height, width, y, x) in latent pixels; more numbers for models with more dimensions."""
START_PERCENT, END_PERCENT = "start_percent", "end_percent"
"""There where it is for a part of the schedule only."""

CLIP_START_PERCENT = "clip_start_percent"
"""There where hooks change the text encoder along the schedule: one conditioning for each of its parts."""


def length_of(cond: dict[str, Any]) -> int:
    """Number of tokens, before the host pads it."""
    return cond[MODEL_CONDS][C_CROSSATTN].cond.shape[1]


def embedded_length_of(cond: dict[str, Any]) -> int:
    """Number of tokens as the text encoder made them; known before the model is called."""
    embedding = cond.get(CROSS_ATTN)
    return 0 if embedding is None else embedding.shape[1]


def is_limited(cond: dict[str, Any]) -> bool:
    """Whether a conditioning is for a part of the schedule only."""
    return START_PERCENT in cond or END_PERCENT in cond


def is_zeroed(cond: dict[str, Any]) -> bool:
    """Whether a conditioning is all zeros (ConditioningZeroOut)."""
    embedding = cond.get(CROSS_ATTN)
    return embedding is not None and not bool(embedding.any())
