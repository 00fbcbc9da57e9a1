"""The map follows the word: on the demo model, heat lies in the object that the word names."""

import numpy as np
import pytest
import rig
import torch

from hrv_pack.host.store.demo_checkpoint import load
from hrv_pack.hrv.maps.word_maps import Target, word_maps
from hrv_pack.hrv.recording.sums import resize_maps
from tools.train_demo.draw import render
from tools.train_demo.world import full_caption, sample_scene

SCENES = 20
FIRST_SEED = 7_000_000  # none of the training scenes


def two_object_scenes() -> list:
    """Scenes whose caption names each object's kind exactly once."""
    scenes, rng = [], np.random.default_rng(FIRST_SEED)
    while len(scenes) < SCENES:
        scene = sample_scene(rng, two_objects=1.0)
        words = full_caption(scene).split()
        if all(words.count(thing.kind) == 1 for thing in scene.things):
            scenes.append(scene)
    return scenes


@torch.inference_mode()
def heat_of_words(model, recording, clip, vae, scene) -> tuple[torch.Tensor, torch.Tensor]:
    """Img2img from the scene's own picture with its own caption: heat and exact mask of each object, both
    (object, height, width) on the attention grid."""
    picture, masks = render(scene)
    latent = vae.encode(torch.from_numpy(picture).float().div(255)[None])
    prompt = clip.encode_from_tokens_scheduled(clip.tokenize(full_caption(scene)))
    made = rig.sample(
        model, prompt, prompt, {"samples": latent}, seed=scene.seed, steps=3, cfg=1.0, denoise=0.55
    )
    (match,) = recording.match(made)
    assert match.exact and match.run.warnings == []
    (entry,) = match.run.of_role("positive")
    targets = [Target(((entry, entry.prompt.find(thing.kind).columns),)) for thing in scene.things]
    heat = word_maps(match, targets)
    return heat, resize_maps(torch.from_numpy(np.asarray(masks)).float(), heat.shape[-2:])


def mean_inside(heat: torch.Tensor, mask: torch.Tensor) -> float:
    return float((heat * mask).sum() / mask.sum())


@pytest.fixture(scope="module")
def agreement() -> list[bool]:
    """For each object of each scene: its word is hotter inside it than inside the other object."""
    model, clip, vae = load()
    recorded, traced, recording = rig.attach(model, clip, rig.RecordOptions())
    own_is_hotter = []
    for scene in two_object_scenes():
        heat, masks = heat_of_words(recorded, recording, traced, vae, scene)
        for own, other in ((0, 1), (1, 0)):
            own_is_hotter.append(mean_inside(heat[own], masks[own]) > mean_inside(heat[own], masks[other]))
    return own_is_hotter


def test_the_map_follows_the_word(agreement):
    assert len(agreement) == 2 * SCENES
    assert sum(agreement) / len(agreement) >= 0.9
