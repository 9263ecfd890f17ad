"""Finding the passages and questions that are nearest to a text, by the cosine of their embeddings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from annotation.records import Passage
from files.errors import InputError

TFIDF = "tfidf"
_ROWS = 256
_WORD = r"(?u)\b\w+\b"
# About what fits beside an instruction into a prompt: 1300 words of knowledge and 350 of style.
KNOWLEDGE_WORDS, STYLE_WORDS = 1300, 350


class Embedder(Protocol):
    """Turns texts into unit vectors."""

    name: str

    def fit(self, texts: Sequence[str]) -> None:
        """Look at the texts that will be searched."""

    def embed(self, texts: Sequence[str]) -> Any:
        """Vectors of length 1 (N, D), dense or sparse; a text without a known word has the zero vector."""


class TfidfEmbedder:
    """Words and pairs of words, weighted by how rare they are; needs no model and no network."""

    name = TFIDF

    def fit(self, texts: Sequence[str]) -> None:
        """Count the words."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        self._vectors = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=_WORD)
        # A text of punctuation alone has no word; this one keeps the vocabulary from being empty.
        self._vectors.fit([*texts, "text"])

    def embed(self, texts: Sequence[str]) -> Any:
        """Sparse vectors (N, D)."""
        return self._vectors.transform(texts)


class SentenceEmbedder:
    """A sentence-transformers model by name or folder (extra `retrieval`).

    Args:
        name: The model.

    Raises:
        InputError: The package is not installed, or there is no such model.
    """

    def __init__(self, name: str) -> None:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise InputError(
                "needs a package that is not installed",
                field="--embeddings",
                expected=f"{TFIDF}, or a sentence-transformers model with the package",
                got=name,
                fix='pip install "oceantune[retrieval]"',
            ) from error
        try:
            self._model = SentenceTransformer(name)
        except (OSError, ValueError) as error:
            raise InputError(
                "cannot be loaded", field="--embeddings", expected="a sentence-transformers model", got=name
            ) from error
        self.name = name

    def fit(self, texts: Sequence[str]) -> None:
        """Nothing to look at: the model is trained."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Dense vectors (N, D)."""
        return np.asarray(self._model.encode(list(texts), normalize_embeddings=True), dtype=np.float32)


def embedder(name: str) -> Embedder:
    """The embedder of a name: `tfidf`, or a sentence-transformers model.

    Raises:
        InputError: It cannot be had.
    """
    return TfidfEmbedder() if name == TFIDF else SentenceEmbedder(name)


def similarities(queries: Any, texts: Any) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Cosines of vectors, in blocks so that a long list of queries needs little memory.

    Args:
        queries: Unit vectors (Q, D).
        texts: Unit vectors (N, D).

    Yields:
        The number of the first query of a block, and the block (at most 256, N).
    """
    for start in range(0, queries.shape[0], _ROWS):
        block = queries[start : start + _ROWS] @ texts.T
        yield start, np.asarray(block.todense() if hasattr(block, "todense") else block, dtype=np.float32)


class PassageIndex:
    """The passages of one character at one stage, to be searched.

    Args:
        passages: Knowledge and style, in the order of the files.
        embed: How similarity is measured; fitted to these passages here.
        knowledge_words: Knowledge is added until it has this many words.
        style_words: The same for style.
    """

    def __init__(
        self,
        passages: Sequence[Passage],
        embed: Embedder,
        knowledge_words: int = KNOWLEDGE_WORDS,
        style_words: int = STYLE_WORDS,
    ) -> None:
        self._embed = embed
        self._words = {"knowledge": knowledge_words, "style": style_words}
        embed.fit([passage.text for passage in passages])
        self._parts = {source: [passage for passage in passages if passage.source == source] for source in self._words}
        self._vectors = {
            source: embed.embed([passage.text for passage in part]) if part else None
            for source, part in self._parts.items()
        }

    def retrieve(self, question: str, source: str, first: Passage | None = None) -> list[Passage]:
        """The passages nearest to a question, nearest first, until there are enough words.

        Args:
            question: What is asked.
            source: knowledge or style.
            first: A passage that comes before all others, such as the one the question was made from.
        """
        part, vectors = self._parts[source], self._vectors[source]
        if vectors is None:
            return []
        [(_, scores)] = similarities(self._embed.embed([question]), vectors)
        chosen = [first] if first is not None and first.source == source else []
        words = sum(len(passage.text.split()) for passage in chosen)
        for place in np.argsort(-scores[0], kind="stable"):
            if words >= self._words[source]:
                break
            if part[place] not in chosen:
                chosen.append(part[place])
                words += len(part[place].text.split())
        return chosen
