"""Which words of one prompt stand for which of another, and values split between two attentions."""

from dataclasses import replace

import pytest
import torch

from hrv_pack.hrv.prompt import concatenate, parse_chunks
from hrv_pack.hrv.recording.recording import NoRecording
from hrv_pack.hrv.runs.latents import traces_of
from hrv_pack.hrv.steer.prompt_edit import align, keep_outside, split_values
from hrv_pack.hrv.steer.source_run import Frame, Moments, RunMemory, SourceRun

LENGTH = 12  # a short chunk: start, text, end, padding


def prompt(*pieces: str, length: int = LENGTH):
    """A prompt of these BPE pieces: a piece without a trailing + ends its word."""
    names = {number: piece for number, piece in enumerate(pieces)}
    ids = [49406, *names, 49407] + [49407] * (length - 2 - len(names))

    def piece_of(token):
        piece = names[token]
        return piece[:-1] if piece.endswith("+") else piece + "</w>"

    return parse_chunks([[(i, 1.0) for i in ids]], piece_of, str)


def pairs(alignment) -> dict[int, list[int]]:
    """Target column → source columns that it takes."""
    return {
        j: torch.nonzero(alignment.matrix[:, j]).flatten().tolist() for j in range(alignment.matrix.shape[1])
    }


def same(*columns: int) -> dict[int, list[int]]:
    return {column: [column] for column in columns}


def test_the_same_prompt_takes_everything():
    one = prompt("a", "red", "car")
    alignment = align(one, prompt("A", "red", "car"))
    assert torch.equal(alignment.matrix, torch.eye(LENGTH))
    assert not alignment.own.any() and alignment.changed == ()


def test_a_swapped_word_takes_the_old_words_place():
    alignment = align(prompt("a", "red", "car"), prompt("a", "blue", "car"))
    assert torch.equal(alignment.matrix, torch.eye(LENGTH))
    assert alignment.changed == (2,) and not alignment.own.any()


def test_a_swapped_word_can_keep_its_own():
    alignment = align(prompt("a", "red", "car"), prompt("a", "blue", "car"), replace=False)
    expected = torch.eye(LENGTH)
    expected[2, 2] = 0
    assert torch.equal(alignment.matrix, expected)
    assert alignment.own.nonzero().flatten().tolist() == [2] and alignment.changed == (2,)


def test_an_added_word_keeps_its_own_and_moves_the_others():
    alignment = align(prompt("a", "red", "car"), prompt("a", "big", "red", "car"))
    # columns: start 0, a 1, big 2, red 3, car 4, end 5, padding from 6
    assert pairs(alignment) == {0: [0], 1: [1], 2: [], 3: [2], 4: [3], 5: [4]} | same(*range(6, LENGTH))
    assert alignment.changed == (2,) and alignment.own.nonzero().flatten().tolist() == [2]


def test_a_removed_word_takes_its_attention_with_it():
    alignment = align(prompt("a", "big", "red", "car"), prompt("a", "red", "car"))
    # the target's first padding column stands where the source has its end token: it keeps its own
    assert pairs(alignment) == {0: [0], 1: [1], 2: [3], 3: [4], 4: [5], 5: []} | same(*range(6, LENGTH))
    assert alignment.changed == ()


def test_words_of_several_pieces():
    """One piece for two: each new piece has half of the old one's share. Two for one: the new piece has both shares."""
    short, long = prompt("a", "cat"), prompt("a", "wom+", "bat")
    alignment = align(short, long)
    assert alignment.matrix[2, [2, 3]].tolist() == [0.5, 0.5] and alignment.changed == (2, 3)
    alignment = align(long, short)
    assert alignment.matrix[[2, 3], 2].tolist() == [1.0, 1.0] and alignment.changed == (2,)
    halves = align(
        prompt("straw+", "berry"), prompt("blue+", "berry")
    )  # whole words are compared, not pieces
    assert halves.changed == (1, 2) and halves.matrix[1, 1] == halves.matrix[2, 2] == 1


def test_phrases_of_different_length():
    """Two words for three: every new token has a third of all of the old ones."""
    alignment = align(prompt("a", "red", "car"), prompt("a", "very", "old", "boat"))
    assert torch.allclose(alignment.matrix[2:4, 2:5], torch.full((2, 3), 1 / 3))
    assert alignment.changed == (2, 3, 4)
    assert alignment.matrix[4, 5] == 1  # end


