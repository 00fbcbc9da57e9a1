"""Attend and Excite: a node that moves the latent until the words it forgot are looked at."""

from __future__ import annotations

from comfy_api.latest import io

from ...host.follow.exciter import excite
from ...hrv.prompt import split_names
from ...hrv.steer.attend_excite import Excitement
from ..inputs import clip_output, concept_input, passing_clip_input, schedule_inputs
from ..node import Node
from ..sockets import Vectors


class HRVAttendExcite(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HRVAttendExcite",
            display_name="Attend and Excite",
            category="HRV/Steer",
            description=(
                "Brings back something that the image left out. Before each step in the first half of "
                "the schedule, it nudges the latent so that every chosen word gets attention somewhere."
            ),
            search_aliases=[
                "HRV",
                "missing object",
                "two objects",
                "neglected word",
                "A&E",
                "attend-and-excite",
                "prompt weight",
                "ignored word",
            ],
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip=(
                        "The model, after any LoRA. It can come before or after Record Attention and "
                        "other steering nodes."
                    ),
                ),
                io.String.Input(
                    "words",
                    default="",
                    placeholder="cat, dog",
                    tooltip=(
                        "The things that must be in the image: words or phrases from the positive "
                        "prompt, separated by commas. Include the ones that are already there. Leave "
                        "empty for the nouns of the prompt."
                    ),
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=100.0,
                    step=0.05,
                    tooltip=(
                        "How far each step moves. 0 changes nothing, 1 is the published value for SD "
                        "1.x. Too much makes the image fall apart."
                    ),
                ),
                *schedule_inputs(end=0.5, why_end=" The first half decides what goes where."),
                Vectors.Input(
                    "vectors",
                    optional=True,
                    tooltip=(
                        "From Load Head Relevance. With it, heads count in proportion to how much they "
                        "care about the concept. Without it, all heads count the same."
                    ),
                ),
                concept_input(
                    "concept",
                    tooltip="What the words are about: Animals for a cat. Only used with `vectors`.",
                    optional=True,
                ),
                passing_clip_input(),
                io.Boolean.Input(
                    "smoothing",
                    default=True,
                    optional=True,
                    advanced=True,
                    tooltip=(
                        "Look at neighbouring pixels together, so that a word needs a spot and not just "
                        "a single pixel."
                    ),
                ),
            ],
            outputs=[
                io.Model.Output(
                    display_name="model",
                    tooltip="The model with Attend and Excite applied. Connect it to the sampler.",
                ),
                clip_output(),
            ],
        )

    @classmethod
    def validate_inputs(cls, concept=None):
        return True  # checked against the vectors when the node runs: they may be built in the same graph

    @classmethod
    def execute(
        cls,
        model,
        words,
        strength,
        start_percent,
        end_percent,
        vectors=None,
        concept="",
        clip=None,
        smoothing=True,
    ) -> io.NodeOutput:
        excitement = Excitement(
            tuple(split_names(words)),
            strength,
            start_percent,
            end_percent,
            vectors=vectors,
            concept=concept,
            smoothing=smoothing,
        )
        return io.NodeOutput(*excite(model, clip, excitement))
