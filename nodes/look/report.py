"""Prompt Report: why a prompt went wrong, on one page."""

from __future__ import annotations

from comfy_api.latest import io

from ...host.effect.word_effects import effects_if_asked
from ...host.page.previews import saved_previews
from ...host.page.progress import node_progress
from ...host.text.clip_trace import tokenize_text
from ...hrv.report.report import report
from ..inputs import attention_input, latent_input, prompt_text_input, unit_input
from ..node import Node
from ..shown import shown
from ..sockets import Vectors


class HRVPromptReport(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HRVPromptReport",
            display_name="Prompt Report",
            category="HRV/Look",
            description=(
                "Shows on one page why a prompt went wrong: words that were ignored, two things in one "
                "place, adjectives on the wrong noun, words that came too late. Each finding comes with "
                "one thing to try."
            ),
            search_aliases=[
                "attribute leakage",
                "binding",
                "ignored words",
                "prompt analysis",
                "DAAM report",
                "explain",
                "debug prompt",
                "bleeding",
                "color bleeding",
                "colour bleeding",
            ],
            inputs=[
                attention_input(),
                latent_input("It tells the node which run to report on."),
                io.Image.Input(
                    "image",
                    tooltip="The image decoded from this latent, at any size; an upscaled one is fine.",
                ),
                unit_input(),
                Vectors.Input(
                    "vectors",
                    optional=True,
                    tooltip=(
                        "From Load Head Relevance, for your kind of model. With it the report also "
                        "lists words whose sense is unclear."
                    ),
                ),
                prompt_text_input(),
                io.Model.Input(
                    "model",
                    optional=True,
                    tooltip=(
                        "The model your sampler used. With it and `clip`, the report says which words changed nothing, as What Each Word Did "
                        "measures it, and no longer guesses that from the attention."
                    ),
                ),
                io.Clip.Input(
                    "clip",
                    optional=True,
                    tooltip="The CLIP your text nodes use, from Record Attention. Only together with `model`.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="grid",
                    tooltip=(
                        "One page per image: the image, what stands out, which noun got which "
                        "adjective, and a heatmap for every word."
                    ),
                ),
                io.String.Output(
                    display_name="report",
                    tooltip="The whole report as text, with all the numbers (Markdown).",
                ),
                io.String.Output(display_name="data", tooltip="The same as JSON, for scripts."),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls, attention, latent, image, unit, vectors=None, prompt_text="", model=None, clip=None
    ) -> io.NodeOutput:
        effects, notes = effects_if_asked(
            (model, clip), attention, latent["samples"], unit, progress=node_progress()
        )
        found = report(
            attention,
            latent["samples"],
            image,
            unit,
            vectors=vectors,
            progress=node_progress(),
            prompt_text=prompt_text,
            tokenize=tokenize_text,
            effects=effects,
        )
        told = shown(
            cls,
            found.grid,
            found.summary,
            [*found.warnings, *notes],
            found.notes,
            hrv_report=(found.panel | {"thumbs": saved_previews(found.thumbs)},),
        )
        return io.NodeOutput(found.grid, found.markdown, found.data, ui=told)
