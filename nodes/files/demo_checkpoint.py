"""Load Demo Checkpoint: the small model that ships with the pack."""

from __future__ import annotations

from comfy_api.latest import io

from ...host.store import demo_checkpoint
from ..node import Node


class HRVDemoCheckpoint(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HRVDemoCheckpoint",
            display_name="Load Demo Checkpoint",
            category="HRV/Files",
            description=(
                "Loads the small text-to-image model that ships with this pack, so that you can try "
                "everything without a large download. It draws simple things in several colours, "
                "patterns and sizes on plain backgrounds."
            ),
            search_aliases=["demo", "sample model", "try HRV"],
            outputs=[
                io.Model.Output(display_name="model", tooltip="The demo model, for any sampler."),
                io.Clip.Output(display_name="clip", tooltip="Its text encoder, for CLIP Text Encode."),
                io.Vae.Output(display_name="vae", tooltip="Its VAE, for VAE Decode and VAE Encode."),
            ],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        return io.NodeOutput(*demo_checkpoint.load())
