"""Makes the picture of Attend and Excite's help page, js/docs/attend_excite.jpg, with the demo checkpoint and the pack's own node.

    .host/venv/bin/python tools/make_excite_picture.py
    .host/venv/bin/python tools/make_excite_picture.py --search     seeds at which tools/excite_example.py's example works

The example is shown only if the judge network sees both things with the node and not without it; else the tool says so and
stops. Wants a host that dev.py made.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

from excite_example import MISSING, ExciteExample
from make_help_pictures import Studio, bench, row, save

PARTS_OF_STRENGTH = (0.5, 1.0, 2.0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--search", action="store_true", help="print seeds that work, make nothing")
    parser.add_argument("--seeds", type=int, default=40, help="how many seeds to try")
    options = parser.parse_args()
    bench.start_host()
    import truth

    truth.start_nodes()
    studio = Studio()
    if options.search:
        seeds = [seed for seed in range(options.seeds) if works(studio, replace(MISSING, seed=seed))]
        print(f"{len(seeds)} of {options.seeds} seeds work: {seeds}", flush=True)
        return
    if not works(studio, MISSING):
        raise SystemExit(
            f"The example no longer works with seed {MISSING.seed}. Try --search, and put a seed that does into "
            "tools/excite_example.py."
        )
    strengths = [MISSING.strength * part for part in PARTS_OF_STRENGTH]
    pictures = [draw(studio, MISSING, strength) for strength in (0.0, *strengths)]
    save("attend_excite", row(pictures, ["without the node", *(f"strength {s:g}" for s in strengths)]))


def works(studio: Studio, example: ExciteExample) -> bool:
    """Whether a thing is missing without the node and both are there with it."""
    return not has_both(studio, example, 0.0) and has_both(studio, example, example.strength)


def has_both(studio: Studio, example: ExciteExample, strength: float) -> bool:
    kinds = {seen["kind"] for seen in studio.seen(draw(studio, example, strength), things=2)}
    return kinds == set(example.things)


def draw(studio: Studio, example: ExciteExample, strength: float):
    """float32 (1, height, width, 3)."""
    from hrv_pack.nodes.steer.attend_excite import HRVAttendExcite

    model = HRVAttendExcite.execute(studio.model, example.words, strength, 0.0, 0.5).result[0]
    return studio.draw(model, example.prompt, example.seed)


if __name__ == "__main__":
    main()
