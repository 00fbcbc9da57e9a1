"""Save and load a recording of attention, to read it another day without sampling again."""

from __future__ import annotations

from comfy_api.latest import io

from ...host.store import attention_store
from ...hrv.recording.summary import recording_in_words
from ..inputs import attention_input, filename_prefix_input, latent_input
from ..node import Node
from ..shown import shown
from ..sockets import Attention


class HRVSaveAttention(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HRVSaveAttention",
            display_name="Save Attention",
            category="HRV/Files",
            description=(
                "Saves what was recorded while this latent was sampled, along with the latent, in the "
                "output folder. With Load Attention you can make heatmaps of any word another day, "
                "without the checkpoint and without sampling."
            ),
            search_aliases=["save cross attention", "save heatmap", "export attention"],
            inputs=[
                attention_input(),
                latent_input("It tells the node which run to save, and is saved in the same file."),
                filename_prefix_input("attention/ComfyUI", " in the output folder"),
            ],
            outputs=[io.String.Output(display_name="path", tooltip="Where the file was saved.")],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, attention, latent, filename_prefix) -> io.NodeOutput:
        path, warnings = attention_store.save(attention, latent["samples"], filename_prefix)
        saved = f"Saved as {path} ({path.stat().st_size / 1e6:.1f} MB)"
        return io.NodeOutput(str(path), ui=shown(cls, text=saved, warnings=warnings))


class HRVLoadAttention(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="HRVLoadAttention",
            display_name="Load Attention",
            category="HRV/Files",
            description=(
                "Loads a recording that Save Attention wrote, along with its latent. Connect both to "
                "Attention Heatmap and ask for any word. No checkpoint is loaded and nothing is "
                "sampled."
            ),
            search_aliases=["load cross attention", "load heatmap", "import attention"],
            inputs=[
                io.Combo.Input(
                    "name",
                    options=attention_store.choices(),
                    tooltip=(
                        "Recordings in ComfyUI's output folder, newest first, and in its input folder. "
                        "Press R to see a new file."
                    ),
                ),
            ],
            outputs=[
                Attention.Output(
                    display_name="attention",
                    tooltip="For Attention Heatmap and the other nodes that read a recording.",
                ),
                io.Latent.Output(
                    display_name="latent",
                    tooltip=(
                        "The latent that belongs to the recording, for the same nodes and for VAE Decode."
                    ),
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, name):
        return True if name is None or attention_store.find(str(name)) else attention_store.missing(str(name))

    @classmethod
    def fingerprint_inputs(cls, name):
        return attention_store.stamp(name)

    @classmethod
    def execute(cls, name) -> io.NodeOutput:
        recording, latent = attention_store.load(name)
        return io.NodeOutput(
            recording, {"samples": latent}, ui=shown(cls, text=recording_in_words(recording))
        )
