"""Record Attention: the node between loader and sampler."""

from __future__ import annotations

from comfy_api.latest import io

from ..host.recorder import RecordOptions, attach
from .sockets import Attention


class HRVRecordAttention(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HRVRecordAttention",
            display_name="Record Attention",
            category="HRV",
            description=(
                "Remembers, while the sampler runs, which word of the prompt drew which part of the picture. "
                "Put it between loader and sampler; the picture does not change."
            ),
            inputs=[
                io.Model.Input("model", tooltip="The model, after any LoRA. Connect the model output to the sampler."),
                io.Clip.Input(
                    "clip",
                    optional=True,
                    tooltip="The CLIP that your text nodes use. Take it from this node's clip output, so that the words are known.",
                ),
                io.Float.Input(
                    "start_percent", default=0.0, min=0.0, max=1.0, step=0.01, advanced=True,
                    tooltip="Start recording at this part of the schedule: 0 is pure noise.",
                ),
                io.Float.Input(
                    "end_percent", default=1.0, min=0.0, max=1.0, step=0.01, advanced=True,
                    tooltip="Stop recording at this part of the schedule: 1 is the finished picture.",
                ),
                io.Int.Input(
                    "time_bins", default=1, min=1, max=20, advanced=True,
                    tooltip="Keep this many parts of the schedule apart. Memory grows in proportion.",
                ),
                io.Boolean.Input("negative", default=False, advanced=True, tooltip="Record the negative prompt too."),
                io.Int.Input(
                    "memory_limit_mb", default=512, min=16, max=65536, advanced=True,
                    tooltip="Memory for all recordings of this node. The oldest are forgotten first; a picture too large "
                    "for it is recorded with smaller maps.",
                ),
            ],
            outputs=[
                io.Model.Output(display_name="model", tooltip="The same model, recording. Connect it to the sampler."),
                io.Clip.Output(display_name="clip", tooltip="The same CLIP, noting words. Connect it to your text nodes."),
                Attention.Output(display_name="attention", tooltip="The recording, for the nodes that read it."),
            ],
        )

    @classmethod
    def execute(cls, model, start_percent, end_percent, time_bins, negative, memory_limit_mb, clip=None) -> io.NodeOutput:
        if start_percent >= end_percent:
            raise ValueError(
                f"Record Attention would record nothing: start_percent ({start_percent}) must be smaller than "
                f"end_percent ({end_percent})."
            )
        options = RecordOptions(start_percent, end_percent, time_bins, negative, memory_limit_mb * 2**20)
        return io.NodeOutput(*attach(model, clip, options))
