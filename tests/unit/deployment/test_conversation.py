"""Columns of one batch: the base model as it is, every persona as it would be alone, each with its own memory."""

import html
import json
import re

import pytest
import yaml

from deployment.chat_html import said, talk
from deployment.chat_page import ChatPage
from deployment.chat_room import OWN, ChatRoom
from deployment.conversation import BASE, AnswerOptions, Conversation
from deployment.local_only import LocalOnly, check_port
from deployment.trait_bars import bars, trait_profiles
from files.errors import InputError
from lm.classifier import ClassifierSpec, TraitClassifier
from lm.generation import generate
from personas.traits import BIG_FIVE, TRAITS
from tests.unit.callbacks.test_directions import contrasts

OPTIONS = AnswerOptions(max_new_tokens=10)


@pytest.fixture
def room(tiny_lm_dir, tmp_path):
    files = {}
    for name, method in (
        ("simple_prompt", {"class_path": "callbacks.prompting.SimplePrompt"}),
        (
            "repe",
            {
                "class_path": "callbacks.repe.RepE",
                "init_args": {"contrasts": contrasts(tmp_path), "samples": 2, "layers": [1], "strength": 20.0},
            },
        ),
    ):
        content = {"model": {"init_args": {"lm": {"name": "elsewhere"}}}, "trainer": {"callbacks": [method]}}
        files[name] = str(tmp_path / f"{name}.yaml")
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content))
    return ChatRoom([str(tiny_lm_dir)], files, None, tmp_path / "out")


def last(room, text, conversation, method, personas, levels=None, options=OPTIONS):
    model = room.models[0]
    *_, progress = room.say(text, conversation, model, method, personas, levels or {}, options)
    assert progress.finished
    return progress.conversation.turns


@pytest.mark.parametrize("method", ["simple_prompt", "repe"])
def test_each_column_answers_as_it_would_alone(room, method):
    people = ["extraversion+", "neuroticism-"]
    together = last(room, "What of tea?", Conversation(), method, people)
    assert list(together) == [BASE, *people]
    for name in people:
        assert last(room, "What of tea?", Conversation(), method, [name])[name] == together[name]
    stage = room.stage(room.models[0])
    asked = [{"role": "user", "content": "What of tea?"}]
    plain = generate(stage.lm, stage.tokenizer, [asked], max_new_tokens=10, seed=0, batch_size=1)
    assert together[BASE][-1]["content"] == plain[0]
    assert len({together[name][-1]["content"] for name in together}) > 1


def test_strength_and_sliders_reach_the_model(room):
    resting = last(room, "Well?", Conversation(), "repe", ["extraversion+"], options=AnswerOptions(0.0, 10))
    assert resting["extraversion+"] == resting[BASE]
    own = last(room, "Well?", Conversation(), "repe", [OWN], {"extraversion": 1.0, "openness": 0.0})
    pole = last(room, "Well?", Conversation(), "repe", ["extraversion+"])
    assert own[OWN][-1] == pole["extraversion+"][-1] != own[BASE][-1]
    with pytest.raises(InputError, match="cannot express"):
        last(room, "Well?", Conversation(), "repe", [OWN], {"openness": 1.0})


def test_columns_remember_their_own_words_and_are_saved(room):
    first = last(room, "Tea?", Conversation(), "repe", ["extraversion+"])
    second = last(room, "Rain?", Conversation(first), "repe", ["extraversion+", "neuroticism+"])
    assert [len(second[name]) for name in second] == [4, 4, 2]
    assert second["extraversion+"][:2] == first["extraversion+"]
    path = room.save(Conversation(second), {"method": "repe"})
    kept = json.loads(path.read_text(encoding="utf-8"))
    assert kept["columns"] == second and kept["method"] == "repe"
    with pytest.raises(InputError, match="nothing to save"):
        room.save(Conversation(), {})


def test_what_is_wrong_is_said_on_the_page(room):
    pytest.importorskip("gradio", reason="the extra demo is not installed")
    page = ChatPage(room)
    given = [Conversation(), room.models[0], "repe", ["openness+"], 1.0, 8, 0.0, 0, *([0.0] * 5)]
    *_, parts = list(page._answer("<b>Tea?</b>", *given))
    assert "cannot express" in parts[1].value and "<b>" not in parts[1].value
    assert "nothing to answer" in list(page._answer("  ", *given))[-1][1].value
    nobody = [*given[:3], [OWN], *given[4:]]
    assert "is nobody yet" in list(page._answer("Tea?", *nobody))[-1][1].value


@pytest.mark.parametrize(
    "text", ["<script>x</script>", "${1 + 1}", "{{value}}", "a & b", "@children `x` \\n", "two\nlines"]
)
def test_what_was_written_is_never_a_part_of_the_page(text):
    chat = [{"role": "user", "content": text}, {"role": "assistant", "content": text}]
    for shown in (said(text), talk(text, chat)):
        assert html.unescape(shown).count(text) >= 1
        assert not set("$`{}@") & set(shown)
        assert {tag.group(1) for tag in re.finditer(r"</?(\w+)", shown)} <= {"div", "section", "h3", "p"}


def test_an_answer_without_a_word_is_told_from_one_to_come():
    chat = [{"role": "user", "content": "Tea?"}, {"role": "assistant", "content": " "}]
    assert "nothing was answered" in talk("a", chat) and "nothing was answered" not in talk("a", chat, finished=False)


def test_bars_show_what_the_classifier_reads():
    classifier = TraitClassifier(ClassifierSpec("assets/tiny-classifier"), TRAITS)
    [profile, empty] = trait_profiles(classifier, ["I love crowds and loud parties, let us dance with everybody!", ""])
    assert list(profile) == list(BIG_FIVE) == list(empty)
    probabilities = dict(zip(classifier.poles, classifier.probabilities(["x"])[0].tolist(), strict=True))
    [of_x] = trait_profiles(classifier, ["x"])
    assert of_x["openness"] == pytest.approx(probabilities["openness+"] - probabilities["openness-"])
    assert 'data-trait="openness"' in bars(profile) and "&lt;" in bars({"<": 0.1})


def test_a_port_that_is_taken_is_refused():
    import socket

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(InputError, match="taken by another program") as caught:
            check_port(port)
        assert f"--port {port + 1}" in str(caught.value) or "7861" in str(caught.value)
    check_port(port)
    for wrong in (0, -1, 70000):
        with pytest.raises(InputError, match="is no port"):
            check_port(wrong)


@pytest.mark.parametrize(
    ("host", "status"), [("127.0.0.1:7860", 200), ("localhost", 200), ("evil.example:7860", 403), ("", 403)]
)
def test_the_page_answers_to_this_machine_only(host, status):
    import asyncio

    async def inner(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"page"})

    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "headers": [(b"Host", host.encode())]}
    asyncio.run(LocalOnly(inner)(scope, None, send))
    assert sent[0]["status"] == status
    if status == 200:
        policy = dict(sent[0]["headers"])[b"content-security-policy"].decode()
        assert "default-src 'self'" in policy and "http" not in policy
