"""Whatever goes wrong in recording: the latent is the same, one warning names the cause, the reader is told, and
the next sampling is recorded as if nothing had been."""

import gc

import pytest
import rig
import torch

from hrv_pack.host.facts import sampler_call
from hrv_pack.host.follow import capture
from hrv_pack.host.follow.base import layer_entries, wrapping
from hrv_pack.hrv.recording.recording import NoRecording
from hrv_pack.hrv.recording.sums import Accumulator

pytestmark = pytest.mark.usefixtures("plain_way")


def draw(studio, model=None):
    return rig.sample(model or studio.recorded, studio.positive, studio.negative)


def fails_at(function, call: int, error: Exception):
    """`function`, but its nth call raises."""
    seen = []

    def failing(*args, **kwargs):
        seen.append(1)
        if len(seen) == call:
            raise error
        return function(*args, **kwargs)

    return failing


CAUSES = [
    (RuntimeError("a kernel is missing"), "RuntimeError: a kernel is missing"),
    (torch.cuda.OutOfMemoryError("CUDA out of memory"), "memory ran out"),
    (MemoryError(), "memory ran out"),
    (ValueError("unknown block"), "ValueError: unknown block"),
]
PLACES = [
    (layer_entries, "column_probabilities", 1),
    (layer_entries, "column_probabilities", 7),
    (layer_entries, "column_probabilities", 30),
    (Accumulator, "room", 5),
    (Accumulator, "_make_room", 3),
    (Accumulator, "finish", 1),
    (capture.Capture, "open", 1),
    (capture.Capture, "before_evaluation", 2),
    (capture.Capture, "options_for", 2),
    (capture.Capture, "after_call", 1),
    (wrapping, "go_innermost", 1),
]


def check(studio, expected, caplog, fragment: str) -> None:
    """After a sampling whose recording failed: told once; then a clean one."""
    (warning,) = rig.last_run(studio.recording).warnings
    assert warning.startswith("Recording stopped while") and fragment in warning
    assert caplog.text.count("[HRV]") == 1
    (match,) = studio.recording.match(expected)
    assert match.exact and not any(entry.maps for entry in match.run.entries)
    with pytest.raises(NoRecording, match="Recording stopped while"):
        match.run.of_role("positive")
    with pytest.raises(NoRecording, match="Recording stopped while"):
        _ = match.run.grid


@pytest.mark.parametrize(("error", "fragment"), CAUSES, ids=[type(error).__name__ for error, _ in CAUSES])
def test_causes(studio, monkeypatch, caplog, error, fragment):
    expected = draw(studio, studio.model)
    with monkeypatch.context() as patch:
        patch.setattr(
            layer_entries, "column_probabilities", fails_at(layer_entries.column_probabilities, 7, error)
        )
        assert torch.equal(draw(studio), expected)
    check(studio, expected, caplog, fragment)
    assert torch.equal(draw(studio), expected)
    match = studio.recording.match(expected)[0]
    assert match.run.warnings == [] and match.run.entries[0].count() == 2


@pytest.mark.parametrize(
    ("owner", "name", "call"), PLACES, ids=[f"{name} {call}" for _, name, call in PLACES]
)
def test_places(studio, monkeypatch, caplog, owner, name, call):
    expected = draw(studio, studio.model)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, fails_at(getattr(owner, name), call, RuntimeError("broken")))
        assert torch.equal(draw(studio), expected)
    check(studio, expected, caplog, "RuntimeError: broken")
    assert torch.equal(draw(studio), expected)
    assert studio.recording.match(expected)[0].run.entries[0].count() == 2


def starving(model, free_of):
    """A clone whose middle block runs out of memory as long as `free_of()` is false."""

    def patch(n, context, value, extra):
        if extra["block"] == ("middle", 0) and not free_of():
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return n, context, value

    clone = model.clone()
    clone.set_model_attn2_patch(patch)
    return clone


def test_memory_that_the_recording_took_is_given_back_to_the_model(studio, caplog):
    """The UNet itself runs out of memory: once more, without the recording and what it held."""

    def nothing_recorded():
        sums = [o for o in gc.get_objects() if type(o) is Accumulator]
        return not any(s.bytes_at_rest() for s in sums)

    expected = draw(studio, studio.model)
    gc.collect()
    assert torch.equal(draw(studio, starving(studio.recorded, nothing_recorded)), expected)
    check(studio, expected, caplog, "memory ran out")


def test_a_model_that_does_not_fit_fails_as_without_recorder(studio):
    with pytest.raises(torch.cuda.OutOfMemoryError):
        draw(studio, starving(studio.recorded, lambda: False))
    assert studio.recording.runs == []


def test_a_latent_that_has_no_fingerprint(studio, monkeypatch, caplog):
    """Its maps are kept, but no latent leads to them."""
    expected = draw(studio, studio.model)
    with monkeypatch.context() as patch:
        patch.setattr(sampler_call, "traces_of", fails_at(sampler_call.traces_of, 1, TypeError("nested")))
        assert torch.equal(draw(studio), expected)
    assert "cannot be recognised later: nested" in caplog.text
    assert rig.last_run(studio.recording).entries[0].count() == 2
    with pytest.raises(NoRecording, match=r"matches none of the images that did. Kept are: 0."):
        studio.recording.match(expected)
