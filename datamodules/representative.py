"""Choose few people that stand for many: those nearest to the centres of k-means clusters of all answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from files.errors import InputError
from personas.questionnaire import Participant

if TYPE_CHECKING:
    import numpy as np

CHUNK = 4096
EXACT_UP_TO = 20_000
"""Tables up to this size are clustered as a whole, as the publication did; larger ones chunk by chunk."""


def select_representative(
    people: Callable[[], Iterable[Participant]], k: int, *, seed: int = 42, exact_up_to: int = EXACT_UP_TO
) -> list[Participant]:
    """Choose the person nearest to each of k cluster centres; nobody twice.

    Answers are standardised item by item, a missing answer counting as 0. The table is read several times and never
    held as a whole, unless it is small enough to be clustered exactly.

    Args:
        people: Reads the table from its beginning.
        k: How many people to choose.
        seed: Seed of the clustering.
        exact_up_to: Most people that are clustered as a whole.

    Returns:
        The chosen people in the order of the table.

    Raises:
        InputError: If the table has fewer people.

    Reference:
        Zhu et al., Personality Alignment of Large Language Models, 2024 (selection of the test set).

    Deviation:
        Tables larger than `exact_up_to` are clustered by mini-batches, which need no more memory than one of them.
    """
    from sklearn.preprocessing import StandardScaler  # seconds of imports that only a clustering needs

    scaler, count = StandardScaler(), 0
    for chunk in _chunks(people()):
        scaler.partial_fit(_matrix(chunk))
        count += len(chunk)
    if not 1 <= k <= count:
        raise InputError(
            "cannot choose so many people",
            field="--data.init_args.people",
            expected=f"1 to {count}, the people of the table",
            got=k,
            fix="ask for fewer",
        )
    centres = _centres(people, scaler, k, seed, exact=count <= exact_up_to)
    chosen = _nearest(people, scaler, centres)
    return [person for person in people() if person.position in chosen]


def _centres(
    people: Callable[[], Iterable[Participant]], scaler: Any, k: int, seed: int, exact: bool
) -> np.ndarray[Any, Any]:
    import numpy as np
    from sklearn.cluster import KMeans, MiniBatchKMeans

    if exact:
        points = np.concatenate([scaler.transform(_matrix(chunk)) for chunk in _chunks(people())])
        return KMeans(n_clusters=k, random_state=seed).fit(points).cluster_centers_
    clusters = MiniBatchKMeans(n_clusters=k, random_state=seed)
    for chunk in _chunks(people(), max(CHUNK, 2 * k)):
        if len(chunk) >= k:
            clusters.partial_fit(scaler.transform(_matrix(chunk)))
    return clusters.cluster_centers_


def _nearest(people: Callable[[], Iterable[Participant]], scaler: Any, centres: np.ndarray[Any, Any]) -> set[int]:
    """Positions of the people chosen: centre by centre the nearest one that is not taken yet."""
    import numpy as np

    k = len(centres)
    # A centre may lose its k - 1 nearest people to others, so k of them are kept for each.
    distances, positions = np.full((k, 0), np.inf), np.zeros((k, 0), dtype=np.int64)
    for chunk in _chunks(people()):
        points = scaler.transform(_matrix(chunk))
        between = np.stack([np.linalg.norm(points - centre, axis=-1) for centre in centres])
        distances = np.concatenate([distances, between], axis=1)
        here = np.array([person.position for person in chunk])
        positions = np.concatenate([positions, np.broadcast_to(here, between.shape)], axis=1)
        order = np.argsort(distances, axis=1, kind="stable")[:, :k]
        distances, positions = np.take_along_axis(distances, order, 1), np.take_along_axis(positions, order, 1)
    chosen: set[int] = set()
    for candidates in positions.tolist():
        chosen.add(next(position for position in candidates if position not in chosen))
    return chosen


def _chunks(people: Iterable[Participant], size: int = CHUNK) -> Iterator[list[Participant]]:
    rest = iter(people)
    while chunk := list(islice(rest, size)):
        yield chunk


def _matrix(people: list[Participant]) -> np.ndarray[Any, Any]:
    """Answers as numbers (people, items)."""
    import numpy as np

    return np.array([list(person.answers) for person in people], dtype=np.float64)
