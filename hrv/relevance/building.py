"""What a build of head relevance vectors is made from, how far it got, and when it has settled.

A build is known by its `BuildPlan`. Draws and noise depend on the seed and on a prompt's text alone, so a build that was
interrupted and continued, or that machines shared by prompts, gives exactly the votes of one that ran through.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

import torch

from .concepts import ConceptWords
from .construction import parts_of, text_of
from .vectors import HeadRelevance

PARTS = 10  # the order of heads is compared after each of them
METHODS = ("votes", "agreement")


@dataclass(frozen=True)
class BuildPlan:
    """Everything that the votes follow from. Hashes are the first 16 hex digits of a SHA-256.

    prompts: how many; weights: identity of the checkpoint; size in pixels of the image.
    """

    prompts: int
    prompts_hash: str
    concept_words: int
    concept_words_hash: str
    weights: str
    seed: int
    steps: int
    cfg: float
    sampler: str
    scheduler: str
    width: int
    height: int
    draws: int
    method: str = METHODS[0]


@dataclass(frozen=True)
class BuildState:
    """How far a build got. done: prompts that were counted; seconds: time that took; settled: after so many prompts, the
    rank correlation with the state before; agreement: `AgreementSums.facts` of these prompts, empty for votes."""

    plan: BuildPlan
    done: int = 0
    seconds: float = 0.0
    settled: tuple[tuple[int, float], ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    agreement: dict[str, list] = field(default_factory=dict)

    def to_dict(self) -> dict:
        """For a file's `construction`: flat where it can be, so that it reads well."""
        return {
            "prompts_done": self.done,
            **asdict(self.plan),
            "seconds": round(self.seconds, 1),
            "settled": self.settled,
            "versions": self.versions,
            **({"agreement": self.agreement} if self.agreement else {}),
        }

    @classmethod
    def from_dict(cls, values) -> BuildState | None:
        """Reads `to_dict`; None for anything else."""
        try:
            older = {"method": METHODS[0]}
            plan = BuildPlan(**{name: ({**older, **values})[name] for name in BuildPlan.__dataclass_fields__})
            settled = tuple((int(n), float(r)) for n, r in values["settled"])
            return cls(
                plan,
                done=int(values["prompts_done"]),
                seconds=float(values["seconds"]),
                settled=settled,
                versions=dict(values["versions"]),
                agreement=dict(values.get("agreement", {})),
            )
        except (KeyError, TypeError, ValueError):
            return None


def parse_prompts(text: str) -> list[str]:
    """One prompt a line, without empty lines and lines that begin with #."""
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def numbered(prompts: Sequence[str]) -> list[tuple[str, str]]:
    """(prompt, key) in order; the key is the text and how often it came before, so that a repeated prompt gets other
    noise and draws."""
    seen: Counter[str] = Counter()
    out = []
    for prompt in prompts:
        out.append((prompt, f"{prompt}#{seen[prompt]}"))
        seen[prompt] += 1
    return out


def noise_seed(seed: int, key: str) -> int:
    """The seed of the noise that a prompt is drawn from."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{key}".encode()).digest()[:8], "big") >> 1


def short_hash(text: str) -> str:
    """First 16 hex digits of the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def words_hash(words: ConceptWords) -> str:
    """Identity of concept words: names, words and their order."""
    return short_hash(words.to_text())


