"""Attention Heatmap: which word drew which part of the image."""

from __future__ import annotations

from comfy_api.latest import io

from ...host.facts.memory import free_memory
from ...host.page.previews import preview
from ...host.page.progress import node_progress, say
from ...host.text.clip_trace import tokenize_text
from ...hrv.draw.overlay import COLORMAPS, EVERYWHERE
from ...hrv.look.heatmap import Style, heatmaps
from ...hrv.maps.border_peaks import KEPT
from ...hrv.maps.normalize import NORMALIZE
from ...hrv.maps.refine import REFINE
from ...hrv.recording.recording import EVERYTHING
from ...hrv.relevance.best_maps import ALL
from ..inputs import (
    attention_input,
    border_peaks_input,
    choice_input,
    fraction_input,
    image_to_draw_on,
    latent_input,
    maps_input,
    prompt_text_input,
    refine_input,
    share_input,
    threshold_input,
    tint_input,
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
                "Shows where in the image the model looked for each word of your prompt. You can change "
                "the words, heads and threshold afterwards without sampling again."
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
                latent_input("It tells the node which run to show."),
                io.String.Input(
                    "words",
                    default="",
                    placeholder="cat, cowboy hat, dog#2",
                    tooltip=(
                        "Words or phrases from the prompt, separated by commas or new lines. cat#2 is "
                        "the second cat. Leave empty for every word or tag."
                    ),
                ),
                unit_input(" when `words` is empty"),
                image_to_draw_on(),
                Heads.Input(
                    "heads",
                    optional=True,
                    tooltip=(
                        "Use only these attention heads, for heatmaps of a concept. Not connected: what "
                        "`maps` says."
                    ),
                ),
                choice_input(
                    "role",
                    ("positive", "negative"),
                    tooltip=(
                        "Which prompt the words belong to: positive or negative. The negative prompt is "
                        "only recorded if `negative` is on in Record Attention."
                    ),
                ),
                choice_input(
                    "normalize",
                    NORMALIZE,
                    tooltip=(
                        "shared: one scale for all words, so an ignored word stays dark. per word: each "
                        "word is stretched to its own range; good for seeing shapes, but not for "
                        "comparing words."
                    ),
                ),
                threshold_input(
                    (
                        "Where the mask begins, on a scale from the word's lowest value (0) to its "
                        "highest (1). A higher threshold makes the mask smaller."
                    ),
                ),
                fraction_input(
                    "alpha",
                    default=0.6,
                    tooltip=(
                        "How strongly the heatmap covers the image where it is hottest: 0 shows only the "
                        "image, 1 only the heatmap."
                    ),
                ),
                choice_input(
                    "colormap",
                    COLORMAPS,
                    tooltip="Colours of the heatmap. viridis and inferno are safe for colour-blind viewers.",
                ),
                io.Boolean.Input(
                    "caption",
                    default=True,
                    tooltip=(
                        "Adds a strip with the word and the scale below each image. Turn it off to keep "
                        "the image's size."
                    ),
                ),
                prompt_text_input(),
                io.Boolean.Input(
                    "timeline",
                    default=False,
                    optional=True,
                    advanced=True,
                    tooltip=(
                        "One overlay for each part of the schedule, from first to last, for animation "
                        "and video nodes. Needs `time_bins` above 1 in Record Attention."
                    ),
                ),
                tint_input("where the word has no heat", ", as in version 0.1"),
                refine_input(),
                maps_input(),
                share_input(),
                border_peaks_input(),
            ],
            outputs=[
                io.Image.Output(
                    display_name="overlay",
                    tooltip=(
                        "The image with each word's heatmap: all words of the first image, then all "
                        "words of the next."
                    ),
                ),
                io.Mask.Output(
                    display_name="heat", tooltip="The heatmap as a soft mask, 0 to 1, one per overlay."
                ),
                io.Mask.Output(
                    display_name="mask",
                    tooltip="The heatmap cut at the threshold, one mask per overlay; with `refine`, at the edges of the image.",
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
        tint=EVERYWHERE,  # of prompts that were saved before there was a choice
        refine=REFINE[0],
        maps=ALL,  # of prompts that were saved before there was a choice
        share=EVERYTHING,
        border_peaks=KEPT,  # of prompts that were saved before there was a choice
    ) -> io.NodeOutput:
        found = heatmaps(
            attention,
            latent["samples"],
            words,
            unit,
            image=image,
            heads=heads,
            maps=maps,
            role=role,
            style=Style(
                normalize,
                threshold=threshold,
                alpha=alpha,
                colormap=colormap,
                caption=caption,
                timeline=timeline,
                tint=tint,
                refine=refine,
                border_peaks=border_peaks,
            ),
            share=share,
            prompt_text=prompt_text,
            tokenize=tokenize_text,
            progress=node_progress(),
            free_memory=free_memory(),
            notice=say,
        )
        images = preview(found.overlay, cls)
        told = shown(
            cls,
            images,
            found.summary,
            found.warnings,
            found.notes,
            hrv_words=found.names,
            hrv_tiles=(found.panel,),
        )
        return io.NodeOutput(found.overlay, found.heat, found.mask, found.words, ui=told)
