"""Chats as tokens: answer masks on literal tokens, prompts that their chats begin with, padding, layouts."""

from typing import Literal

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from files.errors import InputError
from lm import tokens
from lm.chat import EncodedChat, TokenBatch, encode_chats, encode_continuations, encode_prompts, pad_encoded
from lm.loading import LMSpec, load_tokenizer
from lm.template import answer_separator, closing_token, render_chat, render_prompt
from lm.tokens import encode_pieces, encode_texts
from tests.models import CHAT_TEMPLATE, byte_tokenizer

UNMARKED = CHAT_TEMPLATE.replace("{% generation %}", "").replace("{% endgeneration %}", "")
NO_SYSTEM = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system') }}"
    "{% elif m['role'] == 'user' %}{{ '[ASK] ' + m['content'] + ' [/ASK]' }}"
    "{% else %}{{ ' ' + m['content'] | trim + ' ' + eos_token }}{% endif %}{% endfor %}"
)
DROPS_SYSTEM = UNMARKED.replace("for message in messages", "for message in messages if message['role'] != 'system'")
TRIMMED = UNMARKED.replace("message['content']", "message['content'] | trim")
LAYOUTS = {
    "marked": CHAT_TEMPLATE,
    "unmarked": UNMARKED,
    "no system": NO_SYSTEM,
    "drops system": DROPS_SYSTEM,
    "trimmed": TRIMMED,
    "plain": None,
}
CHAT = [
    {"role": "system", "content": "Be an end."},
    {"role": "user", "content": "the assistant?"},
    {"role": "assistant", "content": "I and the rest"},
    {"role": "user", "content": " ok "},
    {"role": "assistant", "content": "a"},
]


def _tokenizer(layout: str) -> PreTrainedTokenizerFast:
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = LAYOUTS[layout]
    return tokenizer


def _answers(tokenizer: PreTrainedTokenizerFast, encoded: EncodedChat) -> list[list[str]]:
    """The runs of answer tokens."""
    runs: list[list[str]] = []
    before = False
    for token, flag in zip(tokenizer.convert_ids_to_tokens(encoded.ids), encoded.answer_mask, strict=True):
        if flag and not before:
            runs.append([])
        if flag:
            runs[-1].append(token)
        before = flag
    return runs


@pytest.mark.parametrize("layout", LAYOUTS)
def test_answer_mask_covers_literal_tokens(layout: str) -> None:
    tokenizer = _tokenizer(layout)
    first = {
        "no system": ["ĠI", "Ġ", "an", "d", "Ġthe", "Ġ", "r", "e", "s", "t", "Ġ", "<|end|>"],
        "plain": ["ĠI", "Ġ", "an", "d", "Ġthe", "Ġ", "r", "e", "s", "t"],
    }.get(layout, ["I", "Ġ", "an", "d", "Ġthe", "Ġ", "r", "e", "s", "t", "<|end|>"])
    last = {"no system": ["Ġa", "Ġ", "<|end|>"], "plain": ["Ġa", "<|end|>"]}.get(layout, ["a", "<|end|>"])
    [encoded] = encode_chats(tokenizer, [CHAT])
    assert _answers(tokenizer, encoded) == [first, last]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_chat_begins_with_the_prompt_that_asks_for_its_answer(layout: str) -> None:
    tokenizer = _tokenizer(layout)
    [encoded] = encode_chats(tokenizer, [CHAT])
    for turns in (2, 4):
        [prompt] = encode_prompts(tokenizer, [CHAT[:turns]])
        assert encoded.ids[: len(prompt)] == prompt
        assert encoded.answer_mask[len(prompt)] and not encoded.answer_mask[len(prompt) - 1]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_ids_are_those_of_the_rendered_text(layout: str) -> None:
    tokenizer = _tokenizer(layout)
    [encoded] = encode_chats(tokenizer, [CHAT])
    assert encoded.ids == tokenizer(render_chat(tokenizer, CHAT).text, add_special_tokens=False)["input_ids"]


