"""Graphs as people build them: our nodes bypassed or muted, in subgraphs and group nodes, in nodes that expand; many prompts
queued, one parameter changed at a time."""

from __future__ import annotations

import copy
import io
import json

import PIL.Image
import pytest

from devtools.server import ROOT
from devtools.workflow import BYPASSED, MUTED, workflow_to_prompt

way = pytest.mark.way
EXAMPLES = sorted((ROOT / "example_workflows").glob("*.json"))
PASSING = {  # nodes that hand a model on: bypassed, the picture still comes
    "HRVRecordAttention", "HRVStrengthenConcept", "HRVAdjustConcept", "HRVScaleHeads", "HRVRememberRun", "HRVPromptEdit",
    "HRVAttendExcite",
}  # fmt: skip


@pytest.fixture(scope="module")
def object_info(server) -> dict:
    return server.object_info()


@pytest.fixture(scope="module")
def runner(comfy):
    from executor import Runner

    return Runner(comfy)


def upstream(prompt: dict, node: str) -> set[str]:
    """The node and everything that it gets something from."""
    sources = {value[0] for value in prompt[node]["inputs"].values() if isinstance(value, list)} & set(prompt)
    return {node}.union(*(upstream(prompt, source) for source in sources))


def plain_pictures(prompt: dict) -> set[str]:
    """Nodes that show a decoded picture without a node of ours behind the sampler."""
    shown = {n for n, entry in prompt.items() if entry["class_type"] in ("SaveImage", "PreviewImage")}
    decoders = {n for n, entry in prompt.items() if entry["class_type"] == "VAEDecode"}
    return {n for n in shown if prompt[n]["inputs"].get("images", [None])[0] in decoders}


@way("Bypass and mute of each of our nodes", maps="none asked for")
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_bypass_and_mute(runner, object_info, example):
    """In every example, each of our nodes in turn: what needs it is refused for its missing input and for nothing else; what
    does not runs; bypassed, the picture is made."""
    workflow = json.loads(example.read_text(encoding="utf-8"))
    whole = runner.validate(workflow_to_prompt(workflow, object_info))
    ours = [node for node in workflow["nodes"] if node["type"].startswith("HRV")]
    assert ours
    for node in ours:
        for mode in (MUTED, BYPASSED):
            changed = copy.deepcopy(workflow)
            (one,) = (other for other in changed["nodes"] if other["id"] == node["id"])
            one["mode"] = mode
            prompt = workflow_to_prompt(changed, object_info)
            outcome = runner.validate(prompt)
            new = [text for text in outcome.messages if text not in whole.messages]
            allowed = (
                "Required input is missing",
                "Prompt has no outputs",
                "Prompt outputs failed validation",
            )
            assert all(text.startswith(allowed) for text in new), (node["type"], mode, new)
            if mode == BYPASSED and node["type"] in PASSING:
                made = {n for n in plain_pictures(prompt) if not upstream(prompt, n) & outcome.refused}
                for picture in made & set(whole.outputs):
                    assert picture in outcome.outputs, (node["type"], picture)


# -- a small graph on the demo checkpoint -----------------------------------------------------------------------------


def graph(recorded: bool = True, seed: int = 3, steps: int = 2, size: int = 128, **shown) -> dict:
    """Checkpoint → (Record Attention) → KSampler → picture, and (heatmap → preview)."""

    def node(class_type: str, **inputs) -> dict:
        return {"class_type": class_type, "inputs": inputs}

    model, clip = (["record", 0], ["record", 1]) if recorded else (["checkpoint", 0], ["checkpoint", 1])
    solver = {
        "sampler_name": "euler",
        "scheduler": "normal",
        "steps": steps,
        "seed": seed,
        "cfg": 5.0,
        "denoise": 1.0,
    }
    prompt = {
        "checkpoint": node("HRVDemoCheckpoint"),
        "positive": node("CLIPTextEncode", clip=clip, text="a red cat and a blue fish"),
        "negative": node("CLIPTextEncode", clip=clip, text=""),
        "empty": node("EmptyLatentImage", width=size, height=size, batch_size=1),
        "sampler": node(
            "KSampler", model=model, positive=["positive", 0], negative=["negative", 0], latent_image=["empty", 0], **solver
        ),
        "decode": node("VAEDecode", samples=["sampler", 0], vae=["checkpoint", 2]),
        "picture": node("PreviewImage", images=["decode", 0]),
    }  # fmt: skip
    if recorded:
        limits = {
            "start_percent": 0.0,
            "end_percent": 1.0,
            "time_bins": 1,
            "negative": False,
            "memory_limit_mb": 512,
        }
        prompt["record"] = node(
            "HRVRecordAttention", model=["checkpoint", 0], clip=["checkpoint", 1], **limits
        )
        style = {"words": "cat", "unit": "words", "role": "positive", "normalize": "shared", "threshold": 0.4, "alpha": 0.6,
                 "colormap": "turbo", "caption": False}  # fmt: skip
        prompt["heatmap"] = node(
            "HRVHeatmap", attention=["record", 2], latent=["sampler", 0], **(style | shown)
        )
        prompt["heat"] = node("PreviewImage", images=["heatmap", 0])
    return prompt


def pixels(result, node: str) -> bytes:
    (image,) = result.images[node]
    return PIL.Image.open(io.BytesIO(image.data)).convert("RGB").tobytes()


