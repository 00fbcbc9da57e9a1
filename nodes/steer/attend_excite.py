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
                "Brings back a thing that the picture has left out: before each step of the first half it "
                "moves the picture in the making to where every chosen word is looked at somewhere."
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
                        "The model, after any LoRA; before or after Record Attention and other steering "
                        "nodes."
                    ),
                ),
                io.String.Input(
                    "words",
                    default="",
                    placeholder="cat, dog",
                    tooltip=(
                        "The things that must be in the picture: words or phrases of the positive prompt, "
                        "separated by commas. Name them all, also those that are there already. Leave empty "
                        "for the nouns of the prompt."
                    ),
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=100.0,
                    step=0.05,
                    tooltip=(
                        "How far each step moves. 0 changes nothing, 1 is as published. Too much makes the "
                        "picture fall apart."
                    ),
                ),
                *schedule_inputs(end=0.5, why_end=" What is where is decided in the first half."),
                Vectors.Input(
                    "vectors",
                    optional=True,
                    tooltip=(
                        "From Load Head Relevance: heads count as much as they care about the concept. "
                        "Without, all heads count alike."
                    ),
                ),
                concept_input(
                    "concept",
                    tooltip="What the words are about: Animals for a cat. Only used with vectors.",
                    optional=True,
                ),
                passing_clip_input(),
                io.Boolean.Input(
                    "smoothing",
                    default=True,
                    optional=True,
                    advanced=True,
                    tooltip=(
                        "Look at neighbouring pixels together, so that a word needs a spot, not a single "
                        "pixel."
                    ),
                ),
            ],
            outputs=[
                io.Model.Output(
                    display_name="model", tooltip="The same model, excited. Connect it to the sampler."
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
