"""Dialogues, pairs and prompts: what is learnt of them, cuts between turns, packing, and what is refused."""

import json

import pytest
import torch

from datamodules.chat_records import StageTags, read_conversations, read_pairs
from datamodules.dialogues import DialogueDataModule
from datamodules.papi_training import PapiPairDataModule, PapiPromptDataModule
from datamodules.preferences import PreferenceDataModule
from datamodules.prompts import PromptDataModule
from files.errors import InputError
from lm.chat import encode_chats
from lm.loading import LMSpec
from lm.target_log_probs import target_log_probs
from lm.turns import split_at_turns
from tests.models import byte_tokenizer, random_model
from tests.papi import write_papi
from tests.parity.trl_runs import chats, lines, pairs

TOKENIZER = byte_tokenizer()
NONE = StageTags({})


def say(*turns, system=None):
    roles = ["user", "assistant"] * len(turns)
    chat = [{"role": role, "content": text} for role, text in zip(roles, turns, strict=False)]
    return ([{"role": "system", "content": system}] if system else []) + chat


@pytest.fixture
def spec(tiny_lm_dir):
    return LMSpec(str(tiny_lm_dir))


def dialogues(spec, folder, records, **settings):
    data = DialogueDataModule(spec, str(lines(folder / "chats.jsonl", records)), **settings)
    data.setup("fit")
    return data


