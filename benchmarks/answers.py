"""How long the reading nodes take on a recording of SDXL 1024² (random maps in its shape)."""

import asyncio

import bench
import recordings

WORDS = (
    "a woman in a long red dress stands beside an old stone bridge over quiet green water while two white swans "
    "swim under heavy clouds and yellow autumn leaves fall on wet grass near small wooden boats at dawn"
)


def measure(quick: bool) -> list[bench.Row]:
    import torch

    from hrv_pack.hrv.heads.known_layouts import SDXL
    from hrv_pack.hrv.heads.selection import HeadSelection
    from hrv_pack.hrv.look.heatmap import heatmaps
    from hrv_pack.hrv.maps.word_maps import Target, word_maps

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
    from hrv_pack.hrv.report.report import report

    rows.append(_row(f"Prompt Report, {len(words)} words", lambda: report(recording, latent, image), 2000, 3))
    rows += lens_rows(times)
    return rows


def lens_rows(times: int) -> list[bench.Row]:
    """A question of the lens to the route, over HTTP on this machine: other heads for two words, as the page asks; each
    with another share, so that nothing is remembered."""
    import itertools
    import json
    import threading
    import urllib.request

    import torch
    from aiohttp import web

    from hrv_pack.host.page.routes import LENSES, MAPS, lens_maps
    from hrv_pack.hrv.heads.known_layouts import SDXL
    from hrv_pack.hrv.look.lens import look
    from hrv_pack.hrv.relevance.vectors import HeadRelevance

    latent, recording = recordings.sdxl(" ".join(WORDS.split()[:20]))
    votes = torch.randint(0, 50, (2, SDXL.heads), generator=torch.Generator().manual_seed(3))
    vectors = HeadRelevance.from_votes(("Animals", "Color"), votes, SDXL, {})
    name = LENSES.add(look(recording, latent, torch.rand(1, 1024, 1024, 3), vectors=vectors).lens)
    address, started, stop = [], threading.Event(), threading.Event()

    async def serve():
        app = web.Application()
        app.router.add_post(MAPS, lens_maps)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        address.append(runner.addresses[0][1])
        started.set()
        while not stop.is_set():
            await asyncio.sleep(0.01)
        await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    started.wait()
    shares = itertools.count()

    def ask(highest: float) -> None:
        question = {
            "id": name,
            "words": [3, 7],
            "concept": "Animals",
            "percent": highest - next(shares) / 100,
        }
        request = urllib.request.Request(
            f"http://127.0.0.1:{address[0]}{MAPS}", json.dumps(question).encode()
        )
        with urllib.request.urlopen(request) as answer:
            answer.read()

    try:
        return [
            _row(
                "lens, another share of heads for two of 20 words, over HTTP, 23 %",
                lambda: ask(23.0),
                60,
                times,
            ),
            _row("the same, all heads", lambda: ask(100.0), 60, times),
        ]
    finally:
        stop.set()
        thread.join()


def _row(name: str, run, target: float | None, times: int) -> bench.Row:
    return bench.Row(name, bench.median_ms(run, times), "ms", target, note=f"median of {times}")
