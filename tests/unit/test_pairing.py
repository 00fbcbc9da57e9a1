"""Images beside the runs that they came from."""

import re

import pytest
import torch
from prompts import prompt
from synthetic import LAYOUT, entry, run_of

from hrv_pack.hrv.look.compare import compare
from hrv_pack.hrv.look.heatmap import heatmaps
from hrv_pack.hrv.look.lens import look
from hrv_pack.hrv.maps.pairing import pair, warnings_of
from hrv_pack.hrv.recording.recording import Match, Recording, Run
from hrv_pack.hrv.relevance.vectors import HeadRelevance
from hrv_pack.hrv.report.report import report

NODES = {
    "Attention Heatmap": lambda r, x, image: heatmaps(r, x, image=image),
    "Attention Lens": lambda r, x, image: look(r, x, image),
    "Prompt Report": lambda r, x, image: report(r, x, image),
    "Compare Concepts": lambda r, x, image: compare(r, x, "cat", vectors(), image=image),
}


def vectors():
    votes = torch.randint(1, 9, (2, LAYOUT.heads), generator=torch.Generator().manual_seed(0))
    return HeadRelevance.from_votes(("Animals", "Colors"), votes, LAYOUT, {})


def recorded(count=1, size=(8, 8)):
    latent = torch.randn(count, 4, *size, generator=torch.Generator().manual_seed(0))
    recording = Recording(LAYOUT, 2**30)
    recording.add(run_of(latent, entry(prompt("a red cat"), batch=count)))
    return recording, latent


@pytest.mark.parametrize("node", NODES)
def test_an_image_of_another_shape_is_one_sentence(node):
    """Case B4, in every node that lays heat over an image."""
    recording, latent = recorded(size=(32, 32))
    with pytest.raises(ValueError) as error:
        NODES[node](recording, latent, torch.rand(1, 384, 768, 3))
    assert str(error.value).startswith(
        "The image is 768×384 pixels, but the latent belongs to an image of 256×256, which has another shape"
    )
    assert "An enlarged image is fine; a cropped or stretched one is not." in str(error.value)
    NODES[node](recording, latent, torch.rand(1, 384, 384, 3))


@pytest.mark.parametrize("width", [61, 64, 67])
def test_a_few_pixels_more_or_less_are_fine(width):
    recording, latent = recorded()
    assert len(pair(recording, latent, torch.rand(1, 64, width, 3))[1]) == 1


@pytest.mark.parametrize("width", [60, 68])
def test_more_is_not(width):
    recording, latent = recorded()
    with pytest.raises(ValueError, match=re.escape(f"The image is {width}×64 pixels")):
        pair(recording, latent, torch.rand(1, 64, width, 3))


def test_batches():
    recording, latent = recorded(3)
    matches, images = pair(recording, latent, None)
    assert [m.element for m in matches] == [0, 1, 2] and images == [None] * 3
    image = torch.rand(3, 64, 64, 3)
    assert all(torch.equal(a, b) for a, b in zip(pair(recording, latent, image)[1], image, strict=True))
    assert len(pair(recording, latent, image[:1])[1]) == 3
    matches, images = pair(recording, latent[1:2], image)
    assert [m.element for m in matches] == [1, 1, 1] and len(images) == 3
    with pytest.raises(ValueError, match="image batch has 2 images, the latent batch 3"):
        pair(recording, latent, image[:2])
    with pytest.raises(ValueError, match="The image is empty"):
        pair(recording, latent, image[:0])
    with pytest.raises(ValueError, match=r"must be \(batch, height, width, channel\)"):
        pair(recording, latent, image[0])


def test_each_sentence_once():
    one, two = Run(LAYOUT, warnings=["a", "b"]), Run(LAYOUT, warnings=["b", "c"])
    matches = [Match(one, 0, False, "note"), Match(one, 1, False, "note"), Match(two, 0, True)]
    assert warnings_of(matches) == ["note", "a", "b", "c"]
