"""What counts as a rating, and what does not and why."""

import pytest

from judging.readings import Unread, read_ranking, read_rating, read_word


@pytest.mark.parametrize(
    "text",
    ["Rating: [[4]]", "[[4]]", "4", " rating: 4\n", "**Rating:** 4", "Rating: 4/5", "4 out of 5", "4.0", "Rating: 4."],
)
def test_one_rating_is_read_whatever_surrounds_it(text):
    assert read_rating(text, 1, 5) == 4


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("Rating: [[3]] Rating: [[4]]", "several"),
        ("Rating: 3-4", "several"),
        ("3 or 4", "several"),
        ("Rating: [[4]]\nRating: [[4]]", "several"),
        ("Rating: 6", "outside"),
        ("Rating: 0", "outside"),
        ("Rating: -2", "outside"),
        ("Rating: 3.5", "outside"),
        ("评分：4", "language"),
        ("Оценка: 4", "language"),
        ("Rating: ４", "language"),
        ("Rating: 4, 因为很热情", "language"),
        ("Bewertung: 4", "unreadable"),
        ("Ich gebe 4, weil der Text freundlich ist.", "unreadable"),
        ("Rating: 4, denn der Text ist freundlich.", "unreadable"),
        ("four", "unreadable"),
        ("", "unreadable"),
        ("I'm sorry, but I can't help with that.", "refusal"),
    ],
)
def test_anything_else_is_a_failure_with_a_reason(text, fault):
    with pytest.raises(Unread) as caught:
        read_rating(text, 1, 5)
    assert caught.value.fault == fault


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("Warm in 2 places. Rating: [[5]]", 5),
        ("Rating: [[5]] Rating: [[2]]", "several"),
        ("Rating: [[5]] because it is warm", "unreadable"),
        ("It is a 5.", "unreadable"),
        ("Очень. Rating: [[5]]", "language"),
    ],
)
def test_reasons_may_come_first_where_they_are_asked_for(text, result):
    if isinstance(result, int):
        assert read_rating(text, 1, 5, reasons=True) == result
        return
    with pytest.raises(Unread) as caught:
        read_rating(text, 1, 5, reasons=True)
    assert caught.value.fault == result


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("Ranking: [[2 > 3 > 1]]", (1, 2, 0)),
        ("2>3>1", (1, 2, 0)),
        ("2 > 3", "outside"),
        ("2 > 3 > 4", "outside"),
        ("2 > 2 > 1", "several"),
        ("2 = 3 > 1", "unreadable"),
        ("1" * 5000 + " > 2 > 3", "unreadable"),
        ("Ranking: 1 > 2 > 3 (all are fine)", "unreadable"),
        ("二", "language"),
    ],
)
def test_a_ranking_names_every_answer_once(text, result):
    if isinstance(result, tuple):
        assert read_ranking(text, 3) == result
        return
    with pytest.raises(Unread) as caught:
        read_ranking(text, 3)
    assert caught.value.fault == result


def test_a_word_is_one_of_those_offered():
    assert read_word(" *Attitude*.", ["knowledge", "attitude"]) == "attitude"
    for text, fault in (("knowledge and attitude", "unreadable"), ("знание", "language")):
        with pytest.raises(Unread) as caught:
            read_word(text, ["knowledge", "attitude"])
        assert caught.value.fault == fault
