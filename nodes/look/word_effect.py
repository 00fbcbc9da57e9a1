"""What Each Word Did: which words can go, and which would do more."""

from __future__ import annotations

from comfy_api.latest import io

from ...host.effect.word_effects import Question, word_effects
from ...host.facts.memory import free_memory
from ...host.page.progress import node_progress
from ...hrv.draw.overlay import HOT
from ...hrv.look.tiles import Style
from ...hrv.look.word_effect_page import show_effects
from ...hrv.maps.normalize import NORMALIZE
from ..inputs import (
    attention_input,
    choice_input,
    drawing_inputs,
    image_to_draw_on,
    latent_input,
    moments_input,
    unit_input,
)
from ..node import Node
from ..shown import shown


class HRVWordEffect(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HRVWordEffect",
            display_name="What Each Word Did",
            category="HRV/Look",
            description=(
                "Measures how much each word of the prompt changed the image, by leaving it out and asking the model again at a "
                "few steps of the run. Shows which words can go, and where each one acts. It also works with models whose attention cannot be recorded."
            ),
            search_aliases=[
                "word effect",
                "prompt weight",
                "which words matter",
                "ablation",
                "unused words",
                "prompt cleanup",
            ],
            inputs=[
                io.Model.Input("model", tooltip="The model your sampler used, after any LoRA."),
                io.Clip.Input(
                    "clip", tooltip="The CLIP your text nodes use. It must come from Record Attention."
                ),
                attention_input(),
                latent_input("It tells the node which image to ask about."),
                io.String.Input(
                    "words",
                    default="",
                    placeholder="cat, cowboy hat",
                    tooltip="Words, tags or phrases of the prompt, separated by commas or lines. Leave empty for every word.",
                ),
                unit_input(" when `words` is empty"),
                io.String.Input(
                    "replace_with",
                    default="",
                    placeholder="nothing: leave the word out",
                    tooltip=(
                        "Asks what this would do in the word's place, with its weight. Leave empty to ask what the word does: it is "
                        "then left out."
                    ),
                ),
                image_to_draw_on(),
                moments_input("the model is"),
                choice_input(
                    "role",
                    ("positive", "negative"),
                    optional=True,
                    tooltip="Whose words: the positive or the negative prompt.",
                ),
                choice_input(
                    "normalize",
                    NORMALIZE,
                    optional=True,
                    advanced=True,
                    tooltip="shared: one scale for all words, so a word that does little stays dark. per word: each on its own scale.",
                ),
                *drawing_inputs(
                    "Where the mask begins, between a word's smallest (0) and largest (1) change.",
                    "with the word and its share",
                    "where the word has no heat",
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="overlay",
                    tooltip="Where each word changed the image, the strongest first; all words of the first image, then of the next.",
                ),
                io.Mask.Output(
                    display_name="heat", tooltip="The change itself as a soft mask, 0 to 1, one per overlay."
                ),
                io.Mask.Output(
                    display_name="mask", tooltip="The change cut at the threshold, one per overlay."
                ),
                io.String.Output(
                    display_name="words", is_output_list=True, tooltip="The word of each overlay, as a list."
                ),
                io.String.Output(
                    display_name="report", tooltip="All words with their shares, sorted, as text (Markdown)."
                ),
                io.String.Output(display_name="data", tooltip="The same for scripts (JSON)."),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls,
        model,
        clip,
        attention,
        latent,
        words,
        unit,
        replace_with,
        image=None,
        moments=3,
        role="positive",
        normalize="shared",
        threshold=0.4,
        alpha=0.6,
        colormap="turbo",
        caption=True,
        tint=HOT,
    ) -> io.NodeOutput:
        question = Question(words, unit, replace_with.strip(), moments, role)
        found = word_effects(model, clip, attention, latent["samples"], question, progress=node_progress())
        page = show_effects(
            found.effects,
            latent["samples"],
            image,
            Style(normalize, threshold, alpha=alpha, colormap=colormap, caption=caption, tint=tint),
            question.instead,
            typed=bool(words.strip()),
            free_memory=free_memory(),
            progress=node_progress(),
        )
        warnings = [*found.warnings, *page.warnings]
        told = shown(cls, page.overlay, page.text, warnings, hrv_words=found.names, hrv_tiles=(page.panel,))
        return io.NodeOutput(*page.outputs, ui=told)
