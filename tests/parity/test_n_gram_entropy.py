"""N-gram entropy against the recorded values of the release (golden case `n_gram_entropy`)."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from metrics.coherence import COHERENT_FROM, Tokenizer, coherence, mean_entropy, n_gram_entropy, wordpunct
from tests.parity.golden import Instance, assert_matches, load_case

TOKENIZERS: dict[str, Tokenizer] = {"wordpunct": wordpunct, "whitespace": lambda text: text.split()}


def test_every_text_with_every_recorded_tokenization(golden_dir: Path, subtests: pytest.Subtests) -> None:
    case = load_case(golden_dir, "n_gram_entropy")
    for instance in case.instances:
        if "text" not in instance:
            continue
        for name, expected in instance["expected"].items():
            with subtests.test(instance.name, tokenizer=name):
                tokens = expected["tokens"]
                bigram, trigram, value = n_gram_entropy(instance["text"], _recorded(tokens))
                got = {"bigram_entropy": bigram, "trigram_entropy": trigram, "value": value}
                got["coherent"] = value >= COHERENT_FROM
                assert_matches(got | {"tokens": tokens}, expected, case.tolerance)


def test_our_tokenizers_cut_as_recorded(golden_dir: Path, subtests: pytest.Subtests) -> None:
    case = load_case(golden_dir, "n_gram_entropy")
    for instance in case.instances:
        if "text" not in instance:
            continue
        for name in TOKENIZERS.keys() & instance["expected"].keys():
            with subtests.test(instance.name, tokenizer=name):
                expected, text = instance["expected"][name], instance["text"]
                assert TOKENIZERS[name](text) == expected["tokens"]
                assert bool(coherence([text], [text], tokenizer=TOKENIZERS[name])[0, 0]) == expected["coherent"]


def test_means_over_texts(golden_dir: Path, subtests: pytest.Subtests) -> None:
    case = load_case(golden_dir, "n_gram_entropy")
    for instance in case.instances:
        if "texts" not in instance:
            continue
        for name, expected in instance["expected"].items():
            with subtests.test(instance.name, tokenizer=name):
                entropy = {
                    other: _entropy_of(case.instance(other), name)
                    for other in instance["texts"] + instance["texts_nonzero"]
                }
                nonzero = [entropy[other] for other in instance["texts_nonzero"]]
                got = {
                    "arith": mean_entropy([entropy[other] for other in instance["texts"]]),
                    "arith_nonzero": mean_entropy(nonzero),
                    "geom_nonzero": mean_entropy(nonzero, "geometric"),
                }
                assert_matches(got, expected, case.tolerance)


def _entropy_of(instance: Instance, tokenizer: str) -> float:
    return n_gram_entropy(instance["text"], _recorded(instance["expected"][tokenizer]["tokens"])).value


def _recorded(tokens: Sequence[str]) -> Tokenizer:
    return lambda _text: tokens
