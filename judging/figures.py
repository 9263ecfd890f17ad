"""From a judge's ratings and rankings to scores of records, and to figures over them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

import torch

from files.errors import InputError
from judging.judge import Account, Judge, Ratings
from judging.protocol import Protocol
from metrics.benchmark import mean_row
from metrics.beside import rows_by_persona, with_values
from metrics.outcome import MetricRow, RecordScores, Sample
from metrics.pooled import by_item
from personas.adjectives import ADJECTIVES, by_adjectives
from personas.persona import Persona
from personas.traits import FACETS

BASE = "none"
WINS = "judged_win_rate"
Records = Mapping[str, Sequence[RecordScores]]
_Pair = tuple[list[float], list[float]]


@dataclass(frozen=True)
class Judged:
    """What judging by one protocol has added.

    Attributes:
        records: For each method its records, with the scores added.
        rows: For each method the added figures, the plain one first.
        account: What it came to.
        agreement: How far repeats agree; None where that is not defined.
    """

    records: dict[str, list[RecordScores]]
    rows: dict[str, list[MetricRow]]
    account: Account
    agreement: float | None


def judged_by(records: Records, judge: Judge, protocol: Protocol) -> Judged:
    """Judge the free answers of an evaluation.

    Args:
        records: For each method its records.
        judge: Who judges.
        protocol: How.

    Raises:
        InputError: No record has what the protocol needs, or the endpoint refuses everything.
    """
    return _ranked(records, judge, protocol) if protocol.kind == "ranking" else _rated(records, judge, protocol)


def item_of(persona: Persona, sample: Sample) -> dict[str, str]:
    """What a protocol's template can say of an answer, but for the answer itself.

    Args:
        persona: Who was wanted.
        sample: What was asked.

    Example:
        >>> item_of(Persona.trait("openness", -1), Sample("Tea?", "No.", "Yes."))["adjectives"]
        'unimaginative, conventional, traditional, incurious, unartistic'
    """
    item = {"question": sample.prompt}
    if sample.reference:
        item["reference"] = sample.reference
    item["persona"] = by_adjectives(persona, words=5) if persona.levels else persona.name
    level = math.fsum(persona.levels.values())
    if persona.main_trait is not None and level:
        item |= end_of(persona.main_trait, level)
    return item


def end_of(trait: str, level: float) -> dict[str, str]:
    """What a template can say of an end of a trait.

    Example:
        >>> end_of("openness", 1)["pole"]
        'high'
    """
    end = {"trait": trait, "pole": "high" if level > 0 else "low"}
    end["adjectives"] = ", ".join(ADJECTIVES[trait][0 if level > 0 else 1])
    return end | ({"facets": ", ".join(FACETS[trait])} if trait in FACETS else {})


def _rated(records: Records, judge: Judge, protocol: Protocol) -> Judged:
    places, items = _items(records, protocol)
    let_through, sorting = judge.sort(protocol, items)
    places = [place for place, wanted in zip(places, let_through, strict=True) if wanted]
    items = [item for item, wanted in zip(items, let_through, strict=True) if wanted]
    ratings = judge.rate(protocol, items)
    scores: dict[tuple[str, int], _Pair] = defaultdict(lambda: ([], []))
    for (method, record, side), item, mean in zip(places, items, ratings.means, strict=True):
        of_side = scores[method, record][side]
        if mean is not None:
            turned = protocol.keyed and item.get("pole") == "low"
            of_side.append(protocol.low + protocol.high - mean if turned else mean)
    scored, rows = {}, {}
    for method, of_method in records.items():
        pairs = {record: _figure(scores[method, record], protocol) for record in _judged(scores, method)}
        added = {
            record: with_values(of_method[record], {protocol.metric: base}, {protocol.metric: value})
            for record, (base, value) in pairs.items()
        }
        scored[method] = [added.get(number, record) for number, record in enumerate(of_method)]
        if added:
            failures = _failures(ratings, places, method)
            rows[method] = _rows(protocol.metric, list(added.values()), failures)
            rows[method] += _spread(protocol, list(added.values()))
    account = ratings.account
    account.asked += sorting.asked
    account.faults += sorting.faults
    account.unread += sorting.unread
    account.tokens, account.cost = account.tokens + sorting.tokens, account.cost + sorting.cost
    return Judged(scored, rows, account, ratings.agreement)


def _items(records: Records, protocol: Protocol) -> tuple[list[tuple[str, int, int]], list[dict[str, str]]]:
    """What is to be rated: method, record and side (before or after), and what stands in the template."""
    places, items = [], []
    lacking: frozenset[str] = frozenset()
    for method, of_method in records.items():
        for number, record, sample in _samples(of_method):
            fields = item_of(record.persona, sample)
            missing = protocol.places - fields.keys() - {"answer"}
            if missing:
                lacking = missing
                continue
            for side, text in enumerate((sample.base, _said(sample, method))):
                places.append((method, number, side))
                items.append({**fields, "answer": text})
    if not items:
        raise _lacks(protocol, lacking)
    return places, items


def _ranked(records: Records, judge: Judge, protocol: Protocol) -> Judged:
    """Rank the base model's answer and that of every method to each question."""
    methods = [method for method in records if method != BASE]
    questions, items, answers, orders = [], [], [], []
    lacking: frozenset[str] = frozenset()
    for number, record, sample in _samples(records[methods[0]] if methods else ()):
        others = {method: records[method][number : number + 1] for method in methods}
        said = {BASE: sample.base} | _said_by_all(others, record, sample)
        fields = item_of(record.persona, sample)
        lacking = protocol.places - fields.keys() - {"answers"} or lacking
        if protocol.places - fields.keys() - {"answers"} or len(said) <= len(methods):
            continue
        names = list(said)
        Random(f"{record.id}/{sample.prompt}").shuffle(names)
        questions.append(number)
        items.append(fields)
        orders.append(names)
        answers.append([said[name] for name in names])
    if not items:
        raise _lacks(protocol, lacking)
    found = judge.rank(protocol, items, answers)
    ranks: dict[tuple[str, int], list[float]] = defaultdict(list)
    wins: dict[tuple[str, int], list[float]] = defaultdict(list)
    same: list[float] = []
    for number, names, repeats in zip(questions, orders, found.ranks, strict=True):
        for both in repeats:
            for order in both or ():
                base = order[names.index(BASE)]
                for name, rank in zip(names, order, strict=True):
                    ranks[name, number].append(float(rank))
                    wins[name, number].append(0.5 if name == BASE else float(rank < base))
            same += [_same_verdicts(*both)] if both else []
    consistency = math.fsum(same) / len(same) if same else None
    unread = float(found.account.unread)
    scored, rows = {name: list(of_method) for name, of_method in records.items()}, {}
    for method in records:
        added = []
        for number in dict.fromkeys(questions):
            before = {protocol.metric: _mean(ranks[BASE, number]), WINS: 0.5}
            values = {protocol.metric: _mean(ranks[method, number]), WINS: _mean(wins[method, number])}
            scored[method][number] = with_values(records[method][number], before, values)
            added.append(scored[method][number])
        rows[method] = _rows(protocol.metric, added, (unread, unread)) + (_rows(WINS, added) if method != BASE else [])
        share = MetricRow(f"{protocol.metric}/position_consistency", "all", consistency, None, None, len(same), None)
        rows[method].append(share)
    return Judged(scored, rows, found.account, consistency)


