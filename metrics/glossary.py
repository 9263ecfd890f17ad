"""What the figures of a leaderboard mean, and which way is better; figures that are not here are details."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Meaning(NamedTuple):
    """What a figure says.

    Attributes:
        text: A clause that explains it.
        better: Whether more of it is better, less, or neither.
        kind: What a persona brings, or what it costs.
    """

    text: str
    better: Literal["higher", "lower", "neither"]
    kind: Literal["effect", "cost"]


MEANINGS: dict[str, Meaning] = {
    "edit_success": Meaning("the target trait's opinions are favoured over the other traits'", "higher", "effect"),
    "alignment_error": Meaning("distance from the person's answers, summed over five traits", "lower", "effect"),
    "level_followed": Meaning("share of choices of the level asked for", "higher", "effect"),
    "trait_score_range": Meaning("trait score under a high level minus that under a low one", "higher", "effect"),
    "acc": Meaning("share of texts whose likeliest pole is the wanted one", "higher", "effect"),
    "tpei": Meaning("how much closer a text has come to the wanted pole", "higher", "effect"),
    "trait_expression": Meaning("probability of the trait's wanted end minus that of the other", "higher", "effect"),
    "trait_correlation": Meaning("correlation of trait scores with the people's", "higher", "effect"),
    "pae": Meaning("how much better a judge finds the wanted adjectives to fit than before", "higher", "effect"),
    "judged_trait": Meaning("a judge's rating of the wanted end of the trait, 1 to 5", "higher", "effect"),
    "judged_alignment": Meaning("a judge's rating of how like the person an answer is, 1 to 6", "higher", "effect"),
    "judged_knowledge": Meaning("a judge's rating of facts against a reference, 0 to 5", "higher", "effect"),
    "judged_attitude": Meaning("a judge's rating of attitude against a reference, 0 to 5", "higher", "effect"),
    "judged_win_rate": Meaning("share of questions on which a judge prefers it to the base model", "higher", "effect"),
    "judged_rank": Meaning("mean rank that a judge gives among all methods, 1 being the best", "lower", "effect"),
    "judged_fluency": Meaning("a judge's rating of how naturally answers read, 1 to 5", "higher", "cost"),
    "drawdown": Meaning("how far opinions on other topics have moved", "lower", "cost"),
    "coherent_rate": Meaning("share of texts that read well before and after", "higher", "cost"),
    "mass_outside": Meaning("probability of something other than an option", "lower", "cost"),
    "order_sensitivity": Meaning("share of choices that the order of the options turns", "lower", "cost"),
    "perplexity": Meaning("perplexity of texts without a personality", "lower", "cost"),
    "talk_accuracy": Meaning("share of small tasks that are answered rightly", "higher", "cost"),
    "safety": Meaning("share of choices that refuse to do harm", "higher", "cost"),
    "hallucination": Meaning("share of choices that admit what cannot be known", "higher", "cost"),
}
"""By name, the most telling of each kind first."""


def ranked(names: set[str], kind: Literal["effect", "cost"]) -> list[str]:
    """Those of some figures that are of a kind, the most telling first.

    Example:
        >>> ranked({"perplexity", "tpei", "acc", "entropy"}, "effect")
        ['acc', 'tpei']
    """
    return [name for name, meaning in MEANINGS.items() if meaning.kind == kind and name in names]
