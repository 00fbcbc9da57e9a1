"""The catalogue, and the published `.npy` files, which are never unpickled."""

import dataclasses
import hashlib
import io
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from hrv_pack.hrv.files.catalogue import convert, convert_by_hand, read_catalogue
from hrv_pack.hrv.files.vector_files import BadVectorFile, read, write
from hrv_pack.hrv.heads.known_layouts import KNOWN, SD1

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = Path(os.environ.get("HRV_PUBLISHED_VECTORS") or ROOT.parent / "shared" / "data" / "hrv_published")
CATALOGUE = read_catalogue(ROOT / "hrv_data" / "catalogue.json")


def npy(array: np.ndarray, **options) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def relevance(heads: int = 128, seed: int = 0) -> np.ndarray:
    """Made-up vectors in the shape of the published ones: float32 (34, heads), rows summing to heads."""
    rows = np.random.default_rng(seed).random((34, heads))
    return (rows / rows.sum(1, keepdims=True) * heads).astype(np.float32)


def entry_for(data: bytes, layout: str = "SD1"):
    entry = next(entry for entry in CATALOGUE if entry.layout == layout)
    return dataclasses.replace(entry, size=len(data), sha256=hashlib.sha256(data).hexdigest())


def test_catalogue_says_what_an_artist_may_want_to_know():
    assert [entry.layout for entry in CATALOGUE] == ["SD1", "SDXL"]
    for entry in CATALOGUE:
        assert entry.shape == (34, KNOWN[entry.layout].heads)
        assert entry.concepts[0] == "Animals" and entry.concepts[-1] == "Geometric Patterns"
        assert entry.licence == "Apache-2.0" and "2412.02237" in entry.citation
        assert entry.original.startswith("category_vectors_") and entry.file.endswith(".safetensors")


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.layout)
def test_the_published_files_convert_without_any_change(entry, tmp_path):
    if not (PUBLISHED / entry.original).is_file():
        pytest.skip("the published files are not here; HRV_PUBLISHED_VECTORS may name a folder with them")
    vectors = convert((PUBLISHED / entry.original).read_bytes(), entry)
    write(tmp_path / entry.file, vectors)
    published = torch.from_numpy(np.load(PUBLISHED / entry.original, allow_pickle=False))
    assert torch.equal(read(tmp_path / entry.file).relevance, published)
    csv = (PUBLISHED / "340_final_text_list.csv").read_text(encoding="utf-8-sig").splitlines()
    assert list(entry.concepts) == [line for line in csv if line and not line[0].isdigit()]


def test_other_bytes_are_refused():
    data = npy(relevance())
    entry = entry_for(data)
    assert torch.equal(convert(data, entry).relevance, torch.from_numpy(relevance()))
    with pytest.raises(ValueError, match="not the published file"):
        convert(data[:-1] + b"\0", entry)
    with pytest.raises(ValueError, match="another order"):
        convert(data, dataclasses.replace(entry, head_index_sha256="0" * 64))


class Trap:
    def __reduce__(self):
        return (pytest.fail, ("something was unpickled",))


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (npy(np.array([[Trap()] * 128] * 34, dtype=object), allow_pickle=True), "holds object"),
        (pickle.dumps(Trap()), "not a .npy file"),
        (b"", "not a .npy file"),
        (npy(relevance())[:-4], "cut off"),
        (npy(relevance()) + b"\0\0\0\0", "more bytes"),
        (npy(relevance().astype(np.float64)), "float64"),
        (npy(relevance(100)), r"float32 \(34, 100\); expected float32 \(34, 128\) or \(34, 1300\)"),
        (npy(np.asfortranarray(relevance())), "expected float32"),
        (npy(relevance() * 2), "'Animals' adds up to 256"),
        (b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535, "not a .npy file"),
        (b"\x93NUMPY\x09\x00" + npy(relevance())[8:], "not a .npy file"),
    ],
)
def test_a_foreign_npy_is_one_line(tmp_path, data, fault):
    (tmp_path / "mine.npy").write_bytes(data)
    with pytest.raises(BadVectorFile, match=f"^mine.npy: .*{fault}") as error:
        convert_by_hand(tmp_path / "mine.npy", CATALOGUE)
    assert "\n" not in str(error.value) and len(str(error.value)) < 300


def test_somebody_elses_npy_of_the_same_shape_is_read_and_says_what_is_assumed(tmp_path):
    (tmp_path / "finetune.npy").write_bytes(npy(relevance(1300)))
    vectors = convert_by_hand(tmp_path / "finetune.npy", CATALOGUE)
    assert vectors.heads == 1300 and "assumed to have" in vectors.metadata["source"]
    (tmp_path / "sd1.npy").write_bytes(npy(relevance()))
    assert convert_by_hand(tmp_path / "sd1.npy", CATALOGUE).layout == SD1
