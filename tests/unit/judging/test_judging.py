"""Runs judged by a scripted judge: every figure equals what is worked out here, and a second run asks for nothing."""

import json
import math

import pytest
import torch

from files.errors import InputError
from judging.check import check_judge
from judging.protocol import read_protocol
from judging.runs import judge_run
from metrics.result_rows import read_results
from organism.graded_texts import graded_texts
from report.judging import LOWEST_CHECK
from report.paired_tests import paired_tests
from tests.faults.endpoint import REFUSAL, FaultyEndpoint
from tests.judged_runs import ANSWER, SPOKEN, Script, judge_at, rows_of, write_run


def judged(tmp_path, script, *names, **given):
    """A run judged by some protocols: its rows, and the endpoint as it was left."""
    folder = tmp_path / "run" if (tmp_path / "run").exists() else write_run(tmp_path / "run")
    with FaultyEndpoint(answer=script) as endpoint:
        judge = judge_at(endpoint, tmp_path / "answers.sqlite")
        judge_run(folder, judge, [read_protocol(name, **given) for name in names], {})
        judge.client.close()
    return rows_of(folder), endpoint


def test_pae_is_the_rating_after_minus_before(tmp_path):
    script = Script(
        {
            "Tea is tea.": "Rating: [[3]]",
            "Tea is a voyage!": ["Rating: [[5]]", "Rating: [[4]]", "Rating: [[3]]"],  # mean 4
            "I drink what I know.": ["Rating: [[5]]", "Rating: 4 or 5", "Rating: [[4]]"],  # mean 4.5 of two
            "Rain is rain.": "Rating: [[2]]",
            "Come out and dance!": "Bewertung: 5",
        }
    )
    rows, endpoint = judged(tmp_path, script, "pae")
    # tea: 4 - 3 and 4.5 - 3, averaged over both personas; rain has no rating afterwards
    pae = rows["mend", "pae"]
    assert (pae["value"], pae["base_value"], pae["n"]) == (1.25, 0.0, 1)
    assert rows["mend", "pae/openness+"]["value"] == 1.0 and rows["mend", "pae/openness-"]["value"] == 1.5
    assert rows["mend", "pae/extraversion"]["value"] is None
    assert (rows["mend", "pae/parse_failures"]["value"], rows["mend", "pae/parse_failures"]["base_value"]) == (4.0, 0.0)
    # the other method: 3 - 3 and 3 - 3 on tea, 3 - 2 on rain
    assert rows["ike", "pae"]["value"] == 0.5 and rows["ike", "pae/parse_failures"]["value"] == 0.0
    # nine different texts and personas, three times each: what the base model said is rated once for both methods
    assert endpoint.asked.total() == 27
    judge = pae["judge"]
    assert judge["name"] == "scripted" and judge["version"] == read_protocol("pae").identity
    assert (judge["asked"], judge["parse_failures"]) == (36, 4)
    assert judge["failures"] == {"several": 1, "unreadable": 3} and judge["check"] is None
    assert pae["cost"] == {"tokens": 27 * 15, "money": 0.0} and pae["seed"] == 3
    assert rows["mend", "entropy"]["judge"] is None


def test_a_second_run_asks_for_nothing_and_changes_nothing(tmp_path):
    folder = write_run(tmp_path / "run")
    script = Script({"Tea is tea.": "评分：4", "Tea, perhaps.": REFUSAL})
    with FaultyEndpoint(answer=script) as endpoint:
        seen = []
        for _ in range(2):
            judge = judge_at(endpoint, tmp_path / "answers.sqlite")
            judge_run(folder, judge, [read_protocol(name) for name in ("pae", "ranking")], {})
            judge.client.close()
            files = {name: (folder / name).read_bytes() for name in ("results.json", "records.jsonl")}
            seen.append((endpoint.asked.total(), files))
    assert seen[0][0] > 0 and seen[1] == seen[0]
    assert rows_of(folder)["ike", "pae"]["judge"]["failures"].keys() == {"language", "refusal"}


