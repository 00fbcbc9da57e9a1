"""Record Attention: the node between loader and sampler."""

from __future__ import annotations

from comfy_api.latest import io

from ...host.build.passive_votes import OFF, passive_votes
from ...host.follow.recorder import RecordOptions, attach
from ..inputs import clip_output, concept_set_input, memory_limit_input, schedule_inputs
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
                "Remembers, while the sampler runs, which word of the prompt drew which part of the picture. "
                "Put it between loader and sampler; the picture does not change."
            ),
            search_aliases=["x-ray", "cross attention", "DAAM", "saliency", "record prompt"],
            inputs=[
                io.Model.Input(
                    "model", tooltip="The model, after any LoRA. Connect the model output to the sampler."
                ),
                io.Clip.Input(
                    "clip",
                    optional=True,
                    tooltip=(
                        "The CLIP that your text nodes use. Take it from this node's clip output, so that "
                        "the words are known."
                    ),
                ),
                *schedule_inputs(" recording"),
                io.Int.Input(
                    "time_bins",
                    default=1,
                    min=1,
                    max=20,
                    advanced=True,
                    tooltip="Keep this many parts of the schedule apart. Memory grows in proportion.",
                ),
                io.Boolean.Input(
                    "negative", default=False, advanced=True, tooltip="Record the negative prompt too."
                ),
                memory_limit_input(
                    512,
                    tooltip=(
                        "Memory for all recordings of this node. Older ones are kept with smaller maps, then "
                        "forgotten; an image too large for it is recorded with smaller maps. While sampling, "
                        "a graphics card holds up to twice as much."
                    ),
                ),
                concept_set_input(
                    "collect_votes",
                    first=(OFF,),
                    default=OFF,
                    advanced=True,
                    optional=True,
                    tooltip=(
                        "While you work, let all heads vote for these concepts too, and add the votes to a "
                        "file for this checkpoint in models/hrv. Takes a little longer; the picture does not "
                        "change. Needs clip."
                    ),
                ),
            ],
            outputs=[
                io.Model.Output(
                    display_name="model", tooltip="The same model, recording. Connect it to the sampler."
                ),
                clip_output(),
                Attention.Output(
                    display_name="attention", tooltip="The recording, for the nodes that read it."
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
    ) -> io.NodeOutput:
        options = RecordOptions(
            start_percent,
            end_percent,
            time_bins=time_bins,
            negative=negative,
            memory_limit=memory_limit_mb * 2**20,
            votes=passive_votes(clip, collect_votes),
        )
        return io.NodeOutput(*attach(model, clip, options))
