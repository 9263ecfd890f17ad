"""PersonalityEdit as a benchmark: edit success on the topic, drawdown on another one, coherence of what is said."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from metrics.benchmark import Answers, Benchmark, finite
from metrics.coherence import coherence
from metrics.drawdown import drawdown_from_kl
from metrics.edit_success import EditSuccessParts, edit_success_from_log_probs
from metrics.outcome import MetricRow, RecordScores, Sample
from personas.questions import Likelihood, Questions

TARGET, OTHER, ELSEWHERE, OPINION = "target", "other", "elsewhere", "opinion"
"""What a question is for: opinions of the target trait, of other traits, on another topic; and a free opinion."""


class PersonalityEditBenchmark(Benchmark):
    """Is the opinion on one topic now that of the target personality, and is everything else as it was?

    Figures, each a mean over records:

    - `edit_success` and its parts `z_per` (preference of the target's opinions) and `z_topic` (how likely they stayed),
      `mean_logp_target`, `mean_logp_other`; `edit_success_as_released` looks tokens up where they were already read
    - `drawdown`: KL from the base model's distributions on the other topic's opinions
    - `empty_records`: number of records without opinions of the target or of other traits, which have no edit success
    - `coherent_rate`: share of records whose free answer has enough entropy before and after, `entropy` its entropy

    Args:
        traits: The traits that edits are towards.

    Attributes:
        poles: The poles among which a classifier looks for the trait of a free answer.
    """

    name = "personality_edit"
    headline = ("edit_success", "drawdown", "coherent_rate")

    def __init__(self, traits: Sequence[str] = ("extraversion", "agreeableness", "neuroticism")) -> None:
        self.poles = tuple(f"{trait}+" for trait in traits)

    def measure(self, questions: Questions, base: Answers, persona: Answers) -> list[RecordScores]:
        """Score each record of a batch: the interface is that of `Benchmark`."""
        before = _preferences(questions, base.log_probs, base.log_probs)
        after = _preferences(questions, base.log_probs, persona.log_probs)
        released = (
            _preferences(questions, base.own_position, base.own_position),
            _preferences(questions, base.own_position, persona.own_position),
        )
        moved = (_drawdown(questions, base.divergence), _drawdown(questions, persona.divergence))
        texts = _texts(questions, base.texts, persona.texts)
        scores = []
        for record, name in enumerate(questions.ids):
            values = _preference_values(after, released[1], record) | {"drawdown": moved[1][record]}
            bases = _preference_values(before, released[0], record) | {"drawdown": moved[0][record]}
            sample = texts.get(record)
            if texts:
                values |= _text_values(sample.base, sample.persona) if sample else _NO_TEXT
                bases |= _text_values(sample.base, sample.base) if sample else _NO_TEXT
            scores.append(
                RecordScores(
                    id=name,
                    order=questions.order[record],
                    persona=questions.personas[record],
                    base=bases,
                    values=values,
                    samples=(sample,) if sample else (),
                )
            )
        return scores

    def rows(self, records: Sequence[RecordScores]) -> list[MetricRow]:
        """The means, and how many records could not be scored for want of opinions to compare."""
        empty = sum(record.values["edit_success"] is None for record in records)
        count = MetricRow("empty_records", "all", float(empty), None, None, len(records), float(empty))
        return [*super().rows(records), count]


_NO_TEXT: dict[str, float | None] = {"coherent_rate": None, "entropy": None}


def _preferences(questions: Questions, pre: Sequence[Tensor], post: Sequence[Tensor]) -> EditSuccessParts:
    """Edit success of every record from log-probabilities per token."""
    rows = [index for index, question in enumerate(questions.likelihoods) if question.part in (TARGET, OTHER)]
    asked = [questions.likelihoods[index] for index in rows]
    padded_pre, mask_pre = _padded([pre[index] for index in rows])
    padded_post, mask_post = _padded([post[index] for index in rows])
    return edit_success_from_log_probs(
        padded_pre,
        padded_post,
        mask_post,
        torch.tensor([question.part == TARGET for question in asked], dtype=torch.bool),
        _records(asked),
        mask_pre=mask_pre,
        num_records=len(questions),
    )


def _preference_values(parts: EditSuccessParts, released: EditSuccessParts, record: int) -> dict[str, float | None]:
    """The figures of one record; none of them where it has no opinions of the target or none of other traits.

    An edit that breaks the model, so that nothing likely is left, favours no opinion: its edit success is 0.
    """
    named = {
        "edit_success": parts.es,
        "z_per": parts.z_per,
        "z_topic": parts.z_topic,
        "mean_logp_target": parts.mean_logp_same_post,
        "mean_logp_other": parts.mean_logp_other_post,
        "edit_success_as_released": released.es,
    }
    if bool(parts.empty[record]):
        return dict.fromkeys(named)
    values = {name: finite(value[record].item()) for name, value in named.items()}
    return values | {"edit_success": values["edit_success"] or 0.0}


def _drawdown(questions: Questions, divergence: Sequence[Tensor]) -> list[float | None]:
    """Drawdown of every record; None for one without opinions on another topic."""
    rows = [index for index, question in enumerate(questions.likelihoods) if question.part == ELSEWHERE]
    kl, mask = _padded([divergence[index] for index in rows])
    index = _records([questions.likelihoods[row] for row in rows])
    parts = drawdown_from_kl(kl, mask, index, num_records=len(questions))
    return [finite(value) for value in parts.value.tolist()]


def _texts(questions: Questions, base: Sequence[str], persona: Sequence[str]) -> dict[int, Sample]:
    """The first free answer of each record."""
    samples: dict[int, Sample] = {}
    for question, before, after in zip(questions.generations, base, persona, strict=True):
        samples.setdefault(question.record, Sample(question.prompt[-1]["content"], before, after))
    return samples


def _text_values(before: str, after: str) -> dict[str, float | None]:
    coherent, _, entropy = coherence([before], [after])[0].tolist()
    return {"coherent_rate": coherent, "entropy": entropy}


def _padded(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Rows of different length as one tensor (R, T), and True where it holds them (R, T)."""
    if not rows:
        return torch.zeros(0, 1), torch.zeros(0, 1, dtype=torch.bool)
    full = [torch.ones(len(row), dtype=torch.bool) for row in rows]
    return pad_sequence([row.float().cpu() for row in rows], batch_first=True), pad_sequence(full, batch_first=True)


def _records(questions: Sequence[Likelihood]) -> Tensor:
    return torch.tensor([question.record for question in questions], dtype=torch.long)
