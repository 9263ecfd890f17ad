"""What a classifier reads off answers, as bars on a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from lm.classifier import TraitClassifier
from personas.traits import TRAITS


def trait_profiles(classifier: TraitClassifier, texts: Sequence[str]) -> list[dict[str, float]]:
    """For each text the probability of every trait's high end minus that of its low end, from -1 to 1.

    Args:
        classifier: What reads them.
        texts: N texts.
    """
    probabilities = classifier.probabilities(texts).tolist()
    ends = {
        trait: (classifier.poles.index(f"{trait}+"), classifier.poles.index(f"{trait}-"))
        for trait in TRAITS
        if {f"{trait}+", f"{trait}-"} <= set(classifier.poles)
    }
    return [{trait: row[high] - row[low] for trait, (high, low) in ends.items()} for row in probabilities]


def bars(profile: Mapping[str, float]) -> str:
    """A profile as HTML: a bar to the right for the high end of a trait, to the left for the low one.

    >>> "width: 25.0%" in bars({"openness": -0.5})
    True
    """
    return f'<div class="traits">{"".join(_bar(name, value) for name, value in profile.items())}</div>'


def _bar(name: str, value: float) -> str:
    half = min(50.0, abs(value) * 50)
    start, kind = (50.0, "high") if value >= 0 else (50.0 - half, "low")
    track = f'<i class="{kind}" style="left: {start:.1f}%; width: {half:.1f}%"></i><b></b>'
    # What rounds to nothing has no sign.
    number = f"{value:+.2f}" if abs(value) >= 0.005 else "0.00"
    said = f"{escape(name)}: {number}"
    return (
        f'<div class="bar" role="img" aria-label="{said}" data-trait="{escape(name)}"><span>{escape(name)}</span>'
        f'<span class="track">{track}</span><span class="number">{number}</span></div>'
    )