def parts_ends(prompts: int) -> list[int]:
    """After how many prompts the state is looked at: each tenth, rounded up."""
    return sorted({-(-prompts * part // PARTS) for part in range(1, PARTS + 1)})


def rank_correlations(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Spearman's correlation of two relevances of heads, for each concept: 1 for the same order of heads, 0 for a concept
    without any difference between heads.

    first, second: float32 (concept, head). Returns float64 (concept,).
    """
    a, b = (_centred_ranks(relevance) for relevance in (first, second))
    norm = a.norm(dim=1) * b.norm(dim=1)
    products = (a * b).sum(1)
    return torch.where(norm > 0, products / norm.clamp(min=1e-12), 0.0)


def _centred_ranks(values: torch.Tensor) -> torch.Tensor:
    """Ranks in each row, equal values sharing the mean of theirs, less the row's mean: float64 (concept, head)."""
    ranks = torch.empty(values.shape, dtype=torch.float64)
    for row, out in zip(values, ranks, strict=True):
        _, inverse, counts = torch.unique(row, return_inverse=True, return_counts=True)
        last = counts.cumsum(0).to(torch.float64)
        out[:] = (last - (counts - 1) / 2)[inverse]
    return ranks - ranks.mean(1, keepdim=True)


def split(earlier: HeadRelevance | None, plan: BuildPlan) -> tuple[list[dict], BuildState]:
    """What to do with vectors to continue from: (constructions of the builds that stay as they are, the state to go on
    from). A build of the same plan is taken up where it stopped; any other one is added to.

    Raises ValueError when what they count cannot be added to this plan's.
    """
    if earlier is None:
        return [], BuildState(plan)
    if earlier.votes is None and plan.method == METHODS[0]:
        raise ValueError(
            "The vectors in continue_from hold no votes, so no votes can be added to them. Published "
            "vectors come without votes, and vectors by agreement count something else; connect vectors "
            "that you built by votes."
        )
    state = BuildState(plan)
    kept = []
    for part in parts_of(earlier.metadata):
        found = BuildState.from_dict(part)
        if found is not None and found.plan == plan and state.done == 0:
            state = replace(found, versions={})
        else:
            _check_part(part, plan)
            kept.append(part)
    return kept, state


def _check_part(part, plan: BuildPlan) -> None:
    for name, what in (
        ("method", "with another method"),
        ("concept_words_hash", "with different words for their concepts"),
        ("weights", "for another checkpoint"),
    ):
        found = part.get(name) if isinstance(part, dict) else None
        if found is not None and found != getattr(plan, name):
            raise ValueError(
                f"The vectors in continue_from were built {what} ({found}; here it is "
                f"{getattr(plan, name)}). Their counts cannot be combined with this build: build new "
                "vectors, or connect the right ones."
            )


def construction(kept: list[dict], state: BuildState) -> str:
    """The JSON of a file's `construction`."""
    return text_of([*kept, *([state.to_dict()] if state.done else [])])


def build_in_words(state: BuildState, vectors: HeadRelevance, path: str, notes: Sequence[str] = ()) -> str:
    """How a build went, in an artist's words."""
    plan = state.plan
    lines = [
        f"{state.done} of {plan.prompts} prompts drawn, {plan.steps} steps each, in {duration(state.seconds)}.",
        _counted(state, vectors),
    ]
    if state.settled:
        prompts, value = state.settled[-1]
        lines.append(
            f"After {prompts} prompts, the order of heads agreed with the earlier order by {value:.2f} (1 "
            "means no change). If the curve is still climbing, continue with more prompts."
        )
    if path:
        lines.append(f"Saved as {path}. Load Head Relevance lists it after the page is refreshed (press R).")
    return "\n".join([*lines, *notes])


def _counted(state: BuildState, vectors: HeadRelevance) -> str:
    if vectors.votes is not None:
        votes = int(vectors.votes.sum()) // vectors.heads
        return (
            f"Each of the {vectors.heads} heads has voted about {votes} times for one of "
            f"{len(vectors.concepts)} concepts."
        )
    words = sum(number for number, _ in state.agreement.values())
    return (
        f"These prompts contained {words} words of {len(vectors.concepts)} concepts; each of the "
        f"{vectors.heads} heads looked for them."
    )


def duration(seconds: float) -> str:
    """90 is `1 min 30 s`."""
    seconds = round(seconds)
    hours, minutes = seconds // 3600, seconds % 3600 // 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"
