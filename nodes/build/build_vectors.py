"""Build Head Relevance: head relevance vectors for one's own checkpoint."""

from __future__ import annotations

from comfy_api.latest import io

from ...host.build.building import build
from ...host.facts.drawing import samplers, schedulers
from ...hrv.relevance.building import METHODS
from ..inputs import choice_input, concept_set_input
from ..node import Node
from ..shown import shown
from ..sockets import Vectors

# queueing again should not build again; hosts without this choice show their default
FIXED = getattr(getattr(io, "ControlAfterGenerate", None), "fixed", True)


class HRVBuildVectors(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HRVBuildVectors",
            display_name="Build Head Relevance",
            category="HRV/Build",
            description=(
                "Builds head relevance vectors for exactly your checkpoint. It generates images from "
                "many prompts and asks every attention head which concepts it cares about. This takes "
                "minutes to a night, and you can stop whenever you like."
            ),
            search_aliases=["HRV", "head relevance vectors", "train heads"],
            inputs=[
                io.Model.Input(
                    "model", tooltip="The model to build for: a checkpoint, with LoRAs if you like."
                ),
                io.Clip.Input("clip", tooltip="The CLIP of the same checkpoint."),
                concept_set_input(
                    "concepts",
                    tooltip=(
                        "The concepts and their words. general has the 34 of the published vectors. Put "
                        "your own files into models/hrv/concepts."
                    ),
                ),
                io.String.Input(
                    "prompts",
                    default="",
                    multiline=True,
                    placeholder="leave empty for the list that comes with the concepts",
                    tooltip=(
                        "The prompts to generate, one per line. Leave empty for the list that comes "
                        "with the concepts."
                    ),
                ),
                io.Int.Input(
                    "steps",
                    default=20,
                    min=1,
                    max=1000,
                    tooltip="Sampling steps per prompt. The heads are asked in each step.",
                ),
                io.Float.Input(
                    "cfg",
                    default=7.0,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    tooltip="The CFG that you normally use with this checkpoint.",
                ),
                io.Int.Input(
                    "width",
                    default=512,
                    min=64,
                    max=8192,
                    step=8,
                    tooltip=(
                        "Width of the images. Use what the checkpoint was made for: 512 for SD 1.5, "
                        "1024 for SDXL."
                    ),
                ),
                io.Int.Input(
                    "height", default=512, min=64, max=8192, step=8, tooltip="Height of the images."
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=FIXED,
                    tooltip=(
                        "Determines the noise and the random words. Two builds with different seeds can "
                        "be merged."
                    ),
                ),
                io.Int.Input(
                    "draws",
                    default=1,
                    min=1,
                    max=64,
                    tooltip=(
                        "Votes per head and step, each with different concept words. More votes cost "
                        "little time and make the result more reliable. Only used for votes, not for "
                        "agreement."
                    ),
                ),
                Vectors.Input(
                    "continue_from",
                    optional=True,
                    tooltip=(
                        "Vectors that you built earlier. An interrupted build picks up where it "
                        "stopped; a finished one gets more votes."
                    ),
                ),
                io.Int.Input(
                    "prompt_limit",
                    default=0,
                    min=0,
                    max=1_000_000,
                    optional=True,
                    tooltip="Use only this many prompts from the list, for a first try. 0 uses all of them.",
                ),
                io.Combo.Input(
                    "sampler_name",
                    options=samplers(),
                    default="euler",
                    optional=True,
                    advanced=True,
                    tooltip="The sampler to generate with.",
                ),
                io.Combo.Input(
                    "scheduler",
                    options=schedulers(),
                    default="normal",
                    optional=True,
                    advanced=True,
                    tooltip="The scheduler to generate with.",
                ),
                io.String.Input(
                    "concept_words",
                    default="",
                    multiline=True,
                    optional=True,
                    advanced=True,
                    placeholder="Animals: fox, owl\nColour: red, navy blue",
                    tooltip=(
                        "Your own concepts instead of a file, one per line: Animals: fox, owl. Leave "
                        "empty to use the file."
                    ),
                ),
                choice_input(
                    "method",
                    METHODS,
                    optional=True,
                    advanced=True,
                    tooltip=(
                        "votes: the published method. Heads vote for the concept whose word they look "
                        "at most. agreement: how well a head finds the place of a concept's words in "
                        "the images; best for clean masks."
                    ),
                ),
            ],
            outputs=[
                Vectors.Output(
                    display_name="vectors",
                    tooltip="For Select Heads by Concept, Save Head Relevance and the other HRV nodes.",
                ),
                io.Image.Output(
                    display_name="chart",
                    tooltip=(
                        "How stable the order of the heads is. Once the curve levels off near 1, more "
                        "prompts change little."
                    ),
                ),
                io.String.Output(
                    display_name="summary",
                    tooltip="What was generated, how long it took and how stable the result is.",
                ),
            ],
        )

    @classmethod
    def execute(cls, model, clip, **settings) -> io.NodeOutput:
        vectors, chart, summary = build(model, clip, **settings)
        return io.NodeOutput(vectors, chart, summary, ui=shown(cls, chart, summary))
