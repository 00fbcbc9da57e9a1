"""A workflow under construction, in the form that ComfyUI's page saves. Standard library only.

Nodes are described by name; links are written as "node.output".
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path

PACK, CORE = "hrv", "comfy-core"  # ids in the node registry
OUT = Path(__file__).resolve().parent.parent / "example_workflows"
STAR_AND_FISH = "a red star and a blue fish on sand"
BEST, DAAM = "best heads for each word", "all heads (DAAM)"  # Attention Heatmap's `maps`
# node type → (socket inputs in order, outputs in order, as name:TYPE)
SOCKETS = {
    "HRVDemoCheckpoint": ("", "model:MODEL clip:CLIP vae:VAE"),
    "CheckpointLoaderSimple": ("", "MODEL:MODEL CLIP:CLIP VAE:VAE"),
    "HRVRecordAttention": ("model:MODEL clip:CLIP", "model:MODEL clip:CLIP attention:HRV_ATTENTION"),
    "HRVHeatmap": (
        "attention:HRV_ATTENTION latent:LATENT image:IMAGE heads:HRV_HEADS",
        "overlay:IMAGE heat:MASK mask:MASK words:STRING",
    ),
    "HRVLens": (
        "attention:HRV_ATTENTION latent:LATENT image:IMAGE vectors:HRV_VECTORS",
        "overlay:IMAGE mask:MASK",
    ),
    "HRVPromptReport": (
        "attention:HRV_ATTENTION latent:LATENT image:IMAGE vectors:HRV_VECTORS",
        "grid:IMAGE report:STRING data:STRING",
    ),
    "HRVWordEffect": (
        "model:MODEL clip:CLIP attention:HRV_ATTENTION latent:LATENT image:IMAGE",
        "overlay:IMAGE heat:MASK mask:MASK words:STRING report:STRING data:STRING",
    ),
    "HRVModelEffect": (
        "model:MODEL other_model:MODEL attention:HRV_ATTENTION latent:LATENT image:IMAGE other_positive:CONDITIONING other_negative:CONDITIONING",
        "overlay:IMAGE heat:MASK mask:MASK report:STRING",
    ),
    "LoraLoaderModelOnly": ("model:MODEL", "MODEL:MODEL"),
    "PreviewAny": ("source:*", "STRING:STRING"),
    "HRVBuildVectors": (
        "model:MODEL clip:CLIP continue_from:HRV_VECTORS",
        "vectors:HRV_VECTORS chart:IMAGE summary:STRING",
    ),
    "HRVLoadVectors": ("", "vectors:HRV_VECTORS summary:STRING"),
    "HRVSelectHeads": ("vectors:HRV_VECTORS", "heads:HRV_HEADS chart:IMAGE"),
    "HRVFilterHeads": ("heads:HRV_HEADS attention:HRV_ATTENTION", "heads:HRV_HEADS"),
    "HRVSaveVectors": ("vectors:HRV_VECTORS", "path:STRING"),
    "HRVMergeVectors": ("vectors_a:HRV_VECTORS vectors_b:HRV_VECTORS", "vectors:HRV_VECTORS"),
    "HRVMaskIoU": ("mask:MASK truth:MASK", "iou:FLOAT table:STRING"),
    "ImageToMask": ("image:IMAGE", "MASK:MASK"),
    "InvertMask": ("mask:MASK", "MASK:MASK"),
    "ThresholdMask": ("mask:MASK", "MASK:MASK"),
    "PreviewImage": ("images:IMAGE", ""),
    "ImageCompare": ("image_a:IMAGE image_b:IMAGE", ""),
    "HRVAutoHeads": ("attention:HRV_ATTENTION latent:LATENT", "heads:HRV_HEADS chart:IMAGE"),
    "HRVCompareConcepts": (
        "attention:HRV_ATTENTION latent:LATENT vectors:HRV_VECTORS image:IMAGE",
        "grid:IMAGE masks:MASK verdict:STRING",
    ),
    "HRVCompareRecordings": (
        "attention_a:HRV_ATTENTION latent_a:LATENT attention_b:HRV_ATTENTION latent_b:LATENT image_a:IMAGE image_b:IMAGE heads:HRV_HEADS",
        "grid:IMAGE change:MASK report:STRING data:STRING",
    ),
    "VAEEncode": ("pixels:IMAGE vae:VAE", "LATENT:LATENT"),
    "HRVRecordImage": (
        "model:MODEL positive:CONDITIONING latent:LATENT clip:CLIP",
        "attention:HRV_ATTENTION latent:LATENT",
    ),
    "HRVHeadSweep": ("vectors:HRV_VECTORS", "heads:HRV_HEADS count:INT order:STRING"),
    "HRVScaleHeads": ("model:MODEL heads:HRV_HEADS clip:CLIP", "model:MODEL clip:CLIP"),
    "HRVAttendExcite": ("model:MODEL vectors:HRV_VECTORS clip:CLIP", "model:MODEL clip:CLIP"),
    "HRVStrengthenConcept": ("model:MODEL vectors:HRV_VECTORS clip:CLIP", "model:MODEL clip:CLIP"),
    "HRVAdjustConcept": ("model:MODEL vectors:HRV_VECTORS clip:CLIP", "model:MODEL clip:CLIP"),
    "HRVWeakeningCurve": (
        "count:INT order:STRING image:IMAGE score:FLOAT mask:MASK",
        "chart:IMAGE strip:IMAGE table:STRING area:FLOAT",
    ),
    "HRVRememberRun": ("model:MODEL clip:CLIP", "model:MODEL clip:CLIP source:HRV_SOURCE"),
    "HRVPromptEdit": ("model:MODEL source:HRV_SOURCE latent:LATENT vectors:HRV_VECTORS", "model:MODEL"),
    "HRVSaveAttention": ("attention:HRV_ATTENTION latent:LATENT", "path:STRING"),
    "HRVLoadAttention": ("", "attention:HRV_ATTENTION latent:LATENT"),
    "UNETLoader": ("", "MODEL:MODEL"),
    "CLIPLoader": ("", "CLIP:CLIP"),
    "VAELoader": ("", "VAE:VAE"),
    "ModelSamplingAuraFlow": ("model:MODEL", "MODEL:MODEL"),
    "ConditioningZeroOut": ("conditioning:CONDITIONING", "CONDITIONING:CONDITIONING"),
    "EmptySD3LatentImage": ("", "LATENT:LATENT"),
    "CLIPTextEncode": ("clip:CLIP", "CONDITIONING:CONDITIONING"),
    "EmptyLatentImage": ("", "LATENT:LATENT"),
    "KSampler": (
        "model:MODEL positive:CONDITIONING negative:CONDITIONING latent_image:LATENT",
        "LATENT:LATENT",
    ),
    "VAEDecode": ("samples:LATENT vae:VAE", "IMAGE:IMAGE"),
    "SaveImage": ("images:IMAGE", ""),
    "MarkdownNote": ("", ""),
    "MaskPreview": ("mask:MASK", ""),
    "GrowMask": ("mask:MASK", "MASK:MASK"),
    "SetLatentNoiseMask": ("samples:LATENT mask:MASK", "LATENT:LATENT"),
}


class Graph:
    """A workflow under construction."""

    def __init__(self):
        self.nodes: dict[str, dict] = {}
        self.links: list[list] = []

    def add(
        self,
        name: str,
        kind: str,
        pos: tuple[int, int],
        size: tuple[int, int],
        widgets=(),
        title=None,
        models=(),
        **sources,
    ):
        """Adds a node; `sources` maps input names to "node.output"."""
        inputs, outputs = ([s.split(":") for s in side.split()] for side in SOCKETS[kind])
        node = {
            "id": len(self.nodes) + 1, "type": kind, "pos": list(pos), "size": list(size), "flags": {},
            "order": len(self.nodes), "mode": 0,
            "inputs": [{"name": n, "type": t, "link": None} for n, t in inputs],
            "outputs": [{"name": n, "type": t, "links": []} for n, t in outputs],
            "properties": {"cnr_id": PACK if kind.startswith("HRV") else CORE, "Node name for S&R": kind}, "widgets_values": list(widgets),
        }  # fmt: skip
        if title:
            node["title"] = title
        if models:
            node["properties"]["models"] = list(models)
        self.nodes[name] = node
        for target, source in sources.items():
            self._link(source, node, target)

    def _link(self, source: str, node: dict, target: str) -> None:
        origin_name, output = source.split(".")
        origin = self.nodes[origin_name]
        out_slot = next(i for i, o in enumerate(origin["outputs"]) if o["name"] == output)
        in_slot = next(i for i, s in enumerate(node["inputs"]) if s["name"] == target)
        number = len(self.links) + 1
        self.links.append(
            [number, origin["id"], out_slot, node["id"], in_slot, origin["outputs"][out_slot]["type"]]
        )
        origin["outputs"][out_slot]["links"].append(number)
        node["inputs"][in_slot]["link"] = number

    def heatmap(
        self, name: str, pos: tuple[int, int], words: str, title=None, *, of: str = "", refine="none", maps=BEST, **sources
    ):  # fmt: skip
        """Adds an Attention Heatmap of the sampler and decoder whose names end like this."""
        sources = {
            "attention": "record.attention", "latent": f"sampler{of}.LATENT", "image": f"decode{of}.IMAGE", **sources
        }  # fmt: skip
        # words, unit, role, normalize, threshold, alpha, colormap, caption, prompt_text, timeline, tint, refine, maps
        widgets = [
            words,
            "auto",
            "positive",
            "shared",
            0.4,
            0.6,
            "turbo",
            True,
            "",
            False,
            "where it is hot",
            refine,
            maps,
        ]
        self.add(name, "HRVHeatmap", pos, (360, 820), widgets, title, **sources)

    def select(self, pos, size, concept: str, weighting: str = "equal", vectors: str = "vectors.vectors"):
        """Adds a Select Heads by Concept of the 23 % most relevant."""
        widgets = [concept, 23.0, "most relevant", weighting]
        self.add("select", "HRVSelectHeads", pos, size, widgets, vectors=vectors)

    def sampler(
        self, names: str, pos: tuple[int, int], settings: tuple[int, int, float], title=None, *, model: str,
        positive="positive.CONDITIONING", latent_image="empty.LATENT", vae="loader.vae",
    ):  # fmt: skip
        """Adds a KSampler and the VAEDecode behind it. names: of both; settings: seed, steps, cfg."""
        seed, steps, cfg = settings
        sampler, decode = names.split()
        self.add(
            sampler, "KSampler", pos, (300, 270), [seed, "fixed", steps, cfg, "euler", "normal", 1.0], title,
            model=model, positive=positive, negative="negative.CONDITIONING", latent_image=latent_image,
        )  # fmt: skip
        self.add(decode, "VAEDecode", (pos[0], pos[1] + 350), (300, 50), samples=f"{sampler}.LATENT", vae=vae)

    def before_and_after(
        self, pos: tuple[int, int], size: tuple[int, int], first="decode", second="decode2"
    ) -> None:
        """Adds ComfyUI's own comparison of the images of two decoders."""
        self.add("compare_images", "ImageCompare", pos, size, [], "Before and after (a slider in Nodes 2.0)",
                 image_a=f"{first}.IMAGE", image_b=f"{second}.IMAGE")  # fmt: skip

    def save(self, name: str, note: str, title: str = "How to read this", size=(690, 210), app=None) -> None:
        """Puts a note above and writes the file; its id follows from its name, so that a second run changes nothing.

        app: what App mode shows, (fields as "node.field", nodes whose images are shown). Backquotes in the note become emphasis: some
        themes draw code so that it cannot be read."""
        self.add("note", "MarkdownNote", (40, 110 - size[1]), size, [note.replace("`", "*")], title)
        extra = {}
        if app:
            fields = [field.split(".") for field in app[0]]
            extra["linearData"] = {
                "inputs": [[self.nodes[node]["id"], field] for node, field in fields],
                "outputs": [self.nodes[node]["id"] for node in app[1]],
            }
        workflow = {
            "id": str(uuid.uuid5(uuid.NAMESPACE_URL, name)), "revision": 0,
            "last_node_id": len(self.nodes), "last_link_id": len(self.links), "nodes": list(self.nodes.values()),
            "links": self.links, "groups": [], "config": {}, "extra": extra, "version": 0.4,
        }  # fmt: skip
        OUT.mkdir(exist_ok=True)
        (OUT / f"{name}.json").write_text(json.dumps(workflow, indent=1) + "\n", encoding="utf-8")


