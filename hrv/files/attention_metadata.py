"""What an attention file says in words: runs, conditionings, tokens. docs/file_formats.md has the keys.

Every value is a string of JSON. Reading trusts none of them, and bounds every number before it is used.
"""

from __future__ import annotations

import json
import re

from ..heads.layout import UNET_PARTS, Layout
from ..prompt import EMBEDDING, END, PAD, START, TEXT, Prompt, Token, concatenate
from ..prompt.clip_tokens import with_places
from ..recording.recording import Entry, Run
from ..recording.schedule import Bin
from ..runs.latents import Traces
from ..runs.shelf import MAX_RUNS
from . import tensor_files

FORMAT, VERSIONS, KIND = "hrv_attention", ("1", "2"), "attention file"
MAX_TOKENS = 77 * 100
MAX_PICTURES, MAX_BINS, MAX_CONDITIONINGS = 4096, 1000, 1000
MAX_COUNT = 10**6
LAYER_COUNT = "layer_count"
BINS = "bins"
KINDS = {START, END, PAD, TEXT, EMBEDDING}


def metadata_of(runs: list[Run]) -> dict[str, str]:
    """The metadata of a file that holds these runs, which have one layout. Raises NoRecording for a run without maps."""
    entries = [(number, entry) for number, run in enumerate(runs) for entry in run.entries]
    values = {
        "conditionings": [
            {
                "run": number,
                "role": entry.role,
                "index": entry.index,
                "pictures": entry.batch,
                "length": entry.length,
                "columns": list(entry.columns),
            }
            for number, entry in entries
        ],
        "count": [entry.counts for _, entry in entries],
        BINS: [[list(one) for one in entry.bins] for _, entry in entries],
        LAYER_COUNT: [_layer_counts_to_json(entry, runs[0].layout) for _, entry in entries],
        "prompt": [entry.prompt.text if entry.prompt else None for _, entry in entries],
        "tokens": [_tokens_to_json(entry.prompt) for _, entry in entries],
        "grid": [list(run.grid) for run in runs],
        "fingerprints": [run.fingerprints for run in runs],
        "other_fingerprints": [run.traces.others for run in runs],
        "warnings": [run.warnings for run in runs],
    }
    if not any(values[LAYER_COUNT]):
        del values[LAYER_COUNT]
    if not any(one.late for _, entry in entries for one in entry.bins):
        del values[BINS]
    texts = {key: json.dumps(value) for key, value in values.items()}
    version = VERSIONS[any(block.part not in UNET_PARTS for block in runs[0].layout.blocks)]
    return {"format": FORMAT, "format_version": version, "layout": runs[0].layout.to_json(), **texts}


def _layer_counts_to_json(entry: Entry, layout: Layout) -> dict[str, list[int]] | None:
    counts = {layer_name(layout.blocks[number].key): found for number, found in entry.layer_counts.items()}
    return counts or None


def layer_name(key: tuple[str, int, int]) -> str:
    """What files call a layer: the end of its tensors' names."""
    return ".".join(map(str, key))


def _tokens_to_json(prompt: Prompt | None) -> dict | None:
    if prompt is None:
        return None
    second = prompt.second
    return {
        "first": [[token.kind, token.piece, token.weight] for token in prompt.tokens],
        "second": [[token.kind, token.piece, token.weight] for token in second.tokens] if second else None,
        "second_text": second.text if second else None,
        "encoders": [prompt.encoder, second.encoder if second else ""],
        "typed": [[first, stop, text] for first, stop, text in prompt.typed_parts],
    }


def runs_of(metadata: dict[str, str]) -> tuple[list[Run], list[Entry]]:
    """The runs that metadata describe, and all their entries in the file's order; these hold no maps yet.

    Raises ValueError in one line."""
    tensor_files.check_format(metadata, FORMAT, VERSIONS, f"an {KIND}")
    layout = Layout.from_json(metadata.get("layout", ""))
    if len({block.key for block in layout.blocks}) != len(layout.blocks):
        raise ValueError("its head layout names a layer twice")
    runs = _runs(metadata, layout)
    entries = _entries(metadata, len(runs))
    _read_bins(metadata, [entry for _, entry in entries])
    _read_layer_counts(metadata, layout, [entry for _, entry in entries])
    for number, entry in entries:
        runs[number].entries.append(entry)
    return runs, [entry for _, entry in entries]


