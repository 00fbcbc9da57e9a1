"""Attention Heatmap: which word drew which part of the picture."""

from __future__ import annotations

from comfy_api.latest import io

from ...host.facts.memory import free_memory
from ...host.page.previews import preview
from ...host.page.progress import node_progress, say
from ...host.text.clip_trace import tokenize_text
from ...hrv.draw.overlay import COLORMAPS
from ...hrv.look.heatmap import Style, heatmaps
from ...hrv.maps.normalize import NORMALIZE
from ..inputs import (
    attention_input,
    choice_input,
    fraction_input,
    latent_input,
    prompt_text_input,
    threshold_input,
    unit_input,
)
from ..node import Node
from ..shown import shown
from ..sockets import Heads


class HRVHeatmap(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HRVHeatmap",
            display_name="Attention Heatmap",
            category="HRV/Look",
            description=(
                "Shows, for each word of the prompt, where in the picture the model looked while drawing. "
                "Words, heads and threshold can be changed afterwards without sampling again."
            ),
            search_aliases=[
                "DAAM",
                "cross attention map",
                "attention map",
                "which word drew what",
                "saliency",
                "word mask",
                "text mask",
                "token heatmap",
                "prompt mask",
                "attribution",
                "interpretability",
            ],
            inputs=[
                attention_input(),
                latent_input("It tells which run the heatmaps are for."),
                io.String.Input(
                    "words",
                    default="",
                    placeholder="cat, cowboy hat, dog#2",
                    tooltip=(
                        "Words or phrases of the prompt, separated by commas or lines. cat#2 is the second "
                        "cat. Leave empty for every word."
                    ),
                ),
                unit_input(" when `words` is empty"),
                io.Image.Input(
                    "image",
                    optional=True,
                    tooltip=(
                        "The picture to draw on, of any size; an upscaled one is fine. Without it you get "
                        "the bare heat."
                    ),
                ),
                Heads.Input(
                    "heads",
                    optional=True,
                    tooltip=(
                        "Only these attention heads, for sharper maps of a concept. Without it: all heads "
                        "(DAAM)."
                    ),
                ),
                choice_input(
                    "role",
                    ("positive", "negative"),
                    tooltip=(
                        "Whose words: the positive or the negative prompt. Record Attention keeps the "
                        "negative one only if its `negative` is on."
                    ),
                ),
                choice_input(
                    "normalize",
                    NORMALIZE,
                    tooltip=(
                        "shared: one scale for all words, so an ignored word stays dark. per word: each word "
                        "stretched to its own lowest and highest value; good for shapes, not for comparing "
                        "words."
                    ),
                ),
                threshold_input(
                    "Where the mask begins, between the word's lowest (0) and highest (1) heat. Higher makes "
                    "the mask smaller.",
                ),
                fraction_input(
                    "alpha",
                    default=0.6,
                    tooltip=(
                        "How strongly the heat covers the picture: 0 is the picture alone, 1 the heat alone."
                    ),
                ),
                choice_input(
                    "colormap",
                    COLORMAPS,
                    tooltip="Colours of the heat. viridis and inferno are safe for colour-blind eyes.",
                ),
                io.Boolean.Input(
                    "caption",
                    default=True,
                    tooltip=(
                        "Adds a strip below each picture with the word and the scale. Off: overlays have the "
                        "picture's size."
                    ),
                ),
                prompt_text_input(),
                io.Boolean.Input(
                    "timeline",
                    default=False,
                    optional=True,
                    advanced=True,
                    tooltip=(
                        "One overlay for each part of the schedule, first to last, for animation and video "
                        "nodes. Needs `time_bins` above 1 in Record Attention."
                    ),
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="overlay",
                    tooltip=(
                        "The heat over the picture: all words of the first picture, then all of the next."
                    ),
                ),
                io.Mask.Output(
                    display_name="heat", tooltip="The heat itself as a soft mask, 0 to 1, one per overlay."
                ),
                io.Mask.Output(
                    display_name="mask", tooltip="The heat cut at the threshold, one per overlay."
                ),
                io.String.Output(
                    display_name="words", is_output_list=True, tooltip="The word of each overlay, as a list."
                ),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls,
        attention,
        latent,
        words,
        unit,
        role,
        normalize,
        threshold,
        alpha,
        colormap,
        caption,
        image=None,
        heads=None,
        prompt_text="",
        timeline=False,
    ) -> io.NodeOutput:
        found = heatmaps(
            attention,
            latent["samples"],
            words,
            unit,
            image=image,
            heads=heads,
            role=role,
            style=Style(
                normalize,
                threshold=threshold,
                alpha=alpha,
                colormap=colormap,
                caption=caption,
                timeline=timeline,
            ),
            prompt_text=prompt_text,
            tokenize=tokenize_text,
            progress=node_progress(),
            free_memory=free_memory(),
            notice=say,
        )
        images = preview(found.overlay, cls)
        told = shown(cls, images, found.summary, found.warnings, found.notes, hrv_words=found.names)
        return io.NodeOutput(found.overlay, found.heat, found.mask, found.words, ui=told)
