"""Inputs that several nodes have, and what they check of them."""

from __future__ import annotations

from comfy_api.latest import io

PERCENT = 23.0  # 30 of 128 heads, the best in Park et al. 2026


def percent_input(tooltip: str) -> io.Float.Input:
    """How many of all heads."""
    return io.Float.Input("percent", default=PERCENT, min=0.1, max=100.0, step=0.1, tooltip=tooltip)


def prompt_text_input() -> io.String.Input:
    """The text of the prompt, where no traced CLIP knows it."""
    return io.String.Input(
        "prompt_text", default="", multiline=True, optional=True, advanced=True,
        placeholder="only if CLIP is not from Record Attention",
        tooltip="Only needed when your CLIP does not go through Record Attention: the prompt as you typed it.",
    )  # fmt: skip


def filename_prefix_input(default: str, where: str = "") -> io.String.Input:
    """What a saved file is called. where: “ in the output folder”, or nothing."""
    return io.String.Input(
        "filename_prefix", default=default,
        tooltip=f"Name of the file{where}; a number is added, so nothing is ever overwritten. A / makes a folder.",
    )  # fmt: skip


def typed(value, what_to_do: str) -> bool | str:
    """For `validate_inputs`: whether something was typed (None: the input is connected); else what to do."""
    return True if value is None or str(value).strip() else what_to_do
