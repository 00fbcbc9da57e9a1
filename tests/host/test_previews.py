"""What nodes show: every image once, in ComfyUI's temp folder, small where they are many."""

import os

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image


@pytest.fixture(scope="module")
def preview(comfy):
    from hrv_pack.host.page.previews import preview

    return preview


def smooth(count, height, width):
    coarse = torch.rand(count, 3, 6, 5, generator=torch.Generator().manual_seed(0))
    large = F.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)
    return large.movedim(1, -1).contiguous()


def read(comfy, shown):
    """(format, float32 (height, width, 3)) of each file, as the page finds it."""
    found = []
    for place in shown["images"]:
        assert set(place) == {"filename", "subfolder", "type"} and place["type"] == "temp"
        path = os.path.join(comfy.folder_paths.get_temp_directory(), place["subfolder"], place["filename"])
        with Image.open(path) as image:
            found.append((image.format, np.asarray(image).astype(np.float32) / 255))
    assert len({place["filename"] for place in shown["images"]}) == len(found)
    return found


@pytest.mark.parametrize(
    ("count", "size", "format", "shown_size"),
    [
        (1, (640, 480), "PNG", (640, 480)),
        (9, (1024, 100), "PNG", (1024, 100)),
        (2, (2048, 1536), "PNG", (1024, 768)),
        (10, (640, 480), "JPEG", (512, 384)),
        (36, (100, 200), "JPEG", (100, 200)),
        (37, (240, 480), "JPEG", (192, 384)),
    ],
)
def test_few_are_as_they_are_and_many_are_small(comfy, preview, count, size, format, shown_size):
    images = smooth(count, *size)
    found = read(comfy, preview(images))
    assert len(found) == count
    for image, (kind, pixels) in zip(images, found, strict=True):
        assert kind == format and pixels.shape == (*shown_size, 3)
        expected = (
            F.interpolate(image.movedim(-1, 0)[None], shown_size, mode="area")[0].movedim(0, -1).numpy()
        )
        assert np.abs(pixels - expected).max() < (0.02 if format == "PNG" else 0.06)


def test_a_few_pages_of_type_keep_their_size(comfy, preview):
    assert [pixels.shape for _, pixels in read(comfy, preview(smooth(2, 1500, 700), legible=True))] == [
        (1500, 700, 3)
    ] * 2
    assert max(read(comfy, preview(smooth(10, 1500, 70), legible=True))[0][1].shape) == 512


def test_two_previews_never_share_files(comfy, preview):
    first, second = (preview(torch.full((12, 8, 8, 3), shade)) for shade in (0.0, 1.0))
    assert [pixels.mean() for _, pixels in read(comfy, first)] == [0.0] * 12
    assert [pixels.mean() for _, pixels in read(comfy, second)] == [1.0] * 12


def test_a_folder_with_letters_of_any_language(comfy, preview, monkeypatch, tmp_path):
    folder = tmp_path / "временная 図"
    monkeypatch.setattr(comfy.folder_paths, "get_temp_directory", lambda: str(folder))
    assert len(read(comfy, preview(torch.zeros(10, 8, 8, 3)))) == 10


def test_values_beyond_white_and_black_are_white_and_black(comfy, preview):
    images = torch.cat([torch.full((5, 8, 8, 3), 1.5), torch.full((5, 8, 8, 3), -0.5)])
    means = [float(pixels.mean()) for _, pixels in read(comfy, preview(images))]
    assert means == [1.0] * 5 + [0.0] * 5


def test_the_heatmaps_previews_are_small_and_its_outputs_are_not(comfy):
    import rig

    studio = rig.studio("sdxl", positive=", ".join(f"{n} cats" for n in range(12)))
    latent = {"samples": rig.sample(studio.recorded, studio.positive, studio.negative)}
    result, shown = comfy.run_node_ui(
        "HRVHeatmap", attention=studio.recording, latent=latent, image=torch.rand(1, 400, 600, 3), unit="tags"
    )
    found = read(comfy, shown)
    assert len(found) == len(result[3]) == 12 and result[0].shape[1] > 400 and result[0].shape[2] == 600
    assert all(kind == "JPEG" and max(pixels.shape) == 512 for kind, pixels in found)
    assert shown["animated"] == (False,)
