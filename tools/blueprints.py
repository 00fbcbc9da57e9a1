"""Subgraph blueprints: what ComfyUI's page offers as nodes of its own, from subgraphs/*.json. Standard library only.

A blueprint is a workflow of one node, and the subgraph that stands for it.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path

from workflow_graph import PACK, Graph

OUT = Path(__file__).resolve().parent.parent / "subgraphs"
FROM_OUTSIDE, TO_OUTSIDE = -10, -20  # ids of the subgraph's walls
# node type → its fields in order, as name:TYPE, where a subgraph's input may lead into one; those of the page have no socket
FIELDS = {
    "CLIPTextEncode": "text:STRING",
    "KSampler": "seed:INT steps:INT cfg:FLOAT sampler_name:COMBO scheduler:COMBO denoise:FLOAT",
    "HRVHeatmap": "words:STRING unit:COMBO role:COMBO normalize:COMBO threshold:FLOAT",
}
PROMPT, SAMPLING = "", (0, "randomize", 25, 7.0, "euler", "normal", 1.0)


class Blueprint(Graph):
    """The inside of a subgraph under construction."""

    def __init__(self):
        super().__init__()
        self.enters: list[dict] = []
        self.leaves: list[dict] = []

    def add(self, name: str, kind: str, *args, **sources) -> None:
        super().add(name, kind, *args, **sources)
        for field in FIELDS.get(kind, "").split():
            label, kind_of_value = field.split(":")
            self.nodes[name]["inputs"].append(
                {"name": label, "type": kind_of_value, "widget": {"name": label}, "link": None}
            )

    def enter(self, name: str, *targets: str) -> None:
        """An input of the subgraph that leads into "node.input", sockets or fields; a field is shown outside."""
        slot = {"name": name, "targets": [target.split(".") for target in targets], "linkIds": []}
        for node, target in slot["targets"]:
            place, into = next(
                (i, one) for i, one in enumerate(self.nodes[node]["inputs"]) if one["name"] == target
            )
            slot |= {"type": into["type"], "field": "widget" in into}
            number = len(self.links) + 1
            self.links.append(
                [number, FROM_OUTSIDE, len(self.enters), self.nodes[node]["id"], place, into["type"]]
            )
            into["link"] = number
            slot["linkIds"].append(number)
        self.enters.append(slot)

    def leave(self, name: str, source: str) -> None:
        """An output of the subgraph: "node.output" under this name."""
        node, output = source.split(".")
        place, out = next((i, o) for i, o in enumerate(self.nodes[node]["outputs"]) if o["name"] == output)
        number = len(self.links) + 1
        self.links.append([number, self.nodes[node]["id"], place, TO_OUTSIDE, len(self.leaves), out["type"]])
        out["links"].append(number)
        self.leaves.append({"name": name, "type": out["type"], "linkIds": [number]})

    def publish(
        self, name: str, description: str, size: tuple[int, int], words: list[str], **properties: bool
    ) -> None:
        """Writes the blueprint; its file's name is the node's title. words: what finds it in the search; properties: of its node."""

        def identity(part: str) -> str:
            return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{name} {part}"))

        right = max(node["pos"][0] + node["size"][0] for node in self.nodes.values())
        number = len(self.nodes) + 1
        outer = {
            "id": number, "type": identity("subgraph"), "pos": [0, 0], "size": list(size), "flags": {}, "order": 0, "mode": 0,
            "inputs": [
                {"name": one["name"], "type": one["type"], "link": None}
                | ({"widget": {"name": one["name"]}} if one["field"] else {})
                for one in self.enters
            ],
            "outputs": [{"name": one["name"], "type": one["type"], "links": []} for one in self.leaves],
            "properties": {
                "proxyWidgets": [
                    [str(self.nodes[node]["id"]), field]
                    for one in self.enters if one["field"]
                    for node, field in one["targets"][:1]
                ] + [[str(self.nodes["sampler"]["id"]), "control_after_generate"]],
                "cnr_id": PACK, **properties,
            },
            "widgets_values": [], "title": name,
        }  # fmt: skip
        walls = (
            ("inputs", self.enters, -160),
            ("outputs", self.leaves, right + 60),
        )
        slots = {
            side: [
                {
                    "id": identity(f"{side} {one['name']}"),
                    "name": one["name"],
                    "type": one["type"],
                    "linkIds": one["linkIds"],
                    "pos": [x + 20, 180 + 20 * place],
                }
                for place, one in enumerate(all_of)
            ]
            for side, all_of, x in walls
        }
        keys = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
        subgraph = {
            "id": outer["type"], "version": 1, "revision": 0, "config": {}, "name": name,
            "state": {"lastGroupId": 0, "lastNodeId": number, "lastLinkId": len(self.links), "lastRerouteId": 0},
            "inputNode": {"id": FROM_OUTSIDE, "bounding": [-160, 160, 120, 40 + 20 * len(self.enters)]},
            "outputNode": {"id": TO_OUTSIDE, "bounding": [right + 60, 160, 120, 40 + 20 * len(self.leaves)]},
            **slots, "widgets": [], "nodes": list(self.nodes.values()), "groups": [],
            "links": [dict(zip(keys, link, strict=True)) for link in self.links],
            "extra": {"workflowRendererVersion": "LG"}, "category": "HRV", "description": description,
        }  # fmt: skip
        workflow = {
            "id": identity("workflow"), "revision": 0, "last_node_id": number, "last_link_id": 0, "nodes": [outer],
            "links": [], "version": 0.4, "definitions": {"subgraphs": [subgraph]},
            "extra": {"BlueprintDescription": description, "BlueprintSearchAliases": words},
        }  # fmt: skip
        OUT.mkdir(exist_ok=True)
        (OUT / f"{name}.json").write_text(json.dumps(workflow, indent=1) + "\n", encoding="utf-8")


def sampled() -> Blueprint:
    """Record Attention, both texts, sampler and decoder, with what an artist sets shown outside."""
    graph = Blueprint()
    graph.add("record", "HRVRecordAttention", (40, 160), (300, 290), [0.0, 1.0, 1, False, 512])
    graph.add("positive", "CLIPTextEncode", (390, 160), (340, 130), [PROMPT], "Prompt", clip="record.clip")
    graph.add(
        "negative", "CLIPTextEncode", (390, 340), (340, 100), [""], "Negative prompt", clip="record.clip"
    )
    graph.add(
        "sampler", "KSampler", (780, 160), (300, 270), list(SAMPLING), model="record.model",
        positive="positive.CONDITIONING", negative="negative.CONDITIONING",
    )  # fmt: skip
    graph.add("decode", "VAEDecode", (780, 510), (300, 50), samples="sampler.LATENT")
    graph.enter("model", "record.model")
    graph.enter("clip", "record.clip")
    graph.enter("vae", "decode.vae")
    graph.enter("latent_image", "sampler.latent_image")
    graph.enter("prompt", "positive.text")
    graph.enter("negative", "negative.text")
    return graph


def how_to_sample(graph: Blueprint) -> None:
    for field in ("seed", "steps", "cfg", "sampler_name", "scheduler", "denoise"):
        graph.enter(field, f"sampler.{field}")


READS = {"attention": "record.attention", "latent": "sampler.LATENT", "image": "decode.IMAGE"}


def xray() -> None:
    graph = sampled()
    graph.add(
        "lens", "HRVLens", (1130, 160), (460, 900), ["auto", "", 0.4, "", 23.0], **READS
    )  # fmt: skip
    graph.heatmap("heatmap", (1640, 160), "")
    graph.add("report", "HRVPromptReport", (2050, 160), (540, 800), ["auto"], **READS)
    how_to_sample(graph)
    for name, source in (
        ("image", "decode.IMAGE"), ("latent", "sampler.LATENT"), ("attention", "record.attention"),
        ("overlay", "lens.overlay"), ("mask", "lens.mask"), ("heatmaps", "heatmap.overlay"),
        ("report image", "report.grid"), ("report", "report.report"),
    ):  # fmt: skip
        graph.leave(name, source)
    graph.publish(
        "X-ray my prompt",
        "A sampler with everything that shows what your prompt did: Attention Lens, a heatmap for every word, and Prompt Report. "
        "Connect model, clip, vae and an empty latent, write the prompt, run, and point at a word. On older pages of ComfyUI the lens is only inside: open the subgraph.",
        (400, 590),
        ["x-ray", "explain", "debug prompt", "which word drew what", "DAAM", "attention lens"],
        hrv_lens_outside=True,
    )


def mask_a_word() -> None:
    graph = sampled()
    graph.heatmap("heatmap", (1130, 160), "", refine="image edges")
    how_to_sample(graph)
    graph.enter("word", "heatmap.words")
    graph.enter("threshold", "heatmap.threshold")
    for name, source in (
        ("image", "decode.IMAGE"), ("mask", "heatmap.mask"), ("overlay", "heatmap.overlay"), ("latent", "sampler.LATENT"),
    ):  # fmt: skip
        graph.leave(name, source)
    graph.publish(
        "Mask a word",
        "A sampler that also gives you a mask of any word of the prompt, cut at the edges of the image. Several words, separated by "
        "commas, give several masks. Connect model, clip, vae and an empty latent.",
        (400, 600),
        ["word mask", "text mask", "prompt mask", "segment a word", "DAAM"],
    )


def main() -> None:
    xray()
    mask_a_word()
