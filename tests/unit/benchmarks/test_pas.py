"""The yardsticks of the benchmark find what the project finds."""

import json

import pytest
import torch

from benchmarks import pas, pas_answers, pas_people, pas_probes
from personas.questionnaire import read_split

SMALL = pas_probes.Size(layers=2, heads=3, width=8, samples=60, held=20, people=3, best=3)


def test_both_sides_fit_the_same_probes():
    samples = pas_probes.make_samples(SMALL)
    figures = pas_probes.agreement(samples)
    assert figures["same_heads"] == 1.0 and figures["probe_max_abs_diff"] < 1e-4
    default = pas_probes.scikit_learn(samples, None).decide(samples.features)
    torch.testing.assert_close(default, pas_probes.ours(samples).decide(samples.features), rtol=0, atol=0.05)


def test_answers_are_compared_where_the_reference_can_be_read():
    task = pas_answers.make_task()
    letters = pas_answers.ours(task, 3)
    texts = pas_answers.full_prompts(task, 3)
    assert len(letters) == len(texts) == 3
    assert pas_answers.agreement(letters, letters) == {"parsed": 1.0, "same_answers": 1.0}
    assert pas_answers.agreement(["A", "B"], ["A", "I do not know"]) == {"parsed": 0.5, "same_answers": 1.0}


def test_made_up_people_are_read_as_any_others(tmp_path):
    pas_people.write_people(tmp_path, 4)
    split = read_split(tmp_path / pas_people.SPLIT)
    data = pas_people.PapiDataModule(pas_people.LMSpec(pas_people.MODEL), str(tmp_path), people_file="people.csv")
    data.setup("fit")
    assert [person.case for person in data.people] == ["0", "1", "2", "3"]
    assert all(len(person.answers) == sum(map(len, split.values())) for person in data.people)
    assert len({bytes(person.answers) for person in data.people}) == 4


def test_figures_are_written_with_where_they_come_from(tmp_path, monkeypatch):
    for part in (pas_probes, pas_answers, pas_people):
        monkeypatch.setattr(part, "measure", lambda part=part: {part.__name__: 1.0})
    pas.main(["--output", str(tmp_path / "pas.json")])
    figures = json.loads((tmp_path / "pas.json").read_text())
    assert {"benchmarks.pas_probes", "benchmarks.pas_answers", "benchmarks.pas_people"} <= figures.keys()
    assert figures["threads"] == torch.get_num_threads() and {"versions", "commit"} <= figures.keys()


@pytest.mark.parametrize("letters", [["A"], []])
def test_nothing_read_is_no_agreement(letters):
    assert pas_answers.agreement(letters, ["?"] * len(letters))["same_answers"] == 0.0
