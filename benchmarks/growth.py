"""How the cost of recording grows: one layer of SDXL's larger grid, and whole samplings of the demo model.

Time for each logit against the first of a series: 1 is linear in what must be computed.
"""

import bench
import samplings

HEADS, WIDTH = 10, 64
NEAR = 1.25  # still called near linear
SERIES = {
    "recorded tokens": {n: {"columns": n, "tokens": 77 * -(-n // 75)} for n in (20, 75, 150, 225)},
    "picture side": {n: {"side": n} for n in (512, 1024, 1536, 2048)},
    "batch": {n: {"batch": n} for n in (1, 2, 4, 8)},
}


def measure(quick: bool) -> list[bench.Row]:
    times = 3 if quick else 15
    rows = []
    for name, variants in SERIES.items():
        base = None
        for value, options in variants.items():
            milliseconds, logits = _layer(times, **options)
            base = base or milliseconds / logits
            note = f"{milliseconds:.3g} ms for {logits / 1e6:.3g} M logits"
            growth = milliseconds / logits / base
            rows.append(
                bench.Row(
                    f"recording one layer, {name} {value}: time for a logit", growth, "×", NEAR, note=note
                )
            )
    return rows + _conditionings(quick)


def _layer(
    times: int, columns: int = 20, tokens: int = 77, side: int = 1024, batch: int = 1
) -> tuple[float, int]:
    """Milliseconds to record one layer once more, and how many logits that is."""
    import torch

    from hrv_pack.hrv.recording.probabilities import column_probabilities

    generator = torch.Generator().manual_seed(0)
    pixels = (side // 16) ** 2
    q = torch.randn(batch, pixels, HEADS * WIDTH, generator=generator)
    k = torch.randn(batch, tokens, HEADS * WIDTH, generator=generator)
    kept = tuple(range(columns))
    with torch.inference_mode():
        sums = column_probabilities(q, k, HEADS, kept, tokens)
        time = bench.median_ms(lambda: column_probabilities(q, k, HEADS, kept, tokens, into=sums), times)
    return time, batch * pixels * tokens * HEADS


def _conditionings(quick: bool) -> list[bench.Row]:
    """Whole runs with one to six combined prompts, on the demo checkpoint."""
    import rig

    from hrv_pack.host.store import demo_checkpoint

    model, clip, _ = demo_checkpoint.load()
    recorded, traced, _ = rig.attach(model, clip, rig.RecordOptions())
    negative = bench.encode(traced, "")
    kinds = ("star", "fish", "bird", "house", "mug", "boat")
    rows, steps = [], 4

    for count in (1, 2, 4, 6):
        positive = [cond for kind in kinds[:count] for cond in bench.encode(traced, f"a red {kind} on grass")]
        pair = samplings.pair(model, recorded, positive, negative, 32, steps)
        found = bench.paired(*pair, 2 if quick else 7)
        rows.append(
            found.row(f"whole run, {count} combined prompts", 1.10, f"demo checkpoint, {steps} steps")
        )
    return rows
