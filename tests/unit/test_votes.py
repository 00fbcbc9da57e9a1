"""Vote counting against the plainest computation in float64."""

import math
import threading

import pytest
import torch

from hrv_pack.hrv.heads.layout import Block, Layout
from hrv_pack.hrv.relevance import votes
from hrv_pack.hrv.relevance.votes import EncodedWords, VoteCounter, concept_scores

LAYOUT = Layout((Block("input", 1, 0, 3), Block("middle", 0, 0, 2)))
D, CHANNELS = 4, 10


def words(counts=((2, 1, 3), (1, 1), (4,)), seed=0) -> EncodedWords:
    """counts: tokens of each word of each concept."""
    spans, row = [], 1
    for concept in counts:
        spans.append(
            tuple((row + sum(concept[:i]), row + sum(concept[: i + 1])) for i in range(len(concept)))
        )
        row += sum(concept)
    table = torch.randn(row, CHANNELS, generator=torch.Generator().manual_seed(seed))
    return EncodedWords(table, tuple(spans))


def projections(seed=1) -> list[torch.nn.Linear]:
    torch.manual_seed(seed)
    layers = [torch.nn.Linear(CHANNELS, block.heads * D, bias=False) for block in LAYOUT.blocks]
    return [layer.requires_grad_(False) for layer in layers]


def queries(rows=2, pixels=30, seed=2) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [3 * torch.randn(rows, pixels, block.heads * D, generator=generator) for block in LAYOUT.blocks]


def plain_scores(q, keys, heads, drawn) -> list:
    """[row][head][concept], one number after the other."""
    tokens = [0] + [t for first, stop in drawn for t in range(first, stop)]
    out = []
    for row in q.double().tolist():
        per_head = []
        for head in range(heads):
            part = slice(head * D, head * D + D)
            k = [keys[t, part].double().tolist() for t in tokens]
            share = [0.0] * len(tokens)
            for pixel in row:
                logits = [sum(a * b for a, b in zip(pixel[part], key)) / math.sqrt(D) for key in k]
                total = sum(math.exp(x) for x in logits)
                share = [s + math.exp(x) / total / len(row) for s, x in zip(share, logits)]
            concepts, place = [], 1
            for first, stop in drawn:
                concepts.append(sum(share[place : place + stop - first]) / (stop - first))
                place += stop - first
            per_head.append(concepts)
        out.append(per_head)
    return out


@pytest.mark.parametrize("scratch", [1, 2**20])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_scores_are_the_plain_ones(monkeypatch, scratch, dtype):
    monkeypatch.setattr(votes, "SCRATCH_BYTES", scratch)
    encoded, q, to_k = words(), queries()[0].to(dtype), projections()[0]
    keys = to_k(encoded.table).to(dtype)
    drawn = [concept[-1] for concept in encoded.spans]
    chosen = torch.cat([keys[:1], *(keys[first:stop] for first, stop in drawn)])
    found = concept_scores(q, chosen, 3, [stop - first for first, stop in drawn])
    assert found.dtype == torch.float32 and found.shape == (2, 3, 3)
    plain = torch.tensor(plain_scores(q, keys, 3, drawn), dtype=torch.float64)
    assert torch.allclose(found.double(), plain / plain.sum(-1, keepdim=True), atol=1e-6)


def test_large_logits_neither_overflow_nor_vanish():
    """The start token takes all but e⁻⁴⁰⁰ of one pixel, and the second concept is ahead of the first by a factor of e."""
    keys, q = torch.tensor([[500.0], [99.0], [100.0]]), torch.tensor([[[1.0]]])
    found = concept_scores(q, keys, 1, [1, 1])
    assert torch.allclose(found, torch.tensor([[[1.0, math.e]]]) / (1 + math.e))
    keys, q = torch.tensor([[1.0], [-1.0], [-1.0]]) * 300, torch.tensor([[[300.0], [-300.0]]])
    assert concept_scores(q, keys, 1, [1, 1]).tolist() == [[[0.5, 0.5]]]


def count(prompts=("a cat", "a dog"), draws=1, seed=0, order=1) -> VoteCounter:
    counter = VoteCounter(LAYOUT, words(), seed, draws)
    to_k = projections()
    for number, prompt in enumerate(prompts):
        counter.begin(prompt)
        calls = [(layer, evaluation) for evaluation in range(3) for layer in range(2)]
        for layer, evaluation in calls[::order]:
            counter.add(layer, to_k[layer], queries(seed=10 * number + evaluation)[layer], evaluation)
        counter.commit()
    return counter


