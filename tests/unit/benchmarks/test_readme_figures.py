"""The README's pictures come from committed results, for light and dark ground, and from nothing else."""

import json

import pytest

from benchmarks.committed import MATRIX, PICTURES
from benchmarks.readme import filled
from benchmarks.readme_figures import main
from files.errors import InputError
from tests.unit.report.results import by_trait, figure, strengths, write_run

BLOCK = "<!-- figures:pictures -->\nold\n<!-- /figures:pictures -->\n"


def test_pictures_are_kept_drawn_named_and_cleared_away(tmp_path, capsys):
    rows = [figure("none", 0.2), figure("npti", 0.6), *by_trait("npti", [0.5] * 5)]
    detail = figure("npti", 1.0, metric="answer_count/A")
    write_run(tmp_path / "runs" / "all", [*rows, detail])
    write_run(tmp_path / "runs" / "swept", strengths("npti", {"0": 0.2, "1": 0.6}))
    main(["--root", str(tmp_path), "--keep", str(tmp_path / "runs")])
    kept = json.loads((tmp_path / MATRIX).read_text())
    assert len(kept) == len(rows) + 2 and detail not in kept
    names = {path.name for path in (tmp_path / PICTURES).iterdir()}
    parts = ("leaderboard", "traits-personality_edit", "strength-personality_edit-npti-strength")
    assert names == {f"matrix-{part}-{theme}.png" for part in parts for theme in ("light", "dark")}
    text = filled(BLOCK, tmp_path)
    assert text.count("<picture>") == 3 and 'srcset="assets/figures/matrix-leaderboard-dark.png"' in text
    (tmp_path / MATRIX).unlink()
    main(["--root", str(tmp_path)])
    assert not list((tmp_path / PICTURES).iterdir()) and "No results are committed yet." in filled(BLOCK, tmp_path)
    assert "0 pictures" in capsys.readouterr().out


@pytest.mark.parametrize("content", [[], [{"schema": 9}]])
def test_faulty_committed_results_are_named(content, tmp_path):
    (tmp_path / MATRIX).parent.mkdir()
    (tmp_path / MATRIX).write_text(json.dumps(content))
    with pytest.raises(InputError, match="rows|version"):
        main(["--root", str(tmp_path)])