def test_marked_and_unmarked_templates_give_the_same_chat() -> None:
    assert encode_chats(_tokenizer("marked"), [CHAT]) == encode_chats(_tokenizer("unmarked"), [CHAT])


@pytest.mark.parametrize("layout", ["no system", "drops system"])
def test_system_text_joins_the_user_message_where_the_template_has_no_place_for_it(layout: str) -> None:
    assert "Be an end.\n\nthe assistant?" in render_chat(_tokenizer(layout), CHAT).text
    only_system = render_prompt(_tokenizer(layout), CHAT[:1])
    assert "Be an end." in only_system


@pytest.mark.parametrize("layout", LAYOUTS)
def test_prompt_stays_open_inside_a_final_assistant_message(layout: str) -> None:
    tokenizer = _tokenizer(layout)
    text = render_prompt(
        tokenizer, [*CHAT[:3], {"role": "user", "content": "go"}, {"role": "assistant", "content": "I th"}]
    )
    assert text.endswith("I th")


def test_layout_habits() -> None:
    found = {layout: (answer_separator(_tokenizer(layout)), closing_token(_tokenizer(layout))) for layout in LAYOUTS}
    assert found["marked"] == found["unmarked"] == ("", "<|end|>")
    assert found["no system"] == found["plain"] == (" ", "<|end|>")


def test_plain_layout_puts_the_begin_token_only_where_the_tokenizer_does() -> None:
    tokenizer = _tokenizer("plain")
    assert render_prompt(tokenizer, CHAT[:2]) == "system: Be an end.\nuser: the assistant?\nassistant:"
    assert render_chat(tokenizer, CHAT[1:3]).text == "user: the assistant?\nassistant: I and the rest<|end|>"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_continuations_append_to_the_prompt(layout: str) -> None:
    tokenizer = _tokenizer(layout)
    prompts = [CHAT[:2], [*CHAT[:2], {"role": "assistant", "content": "I"}]]
    continuations = [["A", "the end", "a"], [" and", "n"]]
    for prompt, texts, (ids, options) in zip(
        prompts, continuations, encode_continuations(tokenizer, prompts, continuations), strict=True
    ):
        assert [ids] == encode_prompts(tokenizer, [prompt])
        for text, option in zip(texts, options, strict=True):
            joint = tokenizer.decode([*ids, *option])
            assert joint.startswith(tokenizer.decode(ids)) and joint.endswith(text)
            assert tokenizer.decode(option).strip() == text.strip()


def test_a_continuation_that_would_merge_into_the_prompt_is_kept_apart() -> None:
    tokenizer = byte_tokenizer()  # merges "t"+"h" and "th"+"e"
    [[before, after]] = encode_pieces(tokenizer, [["at", "he"]])
    assert tokenizer.convert_ids_to_tokens(before) == ["a", "t"]
    assert tokenizer.convert_ids_to_tokens(after) == ["h", "e"]
    assert encode_texts(tokenizer, ["athe"])[0] != before + after


