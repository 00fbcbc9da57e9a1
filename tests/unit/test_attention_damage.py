"""Damaged, foreign and mutated attention files: one line with the fault, before memory is taken."""

import json
import random
import time

import pytest
from limits import peak_memory
from rich_recordings import latent_of, recording_of, rich_prompt, rich_run
from synthetic import LAYOUT, entry, run_of, same_run
from test_vector_files import edited, metadata, mutate, tensor

from hrv_pack.hrv.files.attention_files import BadAttentionFile, is_attention_file, read, write
from hrv_pack.hrv.maps.pairing import warnings_of
from hrv_pack.hrv.recording.recording import NoRecording


@pytest.fixture
def path(tmp_path):
    run, latent = rich_run()
    write(tmp_path / "mine.safetensors", recording_of(run), latent)
    return tmp_path / "mine.safetensors"


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
        (metadata(format_version="3"), "format version 3; this version of the nodes reads 1 and 2"),
        (metadata(layout="[]"), "head layout must be a list"),
        (metadata(layout=json.dumps([["input", 1, 0, 3]] * 2)), "names a layer twice"),
        (metadata(layout=json.dumps([["input", 1, 0, 3]]), layer_count="[null, null, null]"), "does not belong there"),
        (metadata(count="[["), "count is missing or not JSON"),
        (metadata(count="[]"), "count must be a list of 1 to 1000"),
        (metadata(count="[[1], [2]]"), "not lists of one length"),
        (metadata(count="[[-1], [1], [1]]"), "conditioning 0 is wrong: its counts"),
        (metadata(layer_count="{}"), "layer_count must be a list of 3 to 3"),
        (metadata(layer_count="[null, null]"), "layer_count must be a list of 3 to 3"),
        (metadata(layer_count='[{"input.9.0": [1, 1]}, null, null]'), "names layers that its head layout does not have"),
        (metadata(layer_count="[[1, 1], null, null]"), "names layers that its head layout does not have"),
        (metadata(layer_count='[{"input.1.0": [1]}, null, null]'), "layer_count of input.1.0 is not like its count"),
        (metadata(layer_count='[{"input.1.0": [-1, 2]}, null, null]'), "layer_count of input.1.0 is not like its count"),
        (metadata(layer_count='[{"input.1.0": [1, 9999999]}, null, null]'), "layer_count of input.1.0 is not like its"),
        (metadata(fingerprints='[["x"]]'), "not SHA-256"),
        (metadata(fingerprints=json.dumps([[]] * 257)), "fingerprints must be a list of 1 to 256"),
        (metadata(other_fingerprints='[{"x": 0}]'), "other fingerprints are not SHA-256 sums with places"),
        (metadata(other_fingerprints=json.dumps([{"0" * 64: -1}])), "other fingerprints are not SHA-256 sums with places"),
        (metadata(other_fingerprints="[{}, {}]"), "other fingerprints are not SHA-256 sums with places"),
        (metadata(warnings="[[1]]"), "warnings are not"),
        (first_conditioning(run=1), "run is 1; it must be 0 to 0"),
        (first_conditioning(pictures=10**9), "number of images is 1000000000; it must be 0 to 4096"),
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
        (whole[:-2] + b"\0\x7c", "not shares of attention"),  # infinity
        (whole[:-2] + b"\0\xbc", "not shares of attention"),  # -1
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
    before = peak_memory()
    with pytest.raises(BadAttentionFile):
        read(path)
    assert peak_memory() - before < 50_000  # kB


def test_it_is_told_from_other_files_by_its_header(path, tmp_path):
    assert is_attention_file(path)
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "other").write_bytes(b"\x02" + b"\0" * 7 + b"{}")
    (tmp_path / "long").write_bytes(b"\xff" * 100)
    for name in ("empty", "other", "long"):
        assert not is_attention_file(tmp_path / name)
    with pytest.raises(OSError):  # it may be there again in a moment
        is_attention_file(tmp_path / "gone")


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
    before = peak_memory()
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
                try:
                    matches = write(tmp_path / "again.safetensors", recording, again)
                except NoRecording:  # the mutation was in the latent, or in its name
                    continue
                expected = recording.runs[0]
                expected.warnings = warnings_of(matches)
                same_run(read(tmp_path / "again.safetensors")[0].runs[0], expected)
        slowest = max(slowest, time.perf_counter() - start)
    grown = peak_memory() - before
    print(f"{loaded} loaded, {refused} refused, {grown} kB, slowest {slowest:.2f} s")
    assert refused > 800 and loaded > 50, (refused, loaded)
    assert grown < 100_000, f"{grown} kB"
    assert slowest < 5, slowest