def _samples(records: Sequence[RecordScores]) -> Iterator[tuple[int, RecordScores, Sample]]:
    for number, record in enumerate(records):
        for sample in record.samples:
            yield number, record, sample


def _said(sample: Sample, method: str) -> str:
    """The answer under a method; records of the base model beside a method hold that method's texts, too."""
    return sample.base if method == BASE else sample.persona


def _said_by_all(others: Mapping[str, Sequence[RecordScores]], record: RecordScores, sample: Sample) -> dict[str, str]:
    """What each method said to the same question; methods without it are left out."""
    said: dict[str, str] = {}
    for method, found in others.items():
        for other in found:
            same = [one for one in other.samples if one.prompt == sample.prompt] if other.id == record.id else []
            said |= {method: same[0].persona} if same else {}
    return said


def _judged(scores: Mapping[tuple[str, int], _Pair], method: str) -> list[int]:
    return sorted(record for name, record in scores if name == method)


def _figure(pair: _Pair, protocol: Protocol) -> tuple[float | None, float | None]:
    """The score of a record before and after; None where no answer of a side could be rated."""
    before, after = _mean(pair[0]), _mean(pair[1])
    if protocol.figure == "level":
        return before, after
    return (None, None) if before is None or after is None else (0.0, after - before)


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _failures(ratings: Ratings, places: Sequence[tuple[str, int, int]], method: str) -> tuple[float, float]:
    """Ratings of a method's answers that could not be read, and of the base model's to the same questions."""
    of_place = ratings.unread.sum(-1).tolist()
    before, after = (
        math.fsum(n for (name, _, at), n in zip(places, of_place, strict=True) if (name, at) == (method, side))
        for side in (0, 1)
    )
    return after, before


def _rows(metric: str, records: Sequence[RecordScores], failures: tuple[float, float] | None = None) -> list[MetricRow]:
    """A figure over all items and for each persona, and how many ratings could not be read, if that is to be said."""
    items = by_item(records, lambda record: record.id.removesuffix(f":{record.persona.name}"))
    rows = [mean_row(metric, "all", metric, items), *rows_by_persona(metric, records)]
    if failures is not None:
        count, base = failures
        rows.append(MetricRow(f"{metric}/parse_failures", "all", count, None, None, len(records), base))
    return rows


def _spread(protocol: Protocol, records: Sequence[RecordScores]) -> list[MetricRow]:
    """The standard deviation of ratings over records, which published tables show beside the mean."""
    if protocol.figure != "level":
        return []
    values, bases = (
        [value for record in records if (value := getattr(record, side)[protocol.metric]) is not None]
        for side in ("values", "base")
    )
    spread, base = (
        torch.tensor(side, dtype=torch.float64).std(correction=0).item() if side else None for side in (values, bases)
    )
    return [MetricRow(f"{protocol.metric}/std", "all", spread, None, None, len(values), base)]


def _same_verdicts(one: Sequence[int], other: Sequence[int]) -> float:
    """Share of pairs of answers that both orders rank alike."""
    pairs = [(a, b) for a in range(len(one)) for b in range(a)]
    return sum((one[a] < one[b]) == (other[a] < other[b]) for a, b in pairs) / len(pairs)


def _lacks(protocol: Protocol, lacking: frozenset[str]) -> InputError:
    return InputError(
        "cannot judge this run",
        field="--protocols",
        expected="records with what the template speaks of, such as one trait for {trait} or a reference answer",
        got=f"{protocol.name} needs {', '.join(sorted(lacking))}" if lacking else f"{protocol.name}: no answers",
        fix="choose another protocol, or evaluate again where an older version has left it out",
    )