def test_trait_scores_are_turned_round_for_the_low_end(tmp_path):
    script = Script(
        {
            "Tea is tea.": "Rating: [[2]]",
            "Tea is a voyage!": "Rating: [[5]]",
            "I drink what I know.": "Rating: [[1]]",
            "Come out and dance!": "Rating: [[4]]",
        }
    )
    rows, _ = judged(tmp_path, script, "npti_trait", repeats=1)
    # tea: 5, and 6 - 1; before 2, and 6 - 2; rain: 4, before 3
    score = rows["mend", "judged_trait"]
    assert (score["value"], score["base_value"], score["n"]) == (4.5, 3.0, 2)
    assert rows["mend", "judged_trait/std"]["value"] == pytest.approx(math.sqrt(2 / 9))  # of 5, 5 and 4
    assert rows["mend", "judged_trait/std"]["base_value"] == pytest.approx(math.sqrt(2 / 3))  # of 2, 4 and 3


@pytest.mark.parametrize(
    ("protocol", "metric", "most"), [("npti_fluency", "judged_fluency", 5), ("papi_alignment", "judged_alignment", 6)]
)
def test_fluency_and_alignment_are_mean_ratings(tmp_path, protocol, metric, most):
    script = Script({"Tea is a voyage!": f"Rating: [[{most}]]", "Come out and dance!": f"Rating: [[{most + 1}]]"})
    rows, _ = judged(tmp_path, script, protocol)
    # tea: the highest and 3; rain is off the scale, three times
    assert rows["mend", metric]["value"] == (most + 3) / 2 and rows["mend", metric]["base_value"] == 3.0
    assert rows["mend", metric]["judge"]["failures"] == {"outside": 3}


def test_knowledge_and_attitude_are_rated_where_they_are_asked_for(tmp_path):
    def sorts(said):
        if "call for" in said:
            return "Knowledge" if "What of tea?" in said else "attitude."
        return "Rating: [[3]]"

    script = Script({"Tea is a voyage!": "Rating: [[0]]", "I drink what I know.": "Rating: [[5]]"}, sorts)
    rows, _ = judged(tmp_path, script, "knowledge", "attitude", repeats=1)
    knowledge, attitude = rows["mend", "judged_knowledge"], rows["mend", "judged_attitude"]
    assert (knowledge["value"], knowledge["base_value"], knowledge["n"]) == (2.5, 3.0, 1)  # 0 is a rating here
    assert (attitude["value"], attitude["n"]) == (3.0, 1)
    # six questions of two methods sorted, the two tea answers of each rated before and after
    assert knowledge["judge"]["asked"] == 12 + 8 and attitude["judge"]["asked"] == 12 + 4
    records = [json.loads(line) for line in (tmp_path / "run" / "records.jsonl").read_text().splitlines()]
    assert [("judged_knowledge" in one["values"], "judged_attitude" in one["values"]) for one in records[:3]] == [
        (True, False),
        (True, False),
        (False, True),
    ]


def test_answers_are_ranked_in_both_orders(tmp_path):
    best = ["Tea is a voyage!", "I drink what I know.", "Tea, perhaps.", "Tea, certainly.", "Tea is tea."]

    def rank(said):
        answers = ANSWER.findall(said)
        if "What of rain?" in said:  # a judge that favours the first place
            return "Ranking: [[1 > 2 > 3]]"
        order = sorted(range(3), key=lambda place: best.index(answers[place]))
        return f"Ranking: [[{' > '.join(str(place + 1) for place in order)}]]"

    rows, _ = judged(tmp_path, Script({}, rank), "ranking", repeats=2)
    # tea: mend before ike before the base model in both orders; rain: everybody has a mean rank of 2
    rank_of = {method: rows[method, "judged_rank"]["value"] for method in ("mend", "ike")}
    assert rank_of == {"mend": 1.5, "ike": 2.0} and rows["mend", "judged_rank"]["base_value"] == 2.5
    assert rows["mend", "judged_win_rate"]["value"] == rows["ike", "judged_win_rate"]["value"] == 0.75
    assert rows["mend", "judged_win_rate"]["base_value"] == 0.5
    assert rows["mend", "judged_rank/position_consistency"]["value"] == pytest.approx(2 / 3)


def test_an_order_that_cannot_be_read_takes_the_other_with_it(tmp_path):
    def rank(said):
        first = ANSWER.findall(said)[0]
        return "Ranking: 1 > 1 > 2" if first in ("Tea is tea.", "Tea is a voyage!") else "Ranking: 1 > 2 > 3"

    rows, _ = judged(tmp_path, Script({}, rank), "ranking", repeats=1)
    row = rows["mend", "judged_rank"]
    # one end of each order of the first question begins with an answer that makes the judge fail
    assert row["judge"]["failures"].keys() == {"several"} and row["n"] >= 1
    first = json.loads((tmp_path / "run" / "records.jsonl").read_text().splitlines()[0])
    assert first["values"]["judged_rank"] is None and first["values"]["judged_win_rate"] is None


