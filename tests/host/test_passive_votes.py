"""Votes that are collected while pictures are made: the picture never notices."""

import gc
import json
import subprocess
import sys
import weakref

import comfy.model_management
import comfy.patcher_extension
import pytest
import rig
import torch

from devtools.server import ROOT
from hrv_pack.host.build import passive_votes
from hrv_pack.host.facts.weights_identity import weights_identity
from hrv_pack.host.follow.recorder import RecordOptions, attach
from hrv_pack.hrv.files.vector_files import read
from hrv_pack.hrv.files.writing import FileInUse
from hrv_pack.hrv.relevance.merging import merge


@pytest.fixture(autouse=True)
def models_hrv(comfy, tmp_path, monkeypatch):
    from hrv_pack.host.facts import paths

    folders = ([str(tmp_path), str(paths.SHIPPED_VECTORS)], {".safetensors"})
    monkeypatch.setitem(comfy.folder_paths.folder_names_and_paths, "hrv", folders)
    monkeypatch.setattr(passive_votes, "_pending", {})
    monkeypatch.setattr(passive_votes, "_saved_at", {})
    return tmp_path


def draw(model, studio, batch=1, steps=2):
    return rig.sample(model, studio.positive, studio.negative, rig.empty(batch, 8, 12), steps=steps)


def studio(**options):
    return rig.studio("sd1", votes=passive_votes.passive_votes(rig.clip("sd1"), "demo"), **options)


def test_the_picture_stays_and_the_votes_add_up(models_hrv):
    desk = studio(record_negative=True)
    plain = draw(desk.model, desk, batch=2)
    assert torch.equal(draw(desk.recorded, desk, batch=2), plain)
    found = rig.entry(desk.recording)
    assert rig.last_run(desk.recording).warnings == [] and len(found.maps) == len(
        desk.recording.layout.blocks
    )
    (file,) = models_hrv.iterdir()
    assert file.name.startswith(f"collected_demo_{weights_identity(desk.model)[:8]}_")
    first = read(file)
    assert (
        first.votes.sum(0).tolist() == [2 * 2] * first.heads
    )  # evaluations · pictures; none of the negative prompt
    draw(desk.recorded, desk)
    assert torch.equal(read(file).votes, first.votes)  # not within a minute
    again = studio()  # a changed widget makes a new recorder
    draw(again.recorded, again)
    passive_votes.save_all()
    last = read(file)
    assert last.votes.sum(0).tolist() == [4 + 2 + 2] * last.heads
    assert json.loads(last.metadata["construction"])["samplings"] == 3
    assert list(models_hrv.iterdir()) == [file]


def test_a_lora_does_not_open_another_file(models_hrv):
    desk = studio()
    draw(desk.recorded, desk)
    patched = desk.recorded.clone()
    key = next(k for k in patched.model.state_dict() if k.endswith("attn2.to_q.weight"))
    patched.add_patches({key: (torch.ones_like(patched.model.state_dict()[key]),)}, 0.01)
    draw(patched, desk)
    passive_votes.save_all()
    (file,) = models_hrv.iterdir()
    made = json.loads(read(file).metadata["construction"])
    assert (made["samplings"], made["samplings_with_loras"]) == (2, 1)


@pytest.mark.parametrize("where", ["begin", "add", "end"])
def test_an_error_in_voting_costs_neither_picture_nor_maps(where, monkeypatch, models_hrv):
    desk = studio()
    plain = draw(desk.model, desk)

    def fails(*args, **kwargs):
        raise RuntimeError("broken on purpose")

    if where == "add":
        monkeypatch.setattr("hrv_pack.hrv.relevance.votes.VoteCounter.add", fails)
    else:
        monkeypatch.setattr(passive_votes.PassiveVotes, where, fails)
    assert torch.equal(draw(desk.recorded, desk), plain)
    (warning,) = rig.last_run(desk.recording).warnings
    assert "Votes for head relevance were not counted" in warning and "broken on purpose" in warning
    assert len(rig.entry(desk.recording).maps) == len(desk.recording.layout.blocks)
    assert list(models_hrv.iterdir()) == []


def test_a_cancelled_sampling_does_not_count(models_hrv):
    desk = studio()

    def cancel(executor, *args, **kwargs):
        comfy.model_management.interrupt_current_processing(True)
        return executor(*args, **kwargs)

    desk.recorded.add_wrapper_with_key(comfy.patcher_extension.WrappersMP.PREDICT_NOISE, "stop", cancel)
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        draw(desk.recorded, desk)
    comfy.model_management.interrupt_current_processing(False)
    passive_votes.save_all()
    assert list(models_hrv.iterdir()) == []


