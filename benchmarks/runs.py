"""Whole samplings with and without the recorder, on the CPU."""

import bench
import samplings


def measure(quick: bool) -> list[bench.Row]:
    import models

    from hrv_pack.host.store import demo_checkpoint

    model, clip, _ = demo_checkpoint.load()
    found = bench.paired(*_pair(model, clip, 32, steps=20), 2 if quick else 9)
    rows = [found.row("whole run, demo checkpoint, 20 steps", 1.10, "256², euler, cfg 7")]
    side, pairs = (16, 1) if quick else (64, 5)
    model = models.random_model(models.SD1, shared=True)
    clip = models.random_clip(models.SD1["context_dim"])
    found = bench.paired(*_pair(model, clip, side, steps=2), pairs)
    note = f"{side * 8}², random weights, float32, cfg 7"
    return [*rows, found.row("whole run, full-size SD1.5, 2 steps", 1.02, note)]


def _pair(model, clip, side: int, steps: int):
    import rig

    recorded, traced, _ = rig.attach(model, clip, rig.RecordOptions())
    prompts = (bench.encode(traced, text) for text in ("a large striped red star on grass", ""))
    return samplings.pair(model, recorded, *prompts, side, steps)
