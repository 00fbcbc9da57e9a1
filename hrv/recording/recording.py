"""What a recording holds: runs of a sampler, their conditionings, and per-head attention maps.

    Recording ─ Run (one per sampling) ─ Entry (one per conditioning) ─ maps[block]

Maps at rest are sums of post-softmax probabilities in half precision on the CPU, shape
(batch, bin, head, column, height, width); `Entry.count` says over how many evaluations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch

from ..heads.layout import Layout
from ..prompt import Prompt
from ..runs import pooling
from ..runs.latents import Traces
from ..runs.shelf import NoRecording, RunShelf
from ..wording import said, sentences
from .path import RecordedPath
from .schedule import LATE, Bin, Part

TINY = torch.finfo(torch.float32).tiny
ASKED = "not in the prompt"
"""The role of an entry that stands beside a positive conditioning: its words are in no prompt, and were looked for all the same."""
PATHS_KEPT = 16  # runs that keep their path


@dataclass
class Entry:
    """One conditioning of a run.

    role: "positive", "negative", the name a guider gives it, or ASKED; index: its place in that role's list.
    columns: the columns of the conditioning that were kept, in ascending order. `prompt` is None when the
    text is not known (a conditioning that did not come through a traced CLIP). zeroed: its embedding is all zeros
    (ConditioningZeroOut), so it has no words; not kept in files.
    maps: block number → sums of P (docs/formulas.md, "Recording"), (batch, bin, head, column, h, w); where own_columns is 1 (joint
    attention), there is one more column at the end, the text mass: what all columns of the text got together.
    read: how a text that is typed for it would be read, in so many columns; None where as CLIP does. Not kept in files.
    counts: evaluations of the model in each bin. layer_counts: the same by block number, for layers in which it is another
    number: caches run some layers less often than the model. bins: what part of the schedule each bin holds.
    """

    role: str
    index: int
    prompt: Prompt | None
    length: int
    columns: tuple[int, ...]
    counts: list[int]
    batch: int = 0
    maps: dict[int, torch.Tensor] = field(default_factory=dict)
    layer_counts: dict[int, list[int]] = field(default_factory=dict)
    zeroed: bool = False
    own_columns: int = 0
    read: Callable[[str, int], Prompt | None] | None = field(default=None, compare=False, repr=False)
    bins: tuple[Bin, ...] = ()

    def __post_init__(self):
        if not self.bins:
            self.bins = tuple(map(Bin, range(len(self.counts))))

    @property
    def parts(self) -> int:
        """Number of parts of the schedule that were kept apart."""
        return 1 + max((one.part for one in self.bins), default=0)

    @property
    def has_mass(self) -> bool:
        """Whether the text mass was recorded beside the columns: image and text shared one attention."""
        return self.own_columns > 0

    def text_mass(self, block: int, element: int, heads, time_bin: Part = None) -> torch.Tensor:
        """What these heads of one image gave to the whole text, Σ over evaluations of one part of the schedule or of all: float32
        (head, h, w); never 0."""
        stored = self.maps[block][element, self.places(time_bin), heads, -1]  # (bin, head, h, w)
        return stored.sum(0, dtype=torch.float32).clamp(min=TINY)

    @property
    def nbytes(self) -> int:
        """Bytes that the maps take in memory now."""
        return sum(m.numel() * m.element_size() for m in self.maps.values())

    def drop_empty_bins(self) -> None:
        """Lets go of bins in which nothing was seen, as long as another keeps their part of the schedule."""
        seen = [sum(counts) for counts in zip(self.counts, *self.layer_counts.values(), strict=True)]
        most = {
            one.part: max(n for other, n in zip(self.bins, seen) if other.part == one.part)
            for one in self.bins
        }
        kept = [place for place, one in enumerate(self.bins) if seen[place] or not most[one.part]]
        if len(kept) == len(self.bins):
            return
        self.bins = tuple(self.bins[place] for place in kept)
        self.counts = [self.counts[place] for place in kept]
        self.layer_counts = {n: [counts[place] for place in kept] for n, counts in self.layer_counts.items()}
        for block, sums in self.maps.items():
            self.maps[block] = sums[:, kept]

    def places(self, time_bin: Part = None) -> slice:
        """Which bins hold a part of the schedule; they follow each other. Where no late evaluation was seen, LATE is all of it."""
        if time_bin is None:
            return slice(0, len(self.bins))
        if time_bin == LATE:
            late = [place for place, one in enumerate(self.bins) if one.late and self.counts[place]]
            return slice(late[0], late[-1] + 1) if late else slice(0, len(self.bins))
        found = [place for place, one in enumerate(self.bins) if one.part == time_bin]
        return slice(found[0], found[-1] + 1) if found else slice(0, 0)

    def count(self, time_bin: Part = None, block: int | None = None) -> int:
        """Evaluations seen, in one part of the schedule or in all of it; of the model, or those that one layer took part in."""
        counts = self.counts if block is None else self.layer_counts.get(block, self.counts)
        return sum(counts[self.places(time_bin)])

    def blocks(self, time_bin: Part = None) -> list[int]:
        """Numbers of the layers that have maps of this part of the schedule (None: of any), in ascending order."""
        return [block for block in sorted(self.maps) if self.count(time_bin, block) > 0]


@dataclass
class Run:
    """One sampling: the conditionings it evaluated, and what the latents it left are known by.

    Once it is kept, entries and their maps are never changed, but replaced: who reads some goes on reading the same.
    absent: role → why nothing of it was recorded, in a sentence; path: the latents of a few evaluations; not kept in files. is_of_end:
    whether only the last evaluations were recorded, because they show things best.
    """

    layout: Layout
    entries: list[Entry] = field(default_factory=list)
    traces: Traces = field(default_factory=Traces)
    warnings: list[str] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    path: RecordedPath | None = None
    is_of_end: bool = False

    @property
    def fingerprints(self) -> list[str]:
        """Of the latent of each image of the batch."""
        return self.traces.names

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width of the working grid: the largest attention grid of the run."""
        grids = {(m.shape[-2], m.shape[-1]) for e in self.entries for m in e.maps.values()}
        if not grids:
            unknown = sentences(
                said("The sampler ran, but no cross-attention was recorded in it."), *self.warnings
            )
            raise NoRecording(self.absent.get("positive", unknown))
        return max(grids, key=lambda grid: grid[0] * grid[1])

    @property
    def is_joint(self) -> bool:
        """Whether text and image shared one attention."""
        return any(entry.has_mass for entry in self.entries)

    @property
    def is_calibrated(self) -> bool:
        """Whether what is judged by the attention was measured on networks of this kind: on UNets."""
        return not self.is_joint and (self.layout is None or self.layout.is_unet)

    @property
    def explanation(self) -> str:
        """Every warning of the run as one text; empty when all went well."""
        return " ".join(self.warnings)

    @property
    def nbytes(self) -> int:
        """Bytes that the run's maps and latents take in memory."""
        return sum(e.nbytes for e in self.entries) + (0 if self.path is None else self.path.nbytes)

    @property
    def parts(self) -> int:
        """Number of parts of the schedule that were kept apart."""
        return max((e.parts for e in self.entries), default=1)

    @property
    def asked(self) -> list[Entry]:
        """Entries of words that are not in the prompt."""
        return [entry for entry in self.entries if entry.role == ASKED and entry.maps]

    def roles(self) -> list[str]:
        """Roles that have entries, in order of appearance."""
        return list(dict.fromkeys(e.role for e in self.entries))

    def of_role(self, role: str) -> list[Entry]:
        """The conditionings of one role. Raises NoRecording that says why there are none, and what to do."""
        entries = [e for e in self.entries if e.role == role and e.maps]
        if entries:
            return entries
        if role in self.absent:
            raise NoRecording(self.absent[role])
        if self.warnings and any(e.role == role for e in self.entries):  # seen, and left out
            raise NoRecording(self.explanation)
        have = ", ".join(dict.fromkeys(e.role for e in self.entries if e.maps)) or "none"
        hint = (
            "Switch `negative` on in Record Attention and sample again, with a CFG above 1."
            if role == "negative"
            else "Check that the sampler's positive input is connected and sample again."
        )
        raise NoRecording(
            f"No {role} prompt was recorded (recorded: {have}). {hint} {self.explanation}".strip()
        )


