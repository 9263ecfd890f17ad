"""N-gram entropy of a text, and the share of texts that stay coherent: repetition and silence have a low entropy."""

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from metrics.records import RecordMeans

Tokenizer = Callable[[str], Sequence[str]]
COHERENT_FROM = 3.5
_WORDS_AND_PUNCTUATION = re.compile(r"\w+|[^\w\s]+")


class TextEntropy(NamedTuple):
    """Entropy in bits of the word pairs and word triples of a text, and their weighted mean."""

    bigram: float
    trigram: float
    value: float


def wordpunct(text: str) -> list[str]:
    """Cut a text into runs of letters and digits, and runs of punctuation.

    Example:
        >>> wordpunct("it's late, isn't it?!")
        ['it', "'", 's', 'late', ',', 'isn', "'", 't', 'it', '?!']
    """
    return _WORDS_AND_PUNCTUATION.findall(text)


def n_gram_entropy(text: str, tokenizer: Tokenizer = wordpunct) -> TextEntropy:
    """Entropy of a text's bigrams and trigrams, weighted 2/3 and 4/3 and halved; 0 for a text too short to have one.

    Args:
        text: Any text.
        tokenizer: Cuts the text into tokens.

    Returns:
        Both entropies and their weighted mean, in bits.

    Deviation:
        The release cuts with nltk's `word_tokenize`, which downloads a model of sentence ends. The default here needs
        no download.

    Example:
        >>> n_gram_entropy("yes yes yes").value, round(n_gram_entropy("one two three four").value, 3)
        (0.0, 1.195)
    """
    tokens = list(tokenizer(text))
    bigram, trigram = (_entropy(Counter(zip(*(tokens[start:] for start in range(n)), strict=False))) for n in (2, 3))
    return TextEntropy(bigram, trigram, (2 / 3 * bigram + 4 / 3 * trigram) / 2)


def mean_entropy(values: Sequence[float], kind: Literal["arithmetic", "geometric"] = "arithmetic") -> float:
    """Mean of several texts' entropies; the geometric one is 0 as soon as one of them is. nan without any text.

    Raises:
        ValueError: If there is no such mean.

    Example:
        >>> mean_entropy([1.0, 4.0]), mean_entropy([1.0, 4.0], "geometric")
        (2.5, 2.0)
    """
    if kind not in ("arithmetic", "geometric"):
        raise ValueError(f"`kind` expected 'arithmetic' or 'geometric' but got {kind!r}")
    if not values:
        return math.nan
    if kind == "arithmetic":
        return math.fsum(values) / len(values)
    return 0.0 if min(values) <= 0 else math.exp(math.fsum(map(math.log, values)) / len(values))


def coherence(
    before: Sequence[str], after: Sequence[str], threshold: float = COHERENT_FROM, tokenizer: Tokenizer = wordpunct
) -> Tensor:
    """Entropy before and after of each record, and whether it is coherent: both texts reach the threshold.

    Args:
        before: E texts of the base model.
        after: E texts of the edited model, for the same questions.
        threshold: Least entropy of a coherent text, in bits.
        tokenizer: Cuts a text into tokens.

    Returns:
        (E, 3) coherent (1 or 0), entropy before, entropy after.

    Raises:
        ValueError: If there are not as many texts after as before.

    Example:
        >>> long = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
        >>> coherence([long, long], [long, "yes yes yes yes"])
        tensor([[1.0000, 3.6235, 3.6235],
                [0.0000, 3.6235, 0.0000]])
    """
    if len(before) != len(after):
        raise ValueError(f"`after` expected {len(before)} texts, as many as `before`, but got {len(after)}")
    pairs = [(n_gram_entropy(old, tokenizer).value, n_gram_entropy(new, tokenizer).value)
             for old, new in zip(before, after, strict=True)]  # fmt: skip
    # compared as Python floats: float32 could lift a text over the threshold
    rows = [(float(old >= threshold and new >= threshold), old, new) for old, new in pairs]
    return torch.tensor(rows, dtype=torch.float32).reshape(len(rows), 3)


class Coherence(RecordMeans):
    """Share of records whose text is coherent before and after an edit; higher is better.

    `compute` gives `coherent_rate`, `entropy_before`, `entropy_after`, `records` and `empty_records` (always 0: an
    empty text is a text that is not coherent). For the base model alone give its texts twice.

    Args:
        threshold: Least entropy of a coherent text, in bits.
        tokenizer: Cuts a text into tokens; a function of a module, so that the metric can be pickled.
        keep_records: Keep the values per record, for intervals.
        kwargs: Options of every torchmetrics metric.

    Raises:
        ValueError: If the threshold is negative.

    Example:
        >>> metric = Coherence()
        >>> metric.update(["yes yes yes"], ["no no no"])
        >>> metric.compute()["coherent_rate"]
        tensor(0.)
    """

    higher_is_better = True

    def __init__(
        self,
        threshold: float = COHERENT_FROM,
        tokenizer: Tokenizer = wordpunct,
        keep_records: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(("coherent_rate", "entropy_before", "entropy_after"), keep_records, **kwargs)
        if threshold < 0:
            raise ValueError(f"`threshold` expected a number of bits from 0 up but got {threshold}")
        self.threshold = threshold
        self.tokenizer = tokenizer

    def update(self, before: Sequence[str], after: Sequence[str]) -> None:
        """Add records by their texts before and after, one of each per record."""
        values = coherence(before, after, self.threshold, self.tokenizer)
        known = torch.ones_like(values, dtype=torch.bool)
        self._add(values, known, torch.zeros(len(values), dtype=torch.bool))


def _entropy(counts: Counter[tuple[str, ...]]) -> float:
    total = counts.total()
    return math.fsum(count / total * math.log2(total / count) for count in counts.values())