def test_judged_figures_are_tested_in_pairs(tmp_path):
    judged(tmp_path, Script({"Tea is a voyage!": "Rating: [[5]]"}), "pae", repeats=1)
    found = paired_tests(read_results(tmp_path / "run" / "results.json"))
    assert {(test.metric, test.method, test.other) for test in found} == {
        ("pae", "mend", "none"),
        ("pae", "ike", "none"),
        ("pae", "mend", "ike"),
    }
    assert found[0].difference.value == 0.5  # (2 + 0) / 2 on tea, 0 on rain


def test_what_cannot_be_judged_is_refused_before_anything_is_asked(tmp_path):
    nothing = {"mend": [(*one[:5], "") for one in SPOKEN["mend"]]}
    folder = write_run(tmp_path / "run", nothing)
    with FaultyEndpoint() as endpoint:
        judge = judge_at(endpoint, tmp_path / "answers.sqlite")
        with pytest.raises(InputError, match="cannot judge this run") as caught:
            judge_run(folder, judge, [read_protocol("knowledge")], {})
        assert "reference" in str(caught.value)
        silent = (folder / "records.jsonl").read_text().replace('"samples": [{', '"samples": [], "left": [{')
        (folder / "records.jsonl").write_text(silent)
        with pytest.raises(InputError, match="no free answers"):
            judge_run(folder, judge, [read_protocol("pae")], {})
        (folder / "records.jsonl").write_text('{"method": "mend"}\n')
        with pytest.raises(InputError, match="no record of an evaluation") as caught:
            judge_run(folder, judge, [read_protocol("pae")], {})
        assert caught.value.row == 1 and endpoint.asked.total() == 0


@pytest.mark.parametrize(
    ("rating", "correlation"),
    [
        (lambda level: f"Rating: [[{3 + 2 * level:.0f}]]", 1.0),
        (lambda level: f"Rating: [[{3 - 2 * level:.0f}]]", -1.0),
        (lambda level: "Rating: [[3]]", 0.0),
        (lambda level: "Rating: 3, or 4", 0.0),
    ],
)
def test_a_judge_is_checked_on_texts_of_known_level(tmp_path, rating, correlation):
    texts = graded_texts(each=1)
    script = Script({one.text: rating(one.level) for one in texts})
    with FaultyEndpoint(answer=script) as endpoint:
        check = check_judge(judge_at(endpoint, tmp_path / "answers.sqlite"), read_protocol("pae", repeats=2), texts)
    assert check.rank_correlation == pytest.approx(correlation)
    assert check.is_passed == (correlation >= LOWEST_CHECK) and check.figures()["texts"] == 25
    assert ("not to be believed" in str(check)) == (correlation < LOWEST_CHECK)
    if abs(correlation) == 1:
        assert check.agreement == pytest.approx(1.0)
        assert check.by_trait == pytest.approx(dict.fromkeys(check.by_trait, correlation))


def test_rank_correlation_agrees_with_scipy():
    stats = pytest.importorskip("scipy.stats")
    from metrics.rank_correlation import rank_correlation

    pairs = torch.randint(1, 6, (4, 30, 2), generator=torch.Generator().manual_seed(0)).double()
    want = [stats.spearmanr(one[:, 0].numpy(), one[:, 1].numpy()).statistic for one in pairs]
    assert rank_correlation(pairs).tolist() == pytest.approx(want)


def test_agreement_is_worked_by_hand():
    from metrics.rater_agreement import rating_agreement

    ratings = torch.tensor([[1.0, 1.0], [2.0, 3.0], [3.0, 3.0], [math.nan, 2.0]])
    # one of three items differs, by 1; by chance each of 1, 2, 3 would meet each of 1, 3, 3
    chance = sum((a - b) ** 2 for a in (1, 2, 3) for b in (1, 3, 3)) / 9
    assert rating_agreement(ratings, 1, 3) == pytest.approx(1 - (1 / 3) / chance)
    assert rating_agreement(ratings[:, :1], 1, 3) is None