def _space_first_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer that opens every text with a space, as SentencePiece models do."""
    characters = ["<unk>", "</s>", "▁", *"ABabdenprwst:\n", "▁A", "▁B", "▁a"]
    backend = Tokenizer(
        models.BPE(
            vocab={text: index for index, text in enumerate(characters)},
            merges=[("▁", "A"), ("▁", "B"), ("▁", "a")],
            unk_token="<unk>",
        )
    )
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    backend.decoder = decoders.Metaspace(prepend_scheme="first", split=False)
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", eos_token="</s>")


def test_option_letters_get_no_space_of_the_tokenizers_own() -> None:
    tokenizer = _space_first_tokenizer()
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    [(_, options)] = encode_continuations(tokenizer, [[{"role": "user", "content": "ans:\n"}]], [["A", " A"]])
    assert [tokenizer.convert_ids_to_tokens(ids) for ids in options] == [["A"], ["▁A"]]
    tokenizer.chat_template = None
    [(_, options)] = encode_continuations(tokenizer, [[{"role": "user", "content": "den"}]], [["A", "B"]])
    assert [tokenizer.convert_ids_to_tokens(ids) for ids in options] == [["▁A"], ["▁B"]]


@pytest.mark.parametrize("side", ["left", "right"])
def test_padded_batch(side: Literal["left", "right"]) -> None:
    encoded = [EncodedChat([5, 6, 7], [False, True, True]), EncodedChat([0, 9], [False, True])]
    batch = pad_encoded(encoded, pad_id=9, side=side)
    short = {"left": [9, 0, 9], "right": [0, 9, 9]}[side]
    assert batch.input_ids.tolist() == [[5, 6, 7], short]
    assert batch.attention_mask.tolist()[1] == {"left": [0, 1, 1], "right": [1, 1, 0]}[side]
    assert batch.answer_mask.tolist()[1] == {"left": [False, False, True], "right": [False, True, False]}[side]
    # A token that happens to be the pad token is still predicted; padding and first tokens are not.
    assert batch.labels().tolist() == [[-100, 6, 7], {"left": [-100, -100, 9], "right": [-100, 9, -100]}[side]]
    assert batch.position_ids().tolist() == [[0, 1, 2], {"left": [0, 0, 1], "right": [0, 1, 1]}[side]]
    assert len(batch) == 2 and len(batch.rows(torch.tensor([1, 1, 0]))) == 3
    assert isinstance(batch.to("cpu"), TokenBatch)


def test_padding_refuses_what_it_cannot_do() -> None:
    with pytest.raises(ValueError, match="no chats"):
        pad_encoded([], 0)
    with pytest.raises(ValueError, match="'left' or 'right'"):
        pad_encoded([EncodedChat([1], [False])], 0, side="up")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("chat", "message"),
    [
        ([], "without messages"),
        ([{"role": "robot", "content": "x"}], "unknown role"),
        ([{"role": "user"}], "without text"),
        ([{"role": "user", "content": None}], "without text"),
    ],
)
def test_malformed_chats(chat: list, message: str) -> None:
    for encode in (encode_chats, encode_prompts):
        with pytest.raises(InputError, match=message):
            encode(byte_tokenizer(), [chat])


def test_templates_that_refuse_or_rewrite_a_chat() -> None:
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(InputError, match="refuses a chat: roles must alternate"):
        encode_prompts(tokenizer, [CHAT[1:2]])
    tokenizer.chat_template = UNMARKED.replace("message['content']", "message['content'] | upper")
    with pytest.raises(InputError, match="drops or rewrites the user message 0"):
        encode_chats(tokenizer, [CHAT[1:3]])


def test_empty_continuation() -> None:
    with pytest.raises(InputError, match="empty continuation"):
        encode_continuations(byte_tokenizer(), [CHAT[:2]], [[""]])


def test_long_texts_that_share_much_read_as_they_do_alone(monkeypatch):
    tokenizer = load_tokenizer(LMSpec("assets/tiny-ocean"))
    description = "Keeps promises; sings in the rain. " * 60
    texts = [f"<|system|>{description}<|end|><|user|>Question {n}?<|end|><|assistant|>" for n in range(5)]
    read = []
    original = tokens._encode
    monkeypatch.setattr(tokens, "_encode", lambda tok, some: read.extend(some) or original(tok, some))
    encoded = encode_texts(tokenizer, texts)
    assert encoded == [original(tokenizer, [text])[0] for text in texts]
    assert sum(map(len, read)) < 3 * len(texts[0])  # the description once, and once more to see that nothing differs


def test_a_tokenizer_that_marks_the_beginning_of_texts_reads_them_whole(monkeypatch):
    tokenizer = load_tokenizer(LMSpec("assets/tiny-ocean"))
    texts = [f"<|system|>{'Sings in the rain. ' * 100}<|end|><|user|>Question {n}?<|end|>" for n in range(5)]
    original = tokens._encode
    # As if it put something before whatever it reads.
    monkeypatch.setattr(tokens, "_encode", lambda tok, some: [[0, *ids] for ids in original(tok, some)])
    assert encode_texts(tokenizer, texts) == [[0, *original(tokenizer, [text])[0]] for text in texts]
