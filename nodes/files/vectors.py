"""Load, save and merge head relevance vectors."""

from __future__ import annotations

from comfy_api.latest import io

from ...host.page.progress import node_progress
from ...host.store import vector_store
from ...hrv.relevance.summary import vectors_in_words
from ..inputs import filename_prefix_input
from ..node import Node
from ..shown import shown
from ..sockets import Vectors


class HRVLoadVectors(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HRVLoadVectors",
            display_name="Load Head Relevance",
            category="HRV/Files",
            description=(
                "Loads head relevance vectors: numbers that say which attention heads of a model care "
                "about animals, which about colours, and so on. The published ones for SD 1.x and SDXL "
                "are downloaded the first time you run the node with them."
            ),
            search_aliases=["HRV", "head relevance vectors", "concept heads"],
            inputs=[
                io.Combo.Input(
                    "name",
                    options=vector_store.choices(),
                    tooltip=(
                        "Vectors made for your kind of model. The published ones are downloaded into "
                        "models/hrv the first time you run the node with them. Put your own files into "
                        "the same folder."
                    ),
                ),
            ],
            outputs=[
                Vectors.Output(
                    display_name="vectors", tooltip="For Select Heads by Concept and the other HRV nodes."
                ),
                io.String.Output(
                    display_name="summary", tooltip="Model, concepts, origin and number of votes, as text."
                ),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, name):
        return vector_store.stamp(name)

    @classmethod
    def execute(cls, name) -> io.NodeOutput:
        vectors = vector_store.load(name, node_progress())
        return io.NodeOutput(
            vectors, vectors_in_words(vectors), ui=shown(cls, text=vectors_in_words(vectors))
        )


class HRVSaveVectors(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HRVSaveVectors",
            display_name="Save Head Relevance",
            category="HRV/Files",
            description="Saves head relevance vectors in models/hrv, where Load Head Relevance finds them.",
            search_aliases=["HRV", "save head relevance vectors"],
            inputs=[
                Vectors.Input("vectors", tooltip="Vectors that you built or merged."),
                filename_prefix_input("head_relevance"),
            ],
            outputs=[io.String.Output(display_name="path", tooltip="Where the file was saved.")],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, vectors, filename_prefix) -> io.NodeOutput:
        path = vector_store.save(vectors, filename_prefix)
        return io.NodeOutput(str(path), ui=shown(cls, text=f"Saved as {path}"))
