"""People of a questionnaire: what is asked in their name, how they are chosen and shared out."""

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.preprocessing import StandardScaler

from datamodules.papi import PapiDataModule
from datamodules.representative import select_representative
from files.errors import InputError
from lm.loading import LMSpec
from personas.participants import read_participants
from personas.wording import Wording
from tests.papi import DESCRIBING, ITEMS, person_row, write_papi


@pytest.fixture
def folder(tmp_path):
    return write_papi(tmp_path / "papi", people=7)


def module(folder, **options):
    data = PapiDataModule(LMSpec("unused"), str(folder), **options)
    data.setup("test")
    return data


def test_every_scored_item_is_asked_in_everybodys_name(folder):
    data = module(folder, batch_size=3)
    batches = list(data.test_dataloader())
    assert [len(batch) for batch in batches] == [3, 3, 1]
    questions = batches[1].questions
    assert questions.ids == ("103", "104", "105") and questions.order == (3, 4, 5)
    assert len(questions.choices) == 3 * (ITEMS - DESCRIBING) and not questions.generations
    first = questions.choices[0]
    assert (first.part, first.options) == (str(DESCRIBING + 1), tuple("ABCDE"))
    assert f"Do thing {DESCRIBING}." in first.prompt[-1]["content"]
    row = person_row(3)
    assert list(batches[1].people[0].answers) == [row[f"i{n}"] for n in range(1, ITEMS + 1)]


def test_generated_answers_are_asked_for_without_options(folder):
    questions = next(iter(module(folder, answer="text").test_dataloader())).questions
    assert len(questions.generations) == len(questions) * (ITEMS - DESCRIBING) and not questions.choices


def test_a_description_tells_the_describing_items_alone(folder):
    batch = module(folder).batch([2])
    text = batch.describe(0)
    assert text.count("Do thing") == DESCRIBING and f"Do thing {DESCRIBING}." not in text
    some = [place % 2 == 0 for place in range(DESCRIBING)]
    assert batch.describe(0, some).count("Do thing") == DESCRIBING // 2
    assert batch.written_description(0) == "You are person 2."
    with pytest.raises(InputError, match="written description"):
        replace(batch, written={}).written_description(0)


def test_the_published_wording_is_a_setting(folder):
    wording = Wording(
        question='Statement: "You {statement}."', lower_case=True, answer_prefix="Option", answer=" ({letter})",
        system="Be brief.", description="You said: {items}", described_item="{statement}:{option}", separator=";",
        unanswered="Unknown",
    )  # fmt: skip
    batch = module(folder, wording=wording).batch([0])
    chat = batch.questions.choices[0].prompt
    assert [turn["role"] for turn in chat] == ["system", "user", "assistant"]
    assert chat[1]["content"] == f'Statement: "You do thing {DESCRIBING}."'
    assert batch.questions.choices[0].options[0] == " (A)"
    assert batch.describe(0).startswith("You said: Do thing 0.:") and batch.describe(0).count(";") == DESCRIBING - 1


def test_the_same_people_have_the_same_fingerprint_and_others_do_not(folder):
    data = module(folder)
    batch = data.batch([0, 1])
    assert batch.fingerprint(0) == data.batch([0]).fingerprint(0) != batch.fingerprint(1)
    assert module(folder, wording=Wording(layout="rate")).batch([0]).fingerprint(0) != batch.fingerprint(0)


@pytest.mark.parametrize("world", [1, 2, 3])
def test_learning_shares_everybody_out_in_equally_many_batches(folder, world, monkeypatch):
    shares = []
    for rank in range(world):
        monkeypatch.setattr("datamodules.papi.rank_and_world", lambda rank=rank: (rank, world))
        shares.append(list(module(folder, batch_size=2).train_dataloader()))
    assert len({len(share) for share in shares}) == 1
    orders = [order for share in shares for batch in share for order in batch.questions.order]
    assert sorted(orders) == list(range(7))
    assert not any(batch.questions.choices for share in shares for batch in share)


def test_people_are_the_first_or_the_representative_ones(folder):
    assert [person.case for person in module(folder, people=2).people] == ["100", "101"]
    chosen = module(folder, people=3, representative=True).people
    assert len({person.case for person in chosen}) == 3
    with pytest.raises(InputError, match="people"):
        module(folder, people=8, representative=True)


def published_choice(points, k):
    """The procedure of the publication, written down again: the nearest row that is not taken, centre by centre."""
    scaled = StandardScaler().fit_transform(points)
    centres = KMeans(n_clusters=k, random_state=42).fit(scaled).cluster_centers_
    taken: list[int] = []
    for centre in centres:
        order = np.argsort(np.linalg.norm(scaled - centre, axis=1), kind="stable")
        taken.append(next(int(row) for row in order if row not in taken))
    return sorted(taken)


def test_representative_people_are_those_of_the_publication(tmp_path):
    folder = write_papi(tmp_path / "papi", people=60)
    data = module(folder)

    def people():
        return read_participants(folder / "Test-set.json", data.questionnaire.items)

    points = np.array([list(person.answers) for person in people()], dtype=float)
    for k in (1, 5, 60):
        assert [person.position for person in select_representative(people, k)] == published_choice(points, k)


def test_a_large_table_is_clustered_in_chunks(tmp_path):
    folder = write_papi(tmp_path / "papi", people=80)
    data = module(folder)
    chosen = select_representative(
        lambda: read_participants(folder / "Test-set.json", data.questionnaire.items), 6, exact_up_to=10
    )
    assert len({person.case for person in chosen}) == 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"people": 0}, "people"),
        ({"representative": True}, "people"),
        ({"wording": Wording(question="How?")}, r"wording.question.*statement"),
        ({"wording": Wording(options=["yes", "no"])}, "wording.options"),
        ({"item_key": "absent.csv"}, "absent.csv"),
        ({"written_descriptions": "absent.json"}, "absent.json"),
    ],
)
def test_options_that_mean_nothing_are_refused(folder, options, message):
    with pytest.raises(InputError, match=f"(?s){message}"):
        module(folder, **options)


def test_a_folder_without_an_item_key_is_refused(folder):
    (folder / "IPIP-NEO-ItemKey.csv").unlink()
    with pytest.raises(InputError, match="item key"):
        module(folder)


def test_descriptions_are_optional(folder):
    (folder / "personality_prompt.json").unlink()
    data = module(folder)
    assert data.written == {} and len(data.data_files()) == 3


def test_answers_of_zero_are_missing(folder):
    rows = [person_row(0, i1=0), person_row(1)]
    (folder / "Test-set.json").write_text(json.dumps(rows), encoding="utf-8")
    (folder / "personality_prompt.json").unlink()
    assert module(folder).batch([0]).describe(0).count("Do thing") == DESCRIBING - 1


def test_people_come_from_a_hub_data_set(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "set").mkdir()
    (folder / "Test-set.json").rename(tmp_path / "set" / "train.json")
    data = module(folder, people_file=f"hub:{tmp_path}/set", people=3)
    assert [person.case for person in data.people] == ["100", "101", "102"]
    assert list(data.people[0].answers) == [person_row(0)[f"i{n}"] for n in range(1, ITEMS + 1)]
    assert all(path.is_file() for path in data.data_files())
