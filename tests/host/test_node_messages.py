"""How errors and warnings leave a node, through ComfyUI's own executor: what the page gets is a sentence, without names of ours."""

import logging

import pytest
import torch
from executor import Runner, given, node

from devtools.server import ComfyError
from hrv_pack.host.page import log


@pytest.fixture(scope="module")
def sampled(rig):
    return rig.studio().sample()


@pytest.fixture
def run(comfy):
    """Runs one node with these inputs, Python objects among them, as a queued prompt would."""
    runner = Runner(comfy)

    def run(node_id: str, **inputs):
        graph = {}
        for name, value in inputs.items():
            if not isinstance(value, str | int | float):
                graph[name] = given(value)
                inputs[name] = [name, 0]
        spec = comfy.node_class(node_id).INPUT_TYPES()["required"]
        preset = {name: s[1]["default"] for name, s in spec.items() if len(s) > 1 and "default" in s[1]}
        return runner.run({**graph, "node": node(node_id, **{**preset, **inputs})})

    return run


def test_every_node_shares_the_base(comfy):
    from hrv_pack.nodes.node import Node

    for node_id in comfy.ids:
        kind = comfy.node_class(node_id)
        assert issubclass(kind, Node) and hasattr(kind.execute.__func__, "__wrapped__"), node_id


def test_an_error_of_ours_leaves_as_a_plain_one(sampled, run, caplog):
    with caplog.at_level(logging.ERROR):
        outcome = run(
            "HRVHeatmap", attention=sampled.recording, latent=sampled.latent, words="dragon", caption=False
        )
    assert (outcome.status, outcome.failed) == ("error", "node")
    assert outcome.error_type == "ValueError"
    assert outcome.message.startswith("“dragon” is not in the prompt.") and "hrv" not in outcome.message
    assert "WordNotFound" not in caplog.text, "nor does the log name a class of ours"


def test_nothing_hangs_on_the_plain_error(comfy, sampled):
    """The traceback of what went before holds tensors: nothing refers to it."""
    with pytest.raises(ValueError) as caught:
        comfy.run_node("HRVHeatmap", attention=sampled.recording, latent=sampled.latent, words="dragon")
    assert type(caught.value) is ValueError
    assert caught.value.__cause__ is None and caught.value.__context__ is None


@pytest.mark.parametrize(
    "error", [RuntimeError("broken"), torch.cuda.OutOfMemoryError("full"), KeyError("x")]
)
def test_what_is_not_a_message_of_ours_passes_as_it_is(comfy, sampled, monkeypatch, error):
    """ComfyUI unloads models after an error of torch's own class, and a mistake of ours needs its traceback."""

    def broken(*args, **kwargs):
        raise error

    monkeypatch.setattr("hrv_pack.nodes.look.heatmap.heatmaps", broken)
    with pytest.raises(type(error)) as caught:
        comfy.run_node("HRVHeatmap", attention=sampled.recording, latent=sampled.latent)
    assert caught.value is error and any(entry.name == "broken" for entry in caught.traceback)


def test_a_cancel_is_a_cancel(sampled, run, monkeypatch):
    import comfy.model_management as management

    def cancelled(*args, **kwargs):
        raise management.InterruptProcessingException

    monkeypatch.setattr("hrv_pack.nodes.look.heatmap.heatmaps", cancelled)
    outcome = run("HRVHeatmap", attention=sampled.recording, latent=sampled.latent)
    assert (outcome.status, outcome.failed) == ("interrupted", "node")


def test_warnings_and_text_are_shown_in_the_node(sampled, run):
    latent = {"samples": sampled.latent["samples"] + 1}
    outcome = run("HRVHeatmap", attention=sampled.recording, latent=latent, words="cat")
    (told,) = outcome.outputs["node"]["hrv_messages"]
    (warning,) = told["warnings"]
    assert warning.startswith("This latent") and told["notes"] == []
    first, _ = told["said"][warning]["sentences"]
    assert first["text"].format(**{name: part["text"] for name, part in first["values"].items()}) in warning
    (text,) = outcome.outputs["node"]["text"]
    assert text.startswith("1 word · ") and text.endswith(f"\n⚠ {warning}")
    outcome = run("HRVHeatmap", attention=sampled.recording, latent=sampled.latent, words="cat")
    assert outcome.outputs["node"]["hrv_messages"] == [{"warnings": [], "notes": []}]


