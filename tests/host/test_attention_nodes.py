"""Save and Load Attention in the real host: names, folders, faults, and the same heatmaps in a fresh ComfyUI."""

import os
import sys
from pathlib import Path

import pytest
import rig
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from limits import full_disk

from devtools.server import ROOT
from hrv_pack.hrv.heads.layout import PARTS, Block, Layout
from hrv_pack.hrv.prompt import Prompt
from hrv_pack.hrv.recording.recording import Recording

sys.path.append(str(ROOT / "tests" / "unit"))
from prompts import prompt  # noqa: E402
from synthetic import entry, run_of, same_run  # noqa: E402

DEFAULT = "attention/ComfyUI"


@pytest.fixture
def folders(comfy, tmp_path, monkeypatch):
    """Empty output and input folders, (output, input)."""
    made = tmp_path / "output", tmp_path / "input"
    for folder, setting in zip(made, ("output_directory", "input_directory"), strict=True):
        folder.mkdir()
        monkeypatch.setattr(comfy.folder_paths, setting, str(folder))
    return made


@pytest.fixture(scope="module")
def recorded(comfy):
    """(studio, latent) of one sampling of two pictures with both roles and two time bins."""
    studio = rig.studio(
        positive="a (red:1.3) cat, cowboy hat", negative="ugly dog", record_negative=True, time_bins=2
    )
    latent = rig.sample(studio.recorded, studio.positive, studio.negative, rig.empty(2))
    return studio.recording, {"samples": latent}


def choices(comfy) -> list[str]:
    return comfy.node_class("HRVLoadAttention").INPUT_TYPES()["required"]["name"][1]["options"]


def save(comfy, recorded, prefix=DEFAULT) -> tuple[Path, str]:
    (path,), shown = comfy.run_node_ui(
        "HRVSaveAttention", attention=recorded[0], latent=recorded[1], filename_prefix=prefix
    )
    return Path(path), shown["text"][0]


def test_save_and_load_again(comfy, folders, recorded):
    assert choices(comfy) == []
    path, shown = save(comfy, recorded)
    assert path == folders[0] / "attention" / "ComfyUI_00001_.safetensors" and str(path) in shown
    assert save(comfy, recorded)[0].name == "ComfyUI_00002_.safetensors"
    newest, name = choices(comfy)
    assert (newest, name) == tuple(f"attention/ComfyUI_0000{n}_.safetensors [output]" for n in (2, 1))
    assert comfy.node_class("HRVLoadAttention").validate_inputs(name) is True
    (attention, latent), shown = comfy.run_node_ui("HRVLoadAttention", name=name)
    assert torch.equal(latent["samples"], recorded[1]["samples"])
    assert "2 images" in shown["text"][0] and "cowboy hat" in shown["text"][0]
    for more in ({}, {"role": "negative"}, {"words": "cowboy hat, red", "normalize": "per word"}):
        before = comfy.run_node("HRVHeatmap", attention=recorded[0], latent=recorded[1], **more)
        after = comfy.run_node("HRVHeatmap", attention=attention, latent=latent, **more)
        assert before[3] == after[3]
        for a, b in zip(before[:3], after[:3], strict=True):
            assert torch.equal(a, b)


