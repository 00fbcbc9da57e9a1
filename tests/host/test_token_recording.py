"""Recording transformers: of each family the maps are what its attention computed, and the image is the same."""

import comfy.ldm.modules.attention as attention
import pytest
import token_rig
import torch
from token_rig import SHAPES, draw, empty, prompt, studio, watch, witness

BACKENDS = ("attention_sub_quad", "attention_pytorch", "attention_split")
HALF = 2e-3  # a value in half precision, as a share of itself


FAMILIES = token_rig.known()


@pytest.mark.parametrize("family", FAMILIES)
def test_maps_are_the_attention(family):
    shape, found = SHAPES[family], studio(family)
    positive, negative = prompt(family, 9), prompt(family, 12, seed=1)
    latent = empty(family, batch=2)
    with watch(found.recorded) as (watched, calls):
        samples = draw(watched, positive, negative, latent)
    assert torch.equal(samples, draw(found.model, positive, negative, latent))
    run = found.run
    assert not run.warnings
    assert [(block.part, block.heads) for block in run.layout.blocks] == list(shape.layers)
    (entry,) = run.entries
    assert entry.role == "positive" and entry.count() == 2 and entry.batch == 2 and entry.has_mass
    place = shape.place(9, 10, 14)
    own = [call for call in calls if call.chunks == [0] and call.q.shape[2] == call.k.shape[2] == place.total]
    layers = len(shape.layers)
    expected = witness(own, place, slice(0, 2), layers)
    assert len(own) == 2 * layers and sorted(entry.maps) == list(range(layers))
    kept = [*entry.columns, 9]
    for number, sums in enumerate(expected):
        maps = entry.maps[number][:, 0].double()
        assert maps.shape == (2, shape.layers[number][1], len(kept), *place.grid)
        assert torch.allclose(maps, sums[:, :, kept], rtol=HALF, atol=1e-7)
    assert found.recording.match(samples)[1].element == 1
    assert "optimized_attention_override" not in found.recorded.model_options["transformer_options"]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_image_is_the_same_with_every_backend(family, backend, monkeypatch):
    import sys

    chosen = getattr(attention, backend)
    for module in list(sys.modules.values()):
        for name in ("optimized_attention", "optimized_attention_masked"):
            if getattr(module, "__name__", "").startswith("comfy.ldm") and hasattr(module, name):
                monkeypatch.setattr(module, name, chosen)
    found = studio(family)
    positive, negative, latent = prompt(family), prompt(family, seed=1), empty(family)
    plain = draw(found.model, positive, negative, latent, steps=1)
    assert plain.isfinite().all() and torch.equal(
        plain, draw(found.recorded, positive, negative, latent, steps=1)
    )
    assert len(found.run.entries[0].maps) == len(SHAPES[family].layers)
