"""Prompt Report: why a prompt went wrong, on one page."""

from __future__ import annotations

from comfy_api.latest import io

from ...host.page.progress import node_progress
from ...host.text.clip_trace import tokenize_text
from ...hrv.maps.lookup import notes_of
from ...hrv.prompt import UNITS
from ...hrv.report.report import report
from ..inputs import prompt_text_input
from ..node import Node
from ..shown import shown
from ..sockets import Attention, Vectors


class HRVPromptReport(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HRVPromptReport",
            display_name="Prompt Report",
            category="HRV",
            description=(
                "Tells why a prompt went wrong: words that were ignored, things drawn in one place, adjectives on the "
                "wrong noun, parts that came too late. For each it says one thing to try."
            ),
            search_aliases=["attribute leakage", "binding", "ignored words", "prompt analysis", "DAAM report"],
            inputs=[
                Attention.Input("attention", tooltip="From Record Attention."),
                io.Latent.Input(
                    "latent",
                    tooltip="Straight from the sampler. It tells which run the report is about.",
                ),
                io.Image.Input(
                    "image",
                    tooltip="The picture that was decoded from this latent, of any size; an upscaled one is fine.",
                ),
                io.Combo.Input(
                    "unit", options=list(UNITS), default="auto",
                    tooltip="What one entry is: single words, or tags (the phrases between commas). auto takes tags when "
                    "the prompt is mostly short phrases between commas.",
                ),
                Vectors.Input(
                    "vectors", optional=True,
                    tooltip="From Load Head Relevance, made for your kind of model: the report then also tells words whose "
                    "sense is in doubt.",
                ),
                prompt_text_input(),
            ],
            outputs=[
                io.Image.Output(
                    display_name="grid",
                    tooltip="One page for each picture: the picture, what stands out, who got which adjective, and the heat "
                    "of every word.",
                ),
                io.String.Output(
                    display_name="report", tooltip="The whole report as text, with all numbers (Markdown)."
                ),
                io.String.Output(display_name="data", tooltip="The same for scripts (JSON)."),
            ],
            is_output_node=True,
        )  # fmt: skip

    @classmethod
    def execute(cls, attention, latent, image, unit, vectors=None, prompt_text="") -> io.NodeOutput:
        found = report(
            attention, latent["samples"], image, unit, vectors, progress=node_progress(),
            prompt_text=prompt_text, tokenize=tokenize_text,
        )  # fmt: skip
        told = shown(
            cls, found.grid, found.summary, found.warnings, notes_of(attention.match(latent["samples"]))
        )
        return io.NodeOutput(found.grid, found.markdown, found.data, ui=told)
