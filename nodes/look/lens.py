"""Attention Lens: look into an image, word by word, in the node itself."""

from __future__ import annotations

from comfy_api.latest import io

from ...host.page.progress import node_progress
from ...host.page.routes import shown_lens
from ...host.text.clip_trace import tokenize_text
from ...hrv.look.lens import look
from ...hrv.maps.border_peaks import KEPT
from ...hrv.maps.mask import MASK_THRESHOLD
from ...hrv.maps.refine import REFINE
from ...hrv.recording.recording import EVERYTHING
from ...hrv.relevance.best_maps import ALL
from ...hrv.relevance.vectors import PERCENT
from ..inputs import (
    attention_input,
    border_peaks_input,
    latent_input,
    maps_input,
    percent_input,
    prompt_text_input,
    refine_input,
    share_input,
    threshold_input,
    unit_input,
)
from ..node import Node
from ..shown import shown
from ..sockets import Vectors


class HRVLens(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HRVLens",
            display_name="Attention Lens",
            category="HRV/Look",
            description=(
                "Your image with its prompt below it. Point at a word to see where the model looked for "
                "it. Point at the image to see which words drew that spot. Click words to pin them; "
                "pinned words make the overlay and the mask."
            ),
            search_aliases=[
                "DAAM",
                "attention explorer",
                "which word drew what",
                "interactive heatmap",
                "x-ray",
                "explain",
                "word mask",
                "text mask",
                "inspect",
                "interpretability",
            ],
            inputs=[
                attention_input(),
                latent_input("It tells the node which run to show."),
                io.Image.Input(
                    "image", tooltip="The image to look into, at any size; an upscaled one is fine."
                ),
                unit_input(),
                Vectors.Input(
                    "vectors",
                    optional=True,
                    tooltip=(
                        "From Load Head Relevance. With it you can look through the heads of one concept."
                    ),
                ),
                io.String.Input(
                    "words",
                    default="",
                    placeholder="pinned words",
                    tooltip=(
                        "The pinned words, separated by commas. Clicking a word in the lens adds it "
                        "here. Each word gives one overlay and one mask. With none, you get the image "
                        "itself and an empty mask."
                    ),
                ),
                threshold_input(
                    (
                        "Where the mask begins, on a scale from the word's lowest value (0) to its "
                        "highest (1). The lens draws it as an outline."
                    ),
                    optional=True,
                    advanced=True,
                ),
                io.String.Input(
                    "concept",
                    default="",
                    optional=True,
                    advanced=True,
                    tooltip=(
                        "Make the overlay and the mask from the heads of this concept. Empty: from those "
                        "that `maps` says."
                    ),
                ),
                percent_input(
                    "Percentage of all heads to use for the concept. 23 % worked best in the paper.",
                    optional=True,
                    advanced=True,
                ),
                prompt_text_input(),
                refine_input(),
                maps_input(),
                share_input(),
                border_peaks_input(),
            ],
            outputs=[
                io.Image.Output(
                    display_name="overlay",
                    tooltip=(
                        "The image with each pinned word's heatmap: all words of the first image, then "
                        "all words of the next."
                    ),
                ),
                io.Mask.Output(
                    display_name="mask",
                    tooltip="The heatmap of each pinned word, cut at the threshold, one mask per overlay.",
                ),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls,
        attention,
        latent,
        image,
        unit,
        words,
        vectors=None,
        threshold=MASK_THRESHOLD,
        concept="",
        percent=PERCENT,
        prompt_text="",
        refine=REFINE[0],
        maps=ALL,  # of prompts that were saved before there was a choice
        share=EVERYTHING,
        border_peaks=KEPT,  # of prompts that were saved before there was a choice
    ) -> io.NodeOutput:
        found = look(
            attention,
            latent["samples"],
            image,
            unit,
            words,
            vectors=vectors,
            threshold=threshold,
            concept=concept,
            percent=percent,
            maps=maps,
            share=share,
            progress=node_progress(),
            prompt_text=prompt_text,
            tokenize=tokenize_text,
            refine=refine,
            border_peaks=border_peaks,
        )
        told = shown(cls, warnings=found.warnings, notes=found.notes, hrv_lens=(shown_lens(found, cls),))
        return io.NodeOutput(found.overlay, found.mask, ui=told)
