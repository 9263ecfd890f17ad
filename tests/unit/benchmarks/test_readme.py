import json
from pathlib import Path

import pytest

from benchmarks.committed import CHARACTERS, COMPETENCE, MATRIX, MEND, PAPI, QUICKSTART
from benchmarks.readme import filled, main
from files.errors import InputError

REPOSITORY = Path(__file__).resolve().parents[3]
README = """# Title
<!-- figures:quickstart -->
stale line
<!-- /figures:quickstart -->
text between
<!-- figures:methods -->
| method | paper | configuration |
|---|---|---|
| MEND | a paper | `configs/mend/quickstart.yaml` |
| Novel | another | `configs/novel/quickstart.yaml` |
<!-- /figures:methods -->
<!-- figures:competence --><!-- /figures:competence -->
<!-- figures:bench-mend -->
<!-- /figures:bench-mend -->
end
"""


def _write(root, path, content):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(json.dumps(content))


@pytest.fixture
def root(tmp_path):
    row = {"method": "mend", "seed": 1, "n": 100, "commit": "0123456789abcdef", "seconds": 31.5, "peak_memory_mb": 512}
    success = row | {"persona": "all", "metric": "edit_success", "value": 0.71, "ci_low": 0.69, "ci_high": 0.73}
    part = row | {"persona": "extraversion+", "metric": "edit_success/extraversion+", "value": 0.999}
    _write(tmp_path, QUICKSTART, [success | {"base_value": 0.5}, part])
    _write(tmp_path, COMPETENCE, {"topic_named": 0.95, "topic_named_ci": [0.93, 0.97], "neutral": {"o": 0.4, "c": 0.6}})
    _write(tmp_path, MEND, {"speedup": 1.75})
    (tmp_path / "README.md").write_text(README)
    return tmp_path


def test_figures_come_from_the_files_and_missing_ones_are_dashes(root):
    text = filled(README, root)
    assert "| `edit_success` | 0.500 | 0.710 [0.690, 0.730] |" in text
    assert "| `drawdown` | - | - |" in text
    assert "100 held-out topics, seed 1, commit 01234567." in text
    assert "edit_success 0.710 [0.690, 0.730] (base 0.500) | 31.500 | 512 | 01234567 |" in text
    assert "| Novel | another | `configs/novel/quickstart.yaml` | - | - | - | - |" in text
    assert "| `topic_named` | 0.950 [0.930, 0.970] |" in text
    assert "| `neutral` | 0.400 to 0.600 |" in text
    assert "| `speedup` | 1.750 |" in text
    assert "0.999" not in text
    assert "stale line" not in text
    assert text.startswith("# Title\n")
    assert text.endswith("end\n")


def test_without_any_file_everything_is_a_dash(tmp_path):
    text = filled(README, tmp_path)
    assert "No results are committed yet." in text
    assert "0." not in text.replace("1.", "")


def test_the_characters_stand_in_a_table_and_in_that_of_methods(tmp_path):
    figures = {
        f"{name}_{method}": 0.1 * number
        for name in ("fact_accuracy", "stage_preference")
        for number, method in enumerate(("none", "sft", "dpo", "ppo"), start=3)
    }
    ppo = {"reward_before": 0.5, "reward_after": 0.75, "reward_n": 301, "kl": 1.25, "kl_target": 4.0}
    _write(tmp_path, CHARACTERS, figures | ppo | {"seconds_dpo": 21.5, "peak_memory_mb_dpo": 512, "commit": "abc"})
    text = filled(
        "<!-- figures:characters --><!-- /figures:characters -->\n"
        "<!-- figures:methods -->\n| a | b | c |\n|---|---|---|\n"
        "| DPO | a paper | `configs/dpo/quickstart.yaml` |\n<!-- /figures:methods -->",
        tmp_path,
    )
    assert "| `stage_preference` | 0.300 | 0.400 | 0.500 | 0.600 |" in text
    assert "reward on 301 test questions: 0.500 before, 0.750 after, at a divergence of 1.250 nats" in text
    assert "fact_accuracy 0.500 (base 0.300); stage_preference 0.500 (base 0.300) | 21.500 | 512 | abc |" in text


