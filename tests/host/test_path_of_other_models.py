"""Models that are no UNets, whose attention may be recorded or not: the image is the same, and What Each Word Did works."""

import functools

import pytest
import rig
import token_rig
import torch
from effect_rig import CFG, guided, moved, size, text
from test_ways_models import other  # noqa: F401

from hrv_pack.host.effect.word_effects import Question, word_effects
from hrv_pack.host.follow.recorder import RecordOptions, attach
from hrv_pack.hrv.recording.recording import NoRecording


def nothing(done: int, total: int) -> None:
    pass


@pytest.mark.parametrize(
    "other", ["Flux", "Stable Diffusion 3", "Another transformer (PixArt)"], indirect=True
)
def test_words_of_models_that_are_no_unets(other, caplog):  # noqa: F811
    model, _, latent = other
    recorded, clip, recording = attach(model, rig.clip("sd1"), RecordOptions())
    is_unknown = recording.layout is None
    assert ("What Each Word Did works all the same" in caplog.text) == is_unknown
    positive, negative = (rig.encode(clip, text) for text in ("a red star, sand", ""))
    plain = rig.sample(model, positive, negative, latent, steps=4)
    drawn = rig.sample(recorded, positive, negative, latent, steps=4)
    assert torch.equal(plain, drawn) and plain.isfinite().all()
    if is_unknown:
        with pytest.raises(NoRecording, match="cannot be recorded"):
            recording.match(drawn)
    asked = Question(words="red, star, red star")
    found = word_effects(recorded, clip, recording, drawn, asked, progress=nothing).effects[0]
    assert found.names == ("red", "star", "red star") and bool((found.shares > 0).all())
    assert found.maps.shape == (3, *latent["samples"].shape[-2:])
    itself = word_effects(
        model, clip, recording, drawn, Question(words="red", instead="red"), progress=nothing
    )
    assert float(itself.effects[0].shares) == 0
    assert len(recording.runs) == 1


TRANSFORMERS = ("Flux", "Stable Diffusion 3", "Z-Image", "Qwen-Image", "Lumina 2", "Wan")


@pytest.mark.parametrize("family", ["sd1", *TRANSFORMERS])
def test_effects_are_those_of_the_plainest_computation(family):
    if family in TRANSFORMERS and family not in token_rig.known():
        pytest.skip(f"this ComfyUI has no {family}")
    own = token_rig if family in TRANSFORMERS else rig
    model, latent = own.tiny(family), own.empty(family) if own is token_rig else rig.empty()
    recorded, clip, recording = attach(model, rig.clip("sd1"), RecordOptions())
    positive, negative, without = (text(clip, words) for words in ("a red star, sand", "", "a star, sand"))
    plain = rig.sample(model, positive, negative, latent, steps=4, cfg=CFG)
    drawn = rig.sample(recorded, positive, negative, latent, steps=4, cfg=CFG)
    assert torch.equal(plain, drawn) and plain.isfinite().all()
    found = word_effects(recorded, clip, recording, drawn, Question(words="red"), progress=nothing).effects[0]
    steps = recording.runs[0].path.chosen(3)
    before, after, nothing_left = (
        functools.partial(guided, model, given, negative) for given in (positive, without, text(clip, ""))
    )
    share = size(moved(steps, before, after)) / size(moved(steps, before, nothing_left))
    assert float(found.shares[0]) == pytest.approx(share, rel=1e-3)
    assert found.maps.shape == (1, *latent["samples"].shape[-2:])
    itself = word_effects(
        model, clip, recording, drawn, Question(words="red", instead="red"), progress=nothing
    )
    assert float(itself.effects[0].shares) == 0


def test_the_path_of_an_sdxl_image_is_small():
    """1024²: half a megabyte for each evaluation that is kept, at most."""
    recorded, clip, recording = attach(rig.tiny("sdxl"), rig.clip("sdxl"), RecordOptions())
    positive, negative = (rig.encode(clip, text) for text in ("a red star", ""))
    rig.sample(recorded, positive, negative, {"samples": torch.zeros(1, 4, 128, 128)}, steps=2)
    path = recording.runs[0].path
    assert path.nbytes / len(path.steps) <= 0.5 * 2**20
