"""Votes of attention heads for concepts, counted while a model draws (docs/formulas.md, "HRV").

    counter = VoteCounter(layout, words, seed=0)
    counter.begin("a red cat")                        # a prompt; what was not committed before is forgotten
    counter.add(layer=0, to_k=attn2.to_k, q=q, draw_key=evaluation)
    counter.commit()
    HeadRelevance.from_votes(concepts, counter.votes, layout, {})

Park et al. 2024 (arXiv 2412.02237), section 3. Theirs keeps every vote; here only counts are kept.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import torch

from ..heads.layout import Layout
from ..recording.probabilities import sent

# Scratch memory of one group of heads: on the CPU it should stay in the cache.
SCRATCH_BYTES, SCRATCH_BYTES_ON_GPU = 2**20, 64 * 2**20


@dataclass(frozen=True)
class EncodedWords:
    """What a text encoder made of all concept words, each encoded on its own.

    table: (token, channel): the start token, then the content tokens of one word behind those of another.
    spans: for each concept, for each of its words, the (first, last + 1) row of the table.
    """

    table: torch.Tensor
    spans: tuple[tuple[tuple[int, int], ...], ...]


class VoteCounter:
    """Counts votes in one int64 array (concept, head), however many prompts are drawn.

    Votes of the prompt that is being drawn are kept apart until `commit`, so that a prompt counts whole or not at all.
    Safe for several GPUs that draw in threads.

    seed: with the same seed the same words are drawn for the same prompt, draw_key and layer, in whatever order or thread
    they come. draws: how many times words are drawn, and every head votes, in each call of `add`.
    """

    def __init__(self, layout: Layout, words: EncodedWords, seed: int, draws: int = 1):
        self.layout, self.words, self.seed, self.draws = layout, words, seed, draws
        self.votes = torch.zeros((len(words.spans), layout.heads), dtype=torch.int64)
        self._prompt: Hashable = ""
        self._uncommitted: dict[torch.device, torch.Tensor] = {}
        self._keys: dict[tuple[int, torch.device, torch.dtype], torch.Tensor] = {}
        self._lock = threading.Lock()

    def begin(self, prompt: Hashable) -> None:
        """A prompt begins; its text (or number) is part of the seed of its draws."""
        self._prompt = prompt
        self._uncommitted.clear()

    @torch.inference_mode()
    def add(
        self, layer: int, to_k: Callable[[torch.Tensor], torch.Tensor], q: torch.Tensor, draw_key: Hashable
    ) -> None:
        """Every head of a layer votes once for each draw and image, by the queries of the positive prompt.

        to_k: the layer's own projection of (row, token, channel) to keys, called once for each layer, device and dtype; the
        keys of all words are kept until `forget_keys`.
        q: (row, pixel, heads · d). draw_key: tells apart what happens more than once in a prompt, such as evaluations.
        An image whose queries are not finite does not vote.
        """
        of_words = self._keys_of(layer, to_k, q)
        span = self.layout.span(layer)
        heads = span.stop - span.start
        for number in range(self.draws):
            drawn = self.draw(layer, (draw_key, number))
            tokens = [0, *(token for first, stop in drawn for token in range(first, stop))]
            index = sent(torch.tensor(tokens), q.device)
            scores = concept_scores(
                q, of_words.index_select(0, index), heads, [stop - first for first, stop in drawn]
            )
            winners = scores.argmax(-1)  # the first of equal ones
            ones = scores.isfinite().all(-1).to(torch.int64)
            with self._lock:
                self._votes_on(q.device)[:, span].scatter_add_(0, winners, ones)

    def draw(self, layer: int, draw_key: Hashable) -> list[tuple[int, int]]:
        """The word drawn for each concept, as (first, last + 1) row of the table."""
        generator = random.Random(f"{self.seed}/{self._prompt}/{draw_key}/{layer}")
        return [words[int(generator.random() * len(words))] for words in self.words.spans]

    def commit(self) -> None:
        """Counts the votes since `begin`."""
        with self._lock:
            for votes in self._uncommitted.values():
                self.votes = self.votes + votes.cpu()
            self._uncommitted.clear()

    def forget_keys(self) -> None:
        """Frees the keys of the concept words, after which the model's weights may change."""
        with self._lock:
            self._keys.clear()

    def _keys_of(
        self, layer: int, to_k: Callable[[torch.Tensor], torch.Tensor], q: torch.Tensor
    ) -> torch.Tensor:
        """(token, heads · d): the keys of all concept words, made when they are first asked for."""
        with self._lock:
            known = self._keys.get((layer, q.device, q.dtype))
        if known is None:
            known = to_k(self.words.table.to(q.device, q.dtype)[None])[0]
            with self._lock:
                self._keys[layer, q.device, q.dtype] = known
        return known

    def _votes_on(self, device: torch.device) -> torch.Tensor:
        if device not in self._uncommitted:
            self._uncommitted[device] = torch.zeros_like(self.votes, device=device)
        return self._uncommitted[device]


def concept_scores(q: torch.Tensor, keys: torch.Tensor, heads: int, lengths: Sequence[int]) -> torch.Tensor:
    """s_{n,c} / Σ_c s_{n,c}: the attention that one word of each concept gets, all of them and the start token competing.

    q: (row, pixel, heads · d). keys: (token, heads · d): the start token, then the words of all concepts one behind the other.
    lengths: number of tokens of each concept's word. Returns float32 (row, head, concept): the mean over the word's tokens
    and over pixels of P = softmax(q kᵀ / √d), divided by its sum over concepts, so that it does not vanish where the start
    token takes nearly everything.

    With l_j the logits of words, a their maximum at a pixel, and z = log Σ exp(l − a) over all tokens, the mean over pixels of P
    is proportional to the product of the matrix exp(l_j − a) and the vector exp(min z − z). A group of heads at a time.
    """
    rows, pixels, width = q.shape
    tokens, d = keys.shape[0], width // heads
    # (head, token, d) and (row, head, d, pixel)
    competing = keys.reshape(tokens, heads, d).permute(1, 0, 2).float() * d**-0.5
    queries = q.reshape(rows, pixels, heads, d).permute(0, 2, 3, 1)
    scratch = SCRATCH_BYTES if q.device.type == "cpu" else SCRATCH_BYTES_ON_GPU
    step = max(1, scratch // (rows * tokens * pixels * 4))
    shares = []
    for first in range(0, heads, step):
        group = slice(first, first + step)
        logits = competing[group] @ queries[:, group].float()  # (row, head, token, pixel)
        start, of_words = logits[..., 0, :], logits[..., 1:, :]
        most = of_words.amax(-2, keepdim=True)
        of_words = (of_words - most).exp_()
        total = torch.logaddexp(start - most.squeeze(-2), of_words.sum(-2).log())  # (row, head, pixel)
        pixel_weights = (total.amin(-1, keepdim=True) - total).exp()
        shares.append((of_words @ pixel_weights.unsqueeze(-1)).squeeze(-1))  # (row, head, token)
    means = sent(_word_means(tuple(lengths)), q.device)
    scores = torch.cat(shares, 1) @ means
    return scores / scores.sum(-1, keepdim=True)


def _word_means(lengths: tuple[int, ...]) -> torch.Tensor:
    """(token of a word, concept): one over the number of tokens of the concept's word."""
    counts = torch.tensor(lengths)
    owner = torch.repeat_interleave(torch.arange(len(lengths)), counts)
    return (owner[:, None] == torch.arange(len(lengths))) / counts