@pytest.mark.parametrize("draws", [1, 3])
def test_votes_are_the_plain_ones(draws):
    counter, to_k = count(draws=draws), projections()
    expected = torch.zeros(3, 5, dtype=torch.int64)
    for number, prompt in enumerate(("a cat", "a dog")):
        counter.begin(prompt)
        for evaluation in range(3):
            for layer, block in enumerate(LAYOUT.blocks):
                q, keys = queries(seed=10 * number + evaluation)[layer], to_k[layer](counter.words.table)
                for draw in range(draws):
                    drawn = counter.draw(layer, (evaluation, draw))
                    for row in plain_scores(q, keys, block.heads, drawn):
                        for head, scores in enumerate(row):
                            winner = scores.index(max(scores))
                            expected[winner, LAYOUT.offsets[layer] + head] += 1
    assert torch.equal(counter.votes, expected)
    assert (counter.votes.sum(0) == 2 * 3 * 2 * draws).all()  # prompts · evaluations · pictures · draws


def test_neither_order_nor_threads_nor_company_matter():
    assert torch.equal(count().votes, count(order=-1).votes)
    alone = count(("a cat",)).votes
    after = VoteCounter(LAYOUT, words(), 0)
    to_k, q = projections(), [queries(seed=evaluation) for evaluation in range(3)]
    after.begin("a cat")
    threads = [
        threading.Thread(target=after.add, args=(layer, to_k[layer], q[evaluation][layer], evaluation))
        for evaluation in range(3)
        for layer in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    after.commit()
    assert torch.equal(after.votes, alone)


def test_draws_depend_on_seed_prompt_key_and_layer():
    many = words(((1,) * 50, (1,) * 50))
    counter = VoteCounter(LAYOUT, many, 0)
    seen = set()
    for seed, prompt, key, layer in [
        (0, "a", 0, 0),
        (1, "a", 0, 0),
        (0, "b", 0, 0),
        (0, "a", 1, 0),
        (0, "a", 0, 1),
    ]:
        counter.seed = seed
        counter.begin(prompt)
        assert counter.draw(layer, key) == counter.draw(layer, key)
        seen.add(tuple(counter.draw(layer, key)))
    assert len(seen) == 5


def test_every_word_is_drawn_equally_often():
    counter = VoteCounter(LAYOUT, words(((1,) * 4, (1,) * 3)), 0)
    first = [counter.draw(0, key)[0] for key in range(4000)]
    assert all(abs(first.count(span) - 1000) < 120 for span in counter.words.spans[0])


def test_what_is_not_committed_does_not_count():
    counter, to_k = count(("a cat",)), projections()
    before = counter.votes
    counter.begin("a dog")
    counter.add(0, to_k[0], queries()[0], 0)
    counter.begin("a dog")
    counter.commit()
    assert torch.equal(counter.votes, before)


def test_keys_are_made_once_for_each_layer():
    seen, to_k = [], projections()

    def counted(layer):
        return lambda table: seen.append((layer, table)) or to_k[layer](table)

    counter = VoteCounter(LAYOUT, words(), 0)
    for evaluation in range(3):
        for layer in range(2):
            counter.add(layer, counted(layer), queries()[layer], evaluation)
    assert [layer for layer, _ in seen] == [0, 1]
    assert all(torch.equal(table, counter.words.table[None]) for _, table in seen)
    counter.forget_keys()
    counter.add(1, counted(1), queries()[1], 0)
    assert [layer for layer, _ in seen] == [0, 1, 1]


def test_equal_scores_go_to_the_first_concept_and_broken_pictures_do_not_vote():
    encoded = EncodedWords(torch.ones(4, CHANNELS), (((1, 2),), ((2, 3),), ((3, 4),)))
    counter, q = VoteCounter(LAYOUT, encoded, 0), queries()[0]
    q[1, 3] = float("nan")
    counter.add(0, projections()[0], q, 0)
    counter.commit()
    assert counter.votes[:, :3].tolist() == [[1, 1, 1], [0, 0, 0], [0, 0, 0]]
