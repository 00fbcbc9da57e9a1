"""X-Ray an Image: what a model sees in an image, without sampling."""

from __future__ import annotations

from comfy_api.latest import io

from ...host.effect.image_record import record_image
from ...host.page.progress import node_progress
from ...host.text.asked_words import asked_words
from ..inputs import also_look_for_input
from ..node import Node
from ..sockets import Attention


class HRVRecordImage(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HRVRecordImage",
            display_name="X-Ray an Image",
            category="HRV/Look",
            description=(
                "Records where the model looks in an existing image for each word of a prompt. Nothing is sampled: the image is noised a "
                "little, and the model is run once at each of a few noise levels. Read it with Attention Heatmap or Attention Lens."
            ),
            search_aliases=[
                "x-ray",
                "existing image",
                "segment by word",
                "find in image",
                "DAAM of an image",
                "load image",
            ],
            inputs=[
                io.Model.Input("model", tooltip="The model, after any LoRA."),
                io.Conditioning.Input(
                    "positive",
                    tooltip=(
                        "The words to look for, from a text node whose CLIP comes from Record Attention, so that its words are known. "
                        "Describe the image."
                    ),
                ),
                io.Latent.Input("latent", tooltip="The image, from VAE Encode."),
                io.Int.Input(
                    "moments",
                    default=5,
                    min=1,
                    max=20,
                    optional=True,
                    tooltip="At how many noise levels the model is run. More is steadier and takes longer.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    optional=True,
                    tooltip="Seed of the noise.",
                ),
                io.Clip.Input(
                    "clip",
                    optional=True,
                    tooltip="The CLIP that belongs to the model. Only needed for `also_look_for`.",
                ),
                also_look_for_input(),
            ],
            outputs=[
                Attention.Output(
                    display_name="attention",
                    tooltip="The recording, for Attention Heatmap and the other nodes that read it.",
                ),
                io.Latent.Output(
                    display_name="latent",
                    tooltip="The same latent. Connect it to the nodes that read the recording.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls, model, positive, latent, moments=5, seed=0, clip=None, also_look_for=""
    ) -> io.NodeOutput:
        recording = record_image(
            model,
            positive,
            latent,
            moments=moments,
            seed=seed,
            asked=asked_words(clip, also_look_for),
            progress=node_progress(),
        )
        return io.NodeOutput(recording, latent)