def test_shares_are_neither_lost_nor_made_when_words_are_swapped():
    """With padding the same, the source's shares add up to one again."""
    share = torch.rand(LENGTH).softmax(0)
    for target in (prompt("a", "blue", "car"), prompt("the", "blue", "boat")):
        assert torch.isclose(
            (share @ align(prompt("a", "red", "car"), target).matrix).sum(), torch.tensor(1.0)
        )


def test_punctuation_is_compared_but_is_no_changed_word():
    alignment = align(prompt("red", "car"), prompt("red", ",", "car"))
    assert alignment.changed == () and alignment.own.nonzero().flatten().tolist() == [2]


def test_several_chunks():
    first, second = prompt("a", "red", "car"), prompt("in", "snow")
    both = concatenate([first.tokens, second.tokens])
    alignment = align(both, concatenate([prompt("a", "blue", "car").tokens, second.tokens]))
    assert torch.equal(alignment.matrix, torch.eye(2 * LENGTH)) and alignment.changed == (2,)
    alignment = align(first, both)  # start, end and words of the second chunk are new
    assert alignment.changed == (LENGTH + 1, LENGTH + 2)
    assert not alignment.own[:LENGTH].any() and alignment.own[LENGTH:].all()
    assert alignment.matrix.shape == (LENGTH, 2 * LENGTH)


def two_texts(first, second):
    return replace(first, encoder="l", second=replace(second, encoder="g"))


def test_each_of_two_texts_is_compared_with_its_counterpart():
    """A word swapped in either text alone, or in both, is found in either order of the encoders."""
    car, boat, house = prompt("a", "red", "car"), prompt("a", "red", "boat"), prompt("old", "house")
    for before, after, changed in (
        (two_texts(car, house), two_texts(car, prompt("new", "house")), (1,)),
        (two_texts(house, car), two_texts(house, boat), (3,)),
        (two_texts(car, house), two_texts(boat, prompt("old", "barn")), (2, 3)),
        (car, two_texts(car, boat), (3,)),  # one text for both, then two
        (two_texts(car, boat), car, (3,)),
    ):
        alignment = align(before, after)
        assert alignment.changed == changed
        assert torch.equal(alignment.matrix, torch.eye(LENGTH)) and not alignment.own.any()


def test_a_column_takes_the_mean_of_what_two_texts_want():
    """Two words are added to the second text alone: its columns move by two, those of the first stay."""
    same, short, long = prompt("a", "red", "car"), prompt("red", "car"), prompt("very", "big", "red", "car")
    alignment = align(two_texts(same, short), two_texts(same, long))
    plain = [align(same, same), align(short, long)]
    assert alignment.changed == (1, 2)
    for j in range(LENGTH):
        speaking = plain[1:] if j == 5 else plain  # there the first text is padding, the second ends
        expected = sum(one.matrix[:, j] for one in speaking) / len(speaking)
        assert torch.allclose(alignment.matrix[:, j], expected), j
        assert alignment.own[j] == sum(float(one.own[j]) for one in speaking) / len(speaking), j
    assert alignment.own[1] == 0.5 and alignment.matrix[1, 1] == 0.5
    # what goes to a column is never more than a whole one
    assert torch.allclose(alignment.matrix.sum(0) + alignment.own, torch.ones(LENGTH))


def test_the_longer_of_two_texts_is_cut():
    long = concatenate([prompt("one").tokens, prompt("two").tokens])
    alignment = align(two_texts(prompt("a"), long), two_texts(prompt("a"), long))
    assert torch.equal(alignment.matrix, torch.eye(LENGTH)) and alignment.changed == ()


@pytest.mark.parametrize("repeats", [1, 2])
def test_two_attentions_are_the_edited_probabilities_times_values(repeats):
    """Against P' written out, column by column; the target's prompt may be padded by repetition."""
    rows, pixels, d = 2, 5, 3
    alignment = align(prompt("a", "red", "car"), prompt("a", "big", "wom+", "bat"))
    generator = torch.Generator().manual_seed(0)
    q, q_source = torch.randn(2, rows, pixels, d, generator=generator).double()
    k, k_source, v = torch.randn(3, rows, LENGTH, d, generator=generator).double()
    k, v = k.repeat(1, repeats, 1), v.repeat(1, repeats, 1)
    own = torch.softmax(q @ k.mT, -1)
    theirs = torch.softmax(q_source @ k_source.mT, -1)
    expected = torch.zeros(rows, pixels, d).double()
    for j in range(LENGTH):
        if alignment.own[j]:
            share = sum(own[:, :, j + r * LENGTH] for r in range(repeats))
        else:
            share = sum(theirs[:, :, i] * alignment.matrix[i, j] for i in range(LENGTH))
        expected += share[:, :, None] * v[:, None, j]
    kept, taken = split_values(v, alignment)
    assert torch.allclose(own @ kept + theirs @ taken.double(), expected, atol=1e-5)