def _runs(metadata: dict[str, str], layout: Layout) -> list[Run]:
    prints, warnings = (_list(metadata, key, (1, MAX_RUNS)) for key in ("fingerprints", "warnings"))
    for names in prints:
        if not _is_list_of(names, _is_fingerprint):
            raise ValueError("its fingerprints are not SHA-256 sums")
    if len(prints) != len(warnings) or not all(_is_list_of(texts, _is_text) for texts in warnings):
        raise ValueError("its warnings are not one list of texts for each run")
    others = _list(metadata, "other_fingerprints", (1, MAX_RUNS)) if "other_fingerprints" in metadata else []
    others = others or [{}] * len(prints)  # files of earlier versions have none
    if len(others) != len(prints) or not all(map(_are_others, others)):
        raise ValueError("its other fingerprints are not SHA-256 sums with places")
    traces = [Traces(names, more) for names, more in zip(prints, others, strict=True)]
    return [Run(layout, [], one, texts) for one, texts in zip(traces, warnings, strict=True)]


def _entries(metadata: dict[str, str], runs: int) -> list[tuple[int, Entry]]:
    """(number of its run, entry without maps) of each conditioning."""
    keys = ("conditionings", "count", "prompt", "tokens")
    lists = [_list(metadata, key, (1, MAX_CONDITIONINGS)) for key in keys]
    if len({len(values) for values in lists}) != 1:
        raise ValueError(f"its {', '.join(keys)} are not lists of one length")
    entries = []
    for number, (facts, counts, text, tokens) in enumerate(zip(*lists, strict=True)):
        try:
            _check_number("run", facts["run"], 0, runs - 1)
            entries.append((facts["run"], _entry(facts, counts, text, tokens)))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            fault = error if type(error) is ValueError else "something is missing or of the wrong kind"
            raise ValueError(f"its conditioning {number} is wrong: {fault}") from None
    return entries


def _entry(facts, counts, text, tokens) -> Entry:
    role, index, pictures, length, columns = (
        facts[key] for key in ("role", "index", "pictures", "length", "columns")
    )
    if not (_is_text(role) and 0 < len(role) <= 100 and role.isprintable()):
        raise ValueError(f"its role is {role!r:.40}")
    _check_number("index", index, 0, MAX_CONDITIONINGS)
    _check_number("number of images", pictures, 0, MAX_PICTURES)
    _check_number("length", length, 1, MAX_TOKENS)
    if not tensor_files.is_whole(columns) or columns != sorted(set(columns)):
        raise ValueError("its columns are not whole numbers in ascending order")
    if not columns or columns[-1] >= length:
        raise ValueError(f"its columns must be some of its {length} tokens")
    if not _are_counts(counts):
        raise ValueError("its counts are not whole numbers, one for each part of the schedule")
    prompt = None
    if tokens is not None:
        if not isinstance(tokens, dict):
            raise ValueError("its tokens are not an object")
        names = tokens.get("encoders", ["", ""])
        if not _is_list_of(names, _is_text) or len(names) != 2:
            raise ValueError(f"its text encoders are {names!r:.40}")
        second = tokens["second"]
        if second is not None:
            text_of_second = _text(tokens["second_text"])
            second = Prompt(_tokens(second, text_of_second), text_of_second, None, names[1])
        prompt = Prompt(_tokens(tokens["first"], _text(text), tokens.get("typed")), text, second, names[0])
        if prompt.length != length:
            raise ValueError(f"it has {length} columns and {prompt.length} tokens")
    return Entry(role, index, prompt, length=length, columns=tuple(columns), counts=counts, batch=pictures)


def _read_bins(metadata: dict[str, str], entries: list[Entry]) -> None:
    """Files of earlier versions, and of recordings without late evaluations, have none: each count is a part of its own."""
    if BINS not in metadata:
        return
    for entry, bins in zip(entries, _list(metadata, BINS, (len(entries), len(entries))), strict=True):
        if not (isinstance(bins, list) and len(bins) == len(entry.counts) and all(map(_is_bin, bins))):
            raise ValueError(f"its {BINS} are not a part of the schedule and true or false for each count")
        entry.bins = tuple(Bin(*one) for one in bins)
        if list(entry.bins) != sorted(set(entry.bins)):
            raise ValueError(f"its {BINS} are not in the order of the schedule")


