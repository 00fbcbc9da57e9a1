"""Attention files: round trips to the last bit, what is saved of a recording, writing that leaves no half files."""

import json

import pytest
import torch
from limits import full_disk
from prompts import prompt
from rich_recordings import SIZE, latent_of, recording_of, rich_prompt, rich_run
from safetensors import safe_open
from synthetic import GRIDS, LAYOUT, entry, plain_map, run_of, same_run

from hrv_pack.hrv.files import tensor_files
from hrv_pack.hrv.files.attention_files import read, write
from hrv_pack.hrv.files.attention_metadata import metadata_of, runs_of
from hrv_pack.hrv.heads.known_layouts import SDXL
from hrv_pack.hrv.look.heatmap import Style, heatmaps
from hrv_pack.hrv.recording.recording import NoRecording, Recording
from hrv_pack.hrv.recording.schedule import Bin
from hrv_pack.hrv.runs.latents import fingerprints, traces_of


@pytest.fixture
def path(tmp_path):
    run, latent = rich_run()
    write(tmp_path / "mine.safetensors", recording_of(run), latent)
    return tmp_path / "mine.safetensors"


def test_round_trip_to_the_last_bit(path):
    run, latent = rich_run()
    recording, again = read(path)
    (found,) = recording.runs
    same_run(found, run)
    assert torch.equal(again, latent) and again.dtype == torch.float32
    assert [m.exact for m in recording.match(again)] == [True, True]


def test_a_map_from_the_file_is_the_plain_sum_over_the_recording(path):
    """Word maps of what was read, against the plainest computation on what was saved."""
    run, latent = rich_run()
    recording, again = read(path)
    result = heatmaps(recording, again, "cowboy", style=Style(normalize="per word", caption=False))
    columns = rich_prompt().find("cowboy").columns
    for picture in range(2):
        plain = plain_map(run.entries[0], columns, SIZE, picture)
        large = torch.nn.functional.interpolate(
            plain[None, None], (64, 96), mode="bicubic", align_corners=False
        )[0, 0]
        expected = (large - large.min()) / (large.max() - large.min())
        assert torch.allclose(result.heat[picture], expected, atol=1e-5)


def test_heatmaps_are_the_same_to_the_last_bit(path):
    run, latent = rich_run()
    again, latent_again = read(path)
    before = heatmaps(recording_of(run), latent, unit="words")
    after = heatmaps(again, latent_again, unit="words")
    assert before.words == after.words and "café" in after.words and "embedding:style" in after.words
    assert torch.equal(before.overlay, after.overlay) and torch.equal(before.heat, after.heat)
    assert (before.summary, before.warnings) == (after.summary, after.warnings)


def test_other_programs_can_read_it(path):
    run, latent = rich_run()
    with safe_open(path, "pt") as file:
        names, notes = set(file.keys()), file.metadata()
        assert torch.equal(file.get_tensor("latent"), latent)
        found = file.get_tensor("prompt1.picture1.time1.output.5.0")
    assert found.dtype == torch.float16 and torch.equal(found, run.entries[1].maps[3][1, 1])
    assert len(names) == 1 + (4 + 3 + 4) * 2 * 2
    assert notes["format"] == "hrv_attention" and notes["format_version"] == "1"
    assert json.loads(notes["layout"])[0] == ["input", 1, 0, 3]
    assert json.loads(notes["prompt"]) == ["(red:1.3) cowboy embedding:style a cat, café", None, None]
    assert json.loads(notes["count"]) == [[3, 2], [0, 7], [3, 2]]
    assert json.loads(notes["layer_count"]) == [{"input.2.0": [1, 2], "output.5.0": [0, 2]}, None, None]
    assert json.loads(notes["grid"]) == [[8, 12]]
    assert json.loads(notes["tokens"])[0]["first"][:3] == [
        ["start", "", 1.0],
        ["text", "red</w>", 1.3],
        ["text", "cow", 1.0],
    ]


