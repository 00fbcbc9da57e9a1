"""Building head relevance: the votes are those of the plainest computation, and nothing is lost on the way."""

import dataclasses
import errno
import json
import math
from pathlib import Path

import comfy.model_management
import comfy.patcher_extension
import comfy.sd
import pytest
import rig
import torch

from hrv_pack.host.build.building import Builder, build
from hrv_pack.host.facts.layers import cross_attention_layers
from hrv_pack.host.facts.weights_identity import weights_identity
from hrv_pack.host.store import concept_store, demo_checkpoint, vector_store
from hrv_pack.host.text.concept_words import encode_words
from hrv_pack.hrv.files.vector_files import read, write
from hrv_pack.hrv.relevance.building import BuildPlan, numbered, parse_prompts
from hrv_pack.hrv.relevance.concepts import ConceptWords
from hrv_pack.hrv.relevance.merging import merge

WORDS = ConceptWords(
    "three", {"Animals": ("cat", "polar bear", "dog"), "Colour": ("red", "navy blue"), "Size": ("big",)}
)
TEXT = WORDS.to_text()
DRAW_SEED = 11  # one in which no two scores of a head are equal within float32
PROMPTS = ["a red cat", "two dogs", "a navy blue bear, snow", "a red cat", "big"]


@pytest.fixture(autouse=True)
def models_hrv(comfy, tmp_path, monkeypatch):
    """An empty models/hrv."""
    from hrv_pack.host.facts import paths

    folders = ([str(tmp_path), str(paths.SHIPPED_VECTORS)], {".safetensors"})
    monkeypatch.setitem(comfy.folder_paths.folder_names_and_paths, "hrv", folders)
    comfy.folder_paths.filename_list_cache.pop("hrv", None)
    return tmp_path


@torch.inference_mode()
def make(
    model=None,
    prompts=PROMPTS,
    words=WORDS,
    earlier=None,
    seed=3,
    draws=1,
    steps=2,
    cfg=2.0,
    side=96,
    method="votes",
):
    model = rig.tiny("sd1") if model is None else model
    return build(
        model,
        rig.clip("sd1"),
        concepts="general",
        prompts="\n".join(prompts),
        steps=steps,
        cfg=cfg,
        width=side,
        height=side,
        seed=seed,
        draws=draws,
        continue_from=earlier,
        concept_words=words.to_text(),
        method=method,
    )


def test_every_word_is_encoded_on_its_own():
    clip = rig.clip("sd1")
    encoded = encode_words(clip, WORDS)
    flat = [word for words in WORDS.words.values() for word in words]
    spans = [span for of_concept in encoded.spans for span in of_concept]
    assert [stop - first for first, stop in spans] == [1, 2, 1, 1, 2, 1]
    assert spans[0][0] == 1 and all(a[1] == b[0] for a, b in zip(spans, spans[1:], strict=False))
    with torch.inference_mode():
        for word, (first, stop) in zip(flat, spans, strict=True):
            alone = clip.encode_from_tokens(clip.tokenize(word))[0]
            assert torch.allclose(encoded.table[first:stop], alone[1 : 1 + stop - first], atol=1e-5)
            assert torch.allclose(encoded.table[0], alone[0], atol=1e-5)


TOO_CLOSE = 1e-5  # of the winner's score: float32 and float64 may order such scores differently


def test_the_votes_are_those_of_a_plain_computation():
    """20 prompts on the demo checkpoint, in float64, from what the layers' own to_q and to_k gave."""
    model, clip, _ = demo_checkpoint.load()
    words = concept_store.load("demo")
    prompts = parse_prompts(concept_store.prompts_for("demo"))[-20:]
    plan = BuildPlan(20, "", words.count, "", "", 11, 2, 1.0, "euler", "normal", 128, 128, 1)
    builder = Builder(model, clip, words, prompts, plan=plan, earlier=None, name="test")
    counter = builder.tally.counter
    counter.seed = DRAW_SEED

    made = []  # the keys of all words, in the order of layers

    def note(module, args, out):
        if out.shape[1] == len(counter.words.table):
            made.append(out[0].clone())

    layers = [attn2 for _, attn2 in cross_attention_layers(model.model.diffusion_model)]
    hooks = [layer.to_k.register_forward_hook(note) for layer in layers]
    with rig.watch(model) as calls, torch.inference_mode():
        found = builder.run().votes
    for hook in hooks:
        hook.remove()
    assert len(calls) == 20 * 2
    assert len(made) == len(layers), (
        "keys of concept words are made once for each layer, not in each evaluation"
    )
    of_words = made
    expected, leads = torch.zeros_like(found), []
    for number, (_, key) in enumerate(numbered(prompts)):
        counter.begin(key)
        for evaluation in (1, 2):
            q = calls[2 * number + evaluation - 1].q
            for layer, block in enumerate(builder.layout.blocks):
                drawn = counter.draw(layer, ((evaluation, 0), 0))
                for head in range(block.heads):
                    scores = plain_scores(q[layer], of_words[layer], head, block.heads, drawn)
                    first, second = sorted(scores, reverse=True)[:2]
                    leads.append(1 - math.exp(second - first))
                    expected[scores.index(first), builder.layout.offsets[layer] + head] += 1
    assert min(leads) > TOO_CLOSE, "choose another DRAW_SEED: two scores are equal within float32"
    assert torch.equal(found, expected)
    assert int(found.sum()) == 20 * 2 * builder.layout.heads == len(leads)


