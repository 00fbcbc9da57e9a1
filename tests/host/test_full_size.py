"""SD1.5 and SDXL at full size with random weights: heads counted and numbered, and the latent unchanged."""

import models
import pytest
import rig
import torch

EXPECTED = {
    # part, block: first and last head; docs/formulas.md, "Head order"
    "sd1": {
        ("input", 1): (0, 7), ("input", 2): (8, 15), ("input", 4): (16, 23), ("input", 5): (24, 31),
        ("input", 7): (32, 39), ("input", 8): (40, 47), ("middle", 0): (48, 55), ("output", 3): (56, 63),
        ("output", 4): (64, 71), ("output", 5): (72, 79), ("output", 6): (80, 87), ("output", 7): (88, 95),
        ("output", 8): (96, 103), ("output", 9): (104, 111), ("output", 10): (112, 119), ("output", 11): (120, 127),
    },
    "sdxl": {
        ("input", 4): (0, 19), ("input", 5): (20, 39), ("input", 7): (40, 239), ("input", 8): (240, 439),
        ("middle", 0): (440, 639), ("output", 0): (640, 839), ("output", 1): (840, 1039), ("output", 2): (1040, 1239),
        ("output", 3): (1240, 1259), ("output", 4): (1260, 1279), ("output", 5): (1280, 1299),
    },
}  # fmt: skip


@pytest.mark.parametrize(("kind", "config"), [("sd1", models.SD1), ("sdxl", models.SDXL)])
def test_full_size(kind, config):
    """In float32, which a CPU is several times quicker at."""
    model = models.random_model(config, shared=True)
    positive = models.conditioning(77, config["context_dim"], seed=1, pooled=1280)
    negative = models.conditioning(77, config["context_dim"], seed=2, pooled=1280)
    recorded, _, recording = rig.attach(model, None, rig.RecordOptions())

    def draw(one):
        return rig.sample(one, positive, negative, rig.empty(1, 16, 16), steps=1)

    plain = draw(model)
    assert plain.isfinite().all() and plain.std() > 0
    assert torch.equal(plain, draw(recorded))

    layout = recording.layout
    assert layout.heads == {"sd1": 128, "sdxl": 1300}[kind]
    spans = {}
    for number, block in enumerate(layout.blocks):
        first, _ = spans.get((block.part, block.index), (layout.span(number).start, None))
        spans[block.part, block.index] = (first, layout.span(number).stop - 1)
    assert spans == EXPECTED[kind]

    found = rig.entry(recording)
    assert rig.last_run(recording).warnings == []
    assert sum(maps.shape[2] for maps in found.maps.values()) == layout.heads
    for number, block in enumerate(layout.blocks):
        total = found.maps[number].float().sum(dim=3)
        assert total.shape[:3] == (1, 1, block.heads)
        assert torch.allclose(total, torch.ones_like(total), atol=0.02), (
            f"layer {block}: all tokens add up to one"
        )
