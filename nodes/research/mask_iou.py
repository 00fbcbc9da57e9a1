"""Mask IoU: how well a mask meets the truth."""

from __future__ import annotations

from comfy_api.latest import io

from ...hrv.maps.mask_iou import iou_table, mask_iou, parse_thresholds
from ..inputs import accepted
from ..node import Node
from ..shown import shown


class HRVMaskIoU(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HRVMaskIoU",
            display_name="Mask IoU",
            category="HRV/Research",
            description=(
                "Measures how well masks match the true ones, for example from a segmentation node: "
                "intersection over union (IoU) at several thresholds, averaged over the batch, and the "
                "best of these."
            ),
            search_aliases=[
                "intersection over union",
                "Jaccard",
                "compare masks",
                "segmentation score",
                "research",
            ],
            inputs=[
                io.Mask.Input(
                    "mask",
                    tooltip=(
                        "The masks to judge: `heat` from Attention Heatmap, or any other mask, soft or hard."
                    ),
                ),
                io.Mask.Input(
                    "truth",
                    tooltip=(
                        "The true masks: as many as there are masks, or one for all. Values of 0.5 or "
                        "more count as true."
                    ),
                ),
                io.String.Input(
                    "thresholds",
                    default="0.3,0.4,0.5",
                    tooltip=(
                        "Where to cut a soft mask, between its lowest (0) and highest (1) value: "
                        "numbers separated by commas."
                    ),
                ),
            ],
            outputs=[
                io.Float.Output(
                    display_name="iou", tooltip="The highest mean IoU of all thresholds, from 0 to 1."
                ),
                io.String.Output(
                    display_name="table", tooltip="Mean and spread at every threshold, as Markdown."
                ),
            ],
            is_output_node=True,
        )

    @classmethod
    def validate_inputs(cls, thresholds):
        return accepted(parse_thresholds, thresholds)

    @classmethod
    def execute(cls, mask, truth, thresholds) -> io.NodeOutput:
        result = mask_iou(mask, truth, parse_thresholds(thresholds))
        text = iou_table(result)
        return io.NodeOutput(result.best, text, ui=shown(cls, text=text))
