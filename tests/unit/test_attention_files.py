"""Attention files: round trips to the last bit, refusals before memory is taken, writing that leaves no half files."""

import json
import random
import resource
import time

import pytest
import torch
from prompts import Vector, prompt
from safetensors import safe_open
from synthetic import GRIDS, LAYOUT, entry, plain_map, run_of, same_run
from test_vector_files import edited, metadata, mutate, tensor

from hrv_pack.hrv import tensor_files
from hrv_pack.hrv.attention_files import BadAttentionFile, is_attention_file, read, write
from hrv_pack.hrv.heatmap import Style, heatmaps
from hrv_pack.hrv.known_layouts import SDXL
from hrv_pack.hrv.prompt import Prompt
from hrv_pack.hrv.recording import NoRecording, Recording, Run, fingerprints

TEXT = "(red:1.3) cat, cow|boy hat"
SIZE = (8, 12)


def latent_of(batch=1, seed=0, size=SIZE) -> torch.Tensor:
    return torch.randn((batch, 4, *size), generator=torch.Generator().manual_seed(seed))


def recording_of(*runs: Run) -> Recording:
    recording = Recording(runs[0].layout, 2**30)
    for run in runs:
        recording.add(run)
    return recording


def rich_prompt() -> Prompt:
    """Two chunks, a weight, a word of two pieces, a textual inversion, and another text in the second encoder."""
    first = prompt([("red", 1.3), "cow|boy", Vector("style"), Vector("style")], "a cat , café", text="red …")
    return Prompt(first.tokens, first.text, prompt("dog", "x", text="dog, \ud800"))


def rich_run(batch=2, seed=0) -> tuple[Run, torch.Tensor]:
    """Two positive conditionings and a negative one without a known text, two bins, two pictures, a pooled layer, a
    layer left out, and a warning."""
    latent = latent_of(batch, seed)
    entries = [
        entry(rich_prompt(), batch=batch, counts=(3, 2), seed=seed + 1),
        entry(
            prompt("a dog"),
            batch=batch,
            counts=(0, 7),
            index=1,
            grids=((4, 6), (4, 6), (2, 3), (8, 12)),
            seed=3,
        ),
        entry(None, columns=(0, 1, 5), role="negative", batch=batch, counts=(3, 2), seed=seed + 4),
    ]
    del entries[1].maps[2]
    return run_of(latent, *entries, warnings=["A layer was “left out”.", "Another\nwarning."]), latent


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
    before = heatmaps(recording_of(run), latent)
    after = heatmaps(again, latent_again)
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
    assert json.loads(notes["prompt"]) == ["red …", None, None]
    assert json.loads(notes["count"]) == [[3, 2], [0, 7], [3, 2]]
    assert json.loads(notes["grid"]) == [[8, 12]]
    assert json.loads(notes["tokens"])[0]["first"][:3] == [
        ["start", "", 1.0],
        ["text", "red</w>", 1.3],
        ["text", "cow", 1.0],
    ]


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


def test_a_changed_latent_reads_the_newest_run_as_before_with_the_same_warning(tmp_path):
    run, latent = rich_run()
    recording = recording_of(run)
    matches = write(tmp_path / "changed.safetensors", recording, latent + 1)
    assert not any(match.exact for match in matches)
    again, latent_again = read(tmp_path / "changed.safetensors")
    before, after = heatmaps(recording, latent + 1), heatmaps(again, latent_again)
    assert torch.equal(before.overlay, after.overlay) and before.warnings == after.warnings
    assert "was not made by a sampler" in after.warnings[0]


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
        write(tmp_path / "a.safetensors", recording_of(run), torch.zeros(1, 4, 2, 8, 8))
    assert list(tmp_path.iterdir()) == []


def test_maps_that_are_not_numbers_are_not_saved(tmp_path):
    run = run_of(latent_of(), entry(prompt("cat")))
    run.entries[0].maps[1][0, 0, 1, 2, 0, 0] = float("nan")
    with pytest.raises(
        ValueError, match=r"maps of prompt0.picture0.time0.input.2.0 hold values that are no shares"
    ):
        write(tmp_path / "a.safetensors", recording_of(run), latent_of())
    assert list(tmp_path.iterdir()) == []


def test_a_recording_beyond_what_files_hold_is_not_saved(tmp_path):
    long = prompt(*["cat"] * 101)
    run = run_of(latent_of(), entry(long))
    with pytest.raises(ValueError, match="This recording cannot be saved: .*its length is 7777"):
        write(tmp_path / "a.safetensors", recording_of(run), latent_of())


