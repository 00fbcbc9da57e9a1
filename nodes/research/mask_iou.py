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
                "Measures how well masks meet true masks, for instance those of a segmentation node: "
                "intersection over union at several thresholds, the mean over the batch, and the best."
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
                        "The masks to judge: `heat` of Attention Heatmap, or any other soft or hard mask."
                    ),
                ),
                io.Mask.Input(
                    "truth",
                    tooltip=(
                        "The true masks, as many as there are masks, or one for all. True is where they are "
                        "0.5 or more."
                    ),
                ),
                io.String.Input(
                    "thresholds",
                    default="0.3,0.4,0.5",
                    tooltip=(
                        "Where a soft mask is cut, between its lowest (0) and highest (1) value: numbers "
                        "with commas."
                    ),
                ),
            ],
            outputs=[
                io.Float.Output(
                    display_name="iou", tooltip="The highest mean IoU of all thresholds, 0 to 1."
                ),
                io.String.Output(
                    display_name="table", tooltip="Mean and spread at every threshold, in Markdown."
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
