"""Keeps a few free answers, before and after, where a reader finds them: a Markdown file and TensorBoard."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from files.atomic import atomic_write_text
from metrics.outcome import Outcome, RecordScores


class SampleGenerations(Callback):
    """Writes free answers of an evaluation to `samples.md` and to TensorBoard's text page.

    Args:
        samples: Number of answers, spread evenly over the data set.
    """

    def __init__(self, samples: int = 10) -> None:
        self.samples = samples

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the answers."""
        outcome = getattr(pl_module, "outcome", None)
        if not trainer.is_global_zero or not isinstance(outcome, Outcome):
            return
        text = samples_markdown(outcome.records, self.samples)
        atomic_write_text(Path(trainer.default_root_dir) / "samples.md", text)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_text("samples", text)
                logger.experiment.flush()


def samples_markdown(records: Sequence[RecordScores], number: int) -> str:
    """Free answers before and after as Markdown; what a model said is shown as it is, never interpreted.

    Args:
        records: Scored records in the order of the data set.
        number: How many records to show, spread evenly.

    Returns:
        The answers, or a sentence that there are none.

    Example:
        >>> from metrics.outcome import Sample
        >>> from personas.persona import Persona
        >>> answer = Sample("Tea?", "No.", "<b>Yes</b>")
        >>> print(samples_markdown([RecordScores("1", 0, Persona.trait("trust"), {}, {}, (answer,))], 1))
        **Tea?** (trust+)
        <BLANKLINE>
        - before: No.
        - after: &lt;b&gt;Yes&lt;/b&gt;
        <BLANKLINE>
    """
    spoken = [(record, sample) for record in records for sample in record.samples[:1]]
    if not spoken or number < 1:
        return "No free answers were asked for.\n"
    count = min(number, len(spoken))
    chosen = [spoken[place * len(spoken) // count] for place in range(count)]
    parts = [
        f"**{_plain(sample.prompt)}** ({_plain(record.persona.name)})\n\n"
        f"- before: {_plain(sample.base)}\n- after: {_plain(sample.persona)}\n"
        for record, sample in chosen
    ]
    return "\n".join(parts)


def _plain(text: str) -> str:
    """A model's text on one line, with nothing in it that Markdown or HTML would act upon."""
    escaped = html.escape(" ".join(text.split()), quote=False)
    for mark in "\\`*_[]|#":
        escaped = escaped.replace(mark, f"\\{mark}")
    return escaped or "(nothing)"
