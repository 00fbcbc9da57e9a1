"""Builds head relevance vectors: draws prompts with ComfyUI's own sampler and counts what every head does.

builder = Builder(model, clip, words, prompts, plan, earlier=None, name="general")
vectors = builder.run()
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from ...hrv.draw.line_chart import settling_chart
from ...hrv.heads.known_layouts import layout_in_words
from ...hrv.recording.recording import Recording
from ...hrv.relevance import agreement as agreement_relevance
from ...hrv.relevance import building
from ...hrv.relevance.building import BuildPlan
from ...hrv.relevance.concepts import ConceptWords, parse_text
from ...hrv.relevance.vectors import HeadRelevance
from ...hrv.wording import said
from ..facts import drawing
from ..facts.families import followed_layout_of, is_family
from ..facts.layers import class_of
from ..facts.patcher import network_of
from ..facts.running import stop_if_cancelled
from ..facts.weights_identity import weights_identity
from ..follow.recorder import Recorder, kind_of_recorder
from ..page.progress import LongWork, say
from ..store import concept_store, vector_store
from ..text.clip_trace import tokenize_text
from .tallies import AgreementTally, Tally, VoteTally

SAVE_EVERY = 180.0  # seconds
ENCODED_AT_ONCE = (
    24  # prompts: text encoder and UNet may not both fit on the GPU, so they should not take turns too often
)
NO_VOTES = (
    "Votes ask every head which of many words, each encoded on its own, it would look at. That works with Stable Diffusion 1.x, 2.x and SDXL, "
    "not with this model ({kind}). Set method to agreement."
)


class Builder:
    """One build. `state` and `vectors` say at any time what has been counted; `notes` what the user should know.

    earlier: vectors to continue from, or None. name: what the file is called in models/hrv.
    Raises ValueError when the model or the earlier vectors do not fit.
    """

    def __init__(
        self,
        model,
        clip,
        words: ConceptWords,
        prompts: list[str],
        *,
        plan: BuildPlan,
        earlier: HeadRelevance | None,
        name: str,
    ):
        self.layout = followed_layout_of(model, said("asked about concepts"))
        by_agreement = plan.method == agreement_relevance.METHOD
        if is_family(model) and not by_agreement:
            raise ValueError(said(NO_VOTES, kind=class_of(network_of(model))))
        self._words, self._prompts, self.plan = words, building.numbered(prompts), plan
        self._check(earlier)
        self._kept, self.state = building.split(earlier, plan)
        self._facts_before = self.state.agreement
        self.state = replace(self.state, versions=_versions())
        self._name, self.notes = name, []
        self.path: Path | None = None
        self.tally: Tally = (
            AgreementTally(clip, self.layout, words, earlier=earlier)
            if by_agreement
            else VoteTally(clip, self.layout, words, seed=plan.seed, draws=plan.draws, earlier=earlier)
        )
        self._model = model.clone()
        Recorder.take_off(self._model)  # a Record Attention before this node need not record
        # of a recording only the newest run is read, so none is kept beside it
        kind = kind_of_recorder(model)
        self._recorder = kind(Recording(self.layout, 2**20), self.tally.registry, self.tally.options)
        self._recorder.put_on(self._model)

    @property
    def vectors(self) -> HeadRelevance:
        """What was counted so far gives."""
        how = "Built" if self.plan.method == building.METHODS[0] else f"Built by {self.plan.method}"
        title = f"{how}: {self._words.title or f'{len(self._words.concepts)} concepts'}"
        metadata = {
            "title": title,
            "model": f"{layout_in_words(self.layout)}, checkpoint {self.plan.weights[:8]}",
            "source": "Build Head Relevance",
            "construction": building.construction(self._kept, self.state),
        }
        return self.tally.vectors(metadata)

    def run(self) -> HeadRelevance:
        """Draws the prompts that are left. Whatever stops it, what was counted is saved first, and then the host's own
        exception goes on."""
        if self.state.done == len(self._prompts):
            self.notes.append(
                "These prompts have already been counted with this seed. To add more, choose another seed "
                "or other prompts."
            )
            return self.vectors
        try:
            self._draw_all()
        except BaseException:
            self._save()
            line = f"Stopped after {self.state.done} of {len(self._prompts)} prompts. "
            if self.path is not None:
                line += (
                    f"They are saved as {self.path}. To continue, load that file and connect it to "
                    "continue_from."
                )
            logging.warning("[HRV] Build Head Relevance: %s", line)
            say(line)
            raise
        self._save()
        self.notes += self.tally.notes()
        return self.vectors

    def _draw_all(self) -> None:
        ends = building.parts_ends(len(self._prompts))
        before = self._relevance() if self.state.done in (0, *ends) else None
        saved = start = time.monotonic()
        spent, first = self.state.seconds, self.state.done
        work = LongWork((len(self._prompts) - first) * self.plan.steps, self._line)
        for number, key, positive, negative in self._encoded(first):
            self._draw(key, positive, negative, work, (number - first) * self.plan.steps)
            now = time.monotonic()
            self.state = replace(
                self.state, done=number + 1, seconds=spent + now - start, agreement=self._facts()
            )
            if number + 1 in ends:
                if before is not None:
                    agreed = float(building.rank_correlations(before, self.tally.relevance()).mean())
                    self.state = replace(self.state, settled=(*self.state.settled, (number + 1, agreed)))
                before = self._relevance()
            if now - saved >= SAVE_EVERY:
                self._save()
                saved = now

    def _relevance(self) -> torch.Tensor | None:
        return self.tally.relevance() if self.tally.anything() else None

    def _facts(self) -> dict[str, list]:
        """`BuildState.agreement`: what was counted before this build was interrupted, and since."""
        now, before = self.tally.facts(), self._facts_before
        return {
            name: [a + b for a, b in zip(facts, before.get(name, (0, 0.0)))] for name, facts in now.items()
        }

    def _draw(self, key: str, positive, negative, work: LongWork, steps_before: int) -> None:
        plan, model = self.plan, self._model
        self.tally.begin(key)
        latent = drawing.empty_latent(model, plan.height, plan.width)
        preview = drawing.previews(model)

        def callback(step, shown, noisy, steps):
            work.step(steps_before + step + 1, preview(shown))

        drawing.draw(
            model, positive, negative, latent, building.noise_seed(plan.seed, key),
            steps=plan.steps, cfg=plan.cfg, sampler=plan.sampler, scheduler=plan.scheduler, callback=callback,
        )  # fmt: skip
        run = self._recorder.recording.runs[-1]
        if not self.tally.add(run):
            why = run.absent.get("positive") or run.explanation
            raise ValueError(f"Nothing could be counted. {why}".strip())
        self.notes += [warning for warning in run.warnings if warning not in self.notes]

    def _encoded(self, first: int) -> Iterator[tuple[int, str, list, list]]:
        """(number, key, positive, negative) of the prompts that are left, encoded a few at a time."""
        negative = self._encode("")
        for start in range(first, len(self._prompts), ENCODED_AT_ONCE):
            group = self._prompts[start : start + ENCODED_AT_ONCE]
            encoded = [self._encode(prompt) for prompt, _ in group]
            for number, ((_, key), positive) in enumerate(zip(group, encoded, strict=True), start):
                yield number, key, positive, negative

    def _encode(self, prompt: str) -> list:
        stop_if_cancelled()
        return self.tally.clip.encode_from_tokens_scheduled(self.tally.clip.tokenize(prompt))

    def _line(self, steps: int, left: float | None) -> str:
        line = f"{self.state.done} of {len(self._prompts)} prompts"
        return line if left is None else f"{line}, about {building.duration(left)} left"

    def _save(self) -> None:
        """Writes the file of this build. A full disk does not end the build."""
        if not self.tally.anything():
            return
        try:
            self._put()
        except OSError as error:
            logging.warning("[HRV] %s", error)
            self.notes.append(str(error))

    def _put(self) -> None:
        """Replaces the file, or writes another where it cannot be replaced, e.g. because a program on Windows reads it."""
        if self.path is not None:
            try:
                return vector_store.replace(self.path, self.vectors)
            except OSError as error:
                logging.warning("[HRV] %s The votes are saved to another file instead.", error)
        self.path = vector_store.save(self.vectors, self._name)

    def _check(self, earlier: HeadRelevance | None) -> None:
        if earlier is None:
            return
        earlier.check(self.layout)
        if set(earlier.concepts) != set(self._words.concepts):
            raise ValueError(
                f"The vectors in continue_from have different concepts ({', '.join(earlier.concepts)}) from "
                f"the ones chosen here ({', '.join(self._words.concepts)}). Choose the same concepts, or "
                "leave continue_from unconnected."
            )


def _versions() -> dict[str, str]:
    return {"comfyui": drawing.VERSION, "torch": torch.__version__}


def build(
    model,
    clip,
    *,
    concepts,
    prompts,
    steps,
    cfg,
    width,
    height,
    seed,
    draws,
    continue_from=None,
    prompt_limit=0,
    sampler_name="euler",
    scheduler="normal",
    concept_words="",
    method=building.METHODS[0],
) -> tuple[HeadRelevance, torch.Tensor, str]:
    """What the node does with its inputs: (vectors, chart as (1, height, width, 3), summary)."""
    own_words = bool(concept_words.strip())
    words = parse_text(concept_words) if own_words else concept_store.load(concepts)
    drawn = building.parse_prompts(prompts) or _listed_prompts(concepts, words, method)
    drawn = drawn[:prompt_limit] if prompt_limit else drawn
    by_agreement = method == agreement_relevance.METHOD
    if by_agreement:
        _check_words_there(drawn, words)
    plan = BuildPlan(
        prompts=len(drawn),
        prompts_hash=building.short_hash("\n".join(drawn)),
        concept_words=words.count,
        concept_words_hash=building.words_hash(words),
        weights=weights_identity(model),
        seed=seed,
        steps=steps,
        cfg=cfg,
        sampler=sampler_name,
        scheduler=scheduler,
        width=width,
        height=height,
        draws=1 if by_agreement else draws,
        method=method,
    )
    name = "_".join(["built", "own" if own_words else concepts, *([method] * by_agreement), plan.weights[:8]])
    builder = Builder(model, clip, words, drawn, plan=plan, earlier=continue_from, name=name)
    vectors = builder.run()
    title = f"{vectors.heads} heads, {len(vectors.concepts)} concepts, {plan.prompts} prompts"
    chart = settling_chart(builder.state.settled, plan.prompts, title)[None]
    return (
        vectors,
        chart,
        building.build_in_words(builder.state, vectors, str(builder.path or ""), builder.notes),
    )


def _listed_prompts(concepts: str, words: ConceptWords, method: str) -> list[str]:
    """The list that comes with a set of concepts; for agreement also prompts for the concepts that it hardly names."""
    listed = building.parse_prompts(concept_store.prompts_for(concepts))
    if method == agreement_relevance.METHOD:
        listed += agreement_relevance.words_to_draw(map(tokenize_text, listed), words)
    return listed


def _check_words_there(prompts: list[str], words: ConceptWords) -> None:
    telling = agreement_relevance.telling_words(words)
    if not any(agreement_relevance.words_in(map(tokenize_text, prompts), telling).values()):
        raise ValueError(
            "None of the prompts contains any of the concepts' words, so there is nothing for the heads to "
            "locate. Type prompts that contain some, for example: "
            f"{', '.join(word for listed in telling.values() for word in listed[:2])}."
        )
