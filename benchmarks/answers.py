"""How long the reading nodes take on a recording of SDXL 1024² (random maps in its shape)."""

import bench
import recordings

WORDS = (
    "a woman in a long red dress stands beside an old stone bridge over quiet green water while two white swans "
    "swim under heavy clouds and yellow autumn leaves fall on wet grass near small wooden boats at dawn"
)
SHARE = 23.0


def measure(quick: bool) -> list[bench.Row]:
    import torch

    from hrv_pack.hrv.heads import HeadSelection
    from hrv_pack.hrv.heatmap import heatmaps
    from hrv_pack.hrv.known_layouts import SDXL
    from hrv_pack.hrv.maps import Target, word_maps

    latent, recording = recordings.sdxl(WORDS)
    (match,) = recording.match(latent)
    (entry,) = match.run.of_role("positive")
    words = entry.prompt.entries("words")
    targets = [Target(((entry, word.columns),)) for word in words]
    weights = torch.zeros(SDXL.heads)
    weights[torch.randperm(SDXL.heads, generator=torch.Generator().manual_seed(0))[:299]] = 1
    chosen = HeadSelection(SDXL, weights, "23 %")
    times = 3 if quick else 15
    rows = [
        _row("map of one word, all 1300 heads", lambda: word_maps(match, targets[:1]), 30, times),
        _row("map of one word, 23 % of the heads", lambda: word_maps(match, targets[:1], chosen), 15, times),
        _row(f"maps of all {len(words)} words", lambda: word_maps(match, targets), 300, times),
    ]
    image = torch.rand(1, 1024, 1024, 3, generator=torch.Generator().manual_seed(1))
    rows.append(
        _row("Attention Heatmap with overlays, one word, 1024²",
             lambda: heatmaps(recording, latent, "dress", image=image), None, times)
    )  # fmt: skip
    try:
        from hrv_pack.hrv.report import report
    except ImportError:
        return rows
    rows.append(_row(f"Prompt Report, {len(words)} words", lambda: report(recording, latent, image), 2000, 3))
    return rows


def _row(name: str, run, target: float | None, times: int) -> bench.Row:
    return bench.Row(name, bench.median_ms(run, times), "ms", target, note=f"median of {times}")