# -- damaged and foreign files ------------------------------------------------------------------------------


def first_conditioning(**changes):
    def edit(header):
        rows = json.loads(header["__metadata__"]["conditionings"])
        rows[0].update(changes)
        header["__metadata__"]["conditionings"] = json.dumps(rows)

    return edit


def first_tokens(rows):
    def edit(header):
        tokens = json.loads(header["__metadata__"]["tokens"])
        tokens[0]["first"] = rows
        header["__metadata__"]["tokens"] = json.dumps(tokens)

    return edit


MAP = "prompt0.picture0.time0.input.1.0"


@pytest.mark.parametrize(
    ("edit", "fault"),
    [
        (metadata(format="hrv"), "not an attention file .its metadata do not say format hrv_attention"),
        (metadata(format_version="2"), "format version 2; this version of the nodes reads 1"),
        (metadata(layout="[]"), "head layout must be a list"),
        (metadata(layout=json.dumps([["input", 1, 0, 3]] * 2)), "names a layer twice"),
        (metadata(layout=json.dumps([["input", 1, 0, 3]])), "does not belong there"),
        (metadata(count="[["), "count is missing or not JSON"),
        (metadata(count="[]"), "count must be a list of 1 to 1000"),
        (metadata(count="[[1], [2]]"), "not lists of one length"),
        (metadata(count="[[-1], [1], [1]]"), "conditioning 0 is wrong: its counts"),
        (metadata(fingerprints='[["x"]]'), "not SHA-256"),
        (metadata(fingerprints=json.dumps([[]] * 17)), "fingerprints must be a list of 1 to 16"),
        (metadata(warnings="[[1]]"), "warnings are not"),
        (first_conditioning(run=1), "run is 1; it must be 0 to 0"),
        (first_conditioning(pictures=10**9), "number of pictures is 1000000000; it must be 0 to 4096"),
        (first_conditioning(pictures=3), "are missing"),
        (first_conditioning(pictures=1), "does not belong there"),
        (first_conditioning(columns=[3, 2]), "ascending order"),
        (first_conditioning(columns=[0, 154]), "some of its 154 tokens"),
        (first_conditioning(columns=[0, 1]), r"\[3, \d+, 8, 12\]; its head layout, columns"),
        (first_conditioning(length=77), "some of its 77 tokens"),
        (first_conditioning(role="\n"), "its role is"),
        (first_conditioning(role=None), "its role is None"),
        (metadata(conditionings="[1, 2, 3]"), "conditioning 0 is wrong: something is missing or of the wrong kind"),
        (first_tokens([["text", "cat"]]), "a token must be"),
        (first_tokens([[[], "cat", 1.0]]), "something is missing or of the wrong kind"),
        (first_tokens([["text", "cat", 10**400]]), "something is missing or of the wrong kind"),
        (first_tokens([["text", "cat", 1.0]]), "154 columns and 1 tokens"),
        (tensor(MAP, dtype="F32"), "is F32"),
        (tensor(MAP, shape=[3, 12, 8]), r"not \(head, token, height, width\)"),
        (tensor(MAP, shape=[3, 12, 8, 10**9]), "sides up to 4096"),
        (tensor(MAP, shape=[3, 12, 12, 8]), "its head layout, columns and other maps|does not take"),
        (tensor(MAP, data_offsets=[0, 10**15]), "does not take"),
        (tensor("latent", shape=[2, 4, 96]), "no latent"),
        (tensor("latent", shape=[2, 0, 8, 12]), "no latent"),
        (lambda header: header.pop("latent"), "no latent"),
        (lambda header: header.pop(MAP), "are missing"),
        (lambda header: header.update(other=header["latent"]), "'other' that does not belong"),
        (lambda header: header.update({MAP.replace("picture0", "picture00"): header.pop(MAP)}), "does not belong"),
    ],
)  # fmt: skip
def test_a_wrong_header_is_one_line_with_file_and_fault(path, edit, fault):
    def apply(header):
        edit(header)

    path.write_bytes(edited(path.read_bytes(), apply))
    with pytest.raises(BadAttentionFile, match=f"^mine.safetensors: .*({fault})") as error:
        read(path)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


