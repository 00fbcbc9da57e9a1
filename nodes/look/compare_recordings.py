"""Compare Two Recordings: what became of each word from one image to another."""

from __future__ import annotations

from comfy_api.latest import io

from ...host.page.progress import node_progress
from ...hrv.look.compare_runs import Side, compare_recordings
from ...hrv.look.compare_runs_page import comparison_page
from ..inputs import unit_input
from ..node import Node
from ..shown import shown
from ..sockets import Attention, Heads


class HRVCompareRecordings(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HRVCompareRecordings",
            display_name="Compare Two Recordings",
            category="HRV/Look",
            description=(
                "Sets two recorded images side by side: LoRA on and off, two seeds, two prompts, two checkpoints. Shows for every word "
                "that both prompts have where the model looked in each, what changed, and what moved, faded or grew."
            ),
            search_aliases=[
                "attention difference",
                "LoRA comparison",
                "before and after",
                "seed comparison",
                "A/B",
            ],
            inputs=[
                Attention.Input(
                    "attention_a", tooltip="The first recording, from Record Attention or Load Attention."
                ),
                io.Latent.Input(
                    "latent_a",
                    tooltip="Straight from the first sampler. It tells the node which run to show.",
                ),
                Attention.Input(
                    "attention_b",
                    tooltip="The second recording. It may be the same one, if one Record Attention served both samplers.",
                ),
                io.Latent.Input("latent_b", tooltip="Straight from the second sampler."),
                io.String.Input(
                    "words",
                    default="",
                    placeholder="cat, cowboy hat",
                    tooltip="Words, tags or phrases that both prompts have, separated by commas or lines. Leave empty for all of them.",
                ),
                unit_input(" when `words` is empty"),
                io.Image.Input("image_a", optional=True, tooltip="The first image, to draw on."),
                io.Image.Input("image_b", optional=True, tooltip="The second image, to draw on."),
                Heads.Input(
                    "heads",
                    optional=True,
                    tooltip="Use only these attention heads, in both. Not connected: all heads (DAAM).",
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="grid",
                    tooltip="A row for each of the words that changed most: A, B, and the difference (blue: less in B, red: more).",
                ),
                io.Mask.Output(
                    display_name="change",
                    tooltip="How much each word changed, and where: a soft mask for each, those that changed most first, on one scale.",
                ),
                io.String.Output(
                    display_name="report", tooltip="What became of every word, as text (Markdown)."
                ),
                io.String.Output(display_name="data", tooltip="The same for scripts (JSON)."),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls,
        attention_a,
        latent_a,
        attention_b,
        latent_b,
        words,
        unit,
        image_a=None,
        image_b=None,
        heads=None,
    ) -> io.NodeOutput:
        compared = compare_recordings(
            Side(attention_a, latent_a["samples"], image_a),
            Side(attention_b, latent_b["samples"], image_b),
            words,
            unit,
            heads=heads,
            progress=node_progress(),
        )
        grid = comparison_page(compared)
        told = shown(cls, grid, compared.report, compared.warnings)
        return io.NodeOutput(grid, compared.masks, compared.report, compared.data, ui=told)
