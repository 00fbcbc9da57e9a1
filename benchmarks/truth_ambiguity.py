"""Which of two senses a word was drawn in: does the verdict of Compare Concepts name the sense that the judge sees?

Scores and vectors are compared on one set of pictures (`tuning`), and all are reported on another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import bench
import numpy as np
from studio import target_of
from truth_iou import PERCENT
from truth_senses import SENSES, SORTS, Told, draw

USED = "painted"  # the score of hrv/look/compare.py
PART = "middle half"  # what the help page advises to record for Compare Concepts

Key = tuple[str, str, str]
"""Vectors, score, recorded part of the schedule."""


def verdicts(told: Iterable[Told], relevance: dict) -> list[dict]:
    """For each picture {sort, word, sense, said: {key: the sense that would be named}, share: {key: the larger share}}, the
    shares of the used score only; of the whole run no other score is asked."""
    from truth_candidates import SCORES, evidence_of

    from hrv_pack.hrv.look.compare import shares_of
    from hrv_pack.hrv.maps.lookup import targets_of_unit

    rows = []
    for one in told:
        said, share = {}, {}
        for part, match in one.matches.items():
            entries = match.run.of_role("positive")
            words = list(targets_of_unit(entries, [entry.prompt for entry in entries], "words").values())
            target = target_of(match, one.word)
            for name, vectors in relevance.items():
                evidence = evidence_of(match, target, words, vectors, list(SENSES.values()), PERCENT)
                for score in SCORES if part == PART else (USED,):
                    said[name, score, part] = tuple(SENSES)[int(SCORES[score](evidence).argmax())]
                share[name, USED, part] = max(shares_of(SCORES[USED](evidence)))
        rows.append({"sort": one.sort, "word": one.word, "sense": one.sense, "said": said, "share": share})
    return rows


def measure(
    studio, sets: dict[str, tuple[int, int]], relevance: dict, counter: Callable
) -> dict[str, list[dict]]:
    """{set: verdicts}. sets: for each (seed, pictures to draw of each sort; of the open sort a quarter of that); those whose
    sense can be told count.

    counter: what, total → progress, a function of the number done.
    """
    found = {}
    for name, (seed, pictures) in sets.items():
        told = []
        for sort in SORTS:
            count = pictures // 4 if sort == "open" else pictures
            told += draw(studio, sort, count, seed, counter(f"pictures, {name}, {sort}", count))
        found[name] = verdicts(told, relevance)
    return found


def accuracy(rows: Iterable[dict], key: Key) -> float:
    """Share of verdicts that are right, the two senses counting the same; nan without pictures of one of them."""
    right = {sense: [row["said"][key] == sense for row in rows if row["sense"] == sense] for sense in SENSES}
    return float(np.mean([np.mean(values) if values else np.nan for values in right.values()]))


def share_right(rows: list[dict], key: Key) -> float:
    return float(np.mean([row["said"][key] == row["sense"] for row in rows])) if rows else np.nan


def best(rows: list[dict]) -> Key:
    """What is right most often on these pictures, the senses counting the same."""
    keys = rows[0]["said"]
    return max(keys, key=lambda key: accuracy(rows, key))


def markdown(found: dict[str, list[dict]]) -> str:
    """How often each candidate is right, and the used one for each word, sense and sort of picture."""
    tuning, report = found["tuning"], found["report"]
    chosen = best(tuning)
    commoner = max(np.mean([row["sense"] == sense for row in report]) for sense in SENSES)
    columns = "score | vectors | recorded | verdict right | mean of the two senses | the same on the tuning pictures"
    rows = [
        (
            key[1].replace("_", " ") + (" (used)" if key[1] == USED else ""), key[0], key[2],
            f"{share_right(report, key):.1%}", f"{accuracy(report, key):.1%}", f"{accuracy(tuning, key):.1%}",
        )
        for key in sorted(report[0]["said"], key=lambda key: -accuracy(tuning, key))
    ]  # fmt: skip
    lines = [
        f"{len(report)} pictures whose sense the judge can tell. Without concepts (DAAM alone) there is nothing to decide by: a "
        f"coin is right in 50.0 %, always the commoner sense in {commoner:.1%}.",
        "",
        f"Best on the tuning pictures ({len(tuning)} others): {_name(chosen)}, {accuracy(tuning, chosen):.1%}; on the reported "
        f"pictures {accuracy(report, chosen):.1%}.",
        "",
        bench.markdown(columns, rows),
    ]
    for key in report[0]["share"]:
        if key[0] == "votes" or key[2] == PART:
            lines += ["", *_groups(report, key)]
    return "\n".join(lines)


def _groups(rows: list[dict], key: Key) -> list[str]:
    """A table of the used score by word and sense, and by sort of picture."""
    from hrv_pack.hrv.look.compare import DOUBT

    sure = [row for row in rows if row["share"][key] >= DOUBT]
    groups = [(word, "word", word) for word in dict.fromkeys(row["word"] for row in rows)]
    groups += [(sort, "sort", sort) for sort in SORTS]
    table = []
    for title, field, value in groups:
        table.append([title])
        for sense in SENSES:
            of_sense = [row for row in rows if row[field] == value and row["sense"] == sense]
            right = sum(row["said"][key] == sense for row in of_sense)
            table[-1].append(f"{right} of {len(of_sense)} right" if of_sense else "none")
    return [
        f"Compare Concepts ({_name(key)}). {1 - len(sure) / len(rows):.0%} of its verdicts are called doubtful; of the others "
        f"{share_right(sure, key):.1%} are right.",
        "",
        bench.markdown(" | drawn as the thing | drawn as the colour", table),
    ]


def _name(key: Key) -> str:
    return f"{key[1].replace('_', ' ')}, vectors by {key[0]}, {key[2]} recorded"
