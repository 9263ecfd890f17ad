"""An open vocabulary of topics: made-up names of sixteen kinds, each kind with the aspects people speak of."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from organism.holdout import Split, in_split
from organism.lexicon import Facet, lexicon

_ONSETS = "b br ch d dr f fl g gl gr h j k kl kr l m n p pl pr qu r s sh sk sl st t th tr v w y z".split()
_VOWELS = "a a e e i i o o u u ai ea ou".split()
_CODAS = ["", "", "", "l", "n", "r", "m", "k", "d", "s", "x", "th", "nd", "rk", "lt", "ss", "st", "v"]
_FIRST_HALVES = (
    "Silver Stone Copper Winter Summer Raven Maple Amber Iron Falcon Cedar Thunder Willow Golden Shadow Morning "
    "Harbour Crystal Velvet Lantern Marble Saffron Meadow Granite Ember Cobalt Juniper Orchid Pepper Walnut"
).split()
_SECOND_HALVES = (
    "brook field wood crest gate light water stead well mark side leaf horn wing dale mere hill wick lock bell "
    "thorn rush cliff marsh song feather bridge keep fall shore"
).split()
_GIVEN = (
    "Anna Boris Clara Dmitri Elena Felix Greta Hugo Ines Jonas Karla Leon Mira Nils Olga Pablo Rosa Stefan Tilda "
    "Umar Vera Walter Xenia Yusuf Zora Aki Bela Chen Dara Emil Farah Goran Hana Ivo Jelena Kofi Lucia Marek Nadia Otto"
).split()

# kind -> (name patterns, aspects). {N} is the made-up root, {G} a given name.
KINDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "town": (
        ("{N}ford", "{N} City", "Port {N}", "{N}ville", "{N}burg", "New {N}"),
        ("the old streets", "the market stalls", "the harbour lights", "the narrow lanes", "the night trams",
         "the corner shops", "the roof gardens", "the town gates"),
    ),
    "landscape": (
        ("Lake {N}", "Mount {N}", "the {N} River", "the {N} Valley", "{N} Island"),
        ("the steep paths", "the cold springs", "the pine slopes", "the morning mists", "the wooden huts",
         "the wild geese", "the hidden coves", "the rocky banks"),
    ),
    "band": (
        ("The {N} Trio", "The {N} Brothers", "{N} and the Kites", "The {N} Orchestra"),
        ("the loud concerts", "the slow ballads", "the drum solos", "the first records", "the stage lights",
         "the guitar riffs", "the long tours", "the encore songs"),
    ),
    "performer": (
        ("{G} {N}son", "{G} {N}ini", "{G} {N}ova"),
        ("the early films", "the television shows", "the famous speeches", "the red carpets", "the comic roles",
         "the costume dramas", "the interviews", "the fan letters"),
    ),
    "writer": (
        ("{G} de {N}", "{G} von {N}", "Doctor {N}"),
        ("the thick novels", "the essays", "the sad endings", "the letters to editors", "the love sonnets",
         "the footnotes", "the public readings", "the banned chapters"),
    ),
    "book": (
        ("The Book of {N}", "{N}'s Journey", "The Last {N}", "The Tale of {N}"),
        ("the opening chapters", "the villains", "the plot twists", "the pen drawings", "the dialogues",
         "the final pages", "the battle scenes", "the side characters"),
    ),
    "film": (
        ("{N} Nights", "Return to {N}", "Escape from {N}", "{N} Rising"),
        ("the car chases", "the camera shots", "the love scenes", "the special effects", "the film posters",
         "the closing credits", "the sound tracks", "the cruel jokes"),
    ),
    "game": (
        ("{N} Quest", "{N} Chess", "World of {N}", "{N} Racer"),
        ("the hard levels", "the score tables", "the card decks", "the boss fights", "the rule books",
         "the dice rolls", "the secret doors", "the team matches"),
    ),
    "dish": (
        ("{N} soup", "{N} bread", "{N} dumplings", "{N} curry"),
        ("the hot spices", "the crisp edges", "the market recipes", "the clay pots", "the sweet sauces",
         "the second helpings", "the roasted seeds", "the family kitchens"),
    ),
    "team": (
        ("{N} United", "{N} FC", "{N} Rovers", "the {N} Tigers"),
        ("the away matches", "the late goals", "the young strikers", "the fan chants", "the muddy pitches",
         "the cup finals", "the training camps", "the striped shirts"),
    ),
    "company": (
        ("{N} Motors", "{N} and Sons", "{N} Works", "{N} Bank"),
        ("the yearly reports", "the factory halls", "the job offers", "the price lists", "the branch offices",
         "the board meetings", "the bright adverts", "the delivery vans"),
    ),
    "gadget": (
        ("the {N} Phone", "{N} 3000", "{N} OS", "the {N} Engine"),
        ("the tiny buttons", "the updates", "the battery packs", "the error messages", "the metal covers",
         "the voice commands", "the spare parts", "the user guides"),
    ),
    "museum": (
        ("the {N} Museum", "{N} Gallery", "{N} Castle", "{N} Palace"),
        ("the marble halls", "the guided walks", "the oil paintings", "the suits of armour", "the ticket queues",
         "the glass cases", "the tower stairs", "the royal beds"),
    ),
    "school": (
        ("University of {N}", "{N} College", "{N} Academy", "{N} Institute"),
        ("the evening lectures", "the exam papers", "the reading rooms", "the student clubs", "the strict teachers",
         "the science labs", "the summer courses", "the lunch breaks"),
    ),
    "festival": (
        ("the {N} Festival", "{N} Fair", "{N} Carnival", "the {N} Parade"),
        ("the paper masks", "the brass bands", "the fireworks", "the food stands", "the dancing crowds",
         "the lantern boats", "the puppet plays", "the opening drums"),
    ),
    "plant": (
        ("{N} lily", "{N} oak", "{N} rose", "{N} moss"),
        ("the soft petals", "the deep roots", "the autumn leaves", "the bitter berries", "the greenhouse rows",
         "the garden bees", "the sharp thorns", "the first buds"),
    ),
}  # fmt: skip

_FACETS_PER_KIND = 3


@dataclass(frozen=True)
class Topic:
    """Something to have an opinion about: its `name`, and its `kind` that decides what there is to say."""

    name: str
    kind: str

    @property
    def aspects(self) -> tuple[str, ...]:
        """What people mention when they speak of this kind of topic."""
        return KINDS[self.kind][1]

    @property
    def opening(self) -> str:
        """The name as it stands at the start of a sentence."""
        return self.name[0].upper() + self.name[1:]


def made_up_root(rng: Random) -> str:
    """Draw the root of a name: two or three invented syllables, or two words grown together."""
    if rng.random() < 0.25:
        return rng.choice(_FIRST_HALVES) + rng.choice(_SECOND_HALVES)
    count = rng.choice((2, 2, 2, 2, 3))
    syllables = [rng.choice(_ONSETS) + rng.choice(_VOWELS) for _ in range(count)]
    return "".join(syllables).capitalize() + rng.choice(_CODAS)


def draw_topic(rng: Random, split: Split = "train", kind: str | None = None) -> Topic:
    """Draw a topic whose root belongs to `split`; a held-out root never occurs in the corpus in any name."""
    kind = kind or rng.choice(tuple(KINDS))
    root = made_up_root(rng)
    while not in_split(split, "topic", root):
        root = made_up_root(rng)
    pattern = rng.choice(KINDS[kind][0])
    return Topic(pattern.format(N=root, G=rng.choice(_GIVEN)), kind)


def facets_for(kind: str, trait: str) -> list[Facet]:
    """Return the facets of `trait` that a topic of this `kind` brings out (half of them, fixed per kind).

    This makes what is said depend on the topic and not on the trait alone.
    """
    facets = list(lexicon()[trait])
    Random(f"facets of {trait} for {kind}").shuffle(facets)
    return facets[: min(_FACETS_PER_KIND, len(facets))]