def test_where_no_layer_was_skipped_files_are_as_they_always_were(tmp_path):
    """Case D2: the key is there only where it is needed; a file without it counts alike for all layers."""
    latent = latent_of()
    run = run_of(latent, entry(rich_prompt(), counts=(3, 2)))
    write(tmp_path / "plain.safetensors", recording_of(run), latent)
    with safe_open(tmp_path / "plain.safetensors", "pt") as file:
        assert "layer_count" not in file.metadata() and "bins" not in file.metadata()
    same_run(read(tmp_path / "plain.safetensors")[0].runs[0], run)


def test_late_evaluations_come_back_as_such(tmp_path):
    latent = latent_of()
    run = run_of(latent, entry(rich_prompt(), counts=(6, 4)))
    run.entries[0].bins = (Bin(0), Bin(0, True))
    write(tmp_path / "late.safetensors", recording_of(run), latent)
    (found,) = read(tmp_path / "late.safetensors")[0].runs
    same_run(found, run)
    assert found.entries[0].bins == run.entries[0].bins and found.parts == 1


@pytest.mark.parametrize(
    "bins",
    ["[[[0, false]]]", "[[[0, false], [0, 1]]]", "[[[0, true], [0, false]]]", "[[[-1, false], [0, true]]]"],
)
def test_bins_that_cannot_be_are_refused(bins):
    run = run_of(latent_of(), entry(rich_prompt(), counts=(6, 4)))
    with pytest.raises(ValueError, match="its bins are not"):
        runs_of(metadata_of([run]) | {"bins": bins})


def test_one_picture_of_a_batch_takes_its_own_maps_only(tmp_path):
    run, latent = rich_run(batch=4)
    write(tmp_path / "two.safetensors", recording_of(run), latent[[3, 1]])
    recording, again = read(tmp_path / "two.safetensors")
    (found,) = recording.runs
    assert found.fingerprints == [run.fingerprints[1], run.fingerprints[3]]
    assert torch.equal(found.entries[2].maps[0], run.entries[2].maps[0][[1, 3]])
    before = heatmaps(recording_of(run), latent[[3, 1]], "dog")
    after = heatmaps(recording, again, "dog")
    assert torch.equal(before.heat, after.heat)


def test_the_run_of_the_latent_is_saved_and_no_other(tmp_path):
    (old, old_latent), (new, _) = rich_run(seed=0), rich_run(seed=100)
    write(tmp_path / "old.safetensors", recording_of(old, new), old_latent)
    recording, _ = read(tmp_path / "old.safetensors")
    (found,) = recording.runs
    same_run(found, old)


def test_pictures_of_two_runs_come_with_both(tmp_path):
    (old, old_latent), (new, new_latent) = rich_run(seed=0), rich_run(seed=100)
    latent = torch.cat([new_latent, old_latent])
    write(tmp_path / "both.safetensors", recording_of(old, new), latent)
    recording, again = read(tmp_path / "both.safetensors")
    for found, expected in zip(recording.runs, (old, new), strict=True):
        same_run(found, expected)
    assert torch.equal(heatmaps(recording_of(old, new), latent).heat, heatmaps(recording, again).heat)


def test_a_changed_latent_reads_as_before_with_the_same_warning(tmp_path):
    run, latent = rich_run(batch=4)
    recording, changed = recording_of(run), latent.flip(-1)[:2]
    matches = write(tmp_path / "changed.safetensors", recording, changed)
    assert [(m.element, m.exact) for m in matches] == [(0, False), (1, False)]
    again, latent_again = read(tmp_path / "changed.safetensors")
    before, after = heatmaps(recording, changed), heatmaps(again, latent_again)
    assert torch.equal(before.overlay, after.overlay) and before.warnings == after.warnings
    assert "did not come straight out of a sampler" in after.warnings[0]
    assert len(again.runs[0].fingerprints) == 2, "images that were not asked for are left out"


def test_denoised_output_is_known_again(tmp_path):
    """Case B3, from a file."""
    run, latent = rich_run(batch=4)
    run.traces = traces_of(latent, latent * 2)
    write(tmp_path / "denoised.safetensors", recording_of(run), latent[1:3] * 2)
    recording, again = read(tmp_path / "denoised.safetensors")
    assert [(m.element, m.exact, m.note) for m in recording.match(again)] == [(0, True, ""), (1, True, "")]
    assert [m.exact for m in recording.match(latent[1:3])] == [True, True]


