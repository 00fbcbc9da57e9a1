"""Load Demo Checkpoint: the small model that ships with the pack."""

from __future__ import annotations

from comfy_api.latest import io

from ...host.store import demo_checkpoint
from ..node import Node

UNET = "UNet"
LOADERS = {UNET: demo_checkpoint.load, "transformer": demo_checkpoint.load_transformer}


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
            inputs=[
                io.Combo.Input(
                    "network",
                    options=list(LOADERS),
                    default=UNET,
                    optional=True,
                    tooltip=(
                        "UNet: built like SDXL, with everything that SDXL has. Transformer: built like Z-Image and Lumina 2, to try what the "
                        "pack does on such models. Both draw the same things, with the same CLIP and VAE."
                    ),
                ),
            ],
            outputs=[
                io.Model.Output(display_name="model", tooltip="The demo model, for any sampler."),
                io.Clip.Output(display_name="clip", tooltip="Its text encoder, for CLIP Text Encode."),
                io.Vae.Output(display_name="vae", tooltip="Its VAE, for VAE Decode and VAE Encode."),
            ],
        )

    @classmethod
    def execute(cls, network: str = UNET) -> io.NodeOutput:
        return io.NodeOutput(*LOADERS[network]())
