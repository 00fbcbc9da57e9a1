"""Select Heads for a Word: no vectors needed."""

from __future__ import annotations

from comfy_api.latest import io

from ...host.text.clip_trace import tokenize_text
from ...hrv.look.chosen_heads import heads_by_word
from ..inputs import attention_input, latent_input, percent_input, prompt_text_input, typed
from ..node import Node
from ..shown import shown
from ..sockets import Heads


class HRVAutoHeads(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HRVAutoHeads",
            display_name="Select Heads for a Word",
            category="HRV/Select heads",
            description=(
                "Chooses the attention heads that best find the thing a word names, from the recording "
                "alone. It needs no head relevance vectors, so it works with every model that can be "
                "recorded. Heatmaps and masks from these heads are cleaner."
            ),
            search_aliases=[
                "HRV",
                "auto heads",
                "best heads",
                "selective heatmap",
                "clean mask",
                "word mask",
            ],
            inputs=[
                attention_input(),
                latent_input("It tells the node which run to choose heads from."),
                io.String.Input(
                    "word",
                    default="",
                    placeholder="cat",
                    tooltip="A word or phrase from the prompt that names a thing. cat#2 is the second cat.",
                ),
                percent_input(
                    "Percentage of all heads to choose. Heads that agree better with the others "
                    "count more, so other values change little."
                ),
                prompt_text_input(),
            ],
            outputs=[
                Heads.Output(
                    display_name="heads",
                    tooltip="For the `heads` input of Attention Heatmap, with the same word.",
                ),
                io.Image.Output(display_name="chart", tooltip="Where the chosen heads are in the network."),
            ],
        )

    @classmethod
    def validate_inputs(cls, word):
        return typed("Type a word of the prompt into `word`.", word)

    @classmethod
    def execute(cls, attention, latent, word, percent, prompt_text="") -> io.NodeOutput:
        found = heads_by_word(
            attention, latent["samples"], word, percent, prompt_text=prompt_text, tokenize=tokenize_text
        )
        told = shown(cls, found.chart, found.text, found.warnings, hrv_words=found.names)
        return io.NodeOutput(found.heads, found.chart, ui=told)