def test_a_cancelled_sampling_leaves_nothing_behind(models_hrv):
    """No ring of references keeps its model until the garbage collector comes by."""
    desk = studio()

    def cancel(executor, *args, **kwargs):
        raise comfy.model_management.InterruptProcessingException

    drawing = desk.recorded.clone()
    drawing.add_wrapper_with_key(comfy.patcher_extension.WrappersMP.PREDICT_NOISE, "stop", cancel)
    model = weakref.ref(drawing)
    gc.collect()
    gc.disable()
    try:
        try:
            draw(drawing, desk)
        except comfy.model_management.InterruptProcessingException as stopped:
            stopped.__traceback__ = None
        del drawing
        rig.tiny("sd1").model.current_patcher = None  # the host's own
        assert model() is None
    finally:
        gc.enable()


OTHER_SERVER = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("writing", sys.argv[1])
writing = importlib.util.module_from_spec(spec)
spec.loader.exec_module(writing)
try:
    with writing.held(sys.argv[2], patience=0.1):
        print("free")
except writing.FileInUse:
    print("held")
"""


def test_no_other_server_comes_between_reading_and_writing(models_hrv, monkeypatch):
    """Two servers that share models/hrv: each adds its votes to what the other has just saved (tests/unit/test_writing.py lets
    programs compete for the lock)."""
    desk = studio()
    draw(desk.recorded, desk)
    (file,) = models_hrv.iterdir()
    asked = []

    def ask(path, *args):
        command = [sys.executable, "-c", OTHER_SERVER, str(ROOT / "hrv" / "files" / "writing.py"), str(file)]
        asked.append(subprocess.run(command, capture_output=True, text=True).stdout.strip())

    for module, name in ((passive_votes.vector_files, "read"), (passive_votes.vector_store, "replace")):
        real = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *args, real=real: (ask(*args), real(*args))[1])
    draw(desk.recorded, desk)
    passive_votes.save_all()
    assert asked == ["held", "held"]
    ask(file)
    assert asked[-1] == "free" and list(models_hrv.iterdir()) == [file]


def in_use(path, patience=0):
    raise FileInUse(path)


def test_votes_wait_while_another_server_saves(models_hrv, monkeypatch, caplog):
    desk = studio()
    with monkeypatch.context() as patch:
        patch.setattr(passive_votes, "held", in_use)
        draw(desk.recorded, desk)
    assert list(models_hrv.iterdir()) == [] and "are kept and will be saved later" in caplog.text
    assert rig.last_run(desk.recording).warnings == []
    passive_votes.save_all()
    (file,) = models_hrv.iterdir()
    assert read(file).votes.sum(0).tolist() == [2] * read(file).heads


def test_a_file_that_is_read_when_comfyui_closes_loses_nothing(models_hrv, monkeypatch, caplog):
    """Windows replaces no file that a program has open: the votes then go into a file of their own, which can be merged."""
    desk = studio()
    draw(desk.recorded, desk)
    draw(desk.recorded, desk)
    (file,) = models_hrv.iterdir()
    monkeypatch.setattr(passive_votes, "held", in_use)
    passive_votes.save_all()
    (beside,) = (other for other in models_hrv.iterdir() if other != file)
    assert str(beside) in caplog.text and "another program has it open" in caplog.text
    assert merge(read(file), read(beside)).votes.sum(0).tolist() == [4] * read(file).heads


def test_the_file_keeps_its_id_as_it_grows(models_hrv):
    """So that Merge Head Relevance sees that an earlier copy is a part of it."""
    desk = studio()
    draw(desk.recorded, desk)
    (file,) = models_hrv.iterdir()
    earlier = read(file)
    draw(desk.recorded, desk)
    passive_votes.save_all()
    with pytest.raises(ValueError, match="votes collected while you worked"):
        merge(earlier, read(file))


def test_a_file_of_others_is_left_alone(models_hrv, caplog):
    desk = studio()
    draw(desk.recorded, desk)
    (file,) = models_hrv.iterdir()
    file.write_bytes(b"mine")
    draw(desk.recorded, desk)
    passive_votes.save_all()
    assert file.read_bytes() == b"mine" and "are in " in caplog.text
    (beside,) = (other for other in models_hrv.iterdir() if other != file)
    assert read(beside).votes.sum(0).tolist() == [2] * read(beside).heads, (
        "what was collected since then is not lost"
    )


def test_without_clip_the_node_still_records(comfy, caplog):
    model, clip, attention = comfy.run_node("HRVRecordAttention", model=rig.tiny("sd1"), collect_votes="demo")
    assert "is not collecting votes" in caplog.text and clip is None
    desk = rig.studio("sd1")
    draw(model, desk)
    assert len(attention.runs) == 1


def test_the_node_collects(comfy, models_hrv):
    desk = rig.studio("sd1")
    inputs = {"model": rig.tiny("sd1"), "clip": rig.clip("sd1")}
    off, _, _ = comfy.run_node("HRVRecordAttention", **inputs)
    draw(off, desk)
    assert list(models_hrv.iterdir()) == []
    on, _, attention = comfy.run_node("HRVRecordAttention", **inputs, collect_votes="demo")
    draw(on, desk)
    (file,) = models_hrv.iterdir()
    assert read(file).votes.any() and len(attention.runs) == 1
    _, _, recording = attach(rig.tiny("sd1"), None, RecordOptions(keep_maps=False))
    assert recording.runs == []