def renamed(prompt: dict, prefix: str, kept: tuple[str, ...] = ("checkpoint", "picture")) -> dict:
    """The prompt as the editor sends it when all but some nodes are in a subgraph: ids with the subgraph's own in front."""
    names = {name: name if name in kept else f"{prefix}{number}" for number, name in enumerate(prompt)}
    out = {}
    for name, entry in prompt.items():
        inputs = {
            key: [names[value[0]], value[1]] if isinstance(value, list) else value
            for key, value in entry["inputs"].items()
        }
        out[names[name]] = {**entry, "inputs": inputs}
    return out


@way("Subgraphs and group nodes")
@pytest.mark.parametrize(
    "prefix", ["41:", "41:7:", "5:0:"], ids=["subgraph", "subgraph in a subgraph", "group node"]
)
def test_subgraphs(server, prefix):
    """The same picture and the same heatmap."""
    flat = server.run(graph())
    nested = server.run(renamed(graph(), prefix, ("checkpoint", "picture", "heat")))
    assert pixels(nested, "picture") == pixels(flat, "picture")
    assert pixels(nested, "heat") == pixels(flat, "heat")


@way("Nodes that expand into graphs with ours")
def test_nodes_that_expand(comfy, runner):
    """Loops and macros of other packs make their nodes while the prompt runs."""
    import rig
    from comfy_execution.graph_utils import GraphBuilder
    from executor import GIVEN, given, node, taken

    class Expanding:
        RETURN_TYPES, FUNCTION, CATEGORY = ("MASK",), "expand", "test"

        @classmethod
        def INPUT_TYPES(cls):
            return {"required": {"model": ("*", {}), "clip": ("*", {}), "latent": ("*", {})}}

        def expand(self, model, clip, latent):
            builder = GraphBuilder()
            record = builder.node(
                "HRVRecordAttention", model=model, clip=clip, start_percent=0.0, end_percent=1.0, time_bins=1, negative=False,
                memory_limit_mb=64,
            )  # fmt: skip
            positive = builder.node("CLIPTextEncode", clip=record.out(1), text="a red cat")
            sampler = builder.node(
                "KSampler", model=record.out(0), positive=positive.out(0), negative=positive.out(0), latent_image=latent, seed=1,
                steps=1, cfg=1.0, sampler_name="euler", scheduler="normal", denoise=1.0,
            )  # fmt: skip
            heatmap = builder.node(
                "HRVHeatmap", attention=record.out(2), latent=sampler.out(0), words="cat", unit="words", role="positive",
                normalize="shared", threshold=0.4, alpha=0.6, colormap="turbo", caption=False,
            )  # fmt: skip
            return {"result": (heatmap.out(1),), "expand": builder.finalize()}

    comfy.nodes.NODE_CLASS_MAPPINGS["HRVTestExpanding"] = Expanding
    prompt = {
        "model": given(rig.tiny("sd1")),
        "clip": given(rig.clip("sd1")),
        "latent": given(rig.empty(1, 8, 8)),
        "macro": node("HRVTestExpanding", model=["model", 0], clip=["clip", 0], latent=["latent", 0]),
        "taken": taken("macro"),
    }
    outcome = runner.run(prompt)
    assert outcome.status == "success", outcome.message
    (heat,) = GIVEN.pop("macro 0")
    assert heat.shape == (1, 64, 64) and heat.isfinite().all() and heat.max() > 0


@way("Record Attention bypassed", maps="none asked for")
def test_the_picture_without_and_with_the_recorder(server):
    """The PNG's pixels are the same, in a real server."""
    assert pixels(server.run(graph(recorded=False)), "picture") == pixels(server.run(graph()), "picture")


@way("Two prompts queued while the first records")
def test_two_prompts_queued(server):
    alone = [server.run(graph(seed=seed)) for seed in (51, 52)]
    server.run(graph(seed=50))  # so that neither is in the cache
    queued = [server.submit(graph(seed=seed)) for seed in (51, 52)]
    for expected, prompt_id in zip(alone, queued, strict=True):
        result = server.wait(prompt_id)
        assert "sampler" in result.ran
        for node in ("picture", "heat"):
            assert pixels(result, node) == pixels(expected, node)


CHANGES = [
    ("heatmap", "words", ["fish", "cat, fish", "red cat", "", "blue"]),
    ("heatmap", "threshold", [0.1, 0.5, 0.9]),
    ("heatmap", "alpha", [0.0, 0.3, 1.0]),
    ("heatmap", "colormap", ["viridis", "gray", "inferno"]),
    ("heatmap", "normalize", ["per word", "shared"]),
    ("heatmap", "unit", ["auto", "tags", "words"]),
    ("heatmap", "caption", [True, False]),
    ("sampler", "seed", [61, 62, 63]),
    ("sampler", "steps", [1, 2]),
    ("sampler", "cfg", [1.0, 4.0]),
    ("empty", "width", [64, 128]),
    ("record", "time_bins", [2, 1]),
    ("record", "memory_limit_mb", [16, 512]),
]


@way("50 prompts queued at once, one parameter changed at a time")
def test_fifty_queued_runs(server):
    """Each gives its picture; the picture is sampled again only where what made it has changed."""
    prompt, queue, logged = graph(), [], len(server.log)
    changes = [(node, name, value) for node, name, values in CHANGES for value in values]
    while len(queue) < 50:
        node, name, value = changes[len(queue) % len(changes)]
        prompt = copy.deepcopy(prompt)
        prompt[node]["inputs"][name] = value
        queue.append((node, server.submit(prompt)))
    shown = []
    for number, (node, prompt_id) in enumerate(queue):
        result = server.wait(prompt_id)
        shown.append(len(result.images["heat"]))
        if node == "heatmap" and number:
            assert "sampler" not in result.ran and "record" not in result.ran
    assert min(shown) >= 1
    lines = [line for line in server.log[logged:].splitlines() if "[HRV]" in line]
    assert lines == []