def plain_scores(q, keys, head: int, heads: int, drawn) -> list[float]:
    """Logarithms of the concepts' scores for one head: the start token may take so much that the scores are below what
    float64 can hold. q: (1, pixel, heads · d); keys: (token, heads · d)."""
    d = q.shape[-1] // heads
    part = slice(head * d, head * d + d)
    tokens = [0] + [token for first, stop in drawn for token in range(first, stop)]
    logits = q[0, :, part].double() @ keys[tokens, part].double().T / d**0.5
    probabilities = torch.log_softmax(logits, dim=1)  # (pixel, token)
    scores, place = [], 1
    for first, stop in drawn:
        of_word = probabilities[:, place : place + stop - first]
        scores.append(float(of_word.flatten().logsumexp(0)) - math.log(stop - first))
        place += stop - first
    return scores


class StopAt:
    """A model that cancels the run, as ComfyUI's button does, in its n-th evaluation."""

    def __init__(self, evaluation: int):
        self.model, self.left = rig.tiny("sd1").clone(), evaluation
        kind = comfy.patcher_extension.WrappersMP.PREDICT_NOISE
        self.model.add_wrapper_with_key(kind, "stop", self)

    def __call__(self, executor, *args, **kwargs):
        self.left -= 1
        if self.left == 0:
            comfy.model_management.interrupt_current_processing(True)
        return executor(*args, **kwargs)


def test_a_cancelled_build_keeps_whole_prompts_and_can_be_continued(models_hrv, caplog):
    whole, _, _ = make()
    for file in models_hrv.iterdir():
        file.unlink()
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        make(StopAt(6).model)  # in the third prompt
    (file,) = models_hrv.iterdir()
    assert "Stopped after 2 of 5 prompts" in caplog.text and str(file) in caplog.text
    kept = read(file)
    assert kept.votes.sum(0).tolist() == [2 * 2] * kept.heads
    continued, _, summary = make(earlier=kept)
    assert torch.equal(continued.votes, whole.votes)
    assert "5 of 5 prompts" in summary
    settled = json.loads(continued.metadata["construction"])["settled"]
    assert settled == json.loads(whole.metadata["construction"])["settled"]
    again, _, summary = make(earlier=continued)
    assert torch.equal(again.votes, whole.votes) and "already been counted" in summary


def test_machines_that_share_the_prompts_give_what_one_gives():
    whole, _, _ = make(draws=2)
    first, _, _ = make(prompts=PROMPTS[:3], draws=2)
    second, _, _ = make(prompts=["", "big", "# left out"], draws=2)
    assert torch.equal(merge(first, second).votes, make(prompts=[*PROMPTS[:3], "big"], draws=2)[0].votes)
    assert whole.votes.sum(0).tolist() == [5 * 2 * 2] * whole.heads  # prompts · steps · draws
    assert not torch.equal(make(draws=2, seed=4)[0].votes, whole.votes)


def test_another_seed_adds_votes():
    first, _, _ = make(prompts=PROMPTS[:2])
    second, _, _ = make(prompts=PROMPTS[:2], seed=9, earlier=first)
    alone, _, _ = make(prompts=PROMPTS[:2], seed=9)
    assert torch.equal(second.votes, first.votes + alone.votes)
    parts = json.loads(second.metadata["construction"])["merged"]
    assert [part["seed"] for part in parts] == [3, 9]


