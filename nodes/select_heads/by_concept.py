"""Select Heads by Concept: the attention heads that care most about a concept."""

from __future__ import annotations

from comfy_api.latest import io

from ...hrv.look.chosen_heads import heads_by_concept
from ...hrv.relevance.vectors import ORDERS, WEIGHTINGS
from ..inputs import choice_input, concept_input, percent_input, typed, vectors_input
from ..node import Node
from ..shown import shown
from ..sockets import Heads


class HRVSelectHeads(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HRVSelectHeads",
            display_name="Select Heads by Concept",
            category="HRV/Select heads",
            description=(
                "Chooses the attention heads that care most about a concept: an animal, a colour, a "
                "material. For clean masks, use vectors built by agreement and set `weighting` to "
                "balanced."
            ),
            search_aliases=["HRV", "head relevance", "concept heads", "selective heatmap"],
            inputs=[
                vectors_input(),
                concept_input(
                    "concept",
                    tooltip="What your word is about: Animals for a dog, Color for red.",
                ),
                percent_input(
                    "Percentage of all heads to choose. 23 % worked best in the paper; 100 % is DAAM."
                ),
                choice_input(
                    "order",
                    ORDERS,
                    tooltip=(
                        "most relevant: the heads that care most. least relevant: those that care "
                        "least, for comparison."
                    ),
                ),
                choice_input(
                    "weighting",
                    WEIGHTINGS,
                    tooltip=(
                        "equal: a plain average, in which a few heads that look hard at the word can "
                        "dominate. relevance: heads count by how much they care. balanced: all chosen "
                        "heads have a say, which makes cleaner masks on the demo model."
                    ),
                ),
            ],
            outputs=[
                Heads.Output(display_name="heads", tooltip="For the `heads` input of Attention Heatmap."),
                io.Image.Output(display_name="chart", tooltip="Where the chosen heads are in the network."),
            ],
        )

    @classmethod
    def validate_inputs(cls, concept):
        return typed("Choose a concept.", concept)

    @classmethod
    def execute(cls, vectors, concept, percent, order, weighting) -> io.NodeOutput:
        found = heads_by_concept(vectors, concept, percent=percent, order=order, weighting=weighting)
        return io.NodeOutput(found.heads, found.chart, ui=shown(cls, found.chart, found.text))
