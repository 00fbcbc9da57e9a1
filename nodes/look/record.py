"""Record Attention: the node between loader and sampler."""

from __future__ import annotations

from comfy_api.latest import io

from ...host.build.passive_votes import OFF, passive_votes
from ...host.follow.recorder import RecordOptions, attach
from ...host.text.asked_words import asked_words_or_warning
from ..inputs import also_look_for_input, clip_output, concept_set_input, memory_limit_input, schedule_inputs
from ..node import Node
from ..sockets import Attention


class HRVRecordAttention(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HRVRecordAttention",
            display_name="Record Attention",
            category="HRV/Look",
            description=(
                "While the sampler runs, records which word of your prompt draws which part of the "
                "image. Put it between the loader and the sampler. The image stays identical."
            ),
            search_aliases=["x-ray", "cross attention", "DAAM", "saliency", "record prompt"],
            inputs=[
                io.Model.Input(
                    "model", tooltip="The model, after any LoRA. Connect the `model` output to the sampler."
                ),
                io.Clip.Input(
                    "clip",
                    optional=True,
                    tooltip=(
                        "The CLIP that your text nodes use. Connect the `clip` output to them, so that "
                        "this node knows the words of the prompt."
                    ),
                ),
                *schedule_inputs(" recording"),
                io.Int.Input(
                    "time_bins",
                    default=1,
                    min=1,
                    max=20,
                    tooltip=(
                        "Split the schedule into this many parts, recorded separately. Memory use grows "
                        "in proportion."
                    ),
                ),
                io.Boolean.Input(
                    "negative",
                    default=False,
                    tooltip="Record the negative prompt too. Needs a CFG above 1.",
                ),
                memory_limit_input(
                    512,
                    tooltip=(
                        "Memory for all recordings of this node, in MB. Older ones are first reduced to "
                        "smaller maps, then forgotten. An image that is too large for the limit is "
                        "recorded with smaller maps. While sampling, the graphics card holds up to "
                        "twice as much."
                    ),
                ),
                concept_set_input(
                    "collect_votes",
                    first=(OFF,),
                    default=OFF,
                    advanced=True,
                    optional=True,
                    tooltip=(
                        "Let all heads vote for these concepts while you work. The votes are added to a "
                        "file for this checkpoint in models/hrv. Sampling takes a little longer; the "
                        "image stays identical. Needs `clip`."
                    ),
                ),
                io.Int.Input(
                    "every",
                    default=0,
                    min=0,
                    max=100,
                    optional=True,
                    advanced=True,
                    tooltip=(
                        "Record only every n-th evaluation of the model. 0: all of them; with Flux, Z-Image and the like only the last "
                        "tenth, which shows things best, or with time_bins some of each part."
                    ),
                ),
                also_look_for_input(),
            ],
            outputs=[
                io.Model.Output(
                    display_name="model",
                    tooltip="The model with recording turned on. Connect it to the sampler.",
                ),
                clip_output(),
                Attention.Output(
                    display_name="attention",
                    tooltip="The recording, for Attention Heatmap and the other nodes that read it.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        model,
        start_percent,
        end_percent,
        time_bins,
        negative,
        memory_limit_mb,
        clip=None,
        collect_votes=OFF,
        every=0,
        also_look_for="",
    ) -> io.NodeOutput:
        options = RecordOptions(
            start_percent,
            end_percent,
            time_bins=time_bins,
            negative=negative,
            memory_limit=memory_limit_mb * 2**20,
            votes=passive_votes(clip, collect_votes),
            every=every,
            asked=asked_words_or_warning(clip, also_look_for),
        )
        return io.NodeOutput(*attach(model, clip, options))
