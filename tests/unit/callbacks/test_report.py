"""What an evaluation shows: the table, the Markdown, the figure, and text that stays text."""

import io
from dataclasses import replace
from typing import Any

import pytest
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from callbacks.report import Report, figures_table, headline_figure, report_markdown
from callbacks.results_json import result_rows
from callbacks.sample_generations import SampleGenerations, samples_markdown
from metrics.outcome import MetricRow, Outcome, RecordScores, Sample
from personas.persona import Persona

HOSTILE = "<script>alert(1)</script> | [link](http://x) `code` [bold red]x[/]\n# title"


def outcome(**changes) -> Outcome:
    persona = Persona.trait("trust")
    records = tuple(
        RecordScores(str(k), k, persona, {"m": 0.5}, {"m": 0.75}, (Sample(f"Topic {k}?", "No.", HOSTILE),))
        for k in range(20)
    )
    rows = (
        MetricRow("m", "all", 0.75, 0.6, 0.9, 20, 0.5),
        MetricRow("m/agreeableness", "trust+", 0.75, None, None, 20, 0.5),
        MetricRow("other", "all", None, None, None, 0, None, undefined=20),
    )
    return replace(Outcome("bench", "[red]x", "lm", rows, ("m", "absent"), records, seed=1), **changes)


def shown(table) -> str:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(table)
    return console.export_text()


def test_the_table_shows_headline_figures_and_their_parts():
    text = shown(figures_table(outcome()))
    assert "0.750" in text and "0.600 to 0.900" in text and "agreeableness" in text
    assert "[red]x on bench" in text
    assert "other" not in text


def test_the_markdown_tells_everything_and_runs_nothing():
    text = report_markdown(outcome(), 3)
    assert "| m | 0.500 | 0.750 | 0.600 to 0.900 | 20 |" in text
    assert "| other | none | none |  | 0 |" in text
    assert "`other`: 20" in text
    assert text.count("Topic ") == 3
    assert "<script>" not in text and "&lt;script&gt;" in text and "\n# title" not in text


def test_samples_are_spread_over_the_data_set():
    text = samples_markdown(outcome().records, 4)
    assert [f"Topic {k}?" in text for k in (0, 5, 10, 15)] == [True] * 4
    assert samples_markdown([], 4).startswith("No free answers")


def test_an_outcome_without_any_value_can_be_shown():
    empty = Outcome("b", "none", "lm", (MetricRow("m", "all", None, None, None, 0, None),), ("m",), ())
    assert "none" in shown(figures_table(empty))
    assert "# none on b" in report_markdown(empty, 3)
    headline_figure(empty)


def test_result_rows_are_flat_and_carry_their_provenance(tmp_path):
    (tmp_path / "test.json").write_text("[]")
    rows = result_rows(outcome(data_files=(str(tmp_path / "test.json"),), seconds=1.23456))
    assert [row["metric"] for row in rows] == ["m", "m/agreeableness", "other"]
    assert rows[2]["value"] is None and rows[0]["schema"] == 1
    assert len(rows[0]["data_hash"]) == 64 and rows[0]["seconds"] == 1.235


def test_tensorboard_gets_the_report_the_figure_and_the_samples(tmp_path, capsys):
    logger = TensorBoardLogger(tmp_path, name="", version="")
    trainer = Trainer(accelerator="cpu", logger=logger, default_root_dir=tmp_path, enable_progress_bar=False)

    module: Any = LightningModule()
    module.outcome = outcome()
    report = Report()
    for callback in (SampleGenerations(), report):
        callback.on_test_end(trainer, module)
    assert "0.750" not in capsys.readouterr().out
    report.teardown(trainer, module, "test")
    assert "0.750" in capsys.readouterr().out
    logger.finalize("success")
    events = EventAccumulator(str(tmp_path), size_guidance={"tensors": 0, "images": 0}).Reload()
    assert "report/headline" in events.Tags()["images"]
    assert {"report/text_summary", "samples/text_summary"} <= set(events.Tags()["tensors"])


@pytest.mark.parametrize("callback", [Report(), SampleGenerations()])
def test_a_module_without_an_outcome_is_left_alone(callback, tmp_path):
    trainer = Trainer(accelerator="cpu", logger=False, default_root_dir=tmp_path, enable_progress_bar=False)
    callback.on_test_end(trainer, object())
    assert not list(tmp_path.iterdir())