def _is_bin(one) -> bool:
    return (
        isinstance(one, list)
        and len(one) == 2
        and type(one[0]) is int
        and 0 <= one[0] < MAX_BINS
        and type(one[1]) is bool
    )


def _read_layer_counts(metadata: dict[str, str], layout: Layout, entries: list[Entry]) -> None:
    """Files of recordings in which every layer ran in every evaluation have none."""
    if LAYER_COUNT not in metadata:
        return
    numbers = {layer_name(block.key): number for number, block in enumerate(layout.blocks)}
    found = _list(metadata, LAYER_COUNT, (len(entries), len(entries)))
    for entry, counts in zip(entries, found, strict=True):
        if counts is None:
            continue
        if not isinstance(counts, dict) or not counts.keys() <= numbers.keys():
            raise ValueError(f"its {LAYER_COUNT} names layers that its head layout does not have")
        for name, of_layer in counts.items():
            if not _are_counts(of_layer) or len(of_layer) != len(entry.counts):
                raise ValueError(f"its {LAYER_COUNT} of {name} is not like its count")
            entry.layer_counts[numbers[name]] = of_layer


def _are_counts(counts) -> bool:
    return tensor_files.is_whole(counts) and 0 < len(counts) <= MAX_BINS and max(counts) <= MAX_COUNT


def _tokens(rows, text: str | None, typed=None) -> tuple[Token, ...]:
    """typed: [[first column, one after the last, text], …] where several texts were joined (ConditioningConcat)."""
    if not isinstance(rows, list) or len(rows) > MAX_TOKENS:
        raise ValueError("its tokens are not a list")
    for row in rows:
        if not isinstance(row, list) or len(row) != 3 or row[0] not in KINDS or not _is_text(row[1]):
            raise ValueError(f"a token must be [kind, piece, weight], found {row!r:.60}")
        if type(row[2]) not in (int, float):
            raise ValueError(f"a token's weight is {row[2]!r:.40}")
    columns = [(kind, piece, float(weight)) for kind, piece, weight in rows]
    if text is not None or not typed:
        return tuple(with_places(columns, text))
    if not _is_list_of(typed, lambda part: isinstance(part, list) and len(part) == 3 and _is_text(part[2])):
        raise ValueError("its typed texts are not a list of [column, column, text]")
    parts, at = [], 0
    for first, stop, part in typed:
        _check_number("column of a text", first, at, len(columns))
        _check_number("column of a text", stop, first, len(columns))
        parts += [with_places(columns[at:first], None), with_places(columns[first:stop], part)]
        at = stop
    parts.append(with_places(columns[at:], None))
    return concatenate(parts).tokens


def _text(text) -> str | None:
    if text is not None and not isinstance(text, str):
        raise ValueError("its text is not a text")
    return text


def _check_number(name: str, value, low: int, high: int) -> None:
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"its {name} is {value!r:.40}; it must be {low} to {high}")


def _list(metadata: dict[str, str], key: str, length: tuple[int, int]) -> list:
    try:
        values = json.loads(metadata.get(key, ""))
    except (ValueError, RecursionError):
        raise ValueError(f"its metadata {key} is missing or not JSON") from None
    if not isinstance(values, list) or not length[0] <= len(values) <= length[1]:
        raise ValueError(f"its {key} must be a list of {length[0]} to {length[1]}")
    return values


def _is_fingerprint(value) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value) is not None


def _are_others(values) -> bool:
    """Fingerprint → place in the batch."""
    places = range(MAX_PICTURES)
    return isinstance(values, dict) and all(
        _is_fingerprint(name) and type(place) is int and place in places for name, place in values.items()
    )


def _is_list_of(values, test) -> bool:
    return isinstance(values, list) and all(test(value) for value in values)


def _is_text(value) -> bool:
    return isinstance(value, str)
