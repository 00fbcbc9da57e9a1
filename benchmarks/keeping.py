"""What is kept of an ordinary graph within the default memory, what that costs, and how latents are known again.

The graph: a base image, a hires pass, two faces by a detailer, in SDXL's shape with 75 tokens (random maps). Masks and latents: those of
the demo model.
"""

import time
from unittest import mock

import bench
import recordings

MB = 2**20
LIMIT = 512 * MB  # Record Attention's default
GRAPH = {"base": 1024, "hires": 1536, "face 1": 1024, "face 2": 1024}
COLUMNS = 77  # start, 75 tokens, end
THRESHOLD = 1  # 0.4
SCENE_SEED = 950_001
TEXTS = (
    "a large red star on sand",
    "a blue fish and a green mug at night",
    "a small striped purple cat on grass",
    "star, red, striped, on grass",
)


def measure(quick: bool) -> list[bench.Row]:
    return [*_graph_rows(), *_mask_rows(4 if quick else 60), *_likeness_rows(2 if quick else 4)]


# -- memory -------------------------------------------------------------------------------------------------


def _run(side: int, seed: int):
    """(latent, run) of one sampling as it comes to rest: random maps within the limit of one run."""
    import torch

    from hrv_pack.hrv.heads.known_layouts import SDXL
    from hrv_pack.hrv.recording.recording import Run
    from hrv_pack.hrv.runs.latents import traces_of

    generator = torch.Generator().manual_seed(seed)
    latent = torch.randn(1, 4, side // 8, side // 8, generator=generator)
    run = Run(SDXL, traces=traces_of(latent))

    def maps_of(block):
        return torch.rand(1, block.heads, COLUMNS, *recordings.grid_of(block, side), generator=generator)

    recordings.at_rest(run, COLUMNS, LIMIT, maps_of)
    return latent, run


def _graph_rows() -> list[bench.Row]:
    import torch

    from hrv_pack.hrv.heads.known_layouts import SDXL
    from hrv_pack.hrv.recording.recording import NoRecording, Recording

    recording, latents, seconds = Recording(SDXL, LIMIT), {}, []
    for seed, (name, side) in enumerate(GRAPH.items()):
        latents[name], run = _run(side, seed)
        started = time.process_time()
        recording.add(run)
        seconds.append(time.process_time() - started)
        del run
    found = {}
    for name, latent in latents.items():
        try:
            found[name] = recording.match(latent)[0].run
        except NoRecording:
            found[name] = None
    grids = ", ".join(f"{name} {run.grid[0]}²" for name, run in found.items() if run is not None)
    tiles = Recording(SDXL, LIMIT)
    tiles.add(_run(1024, 0)[1])
    small = _run(1024, 1)[1]
    for number in range(16):
        tiles.add(type(small)(SDXL, list(small.entries), traces_like(number)))
    kept = sum(run is not None for run in found.values())
    taken = sum(run.nbytes for run in recording.runs) / MB
    lost = len(GRAPH) - kept
    maps = torch.rand(1, 1, 20, COLUMNS, 32, 32).half()
    return [
        bench.Row("images of an ordinary SDXL graph that are not kept in 512 MB", lost, "", 0, note=f"largest grids: {grids}"),
        bench.Row("memory that the four take", taken, "MiB", 512, note="77 columns, all 1300 heads, half precision"),
        bench.Row("making room after a sampling, at most, processor time", max(seconds), "s", 1, note=f"{_per_layer(maps):.1f} ms a layer of 32²"),
        bench.Row("runs kept of a base image and 16 tiles of 1024²", len(tiles.runs), note="newest at full size, others at 16²"),
    ]  # fmt: skip


def traces_like(seed: int):
    import torch

    from hrv_pack.hrv.runs.latents import traces_of

    return traces_of(torch.randn(1, 4, 128, 128, generator=torch.Generator().manual_seed(1000 + seed)))


def _per_layer(maps) -> float:
    from hrv_pack.hrv.recording.recording import Entry
    from hrv_pack.hrv.runs.pooling import pooled

    entry = Entry("positive", 0, None, COLUMNS, tuple(range(COLUMNS)), [1], 1, {0: maps})
    times = []
    for _ in range(9):
        started = time.process_time()
        pooled([entry])
        times.append(time.process_time() - started)
    return 1000 * sorted(times)[4]


# -- masks --------------------------------------------------------------------------------------------------


def _mask_rows(count: int) -> list[bench.Row]:
    """DAAM's masks on rendered scenes, from the maps as recorded and from maps of half the side."""
    import suite
    import truth_scenes
    from studio import target_of

    from hrv_pack.hrv.maps.word_maps import word_maps
    from hrv_pack.hrv.runs import pooling

    suite.start()
    studio = truth_scenes.Studio()
    before, after = [], []
    with mock.patch.object(pooling, "SMALLEST_SIDE", 8):
        for number, scene in enumerate(truth_scenes.scenes(count, SCENE_SEED)):
            seen = studio.redraw(scene, SCENE_SEED + number)
            for found in (before, after):
                for one in seen:
                    (heat,) = word_maps(one.match, [target_of(one.match, one.word)])
                    found.append(truth_scenes.iou(heat, one.mask)[THRESHOLD])
                run = seen[0].match.run
                run.entries = pooling.pooled(run.entries)
    mean = [sum(values) / len(values) for values in (before, after)]
    return [
        bench.Row("IoU of masks that pooling 16² to 8² costs on the demo model", mean[0] - mean[1], "",
                  note=f"{mean[0]:.3f} → {mean[1]:.3f}; {len(before)} objects, all heads, threshold 0.4"),
    ]  # fmt: skip


# -- latents ------------------------------------------------------------------------------------------------


def _likeness_rows(texts: int) -> list[bench.Row]:
    """How alike a changed latent and the one that was sampled are, and how alike two images are that are not the same."""
    import nodes
    import torch
    from studio import Studio
    from torch.nn.functional import interpolate

    from hrv_pack.hrv.runs.latents import ALIKE, Looks, traces_of

    studio, made = Studio(), {}
    for text in TEXTS[:texts]:
        prompts = studio.encode(text, "")
        for seed in (1, 2, 3):
            out = studio.sample(studio.model, *prompts, studio.empty(), seed, steps=10)
            made[text, seed] = out["samples"]
    with torch.inference_mode():
        images = {key: studio.vae.decode(latent)[..., :3] for key, latent in made.items()}
        large = {
            key: interpolate(image.movedim(-1, 1), scale_factor=2, mode="bicubic").clamp(0, 1)
            for key, image in images.items()
        }
        large = {key: studio.vae.encode(image.movedim(1, -1)) for key, image in large.items()}
        again = {key: studio.vae.encode(image) for key, image in images.items()}
    noise = torch.Generator().manual_seed(0)
    same = {
        "upscaled ×2 (bislerp)": [
            (key, nodes.LatentUpscaleBy().upscale({"samples": x}, "bislerp", 2.0)[0]["samples"]) for key, x in made.items()
        ],
        "decoded and encoded": list(again.items()),
        "decoded, upscaled ×2 and encoded": list(large.items()),
        "noise of a tenth of its strength added": [
            (key, x + 0.1 * x.std() * torch.randn(x.shape, generator=noise)) for key, x in made.items()
        ],
    }  # fmt: skip
    places = [slice(start, start + 32) for start in (0, 16, 32)]
    other = {
        "another seed of the same prompt": [(a, made[b]) for a in made for b in made if a[0] == b[0] and a != b],
        "another prompt": [(a, made[b]) for a in made for b in made if a[0] != b[0]],
        "a crop of the image, enlarged": [(key, x[..., rows, columns]) for key, x in large.items() for rows in places for columns in places],
        "left half of another image": [
            (a, torch.cat([made[b][..., :16], made[a][..., 16:]], dim=-1)) for a in made for b in made if a[0] != b[0]
        ],
    }  # fmt: skip
    known = {key: traces_of(latent) for key, latent in made.items()}

    def row(name, pairs, extreme, target):
        scores = sorted(Looks(latent).like(known[key])[0] for key, latent in pairs)
        middle, value = scores[len(scores) // 2], extreme(scores)
        side = "least" if extreme is min else "most"
        verdict = "kept" if value >= ALIKE else "told apart"
        note = f"{len(scores)} pairs, median {middle:.2f}; with {ALIKE} {verdict}"
        return bench.Row(f"likeness, {side}: {name}", value, "", target, note=note)

    return [
        *(row(name, pairs, min, None) for name, pairs in same.items()),
        *(row(name, pairs, max, ALIKE) for name, pairs in other.items()),
    ]