def test_masks_of_any_size_choose_between_two_pictures():
    now, before = torch.ones(2, 3, 4, 6), torch.zeros(2, 3, 4, 6)
    mask = torch.zeros(1, 8, 12)
    mask[:, :, :5] = 1  # two columns and a half of the smaller grid
    for rows in (mask, mask.repeat(2, 1, 1)):
        found = keep_outside(now, before, rows)
        assert torch.allclose(found, torch.tensor([1, 1, 0.5, 0, 0, 0]).expand(2, 3, 4, 6))
    each = torch.stack([torch.ones(2, 3), torch.zeros(2, 3)])
    assert torch.equal(keep_outside(now, before, each).mean((1, 2, 3)), torch.tensor([1.0, 0.0]))


# -- what is remembered ---------------------------------------------------------------------------------------------


def frame(seed: int, side: int = 4, output=None) -> Frame:
    x = torch.randn(1, 4, side, side, generator=torch.Generator().manual_seed(seed))
    return Frame(x, torch.zeros(1), torch.ones(1, LENGTH, 8), torch.ones(1, 6), output)


def test_evaluations_are_named_by_sigma_and_occurrence():
    moments = Moments()
    assert [moments.next(sigma) for sigma in (14.6, 8.0, 8.0)] == [("14.6", 0), ("8", 0), ("8", 1)]


def test_a_text_that_stays_is_kept_once():
    run = SourceRun()
    first, second = frame(1, output=torch.zeros(1, 4, 4, 4)), frame(2)
    run.add(("2", 0), 0, first)
    run.add(("2", 0), 0, frame(9))  # the first of an evaluation counts
    run.add(("1", 0), 0, second)
    assert torch.equal(run.frames["2", 0][0].x, first.x) and torch.equal(run.frames["1", 0][0].x, second.x)
    assert run.frames["1", 0][0].context is run.frames["2", 0][0].context
    latent, text = 4 * 16 * 4, (LENGTH * 8 + 6) * 4
    assert run.nbytes == 3 * latent + 2 * 4 + text
    other = Frame(second.x, second.timesteps, second.context + 1, second.y)
    run.add(("0.5", 0), 0, other)
    assert torch.equal(run.frames["0.5", 0][0].context, other.context)
    run.add_denoised(("0.5", 0), other.x)
    assert run.nbytes == 5 * latent + 3 * 4 + text + LENGTH * 8 * 4
    run.forget()
    assert run.nbytes == 0 and not run.frames and not run.denoised


def test_the_run_that_made_a_latent():
    memory = RunMemory(memory_limit=2**20)
    latents = [torch.full((2, 4, 3, 3), float(n)) for n in range(3)]
    with pytest.raises(NoRecording, match="Connect Remember Run's model output to the first sampler"):
        memory.match(latents[0])
    runs = [SourceRun(traces=traces_of(latent)) for latent in latents]
    for run in runs:
        memory.add(run)
    assert memory.match(latents[1]) == (runs[1], "")
    for other in (latents[1] + 9, latents[1][:1], torch.cat([latents[0][:1], latents[1][:1]])):
        with pytest.raises(NoRecording):
            memory.match(other)
    with pytest.raises(NoRecording, match="no cross-attention"):
        RunMemory(1, problem="This model has no cross-attention.").match(latents[0])


def test_the_oldest_runs_are_forgotten():
    memory = RunMemory(memory_limit=4000)
    latents = [torch.full((1, 1), float(n)) for n in range(3)]
    for number, latent in enumerate(latents):
        run = SourceRun(traces=traces_of(latent))
        run.add(("1", 0), 0, frame(number, side=8))
        memory.add(run)
    with pytest.raises(
        NoRecording, match=r"no longer kept in Remember Run. Others were sampled after it \(2\)"
    ):
        memory.match(latents[0])
    assert [memory.match(latent)[1] for latent in latents[1:]] == ["", ""]