SDXL = {
    "name": "sd_xl_base_1.0.safetensors",
    "url": "https://huggingface.co/stabilityai/stable-diffusion-xl-base-1.0/resolve/main/sd_xl_base_1.0.safetensors",
    "directory": "checkpoints",
}


def sdxl(prompt: str) -> Graph:
    """`text_to_image` with a checkpoint that the artist downloads."""
    return text_to_image(prompt, 1024, 7, 25, 7.0, models=(SDXL,))


def text_to_image(
    prompt: str, side: int = 256, seed: int = 7, steps: int = 20, cfg: float = 5.0, *, models=(), part=(0.0, 1.0),
    network: str = "UNet",
) -> Graph:  # fmt: skip
    """Loader → Record Attention → text, sampler, decoder: the graph every artist has, with one node put in.

    part: of the schedule, what is recorded. network: of the demo checkpoint. Places leave room for the tallest nodes of any page: those of 1.45."""
    graph = Graph()
    widgets = [models[0]["name"]] if models else [network]
    out = ("MODEL", "CLIP", "VAE") if models else ("model", "clip", "vae")
    loader = "CheckpointLoaderSimple" if models else "HRVDemoCheckpoint"
    graph.add("loader", loader, (40, 160), (300, 110 if models else 270), widgets, models=models)
    graph.add(
        "record", "HRVRecordAttention", (40, 500), (300, 290), [*part, 1, False, 512],
        model=f"loader.{out[0]}", clip=f"loader.{out[1]}",
    )  # fmt: skip
    graph.add("positive", "CLIPTextEncode", (390, 160), (340, 130), [prompt], "Prompt", clip="record.clip")
    graph.add(
        "negative", "CLIPTextEncode", (390, 325), (340, 100), [""], "Negative prompt", clip="record.clip"
    )
    graph.add("empty", "EmptyLatentImage", (390, 475), (340, 110), [side, side, 1])
    settings = (seed, steps, cfg)
    graph.sampler("sampler decode", (780, 160), settings, model="record.model", vae=f"loader.{out[2]}")
    graph.add(
        "save", "SaveImage", (1130, 160), (300, 330), ["hrv/picture"], "The image", images="decode.IMAGE"
    )
    return graph


