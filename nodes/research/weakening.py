"""Heads in Order and Weakening Curve: what happens to the image when more and more heads are weakened."""

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
                "Outputs a list of head selections, from none to all, ordered by how much the heads "
                "care about a concept. Everything connected after it, such as Scale Heads and the "
                "sampler, runs once per selection."
            ),
            search_aliases=["HRV", "ordered weakening", "sweep heads", "research"],
            inputs=[
                vectors_input(),
                concept_input("concept", tooltip="The concept that decides the order of the heads."),
                io.Int.Input(
                    "points",
                    default=7,
                    min=2,
                    max=64,
                    tooltip=(
                        "How many different numbers of heads to try, including none and all. Each one "
                        "is sampled once, or twice if `order` is both."
                    ),
                ),
                choice_input(
                    "order",
                    (BOTH, *ORDERS),
                    tooltip=(
                        "Which heads come first. both: one order, then the other, so that you can "
                        "compare them."
                    ),
                ),
            ],
            outputs=[
                Heads.Output(
                    display_name="heads",
                    is_output_list=True,
                    tooltip="For Scale Heads: one selection after the other.",
                ),
                io.Int.Output(
                    display_name="count", is_output_list=True, tooltip="How many heads each selection has."
                ),
                io.String.Output(
                    display_name="order",
                    is_output_list=True,
                    tooltip="Which heads come first in each selection.",
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
                "Collects the images from Heads in Order and plots how a score falls as more heads are "
                "weakened: one curve per order, with the images in a strip."
            ),
            search_aliases=["HRV", "ordered weakening", "head relevance curve", "research"],
            inputs=[
                io.Int.Input("count", force_input=True, tooltip="From Heads in Order."),
                io.String.Input("order", force_input=True, tooltip="From Heads in Order."),
                io.Image.Input(
                    "image",
                    optional=True,
                    tooltip=(
                        "The images for the strip. Without `score` and `mask`, the score is how similar "
                        "each image is to the first."
                    ),
                ),
                io.Float.Input(
                    "score",
                    optional=True,
                    force_input=True,
                    tooltip=(
                        "One number per image, such as the `iou` from Mask IoU or the output of a classifier."
                    ),
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip=(
                        "Instead of a score: one mask per image. The score is the share of the image "
                        "that the mask covers."
                    ),
                ),
                io.String.Input(
                    "title",
                    default="Ordered weakening",
                    optional=True,
                    tooltip="The heading of the chart.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="chart", tooltip="The curves: score against number of heads."),
                io.Image.Output(
                    display_name="strip",
                    tooltip="The images in order, one row per curve. Without images, the chart again.",
                ),
                io.String.Output(display_name="table", tooltip="All points as Markdown."),
                io.Float.Output(
                    display_name="area",
                    tooltip=(
                        "The area between the two curves. Positive: the score falls sooner if the most "
                        "relevant heads are weakened first. 0 if there is only one curve."
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
