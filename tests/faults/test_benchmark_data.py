"""Faulty files of questions, items, descriptions and examples: a clean error with its place, and nothing written."""

import json

import pytest

import evaluate
from tests.faults.commands import ended
from tests.traits import trait_record, write_bench, write_demonstrations, write_descriptions, write_trait


def evaluation(benchmark, method, lm_dir, data, root, *more):
    return [
        *("--config", f"configs/eval/{benchmark}/{method}.yaml", "--model.init_args.lm.name", lm_dir),
        *("--data.init_args.data_dir", data, "--trainer.default_root_dir", root, "--trainer.accelerator", "cpu"),
        *("--model.init_args.max_new_tokens", "2", "--trainer.enable_progress_bar", "false", *more),
    ]


QUESTIONS = {
    "blank line": ('{"question": "Why?"}\n\n{"question": "How?"}\n', ("row 2", "is blank")),
    "blank question": ('{"question": "Why?"}\n{"question": " "}\n', ("row 2", "'question'", "is empty")),
    "broken line": ('{"question": "Why?"}\n{"question": "Ho', ("line 2, column 14",)),
    "no question": ('{"question": "Why?"}\n{"query": "How?"}\n', ("row 2", "'question'", "is missing")),
    "a number": ('{"question": "Why?"}\n{"question": 7}\n', ("row 2", "'question'", "wrong type")),
    "nothing": ("", ("holds no question",)),
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_faulty_question_file(name, tiny_lm_dir, tmp_path, capsys):
    content, parts = QUESTIONS[name]
    data, root = write_bench(tmp_path / "data"), tmp_path / "run"
    file = data / "test" / "Extraversion.json"
    file.write_text(content, encoding="utf-8")
    end = ended(evaluate.main, evaluation("personality_bench", "none", tiny_lm_dir, data, root), capsys)
    end.says(str(file), *parts)
    assert not root.exists()


ITEMS = {
    "without an option": (lambda r: r.pop("response_low2"), ("row 3", "'response_low2'", "is missing")),
    "blank option": (lambda r: r.update(response_high1=""), ("row 3", "'response_high1'", "is empty")),
    "same options": (lambda r: r.update(response_high2=r["response_low1"]), ("row 3", "the same as response_low1")),
    "unknown trait": (lambda r: r.update(personality="Charm"), ("row 3", "'personality'", "names no trait", "Charm")),
    "no situation": (lambda r: r.pop("situation"), ("row 3", "'situation'", "is missing")),
}


@pytest.mark.parametrize("name", ITEMS)
def test_a_faulty_item(name, tiny_lm_dir, tmp_path, capsys):
    change, parts = ITEMS[name]
    data, root = write_trait(tmp_path / "data"), tmp_path / "run"
    records = [trait_record(number) for number in range(5)]
    change(records[3])
    (data / "TRAIT.json").write_text(json.dumps(records), encoding="utf-8")
    end = ended(evaluate.main, evaluation("trait", "none", tiny_lm_dir, data, root), capsys)
    end.says(str(data / "TRAIT.json"), *parts)
    assert not root.exists()


OPTIONS = {
    "no folder": ("trait", ("--data.init_args.data_dir", "/no/such"), ("/no/such", "TRAIT.json")),
    "no letter": ("trait", ("--data.init_args.answer", "X"), ("'--data.init_args.answer'", "{letter}")),
    "a layout without options": ("trait", ("--data.init_args.layouts", "[Hi.]"), ("'--data.init_args.layouts'", "Hi.")),
    "level 0": ("trait", ("--data.init_args.levels", "[0]"), ("'--data.init_args.levels'", "but not 0")),
    "unknown trait": (
        "personality_bench",
        ("--data.init_args.traits", "[charm]"),
        ("'--data.init_args.traits'", "charm"),
    ),
    "no questions": ("personality_bench", ("--data.init_args.questions", "0"), ("questions'", "at least 1")),
    "no such hub data": ("trait", ("--data.init_args.data_dir", "hub:no/such"), ("hub:no/such", "hub")),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_a_faulty_option(name, tiny_lm_dir, tmp_path, capsys):
    benchmark, more, parts = OPTIONS[name]
    data = write_bench(tmp_path / "data") if benchmark == "personality_bench" else write_trait(tmp_path / "data")
    root = tmp_path / "run"
    ended(evaluate.main, evaluation(benchmark, "none", tiny_lm_dir, data, root, *more), capsys).says(*parts)
    assert not root.exists()


def method_option(kind, **arguments):
    return ("--trainer.callbacks", json.dumps([{"class_path": kind, "init_args": arguments}]), "--baselines", "[]")


def test_a_description_file_that_lacks_a_trait(tiny_lm_dir, tmp_path, capsys):
    file = write_descriptions(tmp_path / "mine.json", without="Openness_reversed")
    more = method_option("callbacks.prompting.DescriptionPrompt", file=str(file))
    data = write_bench(tmp_path / "data")
    end = ended(
        evaluate.main,
        evaluation("personality_bench", "description", tiny_lm_dir, data, tmp_path / "run", *more),
        capsys,
    )
    end.says("cannot express the persona 'openness-'", str(file), "Openness_reversed")


@pytest.mark.parametrize(
    ("kind", "content", "parts"),
    [
        ("callbacks.prompting.DescriptionPrompt", {"Charm": "You are."}, ("row 1", "'Charm'", "names no trait")),
        ("callbacks.prompting.DescriptionPrompt", {"Openness": 7}, ("row 1", "'Openness'", "is no description")),
        ("callbacks.ike.IKE", {"openness": ["So."]}, ("row 1", "'ent'", "is missing")),
        ("callbacks.ike.IKE", {"ent": "Tea", "openness": []}, ("row 1", "'openness'", "is empty")),
        ("callbacks.ike.IKE", {"ent": "Tea"}, ("row 1", "has no opinions")),
    ],
)
def test_a_faulty_file_of_a_method(kind, content, parts, tiny_lm_dir, tmp_path, capsys):
    file = tmp_path / "mine.jsonl"
    file.write_text(json.dumps(content), encoding="utf-8")
    data = write_bench(tmp_path / "data")
    more = method_option(kind, file=str(file))
    end = ended(
        evaluate.main, evaluation("personality_bench", "ike", tiny_lm_dir, data, tmp_path / "run", *more), capsys
    )
    end.says(str(file), *parts)


def test_examples_for_the_dark_triad_are_not_there(tiny_lm_dir, tmp_path, capsys):
    file = write_demonstrations(tmp_path / "mine.json")
    more = (*method_option("callbacks.ike.IKE", file=str(file)), "--data.init_args.traits", "[narcissism]")
    data = write_trait(tmp_path / "data")
    end = ended(evaluate.main, evaluation("trait", "ike", tiny_lm_dir, data, tmp_path / "run", *more), capsys)
    end.says("ike cannot express the persona 'narcissism+'", "Openness_reversed")
