"""Whole samplings with and without the recorder, on the CPU."""

import bench


def measure(quick: bool) -> list[bench.Row]:
    import models
    import rig
    import torch

    from hrv_pack.host.store import demo_checkpoint

    rows = []
    model, clip, _ = demo_checkpoint.load()
    found = bench.paired(
        *_samplings(rig, model, clip, torch.zeros(1, 4, 32, 32), steps=20), 2 if quick else 9
    )
    rows.append(found.row("whole run, demo checkpoint, 20 steps", 1.10, "256², euler, cfg 7"))
    del model, clip
    side, pairs = (16, 1) if quick else (64, 5)
    model = models.random_model(models.SD1, shared=True)
    clip = models.random_clip(models.SD1["context_dim"])
    found = bench.paired(*_samplings(rig, model, clip, torch.zeros(1, 4, side, side), steps=2), pairs)
    rows.append(
        found.row("whole run, full-size SD1.5, 2 steps", 1.02, f"{side * 8}², random weights, float32, cfg 7")
    )
    return rows


def _samplings(rig, model, clip, latent, steps: int):
    """(plain, recorded): functions that sample, the second with a recorder whose latent must be the same."""
    import torch

    recorded, traced, _ = rig.attach(model, clip, rig.RecordOptions())
    positive, negative = (bench.encode(traced, text) for text in ("a large striped red star on grass", ""))
    latents = []

    def sample(one):
        latents.append(rig.sample(one, positive, negative, {"samples": latent}, steps=steps))
        if not torch.equal(latents[0], latents[-1]):
            raise SystemExit("The recorder changed the latent.")

    return (lambda: sample(model)), (lambda: sample(recorded))