def test_a_list_of_inputs_gives_a_list_of_messages(comfy, sampled):
    """ComfyUI joins what a node shows of each item key by key, by the keys of the first."""
    runner = Runner(comfy)
    latents = [sampled.latent, {"samples": sampled.latent["samples"] + 1}]

    class Latents:
        RETURN_TYPES, FUNCTION, CATEGORY, OUTPUT_IS_LIST = ("LATENT",), "give", "test", (True,)

        @classmethod
        def INPUT_TYPES(cls):
            return {}

        def give(self):
            return (latents,)

    comfy.nodes.NODE_CLASS_MAPPINGS["HRVTestLatents"] = Latents
    heat = node(
        "HRVHeatmap", attention=["a", 0], latent=["l", 0], words="cat", unit="auto", role="positive", normalize="shared",
        threshold=0.4, alpha=0.6, colormap="turbo", caption=True,
    )  # fmt: skip
    outcome = runner.run({"a": given(sampled.recording), "l": node("HRVTestLatents"), "node": heat})
    del comfy.nodes.NODE_CLASS_MAPPINGS["HRVTestLatents"]
    first, second = outcome.outputs["node"]["hrv_messages"]
    assert first["warnings"] == [] and len(second["warnings"]) == 1
    assert len(outcome.outputs["node"]["text"]) == len(outcome.outputs["node"]["images"]) == 2


def test_a_warning_is_in_the_log_once_for_each_prompt(sampled, run, caplog):
    def times() -> int:
        return sum("This latent" in record.getMessage() for record in caplog.records)

    latent = {"samples": sampled.latent["samples"] + 1}
    with caplog.at_level(logging.WARNING):
        run("HRVHeatmap", attention=sampled.recording, latent=latent, words="cat")
        assert times() == 1
        run("HRVHeatmap", attention=sampled.recording, latent=latent, words="red")
        assert times() == 2
        log.warn("This latent, outside of a prompt")
        log.warn("This latent, outside of a prompt")
        assert times() == 4


def test_within_a_prompt_the_same_warning_is_said_once(caplog):
    from comfy_execution.utils import CurrentNodeContext

    with caplog.at_level(logging.WARNING):
        for prompt, place in (("a", "1"), ("a", "2"), ("b", "1")):
            with CurrentNodeContext(prompt, place, 0):
                log.warn("One layer was left out.")
                log.warn(f"Another, at {prompt}.")
    assert [record.getMessage() for record in caplog.records] == [
        "[HRV] One layer was left out.", "[HRV] Another, at a.", "[HRV] One layer was left out.", "[HRV] Another, at b.",
    ]  # fmt: skip


def test_a_node_is_told_what_a_sampling_warned_of(server):
    """The page hears after every sampling: of which node, and what; of a sampling that went well, that there is nothing."""

    def graph(words: str) -> dict:
        solver = {
            "sampler_name": "euler",
            "scheduler": "normal",
            "steps": 2,
            "seed": 1,
            "cfg": 1.0,
            "denoise": 1.0,
        }
        excite = {"strength": 1.0, "start_percent": 0.0, "end_percent": 0.5, "smoothing": True}
        return {
            "loader": node("HRVDemoCheckpoint"),
            "excite": node("HRVAttendExcite", model=["loader", 0], clip=["loader", 1], words=words, **excite),
            "text": node("CLIPTextEncode", clip=["excite", 1], text="a red fish"),
            "empty": node("EmptyLatentImage", width=128, height=128, batch_size=1),
            "sampler": node(
                "KSampler", model=["excite", 0], positive=["text", 0], negative=["text", 0], latent_image=["empty", 0], **solver
            ),
            "decode": node("VAEDecode", samples=["sampler", 0], vae=["loader", 2]),
            "preview": node("PreviewImage", images=["decode", 0]),
        }  # fmt: skip

    def told(words: str) -> list:
        heard = []
        server.run(graph(words), on_event=lambda kind, data: heard.append((kind, data)))
        return [
            (data["node"], data["warnings"], data["said"]) for kind, data in heard if kind == "hrv_sampling"
        ]

    ((place, (warning,), said),) = told("dragon")
    assert place == "excite" and "“dragon” is not in the prompt" in warning
    (unknown, words) = said[warning]["values"]["what"]["sentences"]
    assert unknown["values"] == {"word": "dragon"} and "fish" in words["values"]["words"]
    assert told("fish") == [("excite", [], {})]


def test_the_page_can_say_an_error_in_its_language(server):
    """What the error is made of arrives before ComfyUI says it in English."""
    heard = []
    graph = {
        "loader": node("HRVDemoCheckpoint"),
        "record": node(
            "HRVRecordAttention", model=["loader", 0], clip=["loader", 1],
            start_percent=0.0, end_percent=1.0, time_bins=1, negative=False, memory_limit_mb=64,
        ),
        "empty": node("EmptyLatentImage", width=128, height=128, batch_size=1),
        "heads": node("HRVAutoHeads", attention=["record", 2], latent=["empty", 0], word="cat", percent=23.0),
        "show": node("PreviewImage", images=["heads", 1]),
    }  # fmt: skip
    with pytest.raises(ComfyError):
        server.run(graph, on_event=lambda kind, data: heard.append((kind, data)))
    ((place, said),) = [(data["node"], data["said"]) for kind, data in heard if kind == "hrv_said"]
    ((sentence, parts),) = said.items()
    assert (
        place == "heads"
        and sentence.startswith("Nothing has been recorded yet.")
        and parts["text"] == sentence
    )
