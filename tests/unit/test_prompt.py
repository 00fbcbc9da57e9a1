"""Finding words in prompts."""

import pytest
from prompts import Vector, prompt

from hrv_pack.hrv.prompt import END, PAD, START, Prompt, WordNotFound, concatenate, split_names


def texts(words):
    return [word.text for word in words]


def test_columns_count_from_the_start_token():
    p = prompt("a cat")
    assert [t.kind for t in p.tokens[:5]] == [START, "text", "text", END, PAD]
    assert p.length == 77 and p.recorded_columns == (0, 1, 2, 3)
    assert p.find("cat").columns == (2,)


@pytest.mark.parametrize("typed", ["cowboy hat", "Cowboy  HAT", "cowboyhat", " cowboy hat "])
def test_a_phrase_is_found_whatever_its_case_and_spaces(typed):
    assert prompt("a cow|boy hat .").find(typed).columns == (2, 3, 4)


@pytest.mark.parametrize("part", ["at", "owb", "cowboy ha", "oy"])
def test_a_part_that_tokens_cannot_tell_apart_is_not_found(part):
    with pytest.raises(WordNotFound):
        prompt("a cow|boy hat").find(part)


@pytest.mark.parametrize("part, columns", [("cow", (2,)), ("boy", (3,)), ("boy hat", (3, 4))])
def test_a_part_of_a_word_may_be_asked_for_where_no_word_is_called_so(part, columns):
    assert prompt("a cow|boy hat").find(part).columns == columns
    assert prompt("a cow|boy hat , cow").find("cow").columns == (6,)


def test_all_occurrences_count_unless_one_is_numbered():
    p = prompt("cat and cat and red cat")
    assert p.find("cat").columns == (1, 3, 6)
    assert p.find("cat#2").columns == (3,)
    assert p.find("red cat").columns == (5, 6)
    with pytest.raises(WordNotFound, match="occurrence 4, but the prompt has the word 3 times"):
        p.find("cat#4")


def test_a_word_that_really_holds_a_number_sign():
    assert prompt("model # 3 car").find("model#3").columns == (1, 3)


def test_weights_belong_to_their_words():
    p = prompt(["a", ("cat", 1.3), ("dog", 0.5)])
    assert p.find("cat").weight == 1.3
    assert [w.weight for w in p.words()] == [1.0, 1.3, 0.5]


def test_a_textual_inversion_is_one_word_of_several_vectors():
    p = prompt(["a", Vector("style"), Vector("style"), Vector("other"), "cat"])
    assert texts(p.words()) == ["a", "embedding:style", "embedding:other", "cat"]
    assert p.find("embedding:style").columns == (2, 3)
    assert p.find("embedding:style").text == "embedding:style"
    assert p.find("cat").columns == (5,)


def test_words_of_later_chunks_have_later_columns():
    p = prompt("a cat", "a dog")
    assert p.length == 154
    assert p.find("dog").columns == (79,)
    assert p.find("a").columns == (1, 78)
    assert p.recorded_columns == (0, 1, 2, 3, 77, 78, 79, 80)


def test_a_phrase_does_not_need_to_end_at_a_chunk():
    assert prompt("a red", "cat").find("red cat").columns == (2, 78)


def test_concatenating_numbers_the_columns_anew():
    joined = concatenate([prompt("a cat").tokens, prompt("a dog").tokens])
    assert [t.column for t in joined.tokens] == list(range(154))
    assert joined.find("dog").columns == (79,)


def test_punctuation_and_endings_are_no_words():
    assert texts(prompt("cat , dog ! 1").words()) == ["cat", "dog", "1"]
    assert texts(prompt("cat|'s hat", text="Cat's hat").words()) == ["Cat's", "hat"]


def test_words_of_other_scripts_are_spelled_as_typed():
    p = prompt("cafÃ© ðŁĺĢ æĹ¥|æľ¬|èª|ŀ cat")  # the byte letters that CLIP's tokenizer gives
    assert texts(p.words()) == ["café", "😀", "日本語", "cat"]
    assert p.find("日本語").columns == (3, 4, 5, 6)
    assert p.find("CAFÉ").columns == (1,)
    assert p.find("😀").columns == (2,)


def test_bytes_that_are_no_text_are_no_word():
    assert texts(prompt("ðŁ cat").words()) == ["cat"]


@pytest.mark.parametrize(
    "words, unit, expected",
    [
        ("1girl , long hair , red dress", "auto", ["1girl", "long hair", "red dress"]),
        ("1girl , long hair , red dress", "words", ["1girl", "long", "hair", "red", "dress"]),
        ("a cat and a dog", "auto", ["a", "cat", "and", "a", "dog"]),
        ("a cat and a dog", "tags", ["a cat and a dog"]),
        ("cat , dog", "auto", ["cat", "dog"]),
        ("a cat sits on a mat , high quality photo of it , with a very long text", "auto", None),
        (", , cat , , dog ,", "tags", ["cat", "dog"]),
        ("", "auto", []),
        ("", "tags", []),
        (", , ,", "words", []),
    ],
)
def test_entries(words, unit, expected):
    p = prompt(words)
    assert texts(p.entries(unit)) == (texts(p.words()) if expected is None else expected)


def test_a_tag_is_written_as_the_artist_wrote_it_and_has_all_its_columns():
    p = prompt("1 girl , cowboy - hat", text="1girl, Cowboy-Hat")
    assert texts(p.tags()) == ["1girl", "Cowboy-Hat"]
    assert [t.columns for t in p.tags()] == [(1, 2), (4, 5, 6)]


def test_brackets_of_weights_are_not_part_of_a_tag():
    p = prompt([("long", 1.2), ("hair", 1.2), ",", "red", "dress"], text="(long hair:1.2), red dress")
    assert texts(p.tags()) == ["long hair", "red dress"]


def test_unknown_unit():
    with pytest.raises(ValueError, match="auto, words, tags"):
        prompt("a").entries("letters")


def test_a_word_that_is_missing_is_answered_with_the_nearest_and_all_words():
    with pytest.raises(
        WordNotFound, match=r"“caat” is not in the prompt. Did you mean “cat”\?.*: cat, dog\."
    ) as error:
        prompt("a cat and the dog cat").find("caat")
    assert str(error.value).count("cat,") == 1
    with pytest.raises(WordNotFound, match="words are: of, the"):  # where there is nothing else
        prompt("of the").find("caat")


def test_an_empty_prompt_says_so():
    with pytest.raises(WordNotFound, match="the prompt is empty"):
        prompt("").find("cat")


@pytest.mark.parametrize("typed", ["", "  ", ","])
def test_nothing_is_not_found(typed):
    with pytest.raises(WordNotFound):
        prompt("a cat").find(typed)


def test_the_second_encoders_text_is_searched_too():
    first = prompt("a cat")
    both = Prompt(first.tokens, None, prompt("big red dog"))
    assert both.find("dog").columns == (3,)
    assert both.find("cat").columns == (2,)
    assert both.recorded_columns == (0, 1, 2, 3, 4)


def test_columns_beyond_the_first_text_are_not_recorded():
    """ComfyUI cuts two texts to the shorter one."""
    second = concatenate([prompt("big red dog").tokens, prompt("in snow").tokens])
    both = Prompt(prompt("a cat").tokens, None, second)
    assert both.recorded_columns == (0, 1, 2, 3, 4)


def test_names_are_split_at_commas_and_lines():
    assert split_names(" cat, cowboy hat\n\n dog#2 ,,") == ["cat", "cowboy hat", "dog#2"]
    assert split_names(" \n,") == []
