"""Remember Run and Edit Prompt: change a word of an image while the rest stays."""

from __future__ import annotations

from comfy_api.latest import io

from ...host.follow.editor import EditOptions, edit
from ...host.follow.rememberer import remember
from ...hrv.steer.factors import Where, strengthen
from ..inputs import (
    choice_input,
    clamp_input,
    clip_output,
    concept_input,
    fraction_input,
    memory_limit_input,
    strength_input,
)
from ..node import Node
from ..sockets import Source, Vectors

OLD_PLACE, OWN_PLACE = "the old word's place", "a place of its own"
SMALLER, ALL = "all but the largest", "all"


class HRVRememberRun(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HRVRememberRun",
            display_name="Remember Run",
            category="HRV/Steer",
            description=(
                "Remembers what the sampler did in each step, so that Edit Prompt can change a word of "
                "that image in a second sampler. The image stays identical."
            ),
            search_aliases=["HRV", "prompt to prompt", "prompt-to-prompt", "p2p", "keep composition"],
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="The model, after any LoRA. Connect the `model` output to the first sampler.",
                ),
                io.Clip.Input(
                    "clip",
                    optional=True,
                    tooltip=(
                        "The CLIP that your text nodes use. For both prompts, use the CLIP from this "
                        "node's output, so that their words are known. Not needed if it comes from "
                        "Record Attention."
                    ),
                ),
                memory_limit_input(
                    256,
                    tooltip=(
                        "Memory for all runs of this node, in MB. An image of 1024 × 1024 takes about "
                        "0.5 MB per step. The oldest runs are forgotten first."
                    ),
                ),
            ],
            outputs=[
                io.Model.Output(
                    display_name="model",
                    tooltip="The same model; its steps are now remembered. Connect it to the first sampler.",
                ),
                clip_output(),
                Source.Output(display_name="source", tooltip="The remembered runs, for Edit Prompt."),
            ],
        )

    @classmethod
    def execute(cls, model, memory_limit_mb, clip=None) -> io.NodeOutput:
        return io.NodeOutput(*remember(model, clip, memory_limit_mb * 2**20))


class HRVPromptEdit(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HRVPromptEdit",
            display_name="Edit Prompt",
            category="HRV/Steer",
            description=(
                "Generates a remembered image again with a few words of the prompt changed: red car to "
                "blue car. The words you kept look where they looked before, so more of the image stays "
                "the same."
            ),
            search_aliases=[
                "HRV",
                "prompt to prompt",
                "prompt-to-prompt",
                "p2p",
                "change colour",
                "swap word",
            ],
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip=(
                        "The same model that the first sampler uses. Connect the `model` output to the "
                        "second sampler."
                    ),
                ),
                Source.Input("source", tooltip="From Remember Run."),
                io.Latent.Input(
                    "latent",
                    tooltip="Straight from the first sampler. This is the image to edit.",
                ),
                fraction_input(
                    "cross_percent",
                    default=0.8,
                    tooltip=(
                        "Up to this point in the schedule, words look where they looked in the first "
                        "image. Lower it if the new word needs a different shape."
                    ),
                ),
                fraction_input(
                    "self_percent",
                    default=0.4,
                    tooltip=(
                        "Up to this point in the schedule, the layout of the first image is used "
                        "(self-attention). Higher values keep more, but leave less room for the change."
                    ),
                ),
                choice_input(
                    "changed_words",
                    (OLD_PLACE, OWN_PLACE),
                    tooltip=(
                        "Where a word that replaces another looks: in the old word's place, or wherever "
                        "it wants. Added words always look wherever they want."
                    ),
                ),
                Vectors.Input(
                    "vectors",
                    optional=True,
                    tooltip=(
                        "From Load Head Relevance, to make the changed words count more where their "
                        "concept is decided. Optional."
                    ),
                ),
                concept_input(
                    "concept", tooltip="What the changed words are about. Only used with `vectors`."
                ),
                io.String.Input(
                    "words",
                    default="",
                    placeholder="blue",
                    tooltip=(
                        "The words to strengthen, separated by commas. Leave empty for the words that "
                        "differ between the prompts. Only used with `vectors`."
                    ),
                ),
                strength_input(
                    (
                        "How much to strengthen the words, as in Strengthen Concept. 0 is not at all. "
                        "Only used with `vectors`."
                    ),
                ),
                clamp_input(),
                choice_input(
                    "self_grids",
                    (SMALLER, ALL),
                    advanced=True,
                    tooltip=(
                        "Which layers `self_percent` applies to: all but those with the finest grid, or "
                        "all of them. all keeps more of the first image's detail."
                    ),
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip=(
                        "Where the image may change. Outside it, the first image stays. For example: "
                        "the mask of a word from Attention Heatmap, grown a little. Optional."
                    ),
                ),
            ],
            outputs=[
                io.Model.Output(
                    display_name="model",
                    tooltip="The model with the edit applied. Connect it to the second sampler.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, concept):
        return True

    @classmethod
    def execute(
        cls,
        model,
        source,
        latent,
        cross_percent,
        self_percent,
        changed_words,
        concept,
        words,
        strength,
        clamp,
        self_grids,
        vectors=None,
        mask=None,
    ) -> io.NodeOutput:
        steering = None
        if vectors is not None:
            steering = strengthen(vectors, concept, strength=strength, clamp=clamp, where=Where(words))
        options = EditOptions(
            cross_percent,
            self_percent,
            smaller_grids=self_grids == SMALLER,
            replace=changed_words == OLD_PLACE,
            steering=steering,
            mask=mask,
        )
        return io.NodeOutput(edit(model, source, latent["samples"], options))
