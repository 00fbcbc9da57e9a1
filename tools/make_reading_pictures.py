"""Makes the pictures of the help pages about choosing heads and reading pictures, js/docs/*.jpg, with the demo checkpoint.

    .host/venv/bin/python tools/make_reading_pictures.py [NAME …]    auto_heads, select_heads, filter_heads, compare_concepts,
                                                                    mask_iou, prompt_report

The same graphs as in the example workflows 6, 9, 17 and 18, through the pack's own nodes. Wants a host that dev.py made.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

from make_help_pictures import ROOT, bench, row, save

SIDE, STEPS, CFG, SEED = 256, 20, 4.5, 7
SCENE, WORD = "a red star and a blue fish on sand", "fish"
FOLDER = ROOT / "hrv_data" / "vectors"


class Studio:
    """The demo model behind one Record Attention; pictures are kept by prompt."""

    def __init__(self):
        import nodes

        from hrv_pack.nodes.files.demo_checkpoint import HRVDemoCheckpoint
        from hrv_pack.nodes.look.record import HRVRecordAttention

        self.nodes = nodes
        model, clip, self.vae = HRVDemoCheckpoint.execute().result
        options = {
            "start_percent": 0.0,
            "end_percent": 1.0,
            "time_bins": 1,
            "negative": False,
            "memory_limit_mb": 512,
        }
        self.model, self.clip, self.attention = HRVRecordAttention.execute(
            model=model, clip=clip, **options
        ).result
        self._drawn: dict[str, tuple] = {}

    def draw(self, prompt: str):
        """(latent, image)."""
        import torch

        if prompt not in self._drawn:
            with torch.inference_mode():
                encode = self.nodes.CLIPTextEncode().encode
                (empty,) = self.nodes.EmptyLatentImage().generate(SIDE, SIDE, 1)
                (latent,) = self.nodes.KSampler().sample(
                    self.model, SEED, STEPS, CFG, "euler", "normal",
                    encode(self.clip, prompt)[0], encode(self.clip, "")[0], empty,
                )  # fmt: skip
                self._drawn[prompt] = latent, self.nodes.VAEDecode().decode(self.vae, latent)[0].clamp(0, 1)
        return self._drawn[prompt]

    def heat(self, prompt: str, word: str, heads=None, threshold: float = 0.4):
        """(overlay, soft heat, mask) of a word, as Attention Heatmap gives them without captions."""
        from hrv_pack.hrv.look.heatmap import Style, heatmaps

        latent, image = self.draw(prompt)
        style = Style("per word", threshold, 0.6, "turbo", False)
        found = heatmaps(
            self.attention,
            latent["samples"],
            word,
            "words",
            image=image,
            heads=heads,
            role="positive",
            style=style,
        )
        return found.overlay, found.heat, found.mask

    def vectors(self, name: str):
        from hrv_pack.hrv.files import vector_files

        return vector_files.read(FOLDER / name)


def beside(name: str, studio: Studio, choices: dict) -> None:
    """The picture, then the word's heat by each choice of heads."""
    overlays = {caption: studio.heat(SCENE, WORD, heads)[0] for caption, heads in choices.items()}
    save(name, row([studio.draw(SCENE)[1], *overlays.values()], ["the picture", *overlays]))


def auto_heads(studio: Studio) -> None:
    from hrv_pack.hrv.relevance.heads_for_word import choose_heads

    latent, _ = studio.draw(SCENE)
    chosen = choose_heads(studio.attention.match(latent["samples"]), WORD, 23.0).heads
    beside("auto_heads", studio, {"fish, all heads": None, "fish, chosen heads": chosen})


def select_heads(studio: Studio) -> None:
    chosen = studio.vectors("demo_checkpoint_agreement.safetensors").select(
        "Objects", 23.0, weighting="balanced"
    )
    beside("select_heads", studio, {"fish, all heads": None, "fish, heads for Objects": chosen})


def filter_heads(studio: Studio) -> None:
    from hrv_pack.hrv.heads.filter import all_heads
    from hrv_pack.hrv.heads.filter import filter_heads as part_of

    every = all_heads(studio.attention.layout)
    parts = {f"fish, {part}": part_of(every, part, "all", "") for part in ("input", "middle", "output")}
    beside("filter_heads", studio, parts)


def compare_concepts(studio: Studio) -> None:
    from hrv_pack.hrv.look.compare import compare

    latent, image = studio.draw("a rose fish on sand")
    vectors = studio.vectors("demo_checkpoint.safetensors")
    found = compare(
        studio.attention, latent["samples"], "rose", vectors, "Objects, Colours", percent=23.0, image=image
    )
    save("compare_concepts", found.grid)


def mask_iou(studio: Studio) -> None:
    prompt = "a large plain blue fish on sand"
    _, image = studio.draw(prompt)
    overlay, _, mask = studio.heat(prompt, WORD)
    truth = (1 - image[..., 0] > 0.5).float()
    grey = [one[..., None].expand(-1, -1, -1, 3) for one in (mask, truth)]
    save(
        "mask_iou",
        row([image, overlay, *grey], ["the picture", "heat of “fish”", "its mask", "the true mask"]),
    )


def prompt_report(studio: Studio) -> None:
    from hrv_pack.hrv.report.report import report

    latent, image = studio.draw("a red star, a blue fish and a yellow cat on sand")
    save("prompt_report", report(studio.attention, latent["samples"], image, "words").grid)


PICTURES: dict[str, Callable[[Studio], None]] = {
    make.__name__: make
    for make in (auto_heads, select_heads, filter_heads, compare_concepts, mask_iou, prompt_report)
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="some of the pictures; all without")
    options = parser.parse_args()
    unknown = set(options.names) - set(PICTURES)
    if unknown:
        parser.error(f"no picture “{min(unknown)}”; there are {', '.join(PICTURES)}")
    bench.start_host()
    import truth

    truth.start_nodes()
    studio = Studio()
    for name, make in PICTURES.items():
        if not options.names or name in options.names:
            make(studio)


if __name__ == "__main__":
    main()
