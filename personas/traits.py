"""The words personality is spoken of in here: traits, their letters, and the facets below them."""

BIG_FIVE: tuple[str, ...] = ("openness", "conscientiousness", "extraversion", "agreeableness", "neuroticism")
"""The five broad traits, in the order of the letters O C E A N."""

DARK_TRIAD: tuple[str, ...] = ("machiavellianism", "narcissism", "psychopathy")
"""The three traits that some questionnaires add to the Big Five."""

TRAITS: tuple[str, ...] = BIG_FIVE + DARK_TRIAD
"""All traits a persona can have a level of."""

TRAIT_OF_LETTER: dict[str, str] = {name[0].upper(): name for name in BIG_FIVE}
"""From the letter that questionnaires print to the trait: O, C, E, A or N."""

LETTER_OF_TRAIT: dict[str, str] = {name: letter for letter, name in TRAIT_OF_LETTER.items()}
"""From a Big Five trait to the letter that questionnaires print."""

FACETS: dict[str, tuple[str, ...]] = {
    "openness": ("imagination", "artistic interests", "emotionality", "adventurousness", "intellect", "liberalism"),
    "conscientiousness": (
        "self-efficacy",
        "orderliness",
        "dutifulness",
        "achievement-striving",
        "self-discipline",
        "cautiousness",
    ),
    "extraversion": (
        "friendliness",
        "gregariousness",
        "assertiveness",
        "activity level",
        "excitement-seeking",
        "cheerfulness",
    ),
    "agreeableness": ("trust", "morality", "altruism", "cooperation", "modesty", "sympathy"),
    "neuroticism": ("anxiety", "anger", "depression", "self-consciousness", "immoderation", "vulnerability"),
}
"""The six facets of each Big Five trait, named and ordered as in the IPIP-NEO: facet 1 of neuroticism is its key N1."""

FACET_KEYS: dict[str, str] = {
    f"{LETTER_OF_TRAIT[trait]}{number}": facet
    for trait, facets in FACETS.items()
    for number, facet in enumerate(facets, start=1)
}
"""From an IPIP-NEO key such as ``N1`` to the facet's name."""

TRAIT_OF_FACET: dict[str, str] = {facet: trait for trait, facets in FACETS.items() for facet in facets}
"""From a facet's name to the trait it belongs to."""


def trait_named(text: str) -> str:
    """Find the trait a word or letter stands for, whatever its case.

    Args:
        text: A trait's name or, for the Big Five, its letter.

    Returns:
        The name as in ``TRAITS``.

    Raises:
        ValueError: If no trait has this name.

    Example:
        >>> trait_named("Extraversion"), trait_named("N")
        ('extraversion', 'neuroticism')
    """
    word = text.strip()
    if word.lower() in TRAITS:
        return word.lower()
    if word.upper() in TRAIT_OF_LETTER:
        return TRAIT_OF_LETTER[word.upper()]
    raise ValueError(f"no trait is called {text!r}; expected one of {', '.join(TRAITS)} or a letter of OCEAN")
