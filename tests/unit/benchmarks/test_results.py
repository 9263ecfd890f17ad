"""Figures of all benchmarks are joined under the names of their parts and held against their bars."""

import json

import pytest

from benchmarks import figures, results
from benchmarks.readme_speed import speed_block


def write(folder, **files):
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))


def test_figures_carry_the_name_of_their_part(tmp_path):
    write(
        tmp_path,
        mend={"speedup": 1.7, "speedup_ci": [1.6, 1.8], "versions": {"torch": "2"}, "commit": "abc", "threads": 2},
        sae_steps={"speedup": 3.0, "processor": "any"},
    )
    assert results.joined(tmp_path) == {
        "mend_speedup": 1.7,
        "mend_speedup_ci": [1.6, 1.8],
        "mend_commit": "abc",
        "mend_threads": 2,
        "sae_speedup": 3.0,
    }


@pytest.mark.parametrize(
    ("speedup", "memory", "code", "counts"),
    [(1.7, 0.2, 0, (2, 0, 0)), (1.2, 0.2, 1, (1, 1, 0)), (1.7, 0.3, 1, (1, 1, 0)), (1.7, None, 1, (1, 0, 1))],
)
def test_what_is_missed_or_missing_ends_with_code_1(tmp_path, capsys, speedup, memory, code, counts):
    write(tmp_path, mend={"speedup": speedup, "memory_ratio": memory})
    bars = tmp_path / "bars.yaml"
    bars.write_text("mend_speedup: {least: 1.5}\nmend_memory_ratio: {least: 0.1, most: 0.25}\n")
    assert results.main(["--folder", str(tmp_path), "--bars", str(bars)]) == code
    written = json.loads((tmp_path / "results.json").read_text())
    assert tuple(written[f"bars_{name}"] for name in ("met", "missed", "unmeasured")) == counts
    assert {"commit", "threads", "cores", "processor", "memory_gb"} <= written.keys()
    assert not any("/" in str(value) for name, value in written.items() if name not in ("commit", "versions"))
    said = capsys.readouterr().out
    assert "mend_memory_ratio" in said and ("missed" in said) == bool(counts[1])


def test_the_readme_shows_joined_figures_and_names_what_is_missed(tmp_path):
    (tmp_path / "benchmarks").mkdir()
    assert speed_block(tmp_path, "") == "No results are committed yet."
    write(tmp_path / "benchmarks", results={"sae_speedup": 1.25, "sae_speedup_ci": [1.0, 1.5], "mend_speedup": 1.2})
    said = speed_block(tmp_path, "")
    assert "| `sae_speedup` | 1.250 [1.000, 1.500] |" in said and "| `scaling_people_slope` | - |" in said
    assert "missed: `mend_speedup` (>= 1.5); unmeasured: `mend_memory_ratio` (<= 0.25)" in said


def test_every_bar_is_of_a_part_and_named_once():
    bars = results.read_bars()
    assert len({bar.key for bar in bars}) == len(bars) > 20
    assert {bar.key.partition("_")[0] for bar in bars} == results.PARTS.keys()


@pytest.mark.parametrize("text", ["- 1", "mend: 3", "mend: {about: 3}", "mend: {}", "mend: {least: much}"])
def test_faulty_bars_are_refused(tmp_path, text):
    (tmp_path / "bars.yaml").write_text(text)
    with pytest.raises(SystemExit) as stopped:
        results.main(["--folder", str(tmp_path), "--bars", str(tmp_path / "bars.yaml")])
    assert stopped.value.code == 2


def test_the_interval_of_a_median_leaves_out_as_many_as_it_may():
    # Of 12 values the third and the tenth: the chance that the median is outside is 0.0386, of the fourth 0.146.
    assert figures.median_interval([float(value) for value in range(12)]) == [2.0, 9.0]
    assert figures.median_interval([1.0]) == [1.0, 1.0]
