"""What every reading node does first: pictures beside their runs, and the words of a prompt with their columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import torch

from .absence import ZEROED
from .draw import as_rgb
from .heads import HeadSelection
from .maps import Target, recorded_heads
from .prompt import Prompt, WordNotFound
from .recording import Entry, Match, NoRecording


def prompts_of(
    entries: list[Entry],
    role: str,
    prompt_text: str = "",
    tokenize: Callable[[str], Prompt] | None = None,
    has_field: bool = True,
) -> list[Prompt | None]:
    """The prompt of each conditioning; `prompt_text`, read by `tokenize`, stands in where the text is not known.
    has_field: whether the node has such an input, for the error to name it.

    Raises NoRecording when no prompt is known, ValueError when the text is longer than what was sampled.
    """
    prompts = [_prompt_of(entry, prompt_text, tokenize) for entry in entries]
    if not any(prompts):
        if entries and all(entry.zeroed for entry in entries):
            raise NoRecording(ZEROED.format(role=role))
        raise NoRecording(
            f"The words of the {role} prompt are not known, because its CLIP does not come from Record Attention. "
            "Connect CLIP through Record Attention and run again"
            + (", or type the prompt into prompt_text." if has_field else ".")
        )
    return prompts


def _prompt_of(entry: Entry, prompt_text: str, tokenize) -> Prompt | None:
    if entry.prompt is not None or not prompt_text.strip() or tokenize is None:
        return entry.prompt
    prompt = tokenize(prompt_text)
    if prompt.length > entry.length:
        raise ValueError(
            f"The text in prompt_text makes {prompt.length} tokens, but the conditioning that was sampled has "
            f"{entry.length}. Type the text that was encoded, and nothing else."
        )
    return prompt


def targets_of_unit(entries: list[Entry], prompts: list[Prompt | None], unit: str) -> dict[str, Target]:
    """Every entry of all prompts in reading order. What occurs twice in one prompt is told apart by `#1`, `#2`;
    what occurs in several prompts is one entry."""
    lists = [prompt.entries(unit) if prompt is not None else [] for prompt in prompts]
    repeated = {
        text for words in lists for text, n in Counter(w.text.lower() for w in words).items() if n > 1
    }
    places: dict[str, list] = {}
    spelled: dict[str, str] = {}
    for entry, words in zip(entries, lists, strict=True):
        seen: Counter[str] = Counter()
        for word in words:
            key = word.text.lower()
            seen[key] += 1
            suffix = f"#{seen[key]}" if key in repeated else ""
            spelled.setdefault(key + suffix, word.text + suffix)
            places.setdefault(key + suffix, []).append((entry, word.columns))
    return {spelled[key]: Target(tuple(found)) for key, found in places.items()}


def names_of(
    matches: list[Match],
    unit: str = "auto",
    role: str = "positive",
    prompt_text: str = "",
    tokenize: Callable[[str], Prompt] | None = None,
) -> list[str]:
    """Names of all entries that these pictures' prompts have, each once; what word picking in the browser offers."""
    names: dict[str, str] = {}
    for match in matches:
        entries = match.run.of_role(role)
        prompts = prompts_of(entries, role, prompt_text, tokenize)
        for name in targets_of_unit(entries, prompts, unit):
            names.setdefault(name.lower(), name)
    return list(names.values())


def find_word(name: str, entries: list[Entry], prompts: list[Prompt | None]) -> Target:
    """The word in every conditioning of the role that has it. Raises WordNotFound."""
    found, failure = [], None
    for entry, prompt in zip(entries, prompts, strict=True):
        if prompt is None:
            continue
        try:
            found.append((entry, prompt.find(name).columns))
        except WordNotFound as error:
            failure = failure or error
    if not found:
        raise failure or WordNotFound(f"“{name}” is not in the prompt.")
    return Target(tuple(found))


def pair(matches: list[Match], image: torch.Tensor | None) -> tuple[list[Match], list[torch.Tensor | None]]:
    """One match and one picture for each of the pictures to draw: equal batches, or one of them repeated.

    image: (batch, height, width, channel) or None. Raises ValueError for batches that do not fit.
    """
    if image is None:
        return matches, [None] * len(matches)
    if image.ndim != 4:
        raise ValueError(
            f"The image must be (batch, height, width, channel); this one is {tuple(image.shape)}."
        )
    if not image.numel():
        raise ValueError(
            f"The image holds no picture (its shape is {tuple(image.shape)}). Connect the picture that was decoded from this "
            "latent."
        )
    pictures = list(as_rgb(image))
    if len(pictures) == len(matches):
        return matches, pictures
    if len(pictures) == 1:
        return matches, pictures * len(matches)
    if len(matches) == 1:
        return matches * len(pictures), pictures
    raise ValueError(
        f"The image batch has {len(pictures)} pictures, the latent batch {len(matches)}. Connect the picture that "
        "was decoded from this latent, or pick one with Get Image from Batch."
    )


def heads_text(match: Match, entry: Entry, heads: HeadSelection | None) -> str:
    """Whose attention a map is the mean of, in a few words."""
    count = recorded_heads(entry, match.run.layout, heads)
    if heads is None:
        return (
            f"all {count} heads (DAAM)"
            if count == match.run.layout.heads
            else f"{count} recorded heads (DAAM)"
        )
    return f"{heads.label} ({count} heads)" if heads.label else f"{count} chosen heads"


def warnings_of(matches: list[Match]) -> list[str]:
    """What the reader of these runs must know, each sentence once."""
    warnings = []
    if not all(match.exact for match in matches):
        warnings.append(
            "This latent was not made by a sampler that the recording saw, so the newest run is shown instead. "
            "Connect the latent that comes out of the sampler; its noise must not have been changed since."
        )
    for match in matches:
        warnings.extend(w for w in match.run.warnings if w not in warnings)
    return warnings
