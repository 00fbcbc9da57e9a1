"""Heads in Order and Weakening Curve: what happens to the picture when more and more heads are weakened."""

from __future__ import annotations

from comfy_api.latest import io

from ...hrv.relevance.vectors import ORDERS
from ...hrv.steer.weakening import BOTH, sweep
from ...hrv.steer.weakening_run import weakening
from ..inputs import choice_input, concept_input, typed, vectors_input
from ..node import Node
from ..shown import shown
from ..sockets import Heads


class HRVHeadSweep(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HRVHeadSweep",
            display_name="Heads in Order",
            category="HRV/Research",
            description=(
                "Gives a list of choices of heads, from none to all, in the order of their relevance for a "
                "concept. Everything behind it, such as Scale Heads and the sampler, runs once for each."
            ),
            search_aliases=["HRV", "ordered weakening", "sweep heads", "research"],
            inputs=[
                vectors_input(),
                concept_input("concept", tooltip="The concept whose heads are taken first, or last."),
                io.Int.Input(
                    "points",
                    default=7,
                    min=2,
                    max=64,
                    tooltip=(
                        "How many numbers of heads, none and all included. Each is one sampling (two for "
                        "both orders)."
                    ),
                ),
                choice_input(
                    "order",
                    (BOTH, *ORDERS),
                    tooltip="Which heads come first. both: first one order, then the other, to compare.",
                ),
            ],
            outputs=[
                Heads.Output(
                    display_name="heads",
                    is_output_list=True,
                    tooltip="For Scale Heads: one choice after the other.",
                ),
                io.Int.Output(
                    display_name="count", is_output_list=True, tooltip="How many heads each choice has."
                ),
                io.String.Output(
                    display_name="order", is_output_list=True, tooltip="Which heads came first in each."
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, concept):
        return typed("Choose a concept.", concept)

    @classmethod
    def execute(cls, vectors, concept, points, order) -> io.NodeOutput:
        return io.NodeOutput(*sweep(vectors, concept, points, order))


class HRVWeakeningCurve(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HRVWeakeningCurve",
            display_name="Weakening Curve",
            category="HRV/Research",
            description=(
                "Collects the pictures of Heads in Order and draws how a score falls with the number of "
                "heads, one curve for each order, with the pictures in a strip."
            ),
            search_aliases=["HRV", "ordered weakening", "head relevance curve", "research"],
            inputs=[
                io.Int.Input("count", force_input=True, tooltip="From Heads in Order."),
                io.String.Input("order", force_input=True, tooltip="From Heads in Order."),
                io.Image.Input(
                    "image",
                    optional=True,
                    tooltip=(
                        "The pictures, for the strip. Without score and mask, the score is how much each is "
                        "like the first."
                    ),
                ),
                io.Float.Input(
                    "score",
                    optional=True,
                    force_input=True,
                    tooltip="A number for each picture, such as the output of Mask IoU or of a classifier.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip=(
                        "Instead of a score: a mask for each picture; the score is the share of the picture "
                        "that it covers."
                    ),
                ),
                io.String.Input(
                    "title",
                    default="Ordered weakening",
                    optional=True,
                    tooltip="What the chart says at its top.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="chart", tooltip="The curves."),
                io.Image.Output(
                    display_name="strip",
                    tooltip="The pictures in order; the chart again where there are none.",
                ),
                io.String.Output(display_name="table", tooltip="All points as Markdown."),
                io.Float.Output(
                    display_name="area",
                    tooltip=(
                        "Area between the curves: positive when weakening the most relevant heads first "
                        "lowers the score sooner. 0 with one curve."
                    ),
                ),
            ],
            is_input_list=True,
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls, count, order, image=None, score=None, mask=None, title=("Ordered weakening",)
    ) -> io.NodeOutput:
        result = weakening(count, order, images=image, scores=score, masks=mask, title=title[0])
        told = shown(cls, result.chart, result.table)
        return io.NodeOutput(result.chart, result.strip, result.table, result.area, ui=told)
