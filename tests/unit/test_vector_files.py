"""Head relevance files: round trips, refusals before memory is taken, writing that leaves no half files."""

import json
import random
import time

import pytest
import torch
from limits import full_disk, peak_memory
from safetensors import safe_open

from hrv_pack.hrv.files import tensor_files
from hrv_pack.hrv.files.vector_files import BadVectorFile, read, read_header, write
from hrv_pack.hrv.heads.known_layouts import SD1
from hrv_pack.hrv.relevance.vectors import HeadRelevance

CONCEPTS = ("Animals", "Farbe – Café", "Time of Day")
METADATA = {"model": "my.safetensors", "source": "here", "construction": '{"seed": 1}', "title": "Mine"}


@pytest.fixture
def vectors() -> HeadRelevance:
    votes = torch.randint(0, 99, (3, 128), generator=torch.Generator().manual_seed(0))
    return HeadRelevance.from_votes(CONCEPTS, votes, SD1, METADATA)


@pytest.fixture
def path(tmp_path, vectors):
    write(tmp_path / "mine.safetensors", vectors)
    return tmp_path / "mine.safetensors"


def test_round_trip_to_the_last_bit(path, vectors):
    again = read(path)
    assert torch.equal(again.relevance, vectors.relevance) and torch.equal(again.votes, vectors.votes)
    assert (again.concepts, again.layout, again.metadata) == (CONCEPTS, SD1, METADATA)
    assert read_header(path).concepts == CONCEPTS


def test_other_programs_can_read_it(path, vectors):
    with safe_open(path, "pt") as file:
        assert torch.equal(file.get_tensor("relevance"), vectors.relevance)
        metadata = file.metadata()
    assert metadata["format"] == "hrv" and metadata["format_version"] == "1"
    assert metadata["modelspec.title"] == "Mine"
    assert json.loads(metadata["concepts"]) == list(CONCEPTS)
    assert json.loads(metadata["layout"])[0] == ["input", 1, 0, 8]


def test_votes_are_optional(tmp_path):
    write(tmp_path / "v.safetensors", HeadRelevance(("a", "b"), torch.ones(2, 128), SD1))
    again = read(tmp_path / "v.safetensors")
    assert again.votes is None and again.metadata == {}


