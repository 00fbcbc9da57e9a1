"""Compare Concepts: which sense of a word the model took."""

from __future__ import annotations

from comfy_api.latest import io

from ...host.text.clip_trace import tokenize_text
from ...hrv.look.compare import compare
from ..inputs import (
    attention_input,
    image_to_draw_on,
    latent_input,
    percent_input,
    prompt_text_input,
    typed,
    vectors_input,
)
from ..node import Node
from ..shown import shown


class HRVCompareConcepts(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HRVCompareConcepts",
            display_name="Compare Concepts",
            category="HRV/Look",
            description=(
                "Shows one word through the attention heads of two or more concepts, side by side, and "
                "tells you which one the model drew: the mouse with a tail or the one on the desk."
            ),
            search_aliases=["HRV", "ambiguous word", "which mouse", "word sense", "homonym"],
            inputs=[
                attention_input(),
                latent_input("It tells the node which run to look at."),
                io.String.Input(
                    "word",
                    default="",
                    placeholder="mouse",
                    tooltip=(
                        "A word or phrase from the prompt with more than one meaning. mouse#2 is the "
                        "second mouse."
                    ),
                ),
                vectors_input(),
                io.String.Input(
                    "concepts",
                    default="",
                    placeholder="Animals, Electronics",
                    multiline=True,
                    tooltip=(
                        "Two or more concepts from the vectors, separated by commas or new lines. Leave "
                        "empty to compare all of them."
                    ),
                ),
                percent_input(
                    "Percentage of all heads to use for each concept's heatmap and mask. 23 % "
                    "worked best in the paper. The verdict takes all heads into account."
                ),
                image_to_draw_on(),
                prompt_text_input(),
            ],
            outputs=[
                io.Image.Output(
                    display_name="grid",
                    tooltip=(
                        "All heads first, then each concept: its heatmap, the area its mask keeps, and "
                        "its share."
                    ),
                ),
                io.Mask.Output(
                    display_name="masks",
                    tooltip=(
                        "One mask per concept, in the order of `concepts`; for a batch, all concepts of "
                        "the first image, then of the next."
                    ),
                ),
                io.String.Output(
                    display_name="verdict", tooltip="The shares and what they mean, one line per image."
                ),
            ],
            is_output_node=True,
        )

    @classmethod
    def validate_inputs(cls, word):
        return typed("Type a word of the prompt into `word`.", word)

    @classmethod
    def execute(
        cls, attention, latent, word, vectors, concepts, percent, image=None, prompt_text=""
    ) -> io.NodeOutput:
        found = compare(
            attention,
            latent["samples"],
            word,
            vectors,
            concepts,
            percent=percent,
            image=image,
            prompt_text=prompt_text,
            tokenize=tokenize_text,
        )
        told = shown(cls, found.grid, found.verdict, found.warnings, hrv_words=found.names)
        return io.NodeOutput(found.grid, found.masks, found.verdict, ui=told)
