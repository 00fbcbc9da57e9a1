"""What a Model Change Did: where a LoRA, a ControlNet or a merge changes this image, and how much."""

from __future__ import annotations

from comfy_api.latest import io

from ...host.effect.model_effects import model_effects
from ...host.facts.memory import free_memory
from ...host.page.progress import node_progress
from ...hrv.draw.overlay import HOT
from ...hrv.look.model_effect_page import show_change
from ...hrv.look.tiles import Style
from ..inputs import (
    attention_input,
    drawing_inputs,
    image_to_draw_on,
    latent_input,
    moments_input,
)
from ..node import Node
from ..shown import shown


class HRVModelEffect(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HRVModelEffect",
            display_name="What a Model Change Did",
            category="HRV/Look",
            description=(
                "Shows where and how much a LoRA, a ControlNet, an IPAdapter or a merge changes this image: both models are asked at a few steps "
                "of the run, and nothing is sampled again."
            ),
            search_aliases=[
                "lora effect",
                "compare models",
                "what does this lora do",
                "controlnet effect",
                "lora strength",
                "merge difference",
            ],
            inputs=[
                io.Model.Input("model", tooltip="The model your sampler used."),
                io.Model.Input(
                    "other_model",
                    tooltip=(
                        "The model to compare with: the same one without (or with) the LoRA. If only the prompt's conditioning differs, as with "
                        "a ControlNet, connect the same model here."
                    ),
                ),
                attention_input(),
                latent_input("It tells the node which image to ask about."),
                image_to_draw_on(),
                moments_input("the models are"),
                io.Conditioning.Input(
                    "other_positive",
                    optional=True,
                    tooltip="What the other model gets as positive prompt: with another ControlNet, or encoded by the LoRA's CLIP. Without it: as in the run.",
                ),
                io.Conditioning.Input(
                    "other_negative",
                    optional=True,
                    tooltip="The same for the negative prompt. Without it: as in the run.",
                ),
                *drawing_inputs(
                    "Where the mask begins, between the smallest (0) and the largest (1) change.",
                    "that says how far it moves",
                    "where nothing changes",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="overlay", tooltip="Where each image changes."),
                io.Mask.Output(
                    display_name="heat", tooltip="The change itself as a soft mask, 0 to 1, one per image."
                ),
                io.Mask.Output(
                    display_name="mask", tooltip="The change cut at the threshold, one per image."
                ),
                io.String.Output(
                    display_name="report",
                    tooltip="How much changes, and around which words, as text (Markdown).",
                ),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls,
        model,
        other_model,
        attention,
        latent,
        image=None,
        moments=3,
        other_positive=None,
        other_negative=None,
        threshold=0.4,
        alpha=0.6,
        colormap="turbo",
        caption=True,
        tint=HOT,
    ) -> io.NodeOutput:
        given = {"positive": other_positive, "negative": other_negative}
        found = model_effects(
            model,
            other_model,
            attention,
            latent["samples"],
            instead={role: conds for role, conds in given.items() if conds is not None},
            moments=moments,
            progress=node_progress(),
        )
        page = show_change(
            found.changes,
            attention,
            latent["samples"],
            image,
            Style(threshold=threshold, alpha=alpha, colormap=colormap, caption=caption, tint=tint),
            free_memory=free_memory(),
            progress=node_progress(),
        )
        told = shown(cls, page.overlay, page.text, [*found.warnings, *page.warnings], hrv_tiles=(page.panel,))
        return io.NodeOutput(*page.outputs, ui=told)
