"""How a judge is asked: a template with places, the scale, and how often; one YAML file each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from importlib.resources import files
from pathlib import Path
from string import Formatter
from typing import Any, Literal

from files.errors import InputError
from files.yaml_files import read_yaml
from llm.requests import ChatRequest, Message

PLACES = {
    "question": "what was asked",
    "answer": "the answer to rate",
    "answers": "the numbered answers to rank",
    "trait": "the trait that is wanted",
    "pole": "high or low, whichever end is wanted",
    "adjectives": "adjectives of that end",
    "facets": "the facets of that trait",
    "persona": "who the answer is to come from",
    "reference": "what is known to be right",
    "low": "least rating",
    "high": "highest rating",
}
"""What a template may have places for."""


@dataclass(frozen=True)
class Sorting:
    """A question that is asked first, of the question alone: whether it is of the kind that is rated.

    Attributes:
        prompt: Template of the question.
        answers: The words that the judge chooses from.
        wanted: The word that lets an item through.
    """

    prompt: str
    answers: tuple[str, ...]
    wanted: str


@dataclass(frozen=True)
class Protocol:
    """How one thing is judged.

    Attributes:
        name: What it is called on the command line and in results.
        metric: Name of the figure.
        prompt: Template of what the judge is asked.
        version: Number of this wording; part of what identifies a judge, beside the content itself.
        system: System turn; none if it is empty.
        kind: One answer is rated, or all answers to a question are ranked.
        low: Least rating.
        high: Highest rating.
        figure: Whether the rating itself is the figure, or that of the answer under the method minus that of the base.
        keyed: Whether the scale is turned round where the low end of the trait is wanted.
        reasons: Whether the judge may give reasons before the rating.
        repeats: How often each item is judged.
        temperature: How much the judge varies.
        max_tokens: Longest answer of the judge.
        sorting: What decides whether an item is judged at all.
    """

    name: str
    metric: str
    prompt: str
    version: int = 1
    system: str = ""
    kind: Literal["rating", "ranking"] = "rating"
    low: int = 1
    high: int = 5
    figure: Literal["level", "difference"] = "level"
    keyed: bool = False
    reasons: bool = False
    repeats: int = 3
    temperature: float = 0.7
    max_tokens: int = 16
    sorting: Sorting | None = None

    @property
    def identity(self) -> str:
        """Name, version and the beginning of a hash of everything that the answers depend on."""
        content = asdict(self)
        content.pop("repeats")
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        return f"{self.name}-{self.version}+{digest[:8]}"

    @property
    def places(self) -> frozenset[str]:
        """What an item must hold to be judged."""
        prompts = [self.prompt, self.system, *([self.sorting.prompt] if self.sorting else [])]
        return frozenset(place for text in prompts for place in _places(text)) - {"low", "high"}

    def request(self, item: Mapping[str, str], draw: int) -> ChatRequest:
        """What a judge is asked of an item.

        Args:
            item: From places to what stands there.
            draw: Number of the repeat.
        """
        return self._chat(self.prompt, item, draw)

    def sorting_request(self, item: Mapping[str, str]) -> ChatRequest:
        """What a judge is asked first.

        Raises:
            ValueError: If nothing is.
        """
        if self.sorting is None:
            raise ValueError(f"protocol {self.name} sorts nothing")
        return self._chat(self.sorting.prompt, item, 0)

    def _chat(self, prompt: str, item: Mapping[str, str], draw: int) -> ChatRequest:
        # Numbers of the scale are written last, so that an item cannot change them.
        filled = {**item, "low": str(self.low), "high": str(self.high)}
        turns: list[Message] = [{"role": "system", "content": self.system.format_map(filled)}] if self.system else []
        turns.append({"role": "user", "content": prompt.format_map(filled)})
        # Refusals are read where ratings are, and kept: asking again and again would choose the answers that suit.
        return ChatRequest(turns, self.max_tokens, self.temperature, draw=draw, refusals=False)


def read_protocol(source: str | Path, repeats: int | None = None) -> Protocol:
    """Read a protocol.

    Args:
        source: Name of one that comes with this project, or a YAML file.
        repeats: How often each item is judged, if not as often as the file says.

    Raises:
        InputError: There is no such protocol, or the file is faulty; the key is named.
    """
    path = Path(source)
    if path.suffix not in (".yaml", ".yml"):
        path = _own() / f"{source}.yaml"
        if str(source) not in built_in():
            raise InputError(
                "is no protocol",
                field="--protocols",
                expected=f"{', '.join(built_in())} or a YAML file",
                got=str(source),
                fix="choose one of them",
            )
    protocol = _checked(read_yaml(path, field="--protocols"), path)
    if repeats is None:
        return protocol
    if repeats < 1:
        raise InputError("is too small", field="--repeats", expected="at least 1", got=repeats, fix="raise it")
    return replace(protocol, repeats=repeats)


def built_in() -> list[str]:
    """Names of the protocols that come with this project.

    Example:
        >>> "pae" in built_in()
        True
    """
    return sorted(path.stem for path in _own().glob("*.yaml"))


def _own() -> Path:
    return Path(str(files("judging") / "protocols"))


def _checked(content: Any, path: Path) -> Protocol:
    kinds: dict[str, type | tuple[type, ...]] = {
        **dict.fromkeys(("name", "metric", "prompt", "system", "kind", "figure"), str),
        **dict.fromkeys(("version", "low", "high", "repeats", "max_tokens"), int),
        **dict.fromkeys(("keyed", "reasons"), bool),
        "temperature": (int, float),
        "sorting": dict,
    }
    if not isinstance(content, dict):
        raise InputError("is no protocol", file=path, expected="keys and values", got=content)
    for key, value in content.items():
        if key not in kinds or not isinstance(value, kinds[key]):
            raise _fault(path, str(key), f"one of {', '.join(kinds)}" if key not in kinds else "another type", value)
    for key in ("name", "metric", "prompt"):
        if not content.get(key):
            raise _fault(path, key, "text", content.get(key))
    sorting = content.get("sorting")
    if sorting is not None:
        content = {**content, "sorting": _checked_sorting(sorting, path)}
    protocol = Protocol(**content)
    _check_values(protocol, path)
    return protocol


def _check_values(protocol: Protocol, path: Path) -> None:
    choices = {"kind": ("rating", "ranking"), "figure": ("level", "difference")}
    for key, allowed in choices.items():
        if getattr(protocol, key) not in allowed:
            raise _fault(path, key, " or ".join(allowed), getattr(protocol, key))
    if protocol.low >= protocol.high:
        raise _fault(path, "high", f"more than low, which is {protocol.low}", protocol.high)
    if protocol.repeats < 1 or protocol.max_tokens < 1 or protocol.temperature < 0:
        raise _fault(path, "repeats, max_tokens and temperature", "at least 1, 1 and 0", protocol.repeats)
    for key in ("prompt", "system"):
        _check_places(getattr(protocol, key), path, key)
    wanted = "answer" if protocol.kind == "rating" else "answers"
    if wanted not in protocol.places:
        raise _fault(path, "prompt", f"a place for {{{wanted}}}", protocol.prompt)


def _checked_sorting(entry: dict[str, Any], path: Path) -> Sorting:
    names = {one.name for one in fields(Sorting)}
    answers = entry.get("answers")
    if set(entry) != names or not isinstance(entry["prompt"], str) or not isinstance(answers, list):
        raise _fault(path, "sorting", "a prompt, a list of answers and the wanted one", entry)
    words = tuple(str(word).lower() for word in answers)
    if entry["wanted"] not in words:
        raise _fault(path, "sorting.wanted", f"one of {', '.join(words)}", entry["wanted"])
    _check_places(entry["prompt"], path, "sorting.prompt")
    return Sorting(entry["prompt"], words, entry["wanted"])


def _check_places(text: str, path: Path, key: str) -> None:
    try:
        unknown = sorted(_places(text) - PLACES.keys())
    except ValueError as error:
        raise _fault(path, key, "text in which braces are doubled, but for places", str(error)) from error
    if unknown:
        raise _fault(path, key, f"places among {', '.join(PLACES)}", unknown)


def _places(text: str) -> set[str]:
    # A place with an attribute, an index or a format is no name and so unknown: a template reaches nothing else.
    return {
        f"{name}{'!' + conversion if conversion else ''}{':' + form if form else ''}"
        for _, name, form, conversion in Formatter().parse(text)
        if name is not None
    }


def _fault(path: Path, key: str, expected: str, got: object) -> InputError:
    return InputError("is not as a protocol has it", file=path, field=key, expected=expected, got=got, fix="correct it")
