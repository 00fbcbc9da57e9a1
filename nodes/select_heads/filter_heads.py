"""Filter Heads: only the heads of a part of the network, and combinations of choices."""

from __future__ import annotations

from comfy_api.latest import io

from ...hrv.heads.filter import ALL, COMBINATIONS, GRIDS
from ...hrv.heads.layout import PARTS
from ...hrv.look.chosen_heads import filtered_heads, heads_said
from ..inputs import choice_input
from ..node import Node
from ..shown import shown
from ..sockets import Attention, Heads


class HRVFilterHeads(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HRVFilterHeads",
            display_name="Filter Heads",
            category="HRV/Select heads",
            description=(
                "Narrows down a selection of attention heads by part of the network, grid size or head "
                "number, or combines two selections. Without a selection, it starts from all heads of "
                "the recorded model."
            ),
            search_aliases=["attention heads", "combine heads"],
            inputs=[
                Heads.Input(
                    "heads",
                    optional=True,
                    tooltip="The heads to filter, from Select Heads by Concept or another filter.",
                ),
                Attention.Input(
                    "attention",
                    optional=True,
                    tooltip=(
                        "From Record Attention. Connect this instead of `heads` to start from all heads "
                        "of that model."
                    ),
                ),
                choice_input(
                    "part",
                    (ALL, *PARTS),
                    tooltip=(
                        "Part of the network. input takes the image in, middle sees it as a whole, "
                        "output draws the details."
                    ),
                ),
                choice_input(
                    "grid",
                    GRIDS,
                    tooltip="largest: only the heads with the finest maps. smaller: all others.",
                ),
                io.String.Input(
                    "indices",
                    default="",
                    placeholder="0-39, 100, 1240-",
                    tooltip=(
                        "Head numbers and ranges. Heads are counted from 0, down each column of the "
                        "chart, starting on the left. 1240- means 1240 and up. Empty: all."
                    ),
                ),
                Heads.Input(
                    "other", optional=True, tooltip="A second selection of heads to combine with the first."
                ),
                choice_input(
                    "combine",
                    COMBINATIONS,
                    optional=True,
                    tooltip=(
                        "How to combine `heads` with `other`. The two are combined first; then part, "
                        "grid and indices filter the result."
                    ),
                ),
            ],
            outputs=[
                Heads.Output(display_name="heads", tooltip="For the `heads` input of Attention Heatmap.")
            ],
        )

    @classmethod
    def execute(
        cls, part, grid, indices, heads=None, attention=None, other=None, combine=COMBINATIONS[0]
    ) -> io.NodeOutput:
        found = filtered_heads(
            heads,
            attention,
            other=other,
            combination=combine,
            part=part,
            grid=grid,
            indices=indices,
        )
        return io.NodeOutput(found, ui=shown(cls, text=heads_said(found)))