Z_IMAGE = "https://huggingface.co/Comfy-Org/z_image_turbo/resolve/main/split_files/"


def _of_z_image(directory: str, name: str) -> dict[str, str]:
    return {"name": name, "url": f"{Z_IMAGE}{directory}/{name}", "directory": directory}


def z_image(prompt: str) -> Graph:
    """ComfyUI's own template for Z-Image-Turbo, with Record Attention put in."""
    graph = Graph()
    unet = _of_z_image("diffusion_models", "z_image_turbo_bf16.safetensors")
    text = _of_z_image("text_encoders", "qwen_3_4b.safetensors")
    vae = _of_z_image("vae", "ae.safetensors")
    graph.add("unet", "UNETLoader", (40, 160), (300, 90), [unet["name"], "default"], models=(unet,))
    graph.add(
        "text", "CLIPLoader", (40, 305), (300, 110), [text["name"], "lumina2", "default"], models=(text,)
    )
    graph.add("vae", "VAELoader", (40, 470), (300, 60), [vae["name"]], models=(vae,))
    graph.add(
        "record",
        "HRVRecordAttention",
        (40, 590),
        (300, 320),
        [0.0, 1.0, 1, False, 512],
        model="unet.MODEL",
        clip="text.CLIP",
    )
    graph.add("shift", "ModelSamplingAuraFlow", (390, 160), (340, 60), [3.0], model="record.model")
    graph.add("positive", "CLIPTextEncode", (390, 285), (340, 170), [prompt], "Prompt", clip="record.clip")
    graph.add("negative", "ConditioningZeroOut", (390, 515), (340, 30), conditioning="positive.CONDITIONING")
    graph.add("empty", "EmptySD3LatentImage", (390, 610), (340, 110), [1024, 1024, 1])
    graph.add(
        "sampler", "KSampler", (780, 160), (300, 270), [0, "fixed", 8, 1.0, "res_multistep", "simple", 1.0], model="shift.MODEL",
        positive="positive.CONDITIONING", negative="negative.CONDITIONING", latent_image="empty.LATENT",
    )  # fmt: skip
    graph.add("decode", "VAEDecode", (780, 510), (300, 50), samples="sampler.LATENT", vae="vae.VAE")
    graph.add(
        "save", "SaveImage", (1130, 160), (300, 330), ["hrv/picture"], "The image", images="decode.IMAGE"
    )
    return graph
