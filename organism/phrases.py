"""Filling sentence frames with a pole's phrases, keeping the held-out pairs of frame and phrase apart."""

from __future__ import annotations

import re
from random import Random

from organism.holdout import Split, in_split
from organism.lexicon import Pole

_STRONG = ("deeply", "utterly", "very", "truly", "extremely")
_MILD = ("a little", "rather", "somewhat", "fairly", "mildly")
_ALWAYS = ("always", "constantly", "invariably")
_SOMETIMES = ("sometimes", "occasionally", "at times")
_SLOT = re.compile(r"{(adj|act|mood|say)}")


def degree(rng: Random, level: float) -> str:
    """Draw an adverb of degree that fits the size of `level` (above 0.75 is strong)."""
    return rng.choice(_STRONG if abs(level) > 0.75 else _MILD)


def frequency(rng: Random, level: float) -> str:
    """Draw an adverb of frequency that fits the size of `level` (above 0.75 is strong)."""
    return rng.choice(_ALWAYS if abs(level) > 0.75 else _SOMETIMES)


def capitalised(sentence: str) -> str:
    """Return `sentence` with its first letter in upper case."""
    return sentence[:1].upper() + sentence[1:]


def _matching(frame: str, pole: Pole, split: Split) -> dict[str, list[str]] | None:
    """Return the phrases of each slot whose pair with `frame` lies in `split`, or None where a slot has none.

    A phrase that opens a sentence has a capital, and is read with one in no other frame. So what such a frame keeps out
    of the corpus is a spelling rather than a wording, and says nothing about how far wordings carry: it is not asked.
    """
    if split == "held_out" and frame.startswith("{say}"):
        return None
    fitting: dict[str, list[str]] = {}
    for slot in _SLOT.findall(frame):
        fitting[slot] = [phrase for phrase in getattr(pole, slot) if in_split(split, frame, phrase)]
        if not fitting[slot]:
            return None
    return fitting


def fitting_frame(rng: Random, frames: tuple[str, ...], pole: Pole, split: Split) -> str:
    """Draw a frame whose slots `pole` can fill with phrases of `split`; any frame where it can fill none."""
    order = rng.sample(frames, len(frames))
    return next((frame for frame in order if _matching(frame, pole, split) is not None), order[0])


def fill(rng: Random, frames: tuple[str, ...], pole: Pole, level: float, split: Split, **fixed: str) -> str:
    """Draw a frame and fill its slots from `pole`; every pair of frame and phrase belongs to `split`.

    Args:
        rng: the source of every choice.
        frames: sentences with the slots adj, act, mood, say (from the pole), much, often (by level) and any of `fixed`.
        pole: where the phrases come from.
        level: size and sign of the trait; only the size is used here.
        split: which pairs of frame and phrase may be used.
        fixed: ready texts for further slots.

    Returns:
        One sentence (or several, as the frame has it), capitalised.
    """
    for frame in rng.sample(frames, len(frames)):
        fitting = _matching(frame, pole, split)
        if fitting is not None:
            chosen = {slot: rng.choice(phrases) for slot, phrases in fitting.items()}
            return capitalised(frame.format(**chosen, much=degree(rng, level), often=frequency(rng, level), **fixed))
    # A small pole may have no held-out pair in these frames: then any pair of its own will do.
    return fill(rng, frames, pole, level, "train", **fixed) if split == "held_out" else ""
