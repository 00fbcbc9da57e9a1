"""What every reading node does first: images beside their runs, and the words of a prompt with their columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from ..heads.selection import HeadSelection
from ..prompt import Prompt, WordNotFound, is_all_filler, key
from ..recording.absence import ZEROED
from ..recording.recording import ASKED, TEXT, Entry, Match, NoRecording, Run
from ..wording import Said, role_text, said, shortened
from .word_maps import Target, recorded_heads

POSITIVE = "positive"  # whose words can be looked for although they are not in the prompt
QUOTED = 60  # letters of a text in a note
TWO_TEXTS = "The two text encoders were given different texts, so the words of both are listed: text_{one} “{first}” and text_{two} “{second}”."
UNKNOWN = (
    "The words of the {role} prompt are not known. If your text nodes' CLIP does not come from Record Attention, connect the loader's "
    "CLIP to Record Attention and its clip output to the text nodes, and run again. If it does, another node made or changed the "
    "prompt after it was encoded: type the prompt into prompt_text."
)


def prompts_of(
    entries: list[Entry],
    role: str,
    prompt_text: str = "",
    tokenize: Callable[[str], Prompt] | None = None,
) -> list[Prompt | None]:
    """The prompt of each conditioning; `prompt_text`, read by `tokenize`, stands in where the text is not known for sure.

    Raises NoRecording when no prompt is known, ValueError when the text is longer than what was sampled.
    """
    prompts = [_prompt_of(entry, prompt_text, tokenize) for entry in entries]
    if not any(prompts):
        if entries and all(entry.zeroed for entry in entries):
            raise NoRecording(said(ZEROED, role=role_text(role)))
        raise NoRecording(said(UNKNOWN, role=role_text(role)))
    return prompts


def _prompt_of(entry: Entry, prompt_text: str, tokenize) -> Prompt | None:
    is_known = entry.prompt is not None and not entry.prompt.is_guess
    if is_known or not prompt_text.strip() or tokenize is None:
        return entry.prompt
    prompt = None if entry.read is None else entry.read(prompt_text, entry.length)
    if prompt is not None:
        return prompt
    prompt = tokenize(prompt_text)
    if prompt.length > entry.length:
        raise ValueError(
            said(
                "The text in prompt_text comes to {tokens} tokens, but the sampled conditioning has {length}. Type exactly the text that was "
                "encoded.",
                tokens=prompt.length,
                length=entry.length,
            )
        )
    return prompt


def targets_of_unit(
    entries: Sequence[Entry], prompts: Sequence[Prompt | None], unit: str, fillers: bool = True
) -> dict[str, Target]:
    """Every entry of all prompts in reading order, by the name that finds it and nothing else: what occurs twice in one prompt is
    told apart by `#1`, `#2`; what occurs in several prompts is one entry. fillers: whether words without content (“the”) are
    listed beside others.
    """
    known = [(entry, prompt) for entry, prompt in zip(entries, prompts, strict=True) if prompt is not None]
    numbered = {
        key(word.text) for _, prompt in known for name, word in prompt.listed(unit) if name != word.text
    }
    places: dict[str, list] = {}
    spelled: dict[str, str] = {}
    is_filler: dict[str, bool] = {}
    for entry, prompt in known:
        for name, word in prompt.listed(unit, numbered):
            same = key(word.text) + name[len(word.text) :]
            spelled.setdefault(same, name)
            is_filler.setdefault(same, is_all_filler(word.text))
            places.setdefault(same, []).append((entry, word.columns))
    if not fillers and not all(is_filler.values()):
        places = {same: found for same, found in places.items() if not is_filler[same]}
    return {spelled[same]: Target(tuple(found)) for same, found in places.items()}


def names_of(
    matches: list[Match],
    unit: str = "auto",
    role: str = "positive",
    prompt_text: str = "",
    tokenize: Callable[[str], Prompt] | None = None,
) -> list[str]:
    """Names of all entries that these images' prompts have, each once; what word picking in the browser offers."""
    names: dict[str, str] = {}
    for match in matches:
        entries = match.run.of_role(role)
        prompts = prompts_of(entries, role, prompt_text, tokenize)
        for name in targets_of_unit(entries, prompts, unit, fillers=False):
            names.setdefault(name.lower(), name)
        for name in asked_targets(match.run, names) if role == POSITIVE else ():
            names.setdefault(name.lower(), name)
    return list(names.values())


def notes_of(matches: list[Match], role: str = "positive") -> list[str]:
    """What is good to know of these images' prompts, each sentence once: which texts the two text encoders of SDXL were given."""
    notes = []
    for match in matches:
        for prompt in (entry.prompt for entry in match.run.of_role(role)):
            if prompt is not None and prompt.second is not None and len(prompt.texts) > 1:
                one, two = prompt.each_text
                first, second = (shortened(_first(text), QUOTED) for text in (one, two))
                notes.append(said(TWO_TEXTS, one=one.encoder, first=first, two=two.encoder, second=second))
    return list(dict.fromkeys(notes))


def _first(prompt: Prompt) -> str:
    return prompt.texts[0] if prompt.texts else ""


def find_word(name: str, entries: list[Entry], prompts: list[Prompt | None], unit: str = "auto") -> Target:
    """The word in every conditioning of the role that has it. Raises WordNotFound."""
    found, failure = [], None
    for entry, prompt in zip(entries, prompts, strict=True):
        if prompt is None:
            continue
        try:
            found.append((entry, prompt.find(name, unit).columns))
        except WordNotFound as error:
            failure = failure or error
    if not found:
        raise failure or WordNotFound(said("“{word}” is not in the prompt.", word=name))
    return Target(tuple(found))


def find_in_run(
    name: str, run: Run, entries: list[Entry], prompts: list[Prompt | None], unit: str = "auto"
) -> Target:
    """The word in the prompts, or else among those that were looked for although they are in none. Raises WordNotFound."""
    try:
        return find_word(name, entries, prompts, unit)
    except WordNotFound:
        if run.asked:
            with suppress(WordNotFound):
                return find_word(name, run.asked, [entry.prompt for entry in run.asked], "tags")
        raise


def asked_targets(run: Run, in_prompt: Iterable[str]) -> dict[str, Target]:
    """The words that are not in the prompt, in the order in which they were asked for; in_prompt: names that are, and stay out."""
    known = {key(name.split("#")[0]) for name in in_prompt}
    found = targets_of_unit(run.asked, [entry.prompt for entry in run.asked], "tags")
    return {name: target for name, target in found.items() if key(name) not in known}


def is_asked(target: Target) -> bool:
    """Whether this is a word that is not in the prompt."""
    return all(entry.role == ASKED for entry, _ in target.places)


def heads_text(match: Match, entry: Entry, heads: HeadSelection | None) -> Said:
    """Whose attention a map is the mean of, in a few words."""
    count = recorded_heads(entry, match.run.layout, heads)
    if heads is None:
        every = count == match.run.layout.heads
        which = said("all {count} heads (DAAM)" if every else "{count} recorded heads (DAAM)", count=count)
    elif heads.label:
        which = said("{label} ({count} heads)", label=heads.label, count=count)
    else:
        which = said("{count} chosen heads", count=count)
    of_text = match.share == TEXT and entry.has_mass
    return said("{heads} · share of the text", heads=which) if of_text else which
