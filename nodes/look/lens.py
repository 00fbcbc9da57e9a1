"""Attention Lens: look into a picture, word by word, in the node itself."""

from __future__ import annotations

from comfy_api.latest import io

from ...host.page.progress import node_progress
from ...host.page.routes import shown_lens
from ...host.text.clip_trace import tokenize_text
from ...hrv.look.lens import look
from ...hrv.maps.mask import MASK_THRESHOLD
from ...hrv.relevance.vectors import PERCENT
from ..inputs import (
    attention_input,
    latent_input,
    percent_input,
    prompt_text_input,
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
                "The picture with its prompt below. Point at a word to see where the model looked for it; "
                "point at the picture to see which words drew that place. Click to pin words: they make the "
                "overlay and the mask."
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
                latent_input("It tells which run the picture belongs to."),
                io.Image.Input(
                    "image", tooltip="The picture to look into, of any size; an upscaled one is fine."
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
                        "The pinned words, separated by commas. Clicking words in the lens writes them here. "
                        "Each gives one overlay and one mask; with none, you get the picture itself and an "
                        "empty mask."
                    ),
                ),
                threshold_input(
                    (
                        "Where the mask begins, between the word's lowest (0) and highest (1) heat. The "
                        "lens draws it as an outline."
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
                        "Make overlay and mask from the heads of this concept of the vectors. Empty: all "
                        "heads (DAAM)."
                    ),
                ),
                percent_input(
                    "How many of all heads the concept takes. 23 % worked best in the paper.",
                    optional=True,
                    advanced=True,
                ),
                prompt_text_input(),
            ],
            outputs=[
                io.Image.Output(
                    display_name="overlay",
                    tooltip=(
                        "The heat of each pinned word over the picture: all words of the first picture, then "
                        "all of the next."
                    ),
                ),
                io.Mask.Output(
                    display_name="mask",
                    tooltip="The heat of each pinned word cut at the threshold, one per overlay.",
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
            progress=node_progress(),
            prompt_text=prompt_text,
            tokenize=tokenize_text,
        )
        told = shown(cls, warnings=found.warnings, notes=found.notes, hrv_lens=(shown_lens(found, cls),))
        return io.NodeOutput(found.overlay, found.mask, ui=told)
