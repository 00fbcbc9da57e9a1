"""Compare Concepts: which sense of a word the model took."""

from __future__ import annotations

from comfy_api.latest import io

from ...host.text.clip_trace import tokenize_text
from ...hrv.look.compare import compare
from ..inputs import attention_input, latent_input, percent_input, prompt_text_input, typed, vectors_input
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
                "Shows one word through the attention heads of two or more concepts, side by side, and says "
                "which of them the model drew it as: the mouse as an animal, or as electronics."
            ),
            search_aliases=["HRV", "ambiguous word", "which mouse", "word sense", "homonym"],
            inputs=[
                attention_input(),
                latent_input("It tells which run the word is looked at in."),
                io.String.Input(
                    "word",
                    default="",
                    placeholder="mouse",
                    tooltip=(
                        "A word or phrase of the prompt with more than one meaning. mouse#2 is the second "
                        "mouse."
                    ),
                ),
                vectors_input(),
                io.String.Input(
                    "concepts",
                    default="",
                    placeholder="Animals, Electronics",
                    multiline=True,
                    tooltip=(
                        "Two or more concepts of the vectors, separated by commas or lines. Empty: all of "
                        "them."
                    ),
                ),
                percent_input(
                    "How many of all heads draw each concept's map and mask. 23 % worked best in the paper. "
                    "The verdict weighs all heads."
                ),
                io.Image.Input(
                    "image",
                    optional=True,
                    tooltip="The picture to draw on, of any size. Without it you get the bare heat.",
                ),
                prompt_text_input(),
            ],
            outputs=[
                io.Image.Output(
                    display_name="grid",
                    tooltip="All heads, then each concept: its heat, what its mask keeps, its share.",
                ),
                io.Mask.Output(
                    display_name="masks",
                    tooltip="One mask per concept, in the order of `concepts`; then the next picture's.",
                ),
                io.String.Output(
                    display_name="verdict", tooltip="The shares and what they mean, one line per picture."
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
