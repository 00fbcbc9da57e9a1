"""Strengthen Concept, Adjust Concept, Scale Heads: nodes that steer what the words of a prompt do."""

from __future__ import annotations

from comfy_api.latest import io

from ...host.follow.steerer import steer
from ...hrv.steer.factors import Where, adjust, scale, strengthen
from ..inputs import (
    clamp_input,
    clip_output,
    concept_input,
    passing_clip_input,
    schedule_inputs,
    strength_input,
    typed,
    vectors_input,
)
from ..node import Node
from ..sockets import Heads


def model_input() -> io.Model.Input:
    return io.Model.Input(
        "model", tooltip="The model, after any LoRA. It can come before or after Record Attention."
    )


def words_input(tooltip: str) -> io.String.Input:
    return io.String.Input(
        "words",
        default="",
        placeholder="rose, red car, cat#2",
        tooltip=(
            f"{tooltip}: words or phrases from the positive prompt, separated by commas. "
            "Leave empty for every word."
        ),
    )


def published_strength_input() -> io.Float.Input:
    return strength_input(
        "0 changes nothing, 1 is the published method. Higher values have a stronger effect but "
        "damage the image sooner."
    )


def last_inputs() -> tuple:
    """What ends every steering node, in this order."""
    return (
        *schedule_inputs(" steering"),
        passing_clip_input(),
        io.Boolean.Input(
            "record_steered",
            default=False,
            optional=True,
            advanced=True,
            tooltip=(
                "Record Attention normally shows the attention as it was before this node changed it. "
                "Turn this on to show it as this node left it."
            ),
        ),
    )


def outputs() -> list:
    return [
        io.Model.Output(
            display_name="model", tooltip="The model with steering applied. Connect it to the sampler."
        ),
        clip_output(),
    ]


class HRVStrengthenConcept(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HRVStrengthenConcept",
            display_name="Strengthen Concept",
            category="HRV/Steer",
            description=(
                "Makes words count more where a concept is decided: attention heads that care about the "
                "concept look at them more, the others look at them less. Use it for a colour, a "
                "material or a thing that went missing."
            ),
            search_aliases=[
                "HRV",
                "concept strengthening",
                "lost colour",
                "missing object",
                "attention weight",
                "prompt weight",
                "emphasis",
                "lost color",
            ],
            inputs=[
                model_input(),
                vectors_input(),
                concept_input(
                    "concept", tooltip="What the words are about: Color for red, Animals for a dog."
                ),
                words_input("The words to strengthen"),
                published_strength_input(),
                clamp_input(),
                *last_inputs(),
            ],
            outputs=outputs(),
        )

    @classmethod
    def validate_inputs(cls, concept):
        return typed("Choose a concept.", concept)

    @classmethod
    def execute(cls, model, vectors, concept, strength, clamp, clip=None, **where) -> io.NodeOutput:
        steering = strengthen(vectors, concept, strength=strength, clamp=clamp, where=Where(**where))
        return io.NodeOutput(*steer(model, clip, steering))


class HRVAdjustConcept(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HRVAdjustConcept",
            display_name="Adjust Concept",
            category="HRV/Steer",
            description=(
                "Turns a word with two senses towards the one you mean: heads that care about the "
                "wanted concept look at it more, heads that care about the unwanted one look at it "
                "less."
            ),
            search_aliases=[
                "HRV",
                "concept adjusting",
                "wrong meaning",
                "ambiguous word",
                "polysemy",
                "concept bleeding",
            ],
            inputs=[
                model_input(),
                vectors_input(),
                concept_input("wanted", tooltip="The sense you mean: Animals for a mouse with a tail."),
                concept_input(
                    "unwanted",
                    tooltip="The sense you don't mean: Electronics for a computer mouse.",
                    default="Electronics",
                ),
                words_input("The words that were misread"),
                published_strength_input(),
                clamp_input(),
                *last_inputs(),
            ],
            outputs=outputs(),
        )

    @classmethod
    def validate_inputs(cls, wanted, unwanted):
        return typed("Choose both concepts.", wanted, unwanted)

    @classmethod
    def execute(cls, model, vectors, wanted, unwanted, strength, clamp, clip=None, **where) -> io.NodeOutput:
        steering = adjust(vectors, wanted, unwanted, strength=strength, clamp=clamp, where=Where(**where))
        return io.NodeOutput(*steer(model, clip, steering))


class HRVScaleHeads(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HRVScaleHeads",
            display_name="Scale Heads",
            category="HRV/Steer",
            description=(
                "Multiplies how much chosen attention heads take from chosen words. With a negative "
                "factor they work against the words, which shows what the heads are for."
            ),
            search_aliases=["HRV", "ordered weakening", "weaken heads", "ablation"],
            inputs=[
                model_input(),
                Heads.Input(
                    "heads",
                    tooltip=(
                        "From Select Heads by Concept, Select Heads for a Word, Filter Heads or Heads in "
                        "Order."
                    ),
                ),
                words_input("The words that the factor applies to"),
                io.Float.Input(
                    "factor",
                    default=-2.0,
                    min=-10.0,
                    max=10.0,
                    step=0.05,
                    tooltip=(
                        "What the attention of these heads is multiplied by. 1 changes nothing, 0 makes "
                        "them ignore the words, and −2 is what the paper uses to weaken them."
                    ),
                ),
                *last_inputs(),
            ],
            outputs=outputs(),
        )

    @classmethod
    def execute(cls, model, heads, factor, clip=None, **where) -> io.NodeOutput:
        return io.NodeOutput(*steer(model, clip, scale(heads, factor, Where(**where))))