def edited(data: bytes, edit) -> bytes:
    """The file with its JSON header changed by `edit(header)`."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    text = json.dumps(edit(header) or header).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def metadata(**changes):
    return lambda header: header["__metadata__"].update(changes)


def tensor(name: str, **changes):
    return lambda header: header[name].update(changes)


@pytest.mark.parametrize(
    ("edit", "fault"),
    [
        (metadata(format="pt"), "not a head relevance file"),
        (metadata(format_version="2"), "format version 2; this version of the nodes reads 1"),
        (metadata(concepts="{}"), "concepts are not a list"),
        (metadata(concepts="["), "concepts are not JSON"),
        (metadata(concepts=json.dumps(["x"] * 3)), "twice"),
        (metadata(concepts=json.dumps([f"c{i}" for i in range(1001)])), "1001 concepts; 1 to 1000"),
        (metadata(layout="[]"), "head layout must be a list"),
        (metadata(layout='[["input", 1, 0, 100001]]'), "out of range"),
        (metadata(layout=json.dumps([["input", 1, 0, 60000]] * 2)), "120000 heads; at most 100000"),
        (metadata(layout=json.dumps([["input", 1, 0, 64]])), r"\[3, 128\]; its concepts and heads ask for ... \[3, 64\]"),
        (metadata(construction="{"), "construction is not JSON"),
        (metadata(model="\ud800"), "surrogates"),
        (tensor("relevance", dtype="F16"), "relevance is F16"),
        (tensor("relevance", shape=[3, 128, 1]), "ask for F32"),
        (tensor("relevance", data_offsets=[0, 10**15]), "does not take 1536 bytes"),
        (tensor("relevance", data_offsets=[-1536, 0]), "does not take 1536 bytes"),
        (tensor("relevance", data_offsets=[1, 1537]), "overlap or leave gaps"),
        (lambda header: header.pop("relevance"), "not described|no tensor named relevance"),
        (lambda header: header.update(other=header["votes"]), "'other' that does not belong"),
        (lambda header: header.update(__metadata__={"format": 1}), "metadata are not strings"),
        (lambda header: ["a list"], "not a list of tensors"),
    ],
)  # fmt: skip
def test_a_wrong_header_is_one_line_with_file_and_fault(path, edit, fault):
    def apply(header):
        result = edit(header)
        return result if isinstance(result, list) else None

    path.write_bytes(edited(path.read_bytes(), apply))
    with pytest.raises(BadVectorFile, match=f"^mine.safetensors: .*({fault})") as error:
        read(path)
    assert "\n" not in str(error.value)


def test_damaged_bytes(path, vectors):
    whole = path.read_bytes()
    for data, fault in (
        (b"", "0 bytes"),
        (whole[:-1], "cut off while copying"),
        (whole + b"\0", "cut off while copying"),
        (b"\xff" * 8 + whole[8:], "header is longer"),
        (whole[:8] + b"[" * 2000 + whole[2008:], "header is not valid|nested too deeply"),
        (whole[:-4] + b"\xff\xff\xff\xff", "not numbers|negative votes"),
    ):
        path.write_bytes(data)
        with pytest.raises(BadVectorFile, match=fault):
            read(path)
    with pytest.raises(BadVectorFile, match="mine2.safetensors: cannot be read .No such file"):
        read(path.with_name("mine2.safetensors"))


def test_a_header_that_asks_for_much_memory_is_refused_at_once(tmp_path):
    layout, concepts = json.dumps([["input", 1, 0, 100000]]), json.dumps([f"c{i}" for i in range(1000)])
    header = {
        "__metadata__": {"format": "hrv", "format_version": "1", "concepts": concepts, "layout": layout},
        "relevance": {"dtype": "F32", "shape": [1000, 100000], "data_offsets": [0, 400_000_000]},
    }
    text = json.dumps(header).encode()
    (tmp_path / "big.safetensors").write_bytes(len(text).to_bytes(8, "little") + text)
    before = peak_memory()
    with pytest.raises(BadVectorFile, match="asks for 4000"):
        read(tmp_path / "big.safetensors")
    assert peak_memory() - before < 50_000  # kB


JUNK = (
    None,
    True,
    -1,
    0,
    2**63,
    10**30,
    1.5,
    "",
    "F32",
    [],
    {},
    [[]] * 9,
    ["input", 1, 0, 8],
    "[" * 5000,
    "é\0",
)


def mutate(data: bytes, rng: random.Random) -> bytes:
    """One of: bytes changed, cut, repeated or put in; header length changed; a value of the header replaced."""
    kind = rng.randrange(7)
    if kind == 0:
        return data[: rng.randrange(len(data))]
    if kind == 1:
        return data + rng.randbytes(rng.randrange(1, 64))
    if kind == 2:
        return rng.randrange(2**64).to_bytes(8, "little") + data[8:]
    if kind == 3:
        place = rng.randrange(len(data))
        return data[:place] + rng.randbytes(rng.randrange(1, 9)) + data[place:]
    if kind == 4:

        def replace(header):
            node, key = header, rng.choice(list(header))
            while isinstance(node[key], dict | list) and node[key] and rng.random() < 0.8:
                node = node[key]
                key = rng.choice(list(node)) if isinstance(node, dict) else rng.randrange(len(node))
            node[key] = rng.choice(JUNK)

        return edited(data, replace)
    changed = bytearray(data)
    region = len(data) if kind == 5 else 8 + int.from_bytes(data[:8], "little")
    for _ in range(rng.randrange(1, 6)):
        changed[rng.randrange(region)] = rng.randrange(256)
    return bytes(changed)


def test_two_thousand_mutated_files(tmp_path, vectors):
    """Each loads right or gives one line naming the file; none crashes, hangs or takes 100 MB."""
    rng = random.Random(7)
    path = tmp_path / "mutated.safetensors"
    write(path, vectors)
    whole, loaded, refused, slowest = path.read_bytes(), 0, 0, 0.0
    before = peak_memory()
    for _ in range(2000):
        path.write_bytes(mutate(whole, rng))
        start = time.perf_counter()
        try:
            again = read(path)
        except BadVectorFile as error:
            refused += 1
            assert (
                str(error).startswith("mutated.safetensors: ")
                and "\n" not in str(error)
                and len(str(error)) < 400
            )
        else:
            loaded += 1
            assert again.relevance.shape == (len(again.concepts), again.layout.heads)
            write(tmp_path / "again.safetensors", again)  # what loads can be written and read again
            assert torch.equal(read(tmp_path / "again.safetensors").relevance, again.relevance)
        slowest = max(slowest, time.perf_counter() - start)
    grown = peak_memory() - before
    assert refused > 1500 and loaded > 5, (refused, loaded)
    assert grown < 100_000, f"{grown} kB"
    assert slowest < 5, slowest


def test_a_failed_write_leaves_the_old_file_and_nothing_else(path, vectors):
    before = path.read_bytes()
    with full_disk(1000), pytest.raises(OSError):  # as if the disk were full after 1000 bytes
        write(path, vectors)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_an_interrupted_replace_leaves_nothing_behind(path, vectors, monkeypatch):
    def interrupt(source, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(tensor_files.os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(path, vectors)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