def test_a_conversation_is_learnt_alike_alone_and_packed(spec, tmp_path):
    records = [{"messages": chat} for chat in chats(10)]
    model = random_model("llama")
    sums = []
    for packing in (False, True):
        data = dialogues(spec, tmp_path, records, packing=packing, batch_size=2, max_tokens=480)
        loader = data.train_dataloader()
        batches = list(loader)
        assert len(batches) == len(loader) == -(-len(data.rows["fit"]) // 2)
        total = 0.0
        for batch in batches:
            weights = batch.weights(0.0)
            assert batch.usual_weight(0.0) == float(weights.sum())
            with torch.no_grad():
                total += float(target_log_probs(model, batch.input_ids, weights > 0, batch.position_ids).sum())
        sums.append(total)
    assert sums[0] == pytest.approx(sums[1], rel=1e-5)
    assert len(data.rows["fit"]) < len(records) / 2


def test_long_conversations_are_cut_between_turns_and_keep_their_system_turn():
    chat = say(*(f"word {number} the" for number in range(12)), system="You sing.")
    whole = encode_chats(TOKENIZER, [chat])[0]
    parts = split_at_turns(TOKENIZER, chat, len(whole) // 2)
    assert len(parts) > 2
    assert all(len(part) <= len(whole) // 2 for part in parts)
    system = encode_chats(TOKENIZER, [chat[:1]])[0].ids
    learnt = []
    for part in parts:
        assert part.ids[: len(system)] == system
        learnt += [token for token, answer in zip(part.ids, part.answer_mask, strict=True) if answer]
    assert learnt == [token for token, answer in zip(whole.ids, whole.answer_mask, strict=True) if answer]
    assert [part.ids for part in split_at_turns(TOKENIZER, chat, len(whole))] == [whole.ids]


def test_a_turn_that_is_too_long_is_named(spec, tmp_path):
    records = [{"messages": say("Hi", "Ho")}, {"messages": say("Hi", "Ho", "Then?", "the " * 80)}]
    with pytest.raises(InputError, match="longer than a row") as error:
        dialogues(spec, tmp_path, records, max_tokens=60)
    assert (error.value.row, error.value.field) == (2, "messages[2]")


def test_tags_stand_before_the_system_turn():
    tags = StageTags({"early": "<E>"}, ("<E>",))
    tagged = [tags.tagged({"stage": "early"}, chat, "f", 1)[0] for chat in (say("a", "b"), say("a", "b", system="S"))]
    assert [turn["content"] for turn in tagged] == ["<E>", "<E> S"]
    assert tags.tagged({"stage": None}, say("a", "b"), "f", 1) == say("a", "b")
    with pytest.raises(InputError, match="stage without a tag"):
        tags.tagged({"stage": "late"}, say("a", "b"), "f", 7)
    with pytest.raises(InputError, match="no token of the model"):
        StageTags({"early": "<E>"}).check()


@pytest.mark.parametrize(
    ("messages", "message", "field"),
    [
        (say("a", "b")[::-1], "out of order", "messages[0].role"),
        (say("a", "b") + say("a", "b")[1:], "out of order", "messages[2].role"),
        (say("a", "b") + [{"role": "system", "content": "S"}], "out of order", "messages[2].role"),
        (say("a"), "wrong turn", "messages[0].role"),
        ([], "is empty", "messages"),
        (["a"], "not a message", "messages[0]"),
        ([{"role": "user", "content": " "}], "no text", "messages[0].content"),
    ],
)
def test_turns_out_of_order_are_named(tmp_path, messages, message, field):
    file = lines(tmp_path / "chats.jsonl", [{"messages": say("a", "b")}, {"messages": messages}])
    with pytest.raises(InputError, match=message) as error:
        read_conversations(file, NONE)
    assert (error.value.row, error.value.field) == (2, field)


def test_faulty_pairs_are_named(spec, tmp_path):
    good = pairs(1)[0]
    for faulty, message in (
        ({"rejected": good["chosen"]}, "are equal"),
        ({"chosen": say("a")}, "not one answer"),
        ({"prompt": say("a", "b")}, "wrong turn"),
    ):
        file = lines(tmp_path / "pairs.jsonl", [good, {**good, **faulty}])
        with pytest.raises(InputError, match=message) as error:
            read_pairs(file, NONE)
        assert error.value.row == 2
    data = PreferenceDataModule(spec, str(lines(tmp_path / "pairs.jsonl", [good])), max_tokens=8)
    with pytest.raises(InputError, match="longer than a row"):
        data.setup("fit")
    (tmp_path / "none.jsonl").write_text("\n")
    with pytest.raises(InputError, match="holds no record"):
        read_pairs(tmp_path / "none.jsonl", NONE)


def test_only_the_last_answer_of_a_pair_counts(spec, tmp_path):
    record = {"prompt": say("Hi", "earlier", "Then?"), "chosen": say("", "yes")[1:], "rejected": say("", "no")[1:]}
    file = str(lines(tmp_path / "pairs.jsonl", [record]))
    data = PreferenceDataModule(spec, file, val_file=file, batch_size=1)
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    texts = [TOKENIZER.decode(ids[mask]) for ids, mask in zip(batch.input_ids, batch.target_mask, strict=True)]
    assert texts == ["yes<|end|>", "no<|end|>"]
    assert [pair.number for part in data.pairs.values() for pair in part] == [0, 1]


def test_prompts_keep_what_else_is_known(spec, tmp_path):
    records = [{"prompt": say("a"), "answer": 3}, {"messages": say("a", "b", "c", "d"), "stage": "early"}]
    records.append({"question": "What now?", "idx": 7})
    data = PromptDataModule(spec, str(lines(tmp_path / "prompts.jsonl", records)), batch_size=3)
    data.setup("fit")
    batch = next(iter(data.train_dataloader())).repeated(2)
    assert sorted(len(prompt) for prompt in batch.prompts) == [1, 1, 1, 1, 3, 3]
    assert sum(record.get("answer", 0) for record in batch.records) == 6
    asked = [prompt for prompt, record in zip(batch.prompts, batch.records, strict=True) if record == {"idx": 7}]
    assert asked == [say("What now?")] * 2
    with pytest.raises(InputError, match="is missing") as error:
        PromptDataModule(spec, str(lines(tmp_path / "none.jsonl", [{"idx": 7}]))).setup("fit")
    assert (error.value.row, error.value.field) == (1, "messages")
    for settings, message in (({"batch_size": 0}, "too small"), ({"stage_tags": {"a": "<A>"}}, "no token")):
        with pytest.raises(InputError, match=message):
            PromptDataModule(spec, str(tmp_path / "prompts.jsonl"), **settings).setup("fit")


def test_a_persons_answers_become_pairs_and_prompts(spec, tmp_path):
    write_papi(tmp_path)
    prompts = PapiPromptDataModule(spec, str(tmp_path), person=1)
    prompts.setup("fit")
    answered = dict(prompts.person.answered)
    asked = {record["item"]: record["answer"] for _, record in prompts.prompts}
    assert asked == {item.number: answer for item, answer in answered.items()}
    data = PapiPairDataModule(spec, str(tmp_path), person=1, others=2)
    data.setup("fit")
    assert len(data.pairs["fit"]) == 2 * len(answered)
    scored = {item.number for item in prompts.person.data.questionnaire.scored}
    assert not scored & set(asked)
    for person in (-1, 999):
        with pytest.raises(InputError, match="no place|not so many"):
            PapiPairDataModule(spec, str(tmp_path), person=person).setup("fit")
    with pytest.raises(InputError, match="out of range"):
        PapiPairDataModule(spec, str(tmp_path), others=5).setup("fit")
    assert json.dumps(data.settings())


def test_a_file_without_prompts_says_what_writes_one(tmp_path):
    (tmp_path / "prompts.jsonl").write_text("\n")
    with pytest.raises(InputError, match="holds no prompt") as caught:
        PromptDataModule(LMSpec("no-such-folder"), str(tmp_path / "prompts.jsonl")).setup("fit")
    assert "annotate.py prompt" in str(caught.value)
