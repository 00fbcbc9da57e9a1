"""Merge Head Relevance: the counts of two builds together."""

from __future__ import annotations

from comfy_api.latest import io

from ...hrv.relevance.merging import merge
from ...hrv.relevance.summary import vectors_in_words
from ..node import Node
from ..shown import shown
from ..sockets import Vectors


class HRVMergeVectors(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HRVMergeVectors",
            display_name="Merge Head Relevance",
            category="HRV/Build",
            description=(
                "Merges two builds into better vectors, for example from two computers or two nights. "
                "Both must be built for the same model and the same concepts, by the same method."
            ),
            search_aliases=["HRV", "merge head relevance vectors", "combine builds"],
            inputs=[
                Vectors.Input(
                    "vectors_a", tooltip="Vectors that you built. Published ones cannot be merged."
                ),
                Vectors.Input(
                    "vectors_b",
                    tooltip="Vectors built for the same model and the same concepts, by the same method.",
                ),
            ],
            outputs=[
                Vectors.Output(display_name="vectors", tooltip="Vectors made from both builds together.")
            ],
        )

    @classmethod
    def execute(cls, vectors_a, vectors_b) -> io.NodeOutput:
        vectors = merge(vectors_a, vectors_b)
        return io.NodeOutput(vectors, ui=shown(cls, text=vectors_in_words(vectors)))