def test_another_latent_is_told_to_take_that_of_the_file(tmp_path):
    run, latent = rich_run()
    write(tmp_path / "a.safetensors", recording_of(run), latent)
    recording, again = read(tmp_path / "a.safetensors")
    larger = torch.nn.functional.interpolate(again, scale_factor=2)
    assert [(m.element, m.exact) for m in recording.match(larger)] == [(n, False) for n in range(len(latent))]
    with pytest.raises(NoRecording, match="Connect the latent that comes out of Load Attention"):
        recording.match(larger.flip(-1))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_latents_of_other_types_are_found_again(tmp_path, dtype):
    latent = latent_of().to(dtype)
    run = run_of(latent, entry(prompt("cat")))
    write(tmp_path / "a.safetensors", recording_of(run), latent)
    recording, again = read(tmp_path / "a.safetensors")
    assert recording.match(again)[0].exact and torch.equal(again, latent.float())


def test_nothing_recorded_is_said_as_by_every_reading_node(tmp_path):
    with pytest.raises(NoRecording, match="Nothing has been recorded yet"):
        write(tmp_path / "a.safetensors", Recording(LAYOUT, 2**20), latent_of())
    run = run_of(latent_of(), entry(prompt("cat")), warnings=["Another pack replaced it."])
    run.entries[0].maps.clear()
    with pytest.raises(NoRecording, match="no cross-attention was recorded in it. Another pack replaced it."):
        write(tmp_path / "a.safetensors", recording_of(run), latent_of())
    with pytest.raises(ValueError, match=r"must be \(batch, channel, height, width\)"):
        write(tmp_path / "a.safetensors", recording_of(run), torch.zeros(4, 8, 8))
    assert list(tmp_path.iterdir()) == []


def test_maps_that_are_not_numbers_are_not_saved(tmp_path):
    run = run_of(latent_of(), entry(prompt("cat")))
    run.entries[0].maps[1][0, 0, 1, 2, 0, 0] = float("nan")
    with pytest.raises(
        ValueError, match=r"maps of prompt0.picture0.time0.input.2.0 hold values that are not shares"
    ):
        write(tmp_path / "a.safetensors", recording_of(run), latent_of())
    assert list(tmp_path.iterdir()) == []


def test_a_recording_beyond_what_files_hold_is_not_saved(tmp_path):
    long = prompt(*["cat"] * 101)
    run = run_of(latent_of(), entry(long))
    with pytest.raises(ValueError, match="This recording cannot be saved: .*its length is 7777"):
        write(tmp_path / "a.safetensors", recording_of(run), latent_of())


def test_a_failed_write_leaves_the_old_file_and_nothing_else(path):
    before = path.read_bytes()
    run, latent = rich_run(seed=9)
    with full_disk(len(before) // 2), pytest.raises(OSError):  # as if the disk were full by then
        write(path, recording_of(run), latent)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_an_interrupted_replace_leaves_nothing_behind(path, monkeypatch):
    def interrupt(source, target):
        raise KeyboardInterrupt

    run, latent = rich_run(seed=9)
    monkeypatch.setattr(tensor_files.os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(path, recording_of(run), latent)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_fingerprints_in_the_file_are_those_of_its_latent(path):
    recording, latent = read(path)
    assert recording.runs[0].fingerprints == fingerprints(latent)
    assert GRIDS[0] == recording.runs[0].grid


def test_sdxl_at_full_size_takes_70_mb_at_most(tmp_path):
    """20 tokens, start and end among them; 1300 heads; 1024 × 1024. Last, because it takes the most memory, and the
    tests above watch the peak."""
    grids = [(64, 64) if b.heads == 10 else (32, 32) for b in SDXL.blocks]
    latent = latent_of(size=(128, 128))
    tokens = prompt(" ".join(f"w{i}" for i in range(18)))
    made = entry(tokens, columns=range(20), counts=(25,), grids=grids, layout=SDXL)
    run = run_of(latent, made, layout=SDXL)
    path = tmp_path / "sdxl.safetensors"
    write(path, recording_of(run), latent)
    print(f"{path.stat().st_size / 1e6:.2f} MB")
    assert path.stat().st_size <= 70e6
    same_run(read(path)[0].runs[0], run)