EVERYTHING, TEXT = "of everything", "of the text"
SHARES = (EVERYTHING, TEXT)
"""What the maps of joint attention are shares of: of all that a pixel looks at, or of what it looks at in the text."""


@dataclass(frozen=True)
class Match:
    """Where the attention of one image of a batch is: a run and the row in it. `exact` is False when the latent is not as the
    sampler left it, and `note` then says so. share: one of SHARES, which its maps are read as; without joint attention both are one."""

    run: Run
    element: int
    exact: bool
    note: str = ""
    share: str = EVERYTHING


SCALED_DOWN = "The maps of this image were scaled down, because later samplings "
FOR_FINER = (
    "({count}) needed the memory. For finer maps, raise memory_limit_mb in Record Attention and run again."
)


class Recording(RunShelf[Run]):
    """The runs of all samplers behind one Record Attention, or of a file. Older runs are kept with smaller maps before any is
    forgotten.

    layout: of the model that came in; None for one that cannot be recorded.
    """

    node = said("Record Attention")
    nothing = said(
        "Nothing has been recorded yet. Connect Record Attention's model output to the sampler, and the "
        "sampler's latent to this node. If they are already connected, ComfyUI reused the latent from its "
        "cache: change the seed and run again."
    )

    def __init__(self, layout: Layout | None, memory_limit: int, problem: str | None = None):
        super().__init__(memory_limit, problem)
        self.layout = layout

    def known_layout(self) -> Layout:
        """The layout of the recorded model. Raises NoRecording for one that cannot be recorded."""
        if self.layout is None:
            raise NoRecording(self.problem)
        return self.layout

    def match(self, latent: torch.Tensor, share: str = EVERYTHING) -> list[Match]:
        """The run and row of each element of a latent batch (batch, channel, height, width), to be read as one of SHARES.

        Raises NoRecording, which says what to connect, and ValueError for a latent without images.
        """
        if self.layout is None and self.problem:
            raise NoRecording(self.problem)
        return [replace(match, share=share) for match in self.match_paths(latent)]

    def match_paths(self, latent: torch.Tensor) -> list[Match]:
        """The same for who reads only the path of a run, which every model has."""
        return [Match(one.run, one.row, one.exact, one.note) for one in self.find(latent)]

    def add(self, run: Run, instead_of: Run | None = None) -> None:
        """Keeps a finished run. Of older ones the path goes: its conditionings may hold on to ControlNets."""
        for older in self.runs[: 1 - PATHS_KEPT]:
            older.path = None
        super().add(run, instead_of)

    def finest(self, run: Run) -> int:
        return pooling.finest(run.entries)

    def pool(self, run: Run, later: int) -> None:
        run.entries = pooling.pooled(run.entries)
        others = (warning for warning in run.warnings if not warning.startswith(SCALED_DOWN))
        run.warnings = [*others, said(SCALED_DOWN + FOR_FINER, count=later)]