def test_the_file_says_how_it_was_made(models_hrv):
    vectors, chart, summary = make(prompts=PROMPTS[:2])
    (file,) = models_hrv.iterdir()
    there = read(file)
    assert torch.equal(there.votes, vectors.votes) and str(file) in summary
    made = json.loads(there.metadata["construction"])
    assert made["prompts"] == made["prompts_done"] == 2 and made["concept_words"] == 6
    assert (made["seed"], made["steps"], made["cfg"], made["width"], made["sampler"]) == (
        3,
        2,
        2.0,
        96,
        "euler",
    )
    assert made["weights"] == weights_identity(rig.tiny("sd1")) and set(made["versions"]) == {
        "comfyui",
        "torch",
    }
    assert chart.shape[0] == 1 and chart.shape[-1] == 3 and 0 <= chart.min() and chart.max() <= 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"words": ConceptWords("", {"Animals": ("fox",), "Colour": ("red",), "Size": ("big",)})},
            "different words",
        ),
        ({"words": ConceptWords("", {"Animals": ("cat",), "Shape": ("round",)})}, "different concepts"),
        ({"strip": True}, "hold no votes"),
        ({"weights": "0" * 16}, "for another checkpoint"),
    ],
)
def test_what_cannot_be_continued_is_said(change, message):
    vectors, _, _ = make(prompts=PROMPTS[:1], steps=1)
    if change.get("strip"):
        vectors = dataclasses.replace(vectors, votes=None)
    if "weights" in change:
        made = {**json.loads(vectors.metadata["construction"]), "weights": change["weights"]}
        vectors = dataclasses.replace(vectors, metadata={"construction": json.dumps(made)})
    with pytest.raises(ValueError, match=message) as error:
        make(words=change.get("words", WORDS), earlier=vectors, seed=5)
    assert "\n" not in str(error.value)


def test_a_recorder_before_it_keeps_nothing():
    recorded, _, recording = rig.attach(rig.tiny("sd1"), None, rig.RecordOptions())
    plain, _, _ = make(prompts=PROMPTS[:1])
    assert torch.equal(make(recorded, prompts=PROMPTS[:1])[0].votes, plain.votes)
    assert recording.runs == []


def test_identity_of_weights():
    model = rig.tiny("sd1")
    identity = weights_identity(model)
    patched = model.clone()
    key = next(k for k in patched.model.state_dict() if k.endswith("attn2.to_q.weight"))
    patched.add_patches({key: (torch.ones_like(patched.model.state_dict()[key]),)}, 0.5)
    assert weights_identity(patched) == identity
    comfy.model_management.load_models_gpu([patched])
    assert weights_identity(patched) == identity
    comfy.model_management.unload_all_models()
    assert weights_identity(demo_checkpoint.load()[0]) != identity


def test_the_node(comfy, models_hrv):
    inputs = {"model": rig.tiny("sd1"), "clip": rig.clip("sd1"), "steps": 1, "width": 64, "height": 96}
    (vectors, chart, summary), shown = comfy.run_node_ui(
        "HRVBuildVectors", **inputs, prompt_limit=3, concepts="demo", draws=2
    )
    assert vectors.concepts == concept_store.load("demo").concepts
    assert vectors.votes.sum(0).tolist() == [3 * 2] * vectors.heads
    assert shown["text"] == (summary,) and len(shown["images"]) == 1 and chart.ndim == 4
    (file,) = models_hrv.iterdir()
    assert Path(file).name in comfy.folder_paths.get_filename_list("hrv")


def test_a_model_without_cross_attention_is_refused(comfy):
    model = rig.tiny("sd1").clone()
    model.model = torch.nn.Module()
    model.model.diffusion_model = torch.nn.Linear(1, 1)
    with pytest.raises(ValueError, match="Supported: "):
        Builder(model, None, WORDS, ["a"], plan=None, earlier=None, name="x")


def test_a_full_disk_does_not_end_a_build(monkeypatch, caplog):
    def full(path, parts, new=False):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("hrv_pack.hrv.files.writing.write", full)
    vectors, _, summary = make(prompts=PROMPTS[:1], steps=1)
    assert (
        vectors.votes.sum() == vectors.heads and "No space left" in summary and "No space left" in caplog.text
    )


def test_a_file_that_another_program_reads_does_not_cost_the_votes(monkeypatch, models_hrv, caplog):
    """As on Windows: what cannot replace the file goes into another one."""

    monkeypatch.setattr("hrv_pack.host.build.building.SAVE_EVERY", 0.0)  # after each prompt
    saved = []
    real = vector_store.save

    def save(vectors, prefix):
        path = real(vectors, prefix)
        saved.append(path)
        monkeypatch.setattr("hrv_pack.host.store.vector_store.vector_files.write", writing_new_only)
        return path

    def writing_new_only(path, vectors, new=False):
        if not new:
            raise PermissionError(errno.EACCES, "another program has it open")
        write(path, vectors, new)

    monkeypatch.setattr(vector_store, "save", save)
    vectors, _, summary = make(prompts=PROMPTS[:2], steps=1)
    assert "another program has it open" in caplog.text
    assert torch.equal(read(saved[-1]).votes, vectors.votes) and str(saved[-1]) in summary
    assert len(saved) > 1 and len([*models_hrv.iterdir()]) == len(saved)
