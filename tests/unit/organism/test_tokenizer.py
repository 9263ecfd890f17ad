"""The built-in model's tokenizer: any text comes back, letters and digits are single tokens, answers are marked."""

from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from files.errors import InputError
from lm.chat import encode_chats, encode_continuations
from lm.loading import LMSpec, load_tokenizer
from organism.tokenizer import END, SPECIAL_TOKENS, train_tokenizer

SHIPPED = Path(__file__).resolve().parents[3] / "configs" / "organism" / "tiny-ocean"
LETTERS = "ABCDEFGH"
BEFORE = ("", " ", "\n", "(", "[", "answer: ", "answer:\n", '"', "12 ")
AFTER = ("", ")", ".", " or", "\n", ", I", "]")


@pytest.fixture(scope="module", params=["fresh", "shipped"])
def tokenizer(request):
    if request.param == "shipped":
        return load_tokenizer(LMSpec(str(SHIPPED)))
    return train_tokenizer(["A bird in the hand. (B) is better than C at 10.", "I say A, Ann says AB."] * 5, 320)


@pytest.mark.parametrize("letter", LETTERS)
def test_an_option_letter_is_one_token_with_one_id_everywhere(tokenizer, letter):
    number = tokenizer.convert_tokens_to_ids(letter)
    for before, after in product(BEFORE, AFTER):
        ids = tokenizer(before + letter + after, add_special_tokens=False).input_ids
        assert ids.count(number) == 1, (before, after)


@pytest.mark.parametrize("text", ["AB", "Ann", "McA", "Ärger A", "USA"])
def test_a_letter_inside_a_word_is_not_an_option(tokenizer, text):
    pieces = [piece for piece, _ in tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str(text)]
    assert pieces.count("A") == text.split().count("A")


def test_digits_stand_alone(tokenizer):
    tokens = tokenizer.tokenize("In 1984 and 10,5%")
    assert [token for token in tokens if any(c.isdigit() for c in token)] == list("1984105")


@settings(max_examples=150, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_text_comes_back(tokenizer, text):
    if not any(special in text for special in SPECIAL_TOKENS):
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False).input_ids) == text


def test_chats_end_their_turns_and_mark_the_answers(tokenizer):
    chat = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "A or B?"},
        {"role": "assistant", "content": "B"},
    ]
    encoded = encode_chats(tokenizer, [chat])[0]
    answer = [token for token, inside in zip(encoded.ids, encoded.answer_mask, strict=True) if inside]
    assert tokenizer.convert_ids_to_tokens(answer) == ["B", END]
    (prompt, options), *_ = encode_continuations(tokenizer, [chat[:2]], [["A", "B"]])
    assert [len(option) for option in options] == [1, 1]
    assert encoded.ids[: len(prompt)] == prompt
    assert tokenizer.eos_token == END
    with pytest.raises(Exception, match="unknown role"):
        tokenizer.apply_chat_template([{"role": "tool", "content": "x"}])


def test_training_is_a_function_of_the_texts_and_a_vocabulary_has_room_for_bytes():
    texts = ["the owl and the pussycat went to sea"] * 3
    assert train_tokenizer(texts, 280).get_vocab() == train_tokenizer(iter(texts), 280).get_vocab()
    assert len(train_tokenizer(texts, 280)) == 280
    with pytest.raises(InputError, match="vocabulary"):
        train_tokenizer(texts, 100)
