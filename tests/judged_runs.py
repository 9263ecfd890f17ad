"""Finished evaluations to judge, and a judge of known answers."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from judging.judge import Judge
from llm.client import ChatClient
from llm.endpoint import ClientSettings, Endpoint, Patience
from tests.faults.endpoint import FaultyEndpoint

# by method and item: persona, question, answer before, answer after, reference
Spoken = tuple[str, float, str, str, str, str]
SPOKEN: Mapping[str, Sequence[Spoken]] = {
    "mend": [
        ("openness", 1.0, "What of tea?", "Tea is tea.", "Tea is a voyage!", "Tea was grown at home."),
        ("openness", -1.0, "What of tea?", "Tea is tea.", "I drink what I know.", "Tea was grown at home."),
        ("extraversion", 1.0, "What of rain?", "Rain is rain.", "Come out and dance!", "It never rained there."),
    ],
    "ike": [
        ("openness", 1.0, "What of tea?", "Tea is tea.", "Tea, perhaps.", "Tea was grown at home."),
        ("openness", -1.0, "What of tea?", "Tea is tea.", "Tea, certainly.", "Tea was grown at home."),
        ("extraversion", 1.0, "What of rain?", "Rain is rain.", "Rain, and more.", "It never rained there."),
    ],
}
ANSWER = re.compile(r"<(?:text|answer)[^>]*>\n(.*?)\n</(?:text|answer)>", re.DOTALL)


def write_run(folder: Path, spoken: Mapping[str, Sequence[Spoken]] = SPOKEN) -> Path:
    """A finished evaluation in which the model has spoken."""
    folder.mkdir(parents=True)
    lines, rows = [], []
    for method, of_method in spoken.items():
        for place, (trait, level, question, before, after, reference) in enumerate(of_method):
            name = f"{trait}{'+' if level > 0 else '-'}"
            sample = {"prompt": question, "base": before, "persona": after, "reference": reference}
            lines.append(
                {
                    "method": method,
                    "id": f"{question}:{name}",
                    "order": place,
                    "persona": {"name": name, "levels": {trait: level}},
                    "base": {"entropy": 1.0},
                    "values": {"entropy": 2.0},
                    "samples": [sample],
                }
            )
        row = {"schema": 1, "benchmark": "b", "method": method, "model": "lm", "persona": "all", "metric": "entropy"}
        rows.append(row | {"value": 2.0, "n": len(of_method), "base_value": 1.0, "seed": 3, "judge": None})
    (folder / "records.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    (folder / "results.json").write_text(json.dumps(rows))
    return folder


class Script:
    """Answers of a judge: by the texts in a question, one after another where it is asked several times.

    Args:
        ratings: From a text to what is said of it; a list is gone through. What is not there is said to everything.
        otherwise: Decides where no text is known, by the whole question.
    """

    def __init__(
        self, ratings: Mapping[str, str | list[str]], otherwise: Callable[[str], str] = lambda _: "Rating: [[3]]"
    ) -> None:
        self.ratings, self.otherwise = ratings, otherwise
        self._said: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, said: str) -> str:
        found = ANSWER.findall(said)
        if len(found) != 1 or found[0] not in self.ratings:
            return self.otherwise(said)
        answers = self.ratings[found[0]]
        if isinstance(answers, str):
            return answers
        with self._lock:
            self._said[said] += 1
            return answers[(self._said[said] - 1) % len(answers)]


def judge_at(endpoint: FaultyEndpoint, cache: Path) -> Judge:
    """A judge that asks a scripted endpoint."""
    patience = Patience(first_pause=0.01, longest_pause=0.1, timeout=5.0, retries=1)
    return Judge(
        ChatClient(ClientSettings(Endpoint(endpoint.base_url, "scripted"), str(cache), patience, progress=False))
    )


def rows_of(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Rows of a results file by method and metric."""
    return {(row["method"], row["metric"]): row for row in json.loads((folder / "results.json").read_text())}
