"""Recording in a real server, on the demo checkpoint: what runs again, what does not, and which run is read."""

import copy
import io

import PIL.Image
import pytest


@pytest.fixture(scope="module")
def defaults(server) -> dict[str, dict]:
    """Node id → the default of every input that has one."""
    found = {}
    for name in ("HRVRecordAttention", "HRVHeatmap", "KSampler"):
        required = server.get(f"/object_info/{name}")[name]["input"]["required"]
        options = {key: (spec[1] if len(spec) > 1 else {}) for key, spec in required.items()}
        found[name] = {key: o["default"] for key, o in options.items() if "default" in o}
    return found


@pytest.fixture
def graph(defaults):
    """Checkpoint → Record Attention → KSampler → Attention Heatmap → Preview, in API format."""

    def node(class_type: str, **inputs) -> dict:
        return {"class_type": class_type, "inputs": defaults.get(class_type, {}) | inputs}

    def make(seed: int = 1, words: str = "cat", steps: int = 3) -> dict:
        prompts = {"positive": ["positive", 0], "negative": ["negative", 0]}
        solver = {"sampler_name": "euler", "scheduler": "normal", "steps": steps, "seed": seed}
        return {
            "checkpoint": node("HRVDemoCheckpoint"),
            "record": node("HRVRecordAttention", model=["checkpoint", 0], clip=["checkpoint", 1]),
            "positive": node("CLIPTextEncode", clip=["record", 1], text="a red cat and a blue fish"),
            "negative": node("CLIPTextEncode", clip=["record", 1], text=""),
            "empty": node("EmptyLatentImage", width=128, height=128, batch_size=1),
            "sampler": node("KSampler", model=["record", 0], latent_image=["empty", 0], **prompts, **solver),
            "heatmap": node(
                "HRVHeatmap",
                attention=["record", 2],
                latent=["sampler", 0],
                words=words,
                normalize="per word",
            ),
            "preview": node("PreviewImage", images=["heatmap", 0]),
        }

    return make


@pytest.fixture
def clean(server):
    """The server's log from here on holds no complaint of the pack's when the test is over."""
    start = len(server.log)
    yield server
    assert [line for line in server.log[start:].splitlines() if "[HRV]" in line] == []


def picture(result, node: str = "preview") -> bytes:
    """The pixels of the only picture (the file also holds the graph, which differs)."""
    (image,) = result.images[node]
    return PIL.Image.open(io.BytesIO(image.data)).convert("RGB").tobytes()


def test_a_changed_word_samples_nothing_again(clean, graph):
    first = clean.run(graph(seed=11, words="cat"))
    assert {"record", "sampler", "heatmap"} <= set(first.ran)
    second = clean.run(graph(seed=11, words="fish"))
    assert set(second.ran) == {"heatmap", "preview"}
    assert {"checkpoint", "record", "positive", "sampler"} <= set(second.cached)
    assert picture(first) != picture(second)
    again = clean.run(graph(seed=11, words="cat"))
    assert "sampler" not in again.ran and picture(again) == picture(first)


def test_a_changed_seed_samples_again_and_shows_the_new_run(clean, graph):
    first = clean.run(graph(seed=21))
    second = clean.run(graph(seed=22))
    assert {"sampler", "heatmap"} <= set(second.ran) and "record" not in second.ran
    assert picture(first) != picture(second)
    back = clean.run(graph(seed=21))
    assert picture(back) == picture(first)


def test_two_samplers_on_one_recorder(clean, graph):
    """Each heatmap shows its own sampler's run, also when only one sampler runs again."""
    both = graph(seed=31)
    for name in ("sampler", "heatmap", "preview"):
        both[f"{name} 2"] = copy.deepcopy(both[name])
    both["sampler 2"]["inputs"]["seed"] = 32
    both["heatmap 2"]["inputs"]["latent"] = ["sampler 2", 0]
    both["preview 2"]["inputs"]["images"] = ["heatmap 2", 0]
    result = clean.run(both)
    pictures = [picture(result, name) for name in ("preview", "preview 2")]
    assert pictures[0] != pictures[1]
    assert pictures == [picture(clean.run(graph(seed=seed))) for seed in (31, 32)]

    clean.run(both)  # the host keeps the results of the last graph only
    changed = copy.deepcopy(both)
    changed["sampler 2"]["inputs"]["seed"] = 33
    changed["heatmap"]["inputs"]["words"] = "fish"  # is read again after the other sampler has run
    result = clean.run(changed)
    assert "sampler" not in result.ran and "sampler 2" in result.ran
    expected = [picture(clean.run(graph(seed=s, words=w))) for s, w in ((31, "fish"), (33, "cat"))]
    assert [picture(result, name) for name in ("preview", "preview 2")] == expected


def test_a_cancelled_run_then_a_clean_one(clean, graph):
    expected = picture(clean.run(graph(seed=41)))
    clean.run(graph(seed=42))
    cancelled = []

    def cancel_at_second_step(kind, data):
        if kind == "progress" and data.get("node") == "sampler" and data["value"] >= 2 and not cancelled:
            cancelled.append(1)
            clean.interrupt()

    result = clean.run(graph(seed=43, steps=200), check=False, on_event=cancel_at_second_step)
    assert result.status == "interrupted" and "heatmap" not in result.ran
    assert picture(clean.run(graph(seed=41))) == expected
