"""Remember Run and Edit Prompt: change a word of a picture while the rest stays."""

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
                "Remembers what the sampler did in each step, so that Edit Prompt can change a word of that "
                "picture in a second sampler. The picture does not change."
            ),
            search_aliases=["HRV", "prompt to prompt", "prompt-to-prompt", "p2p", "keep composition"],
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="The model, after any LoRA. Connect the model output to the first sampler.",
                ),
                io.Clip.Input(
                    "clip",
                    optional=True,
                    tooltip=(
                        "The CLIP that your text nodes use. Take it from this node's clip output for both "
                        "prompts, so that their words are known. Not needed where it comes from Record "
                        "Attention."
                    ),
                ),
                memory_limit_input(
                    256,
                    tooltip=(
                        "Memory for all runs of this node. A picture of 1024² takes about 0.5 MB a step; the "
                        "oldest runs are forgotten first."
                    ),
                ),
            ],
            outputs=[
                io.Model.Output(
                    display_name="model", tooltip="The same model. Connect it to the first sampler."
                ),
                clip_output(),
                Source.Output(display_name="source", tooltip="What is remembered, for Edit Prompt."),
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
                "Draws a remembered picture again with a prompt in which you changed a few words: red car to "
                "blue car. The words that stayed look where they looked, so the rest of the picture stays "
                "too."
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
                        "The model that the first sampler has. Connect the model output to the second "
                        "sampler."
                    ),
                ),
                Source.Input("source", tooltip="From Remember Run."),
                io.Latent.Input(
                    "latent",
                    tooltip="What the first sampler made, straight from it: this is the picture to edit.",
                ),
                fraction_input(
                    "cross_percent",
                    default=0.8,
                    tooltip=(
                        "Up to this part of the schedule, words look where they looked in the first picture. "
                        "Less gives a changed word more freedom, for another shape."
                    ),
                ),
                fraction_input(
                    "self_percent",
                    default=0.4,
                    tooltip=(
                        "Up to this part of the schedule, the layout of the first picture is used "
                        "(self-attention). More keeps more, and leaves the change less room."
                    ),
                ),
                choice_input(
                    "changed_words",
                    (OLD_PLACE, OWN_PLACE),
                    tooltip=(
                        "Where a word that replaces another one looks: in the old word's place, or where it "
                        "wants to. Added words always look where they want to."
                    ),
                ),
                Vectors.Input(
                    "vectors",
                    optional=True,
                    tooltip=(
                        "Head relevance, to make the changed words count more where their concept is "
                        "decided. Optional."
                    ),
                ),
                concept_input("concept", tooltip="What the changed words are about. Only used with vectors."),
                io.String.Input(
                    "words",
                    default="",
                    placeholder="blue",
                    tooltip=(
                        "Words to make count more, separated by commas. Leave empty for the words that "
                        "differ between the prompts. Only used with vectors."
                    ),
                ),
                strength_input(
                    "How much more, as in Strengthen Concept. 0 is not at all. Only used with vectors.",
                ),
                clamp_input(),
                choice_input(
                    "self_grids",
                    (SMALLER, ALL),
                    advanced=True,
                    tooltip=(
                        "Which layers self_percent is about: all but those with the finest grid, or all. All "
                        "keeps more of the first picture's detail."
                    ),
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip=(
                        "Where the picture may change, for example the mask of the first picture's word from "
                        "Attention Heatmap, grown a little. Outside it the first picture stays. Optional."
                    ),
                ),
            ],
            outputs=[
                io.Model.Output(
                    display_name="model", tooltip="The model, editing. Connect it to the second sampler."
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