def test_a_file_in_the_input_folder_or_below(comfy, folders, recorded):
    path, _ = save(comfy, recorded)
    (folders[1] / "from a friend").mkdir()
    path.rename(folders[1] / "from a friend" / "mine.safetensors")
    (folders[1] / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    (folders[1] / "picture.png").write_bytes(b"hrv_attention")
    assert choices(comfy) == ["from a friend/mine.safetensors"]
    attention, latent = comfy.run_node("HRVLoadAttention", name="from a friend/mine.safetensors")
    assert attention.match(latent["samples"])[0].exact


def test_a_replaced_file_is_read_again(comfy, folders, recorded):
    path, _ = save(comfy, recorded)
    node, (name,) = comfy.node_class("HRVLoadAttention"), choices(comfy)
    before = node.fingerprint_inputs(name)
    assert node.fingerprint_inputs(name) == before
    path.write_bytes(path.read_bytes())
    os.utime(path, ns=(1, 1))
    assert node.fingerprint_inputs(name) != before
    path.write_bytes(b"something else")
    assert choices(comfy) == []
    with pytest.raises(ValueError, match="ComfyUI_00001_.safetensors: its header is longer"):
        comfy.run_node("HRVLoadAttention", name=name)


def test_the_list_is_made_without_walking_the_folders(comfy, folders, recorded, monkeypatch):
    """The page asks for it twice at each refresh, on the thread that answers every browser."""
    from hrv_pack.host.store import file_listing

    save(comfy, recorded)
    for number in range(20):
        (folders[0] / f"day {number}").mkdir()
        (folders[0] / f"day {number}" / "picture.png").write_bytes(b"")
    for path in [*folders, *folders[0].rglob("*")]:
        os.utime(path, (1e9, 1e9))
    (name,) = choices(comfy)
    walked = []
    monkeypatch.setattr(os, "walk", lambda *args, **options: walked.append(args) or iter(()))
    monkeypatch.setattr(file_listing.os, "scandir", lambda path: walked.append(path) or iter(()))
    for _ in range(4):
        assert choices(comfy) == [name]
    assert walked == []


def test_a_name_that_another_node_gives_is_no_reason_to_run_each_time(comfy, folders, recorded, caplog):
    """ComfyUI asks before that node has run, without a name; only a changed file among all is a reason then."""
    path, _ = save(comfy, recorded)
    node = comfy.node_class("HRVLoadAttention")
    before = node.fingerprint_inputs(None)
    assert node.fingerprint_inputs(None) == before
    os.utime(path, ns=(1, 1))
    assert node.fingerprint_inputs(None) != before


def test_a_graph_whose_name_is_linked_runs_once(comfy, folders, recorded, caplog):
    """In ComfyUI's own executor: queued a second time nothing runs again, and nothing is complained of."""
    import executor

    save(comfy, recorded)
    runner, (name,) = executor.Runner(comfy), choices(comfy)
    graph = {
        "name": executor.given(name),
        "load": executor.node("HRVLoadAttention", name=["name", 0]),
        "take": executor.taken("load"),
    }
    assert [runner.run(graph).status for _ in range(2)] == ["success", "success"]
    assert "load" in runner.run(graph).cached
    assert "WARNING" not in caplog.text


@pytest.mark.parametrize(
    "name",
    [
        "gone.safetensors",
        "../secret.safetensors",
        "../secret.safetensors [output]",
        "/etc/passwd",
        "..\\secret.safetensors",
        "a\0b.safetensors",
        "x" * 5000 + ".safetensors",
        "",
        " [output]",
        ".safetensors",
    ],
)
def test_names_that_lead_nowhere_or_out_of_the_folder(comfy, folders, recorded, name):
    path, _ = save(comfy, recorded)
    path.rename(folders[0].parent / "secret.safetensors")
    node = comfy.node_class("HRVLoadAttention")
    assert "is not in ComfyUI's output or input folder" in node.validate_inputs(name)
    assert node.fingerprint_inputs(name) == "not there"
    with pytest.raises(ValueError, match="is not in ComfyUI's output or input folder") as error:
        comfy.run_node("HRVLoadAttention", name=name)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


@pytest.mark.parametrize("prefix", ["../out", "/etc/out", " ", "a\0b", "x/../../out"])
def test_saving_stays_inside_the_folder(comfy, folders, recorded, prefix):
    with pytest.raises(ValueError, match="filename_prefix"):
        save(comfy, recorded, prefix)
    assert list(folders[0].rglob("*")) == []


def test_marks_in_the_prefix_are_those_of_save_image(comfy, folders, recorded):
    path, _ = save(comfy, recorded, "size %width%x%height%")
    assert path.name == "size 192x128_00001_.safetensors"


def test_a_full_disk_is_said_and_leaves_nothing(comfy, folders, recorded):
    with full_disk(), pytest.raises(OSError, match="could not be saved in .*Nothing was changed") as error:
        save(comfy, recorded)
    assert "\n" not in str(error.value)
    assert [p for p in folders[0].rglob("*") if p.is_file()] == []


def test_a_latent_that_was_changed_is_saved_with_a_warning(comfy, folders, recorded, caplog):
    changed = recorded[0], {"samples": recorded[1]["samples"] * 0.5}
    path, shown = save(comfy, changed)
    assert "It matches an image that did" in shown
    assert sum("It matches an image" in r.message for r in caplog.records) == 1
    attention, latent = comfy.run_node("HRVLoadAttention", name=choices(comfy)[0])
    before = comfy.run_node("HRVHeatmap", attention=changed[0], latent=changed[1])
    after = comfy.run_node("HRVHeatmap", attention=attention, latent=latent)
    assert torch.equal(before[0], after[0])


def test_nothing_recorded(comfy, folders):
    studio = rig.studio()
    with pytest.raises(ValueError, match="Nothing has been recorded yet"):
        save(comfy, (studio.recording, rig.empty()))
    assert [p for p in folders[0].rglob("*") if p.is_file()] == []


@st.composite
def recordings(draw):
    """(recording, latent) of one run with any layout, prompts, batch, bins, grids, and layers left out."""
    count, batch, bins = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    keys = draw(
        st.lists(
            st.tuples(st.sampled_from(PARTS), st.integers(0, 11), st.integers(0, 9)),
            min_size=count, max_size=count, unique=True,
        )
    )  # fmt: skip
    layout = Layout(tuple(Block(*key, draw(st.integers(1, 5))) for key in keys))
    grids = [(draw(st.integers(1, 6)), draw(st.integers(1, 6))) for _ in keys]
    sides = draw(st.tuples(st.integers(1, 8), st.integers(1, 8)))
    latent = torch.randn(
        (batch, 4, *sides), generator=torch.Generator().manual_seed(draw(st.integers(0, 99)))
    )
    entries = []
    for index in range(draw(st.integers(1, 3))):
        words = draw(st.lists(st.text("abcé|#'", min_size=1, max_size=5), max_size=4))
        weighted = [(word, draw(st.floats())) for word in words]
        known = prompt(weighted, width=8)
        known = Prompt(known.tokens, draw(st.none() | st.text(max_size=9)), draw(st.none() | st.just(known)))
        if not all(token.weight == token.weight for token in known.tokens):
            known = None  # not a number is not equal to itself
        counts = draw(st.lists(st.integers(0, 50), min_size=bins, max_size=bins))
        made = entry(
            known,
            (0, 3, 5),
            draw(st.sampled_from(["positive", "negative"])),
            index,
            batch,
            counts,
            grids,
            layout,
        )
        for block in draw(st.sets(st.integers(1, count))) - {count}:
            del made.maps[block]
        entries.append(made)
    warnings = draw(st.lists(st.text(max_size=9), max_size=2, unique=True))
    recording = Recording(layout, 2**30)
    recording.add(run_of(latent, *entries, warnings=warnings, layout=layout))
    return recording, {"samples": latent}


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(recordings())
def test_any_recording_comes_back_to_the_last_bit(comfy, folders, made):
    path, _ = save(comfy, made)
    attention, latent = comfy.run_node("HRVLoadAttention", name=f"attention/{path.name} [output]")
    assert torch.equal(latent["samples"], made[1]["samples"])
    same_run(attention.runs[0], made[0].runs[0])
