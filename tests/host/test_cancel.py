"""A cancel ends the sampling whatever of ours is at work: on releases whose cancel is an ordinary exception as on the others."""

import ast

import comfy.model_management
import excite_rig
import pytest
import rig
import steering_rig
import torch
from edit_rig import scene
from test_faults import functions_called

from devtools.server import ROOT
from hrv_pack.host.build import passive_votes
from hrv_pack.host.follow.rememberer import remember
from hrv_pack.host.follow.steerer import steer

Cancel = comfy.model_management.InterruptProcessingException
SMALL = {"latent": rig.empty(1, 8, 8), "steps": 1}


def recording():
    studio = rig.studio("sd1", time_bins=2, record_negative=True)
    return lambda: rig.sample(studio.recorded, studio.positive, studio.negative, **SMALL)


def remembering():
    studio = rig.studio("sd1")
    model, clip, _ = remember(studio.model, rig.clip("sd1"), 2**26)
    positive, negative = rig.encode(clip, "a red cat"), rig.encode(clip, "ugly")
    return lambda: rig.sample(model, positive, negative, **SMALL)


def steering():
    studio = rig.studio("sd1")
    model, _ = steer(studio.model, None, steering_rig.scaling(studio.recording.layout))
    return lambda: rig.sample(model, studio.positive, studio.negative, **SMALL)


def editing():
    pictures = scene("sd1", **SMALL)
    model = pictures.edited(mask=torch.ones(1, 64, 64))
    return lambda: pictures.draw(model)


def exciting():
    studio = rig.studio("sd1")
    model = excite_rig.excited(studio)
    return lambda: excite_rig.draw(model, studio, **SMALL)


FOLLOWERS = (recording, remembering, steering, editing, exciting)


def cancelled_in(code, action) -> str:
    """What became of an action that the user cancels while a function runs for the first time."""
    import sys

    done = []

    def trace(frame, event, argument):
        if frame.f_code is code and not done:
            done.append(1)
            raise Cancel

    sys.settrace(trace)
    try:
        action()
    except Cancel:
        return "cancelled"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        sys.settrace(None)
    return "it went on"


@pytest.mark.parametrize("follower", FOLLOWERS, ids=lambda follower: follower.__name__)
def test_a_cancel_in_any_function_of_ours_ends_the_sampling(follower):
    action = follower()
    expected = action()
    functions = functions_called(action)
    assert len(functions) > 8
    kept = {name: cancelled_in(code, action) for name, code in functions.items()}
    assert {name: found for name, found in kept.items() if found != "cancelled"} == {}
    assert torch.equal(action(), expected)


def test_a_cancel_during_the_replay_of_edit_prompt():
    """The first picture's attention is computed by the model's own code, in which the host and other packs look for a cancel.
    One press of the button is one exception, and must not be kept."""
    pictures = scene("sd1", **SMALL)
    calls = []

    def press_once(q, k, v, extra_options):
        calls.append(extra_options["block"])
        if len(calls) == 1:
            comfy.model_management.interrupt_current_processing(True)
            comfy.model_management.throw_exception_if_processing_interrupted()
        return q

    model = pictures.model.clone()
    model.set_model_attn2_replace(press_once, "middle", 0)
    edited = pictures.edited(model)
    with pytest.raises(Cancel):
        pictures.draw(edited)
    assert len(calls) == 1


def test_a_cancel_while_concept_words_are_encoded(comfy, monkeypatch):
    """Record Attention with collect_votes runs the text encoder."""

    def press(*args, **kwargs):
        raise Cancel

    monkeypatch.setattr(passive_votes, "encode_words", press)
    with pytest.raises(Cancel):
        comfy.run_node(
            "HRVRecordAttention", model=rig.tiny("sd1"), clip=rig.clip("sd1"), collect_votes="demo"
        )


def test_a_cancel_while_a_vote_is_counted(monkeypatch, models_hrv):
    studio = rig.studio("sd1", votes=passive_votes.passive_votes(rig.clip("sd1"), "demo"))

    def press(*args, **kwargs):
        raise Cancel

    monkeypatch.setattr("hrv_pack.hrv.relevance.votes.VoteCounter.add", press)
    with pytest.raises(Cancel):
        rig.sample(studio.recorded, studio.positive, studio.negative, **SMALL)
    assert studio.recording.runs == []


def test_a_cancel_while_a_prompt_is_noted(monkeypatch):
    studio = rig.studio("sd1")

    def press(*args, **kwargs):
        raise Cancel

    monkeypatch.setattr("hrv_pack.host.text.clip_trace.TextRegistry.note_text", press)
    with pytest.raises(Cancel):
        rig.encode(studio.clip, "a red cat")


@pytest.fixture
def models_hrv(comfy, tmp_path, monkeypatch):
    from hrv_pack.host.facts import paths

    folders = ([str(tmp_path), str(paths.SHIPPED_VECTORS)], {".safetensors"})
    monkeypatch.setitem(comfy.folder_paths.folder_names_and_paths, "hrv", folders)
    monkeypatch.setattr(passive_votes, "_pending", {})
    return tmp_path


NOT_THE_PROMPT = {"routes.py": "answers the browser outside of any prompt"}


@pytest.mark.parametrize("path", sorted((ROOT / "host").rglob("*.py")), ids=lambda path: path.name)
def test_whoever_takes_any_exception_lets_a_cancel_pass(path):
    """In host/, `except Exception` stands behind `except CANCELS: raise`, or raises again what it was not meant for."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Try) or path.name in NOT_THE_PROMPT:
            continue
        passed = False
        for handler in node.handlers:
            caught = ast.unparse(handler.type) if handler.type else "BaseException"
            body = [ast.unparse(line) for line in handler.body]
            passed = passed or (caught == "CANCELS" and body == ["raise"])
            raises = any(isinstance(line, ast.Raise) and line.exc is None for line in ast.walk(handler))
            if caught in ("Exception", "BaseException"):
                assert passed or raises, f"{path.name}:{handler.lineno} keeps a cancel"
