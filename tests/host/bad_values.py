"""Values for sockets, as other graphs, packs and models make them: other sizes and batches, recordings and vectors of another
model, NaN, nothing."""

from __future__ import annotations

import rig
import torch


def latents(sampled) -> dict[str, object]:
    good = sampled["sd1"][1]
    bad = good["samples"].clone()
    bad[..., 0] = float("nan")
    return {
        "sampled": good,
        "another model's": sampled["sdxl"][1],
        "not sampled": {"samples": torch.zeros(1, 4, 8, 8)},
        "NaN": {"samples": bad},
        "three pictures": {"samples": good["samples"].repeat(3, 1, 1, 1)},
        "no picture": {"samples": torch.zeros(0, 4, 8, 8)},
        "video": {"samples": torch.zeros(1, 16, 2, 8, 8)},
        "with a noise mask": {**good, "noise_mask": torch.zeros(1, 64, 64)},
        "zero size": {"samples": torch.zeros(1, 4, 0, 8)},
        "sound": {"samples": torch.zeros(1, 8, 100)},
    }


def images() -> dict[str, object]:
    generator = torch.Generator().manual_seed(0)
    rand = lambda *shape: torch.rand(shape, generator=generator)  # noqa: E731
    return {
        "of the latent's size": rand(1, 64, 96, 3),
        "another size": rand(1, 33, 17, 3),
        "one pixel": rand(1, 1, 1, 3),
        "three": rand(3, 64, 96, 3),
        "transparent": rand(1, 64, 96, 4),
        "gray": rand(1, 64, 96, 1),
        "NaN": torch.full((1, 64, 96, 3), float("nan")),
        "too bright": 7 * rand(1, 64, 96, 3) - 3,
        "half precision": rand(1, 64, 96, 3).half(),
        "no picture": rand(0, 64, 96, 3),
        "flat": rand(1, 0, 96, 3),
    }


def masks() -> dict[str, object]:
    half = torch.zeros(1, 64, 96)
    half[..., 48:] = 1
    return {
        "half": half,
        "without batch": half[0],
        "empty": torch.zeros(1, 64, 96),
        "full": torch.ones(1, 64, 96),
        "another size": torch.ones(1, 8, 8),
        "three": half.repeat(3, 1, 1),
        "NaN": half * float("nan"),
        "as a picture": half[..., None],
        "no mask": torch.zeros(0, 64, 96),
    }


def vectors(layouts) -> dict[str, object]:
    from hrv_pack.hrv.relevance.vectors import HeadRelevance

    generator = torch.Generator().manual_seed(0)
    found = {}
    for kind, layout in layouts.items():
        votes = torch.randint(1, 50, (3, layout.heads), generator=generator)
        found[kind] = HeadRelevance.from_votes(
            ("animals", "colors", "material"), votes, layout, {"title": kind}
        )
    one = torch.ones((1, layouts["sd1"].heads), dtype=torch.int64)
    found["one concept"] = HeadRelevance.from_votes(("animals",), one, layouts["sd1"], {})
    return found


def choices_of_heads(layouts) -> dict[str, object]:
    from hrv_pack.hrv.heads.selection import HeadSelection

    found = {}
    for kind, layout in layouts.items():
        found[kind] = HeadSelection(layout, torch.arange(layout.heads) % 3 == 0, "a third")
        found[f"{kind}, none"] = HeadSelection(layout, torch.zeros(layout.heads), "none")
    return found


def socket_values() -> dict[str, dict[str, object]]:
    """Socket → name → value."""
    from hrv_pack.host.follow.rememberer import remember
    from hrv_pack.hrv.recording.recording import Recording

    sampled, recordings, layouts, models, sources = {}, {}, {}, {}, {}
    for kind in ("sd1", "sdxl"):
        studio = rig.studio(kind, positive="a red cat, a dog and 😀 a dog")
        latent = rig.sample(studio.recorded, studio.positive, studio.negative, rig.empty(1, 8, 12), steps=1)
        sampled[kind] = (studio, {"samples": latent})
        remembering, _, sources[kind] = remember(studio.model, None, 2**24)
        rig.sample(remembering, studio.positive, studio.negative, rig.empty(1, 8, 12), steps=1)
        recordings[kind], layouts[kind], models[kind] = (
            studio.recording,
            studio.recording.layout,
            studio.model,
        )
    recordings["nothing recorded"] = Recording(layouts["sd1"], 2**20)
    recordings["another kind of model"] = Recording(
        None, 2**20, problem="This model (Flux) has no cross-attention layers."
    )
    recordings["without text"] = untraced()
    return {
        "MODEL": models,
        "CLIP": {"sd1": rig.clip("sd1"), "sdxl": rig.clip("sdxl")},
        "CONDITIONING": {
            **{kind: rig.encode(rig.clip(kind), "a red cat") for kind in ("sd1", "sdxl")},
            "none": [],
        },
        "LATENT": latents(sampled),
        "IMAGE": images(),
        "MASK": masks(),
        "HRV_ATTENTION": recordings,
        "HRV_VECTORS": vectors(layouts),
        "HRV_HEADS": choices_of_heads(layouts),
        "HRV_SOURCE": {**sources, "nothing remembered": remember(rig.tiny("sd1"), None, 2**24)[2]},
    }


def untraced():
    """A recording whose words are not known."""
    recorded, _, recording = rig.attach(rig.tiny("sd1"), None, rig.RecordOptions())
    prompt = [[torch.randn(1, 77, 24, generator=torch.Generator().manual_seed(2)), {}]]
    rig.sample(recorded, prompt, prompt, rig.empty(1, 8, 12), steps=1)
    return recording
