"""The runs that a model is asked about, and the model without what follows samplings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...hrv.recording.path import RecordedPath
from ...hrv.recording.recording import Match
from ...hrv.runs.shelf import NoRecording
from ..facts.conditionings import CROSS_ATTN
from ..facts.guider import NEGATIVE
from ..follow.editor import Editor
from ..follow.exciter import Exciter
from ..follow.path_recorder import PathRecorder
from ..follow.recorder import Recorder
from ..follow.rememberer import Rememberer

NO_PATH = (
    "The latents of this run were not kept, so this image cannot be asked about: it was loaded from a file, many samplings came after "
    "it, or its latent has an unusual form. Sample it again through Record Attention."
)


def bare(model):
    """A clone of a ModelPatcher without our wrappers that follow samplings."""
    plain = model.clone()
    for wrapping in (Recorder, PathRecorder, Rememberer, Editor, Exciter):
        wrapping.take_off(plain)
    return plain


def path_of(match: Match) -> RecordedPath:
    """The path of an image's run. Raises NoRecording: where the run could not be followed, with what it warned of."""
    if match.run.path is None:
        raise NoRecording(match.run.explanation or NO_PATH)
    return match.run.path


def one_per_run(matches: Sequence[Match]) -> list[Match]:
    """The first match of each run."""
    return list({id(match.run): match for match in reversed(matches)}.values())[::-1]


def notes_of(matches: Sequence[Match]) -> list[str]:
    """What is good to know of how these runs were found, each sentence once."""
    return list(dict.fromkeys(match.note for match in matches if match.note))


def conds_of(path: RecordedPath, role: str) -> tuple[str, list[dict[str, Any]]]:
    """(name, conditionings) of the first list of this role whose conditionings have a text. Raises NoRecording."""
    for name, conds in path.conds.items():
        own = [cond for cond in conds if cond.get(CROSS_ATTN) is not None]
        if own and len(own) == len(conds) and (NEGATIVE in name) == (role == NEGATIVE):
            return name, own
    raise NoRecording(f"This run has no {role} prompt that could be asked about.")
