"""Strengthen Concept, Adjust Concept, Scale Heads: nodes that steer what the words of a prompt do."""

from __future__ import annotations

from comfy_api.latest import io

from ...host.follow.steerer import steer
from ...hrv.steer.factors import Where, adjust, scale, strengthen
from ..concept_input import concept_input
from ..node import Node
from ..sockets import Heads, Vectors

MODEL = io.Model.Input("model", tooltip="The model, after any LoRA; before or after Record Attention.")
VECTORS = Vectors.Input(
    "vectors", tooltip="From Load Head Relevance; they must be made for this kind of model."
)
STRENGTH = io.Float.Input(
    "strength", default=1.0, min=-10.0, max=10.0, step=0.05,
    tooltip="0 changes nothing, 1 is the method as published. Higher acts more strongly, and spoils the picture sooner.",
)  # fmt: skip
CLAMP = io.Float.Input(
    "clamp", default=0.0, min=0.0, max=1000.0, step=0.5, advanced=True,
    tooltip="No head counts as more relevant than this. 0 is automatic: 9 for SDXL, no bound for SD 1.x.",
)  # fmt: skip
LAST = (  # the inputs that end every steering node, in this order
    io.Float.Input(
        "start_percent", default=0.0, min=0.0, max=1.0, step=0.01, advanced=True,
        tooltip="Start steering at this part of the schedule: 0 is pure noise.",
    ),
    io.Float.Input(
        "end_percent", default=1.0, min=0.0, max=1.0, step=0.01, advanced=True,
        tooltip="Stop steering at this part of the schedule: 1 is the finished picture.",
    ),
    io.Clip.Input(
        "clip", optional=True,
        tooltip="Only needed when the CLIP of your text nodes does not come from Record Attention: connect it through here, so "
        "that the words are known.",
    ),
    io.Boolean.Input(
        "record_steered", default=False, optional=True, advanced=True,
        tooltip="Record Attention shows what the model looked at. On: it shows that multiplied as this node does.",
    ),
)  # fmt: skip
OUTPUTS = (
    io.Model.Output(display_name="model", tooltip="The same model, steered. Connect it to the sampler."),
    io.Clip.Output(
        display_name="clip", tooltip="The same CLIP, noting words. Connect it to your text nodes."
    ),
)


def words_input(tooltip: str) -> io.String.Input:
    return io.String.Input(
        "words", default="", placeholder="rose, red car, cat#2",
        tooltip=f"{tooltip} Words or phrases of the positive prompt, separated by commas. Leave empty for every word.",
    )  # fmt: skip


def _named(concept) -> bool:
    """A linked concept is not known yet when inputs are validated."""
    return concept is None or bool(str(concept).strip())


class HRVStrengthenConcept(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HRVStrengthenConcept",
            display_name="Strengthen Concept",
            category="HRV",
            description=(
                "Makes words count more where a concept is decided: the attention heads that care about the concept look at "
                "them more, the others less. For a colour, a material or a thing that the picture has lost."
            ),
            search_aliases=[
                "HRV",
                "concept strengthening",
                "lost colour",
                "missing object",
                "attention weight",
            ],
            inputs=[
                MODEL,
                VECTORS,
                concept_input(
                    "concept", tooltip="What the words are about: Color for red, Animals for a dog."
                ),
                words_input("What to strengthen."),
                STRENGTH,
                CLAMP,
                *LAST,
            ],
            outputs=list(OUTPUTS),
        )

    @classmethod
    def validate_inputs(cls, concept):
        return _named(concept) or "Choose a concept."

    @classmethod
    def execute(cls, model, vectors, concept, strength, clamp, clip=None, **where) -> io.NodeOutput:
        steering = strengthen(vectors, concept, strength, clamp, Where(**where))
        return io.NodeOutput(*steer(model, clip, steering))


class HRVAdjustConcept(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HRVAdjustConcept",
            display_name="Adjust Concept",
            category="HRV",
            description=(
                "Turns a word with two senses towards the one you mean: heads of the wanted concept look at it more, heads of "
                "the unwanted concept less."
            ),
            search_aliases=["HRV", "concept adjusting", "wrong meaning", "ambiguous word", "polysemy"],
            inputs=[
                MODEL,
                VECTORS,
                concept_input("wanted", tooltip="The sense you mean: Animals for a mouse with a tail."),
                concept_input(
                    "unwanted", tooltip="The sense you do not mean: Electronics for a computer mouse.", default="Electronics"
                ),
                words_input("The words that were misread."),
                STRENGTH,
                CLAMP,
                *LAST,
            ],
            outputs=list(OUTPUTS),
        )  # fmt: skip

    @classmethod
    def validate_inputs(cls, wanted, unwanted):
        return (_named(wanted) and _named(unwanted)) or "Choose both concepts."

    @classmethod
    def execute(cls, model, vectors, wanted, unwanted, strength, clamp, clip=None, **where) -> io.NodeOutput:
        steering = adjust(vectors, wanted, unwanted, strength, clamp, Where(**where))
        return io.NodeOutput(*steer(model, clip, steering))


class HRVScaleHeads(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HRVScaleHeads",
            display_name="Scale Heads",
            category="HRV",
            description=(
                "Multiplies what chosen attention heads take from chosen words. A negative factor makes them work against the "
                "words: that shows what the heads are for."
            ),
            search_aliases=["HRV", "ordered weakening", "weaken heads", "ablation"],
            inputs=[
                MODEL,
                Heads.Input("heads", tooltip="From Select Heads by Concept, Filter Heads or Heads in Order."),
                words_input("What the heads read."),
                io.Float.Input(
                    "factor", default=-2.0, min=-10.0, max=10.0, step=0.05,
                    tooltip="What the attention of these heads is multiplied by. 1 changes nothing, 0 switches them off for "
                    "the words, −2 is what the paper uses to weaken.",
                ),
                *LAST,
            ],
            outputs=list(OUTPUTS),
        )  # fmt: skip

    @classmethod
    def execute(cls, model, heads, factor, clip=None, **where) -> io.NodeOutput:
        return io.NodeOutput(*steer(model, clip, scale(heads, factor, Where(**where))))