def test_damaged_and_foreign_bytes(path, tmp_path):
    whole = path.read_bytes()
    for data, fault in (
        (b"", "0 bytes"),
        (whole[: len(whole) // 2], "cut off while copying"),
        (whole[:-1], "cut off while copying"),
        (whole + b"\0", "cut off while copying"),
        (whole[:100], "header is longer than the file or than any attention file's"),
        (b"PK\3\4" + whole, "header is longer"),
        (whole[:-2] + b"\0\x7c", "no shares of attention"),  # infinity
        (whole[:-2] + b"\0\xbc", "no shares of attention"),  # -1
    ):
        path.write_bytes(data)
        with pytest.raises(BadAttentionFile, match=fault):
            read(path)
    with pytest.raises(BadAttentionFile, match="mine2.safetensors: cannot be read .No such file"):
        read(path.with_name("mine2.safetensors"))
    with pytest.raises(BadAttentionFile, match="cannot be read .Is a directory"):
        read(tmp_path)


def test_a_header_that_asks_for_much_memory_is_refused_at_once(path):
    whole = path.read_bytes()

    def edit(header):
        header[MAP].update(shape=[3, 12, 4096, 4096], data_offsets=[0, 3 * 12 * 4096 * 4096 * 2])
        header["__metadata__"]["layout"] = json.dumps([["input", 1, 0, 3], *json.loads(LAYOUT.to_json())[1:]])

    path.write_bytes(edited(whole, edit))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BadAttentionFile):
        read(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB


def test_it_is_told_from_other_files_by_its_header(path, tmp_path):
    assert is_attention_file(path)
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "other").write_bytes(b"\x02" + b"\0" * 7 + b"{}")
    (tmp_path / "long").write_bytes(b"\xff" * 100)
    for name in ("empty", "other", "long", "gone"):
        assert not is_attention_file(tmp_path / name)


def mutate_notes(data: bytes, rng: random.Random) -> bytes:
    """One value deep in the metadata's JSON replaced, or one of its letters."""

    def edit(header):
        notes = header["__metadata__"]
        key = rng.choice([name for name in notes if not name.startswith("format")])
        if rng.random() < 0.3:
            place = rng.randrange(len(notes[key]))
            notes[key] = notes[key][:place] + rng.choice('0[{"]},é9') + notes[key][place + 1 :]
        else:
            inner = json.loads(mutate(data_of(json.loads(notes[key])), rng)[8:])
            notes[key] = json.dumps(inner["x"])

    def data_of(value) -> bytes:
        text = json.dumps({"x": value}).encode()
        return len(text).to_bytes(8, "little") + text

    class Deep(random.Random):
        """Draws only the mutation of `mutate` that replaces a value in the JSON."""

        def randrange(self, *bounds):
            return 4 if bounds == (7,) else super().randrange(*bounds)

    outer, rng = rng, Deep(rng.random())
    try:
        return edited(data, edit)
    except KeyError:  # the mutation replaced all of it
        return outer.randbytes(64)


def test_fifteen_hundred_mutated_files(tmp_path):
    """Each loads right or gives one line naming the file; none crashes, hangs or takes 100 MB."""
    rng = random.Random(7)
    path = tmp_path / "mutated.safetensors"
    latent = latent_of(2)
    run = run_of(latent, entry(rich_prompt(), batch=2, grids=((2, 3), (2, 2), (1, 1), (2, 3))))
    write(path, recording_of(run), latent)
    whole, loaded, refused, slowest = path.read_bytes(), 0, 0, 0.0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(1500):
        path.write_bytes(mutate(whole, rng) if number % 2 else mutate_notes(whole, rng))
        start = time.perf_counter()
        try:
            recording, again = read(path)
        except BadAttentionFile as error:
            refused += 1
            assert str(error).startswith("mutated.safetensors: ") and "\n" not in str(error)
            assert len(str(error)) < 400
        else:
            loaded += 1
            if recording.runs[0].entries[0].maps:  # what loads can be written and read again
                write(tmp_path / "again.safetensors", recording, again)
                same_run(read(tmp_path / "again.safetensors")[0].runs[0], recording.runs[0])
        slowest = max(slowest, time.perf_counter() - start)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"{loaded} loaded, {refused} refused, {grown} kB, slowest {slowest:.2f} s")
    assert refused > 800 and loaded > 50, (refused, loaded)
    assert grown < 100_000, f"{grown} kB"
    assert slowest < 5, slowest


def test_a_failed_write_leaves_the_old_file_and_nothing_else(path):
    before = path.read_bytes()
    run, latent = rich_run(seed=9)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))  # as if the disk were full by then
    try:
        with pytest.raises(OSError):
            write(path, recording_of(run), latent)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
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