def test_figures_of_the_matrix_stand_in_both_tables_of_methods(tmp_path):
    cost = {"persona": "all", "seconds": 16.5, "peak_memory_mb": 900, "commit": "abc", "base_value": 0.0}
    ends = {"ci_low": 0.9, "ci_high": 0.95}
    rows = [
        {"benchmark": "personality_bench", "method": "npti", "metric": "trait_expression", "value": 0.92} | ends,
        {"benchmark": "trait", "method": "npti", "metric": "trait_score_range", "value": 90.0},
        {"benchmark": "personality_edit", "method": "npti", "metric": "trait_expression", "value": 0.4},
        {"benchmark": "papi", "method": "ike", "metric": "alignment_error", "value": 2.5},
    ]
    _write(tmp_path, MATRIX, [row | cost for row in rows])
    head = "| a | b | c |\n|---|---|---|\n"
    blocks = (
        f"<!-- figures:methods -->\n{head}| NPTI | a paper | `configs/npti/a.yaml` |\n<!-- /figures:methods -->\n"
        f"<!-- figures:prompts -->\n{head}| `ike` | shows examples |\n<!-- /figures:prompts -->"
    )
    text = filled(blocks, tmp_path)
    shown = "trait_expression 0.920 [0.900, 0.950] (base 0.000); trait_score_range 90.000 (base 0.000)"
    assert f"`configs/npti/a.yaml` | {shown} | 16.500 | 900 | abc |" in text and "0.4" not in text
    assert "| `ike` | shows examples | alignment_error 2.500 (base 0.000) |" in text
    assert "`trait_score_range`: trait score under a high level minus that under a low one (trait, higher" in text
    assert filled(text, tmp_path) == text


def test_writing_twice_changes_nothing_more(root):
    assert main(["--root", str(root), "--check"]) == 1
    assert main(["--root", str(root)]) == 0
    assert main(["--root", str(root), "--check"]) == 0
    assert filled(filled(README, root), root) == filled(README, root)


def test_results_of_a_run_are_kept_as_the_committed_ones(root, tmp_path_factory):
    run = tmp_path_factory.mktemp("run") / "results.json"
    rows = json.loads((root / QUICKSTART).read_text())
    rows[0]["value"] = 0.8
    run.write_text(json.dumps(rows))
    main(["--root", str(root), "--quickstart", str(run)])
    assert json.loads((root / QUICKSTART).read_text()) == rows
    assert "0.800 [" in (root / "README.md").read_text()


def test_results_of_people_are_kept_and_shown(root, tmp_path_factory):
    run = tmp_path_factory.mktemp("run") / "results.json"
    row = json.loads((root / QUICKSTART).read_text())[0]
    figures = {"value": 6.5, "ci_low": 6.0, "ci_high": 7.0, "base_value": 10.0, "persona": "all"}
    rows = [{**row, **figures, "metric": "alignment_error", "method": name} for name in ("pas", "none")]
    run.write_text(json.dumps(rows))
    readme = root / "README.md"
    pas = "| PAS | a paper | `configs/pas/quickstart.yaml` |\n<!-- /figures:methods -->"
    text = readme.read_text().replace("<!-- /figures:methods -->", pas)
    readme.write_text(f"{text}\n<!-- figures:papi -->\n<!-- /figures:papi -->\n")
    main(["--root", str(root), "--papi", str(run)])
    assert json.loads((root / PAPI).read_text()) == rows
    assert "| `pas` | 6.500 [6.000, 7.000] | - |" in readme.read_text()
    assert "alignment_error 6.500 [6.000, 7.000] (base 10.000)" in readme.read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!-- figures:novel --><!-- /figures:novel -->", "is no block of figures"),
        ("<!-- figures:quickstart -->", "is not closed"),
        ("<!-- figures:methods -->\n| a |\n|---|\n| MEND |\n<!-- /figures:methods -->", "has no configuration"),
        ("<!-- figures:prompts -->\n| a |\n|---|\n| IKE |\n<!-- /figures:prompts -->", "has no method"),
    ],
)
def test_a_faulty_readme_is_named(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        filled(text, tmp_path)


@pytest.mark.parametrize(("path", "content"), [(QUICKSTART, {}), (QUICKSTART, [1]), (COMPETENCE, []), (MEND, 3)])
def test_a_faulty_results_file_is_named(root, path, content):
    _write(root, path, content)
    with pytest.raises(InputError, match=path.name):
        filled(README, root)


def test_the_committed_readme_says_what_the_committed_files_say():
    assert main(["--check"]) == 0, "run `make readme`"
