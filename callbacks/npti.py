"""NPTI: the neurons that fire for a trait are pushed while the model answers, those of its opposite are held."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from callbacks.steering import RowIntervention, SteeringCallback
from files.errors import InputError
from files.provenance import data_hash
from files.readers import require
from files.records import read_records
from interventions.calls import Phase, Positions
from interventions.firing import percentile_edges
from interventions.limited import Limited
from interventions.neuron_files import read_neurons, write_neurons
from interventions.neuron_search import SearchOptions, answering_activity
from interventions.neuron_selection import NeuronSet, drawn_to_keep, push_amounts, select_poles
from interventions.neurons import InduceNeurons
from interventions.places import Places, places_of
from lm.chat import Chat
from personas.descriptions import Pole, key_of, read_persona_descriptions
from personas.persona import Persona
from personas.traits import BIG_FIVE, TRAIT_OF_FACET
from personas.wording import described_by

Tokens = Literal["generated", "answers", "prompt_end"]
_LIMITS: dict[Tokens, tuple[Phase, Positions]] = {
    "generated": ("generated", "all"),
    "answers": ("all", "last"),
    "prompt_end": ("prompt", "last"),
}


class NPTI(SteeringCallback):
    """Pushes the neurons of the traits that a persona has, and holds those of their opposites at or below zero.

    The neurons are read from published files, or searched for: the model answers questions as someone at each end of
    a trait, and the neurons that fire more often at one end are that end's. A persona may have levels of several traits
    at once; each pushes in proportion to its size. Facets count as their trait.

    Args:
        neurons: Folder with `<Trait>_dict.json` and `<Trait>_reversed_dict.json`; left out, neurons are searched for.
        questions: Folder with `<Trait>.json`, one object with a `question` per line, to search with.
        descriptions: Descriptions of people at the ends of traits, in JSON Lines, to search with.
        traits: The traits to search for.
        limit: Search with this many questions of each trait.
        search: How the model answers in the search.
        minimum: Neurons that each end of a trait has at least.
        threshold: Difference of firing rates from which on all neurons are taken.
        percentile: The percentile of its activation that a neuron is pushed by, as a share.
        strength: Multiplies what is added.
        dropped: Share of neurons that are not pushed, drawn once by the seed; the release drops 0.1 without a seed.
        pull: Times what its own end would add, by which the opposite's neurons are moved down besides being held.
        layers: Decoder blocks whose neurons take part; all of them if left out.
        tokens: Steer while generated tokens are read, as published; from the prompt's last token on (`answers`), which
            chooses the first token of an answer, such as an option's letter; or there alone (`prompt_end`).
        seed: Seed of what is drawn.

    Reference:
        Deng et al., Neuron-based Personality Trait Induction in Large Language Models, 2024.

    Deviation:
        `pull`, `layers`, `tokens` and what the search watches are ours; left out, all is as published, which changes
        nothing in a multiple choice: that is decided before the first token is generated.
    """

    method = "npti"

    def __init__(
        self,
        neurons: str | None = None,
        questions: str | None = None,
        descriptions: str | None = None,
        traits: Sequence[str] = BIG_FIVE,
        limit: int | None = None,
        search: SearchOptions | None = None,
        minimum: int = 2000,
        threshold: float = 0.1,
        percentile: float = 0.95,
        strength: float = 1.0,
        dropped: float = 0.0,
        pull: float = 0.0,
        layers: Sequence[int] | None = None,
        tokens: Tokens = "generated",
        seed: int = 0,
    ) -> None:
        self.neurons = neurons
        self.questions = questions
        self.descriptions = descriptions
        self.traits = list(traits)
        self.limit = limit
        self.search = search or SearchOptions()
        self.minimum = minimum
        self.threshold = threshold
        self.percentile = percentile
        self.strength = strength
        self.dropped = dropped
        self.pull = pull
        self.layers = None if layers is None else sorted(set(layers))
        self.tokens: Tokens = tokens
        self.seed = seed
        self.found: dict[Pole, NeuronSet] = {}

    def settings(self) -> dict[str, Any]:
        """Its options, and what the files hold."""
        names = ("traits", "limit", "minimum", "threshold", "percentile", "strength", "dropped", "pull", "layers")
        return {
            **{name: getattr(self, name) for name in (*names, "tokens", "seed")},
            "search": asdict(self.search),
            "files": [data_hash(path) for path in self._files()],
        }

    def fit(self) -> None:
        """Read the neurons, or search for them.

        Raises:
            InputError: An option means nothing, or a file is missing or faulty.
        """
        self.places: Places = places_of(self.evaluation.lm)
        self._check_options()
        self.found = self._read() if self.neurons is not None else self._search()
        self._poles = list(self.found)
        self._amounts, self._members = self._tables()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take part in the evaluation; neurons that were searched for are written to the run's folder."""
        super().on_test_start(trainer, pl_module)
        if self.neurons is None and trainer.is_global_zero:
            for pole, neurons in self.found.items():
                write_neurons(Path(trainer.default_root_dir) / self.method / f"{key_of(pole)}_dict.json", neurons)

    def refusal(self, persona: Persona) -> str | None:
        """Levels of traits whose neurons are known."""
        known = {trait for trait, _ in self.found}
        if persona.levels and {TRAIT_OF_FACET.get(name, name) for name in persona.levels} <= known:
            return None
        return f"levels of {', '.join(sorted(known))}"

    def intervene(self, batch: Any) -> RowIntervention:
        """The neurons of each record's persona."""
        personas = batch.questions.personas
        kinds = list(dict.fromkeys(personas))
        induced = self.induced([persona.trait_levels() for persona in kinds])
        return self.limited(induced.rows([kinds.index(persona) for persona in personas]))

    def limited(self, rows: InduceNeurons) -> Limited:
        """The same at the tokens that are steered alone."""
        phase, positions = _LIMITS[self.tokens]
        return Limited(rows, phase=phase, positions=positions)

    def induced(self, levels: Sequence[Mapping[str, float]]) -> InduceNeurons:
        """What is done to the neurons of personas, one row each, at the strength of the method.

        Args:
            levels: Of traits whose neurons are known.
        """
        return self.inducing(*self.moves(levels))

    def inducing(self, amounts: Tensor, ceilings: Tensor) -> InduceNeurons:
        """The intervention by what is added to each neuron, and what it is held at, each (R, L, W)."""
        return InduceNeurons(
            self.places,
            {layer: amounts[:, layer] for layer in self.places.layers},
            {layer: ceilings[:, layer] for layer in self.places.layers},
        ).scaled(self.strength)

    def moves(self, levels: Sequence[Mapping[str, float]]) -> tuple[Tensor, Tensor]:
        """What is added to each neuron of personas, and what it is held at: inf where it is not; each (R, L, W)."""
        pushed = torch.zeros(len(levels), len(self._poles))
        held = torch.zeros(len(levels), len(self._poles))
        for row, of_persona in enumerate(levels):
            for trait, level in of_persona.items():
                if level:
                    sign = 1 if level > 0 else -1
                    pushed[row, self._poles.index((trait, sign))] = abs(level)
                    opposite = self._poles.index((trait, -sign))
                    pushed[row, opposite] = -self.pull * abs(level)
                    held[row, opposite] = 1.0
        amounts = torch.einsum("rp,plw->rlw", pushed, self._amounts)
        ceilings = torch.where(torch.einsum("rp,plw->rlw", held, self._members) > 0, 0.0, torch.inf)
        return amounts, ceilings

    def _tables(self) -> tuple[Tensor, Tensor]:
        """What is added to every neuron for each end of a trait, and whether it belongs to it; each (P, L, W)."""
        sites = self.places.sites
        amounts, members = [], []
        taking_part = torch.tensor([float(self.layers is None or k in self.layers) for k in self.places.layers])
        for pole, neurons in self.found.items():
            generator = torch.Generator().manual_seed(_seed(self.seed, pole))
            kept = drawn_to_keep(len(neurons), self.dropped, generator) if self.dropped else None
            amounts.append(neurons.dense(push_amounts(neurons, kept), sites.num_layers, sites.mlp_width))
            members.append(neurons.dense(torch.ones(len(neurons)), sites.num_layers, sites.mlp_width))
        return torch.stack(amounts) * taking_part[:, None], torch.stack(members) * taking_part[:, None]

    def _read(self) -> dict[Pole, NeuronSet]:
        """Neurons of the traits that the folder has both files of."""
        found: dict[Pole, NeuronSet] = {}
        sites = self.places.sites
        for trait in self.traits:
            paths = {(trait, sign): self._neuron_file((trait, sign)) for sign in (1, -1)}
            if all(path.is_file() for path in paths.values()):
                for pole, path in paths.items():
                    found[pole] = read_neurons(path, sites.num_layers, sites.mlp_width)
        if not found:
            raise InputError(
                "holds no neurons of both ends of a trait",
                file=self.neurons,
                field="neurons",
                expected=" and ".join(self._neuron_file((self.traits[0], sign)).name for sign in (1, -1)),
                fix="check the path, or leave it out to search for neurons",
            )
        return found

    def _search(self) -> dict[Pole, NeuronSet]:
        """Let the model answer as someone at both ends of each trait, and compare."""
        told = read_persona_descriptions(str(self.descriptions))
        edges = percentile_edges()
        found: dict[Pole, NeuronSet] = {}
        for trait in self.traits:
            asked = self._read_questions(trait)
            sides = [
                answering_activity(
                    self.evaluation.lm,
                    self.evaluation.tokenizer,
                    self.places,
                    self._asked_as(pole, told, asked),
                    edges,
                    self.search,
                )
                for pole in ((trait, 1), (trait, -1))
            ]
            high, low = select_poles(sides[0], sides[1], edges, self.minimum, self.threshold, self.percentile)
            found[trait, 1], found[trait, -1] = high, low
        return found

    def _asked_as(self, pole: Pole, told: Mapping[Pole, Sequence[str]], asked: Sequence[str]) -> list[Chat]:
        """Questions to somebody at one end of a trait, each after a description that is drawn for it."""
        if pole not in told:
            raise InputError(
                "has no description",
                file=self.descriptions,
                field=key_of(pole),
                expected=f"an object with {key_of(pole)}",
                fix="add one, or leave the trait out",
            )
        draw = random.Random(f"{self.seed}/{key_of(pole)}")  # noqa: S311
        return [described_by(draw.choice(told[pole]), [{"role": "user", "content": question}]) for question in asked]

    def _read_questions(self, trait: str) -> list[str]:
        path = Path(str(self.questions)) / f"{trait.title()}.json"
        asked = [require(record, "question", str, file=path, row=row) for row, record in read_records(path)]
        return asked[: self.limit]

    def _neuron_file(self, pole: Pole) -> Path:
        return Path(str(self.neurons)) / f"{key_of(pole)}_dict.json"

    def _files(self) -> list[Path]:
        if self.neurons is not None:
            return [path for pole in self.found if (path := self._neuron_file(pole)).is_file()]
        return [Path(str(self.descriptions)), *(Path(str(self.questions)) / f"{t.title()}.json" for t in self.traits)]

    def _check_options(self) -> None:
        searching = self.questions is not None and self.descriptions is not None
        count = self.places.sites.num_layers
        chosen = {0} if self.layers is None else set(self.layers)
        for name, fits, expected in (
            ("strength", math.isfinite(self.strength), "a finite number"),
            ("pull", math.isfinite(self.pull), "a finite number"),
            ("layers", chosen and chosen <= set(range(count)), f"numbers from 0 to {count - 1}"),
            ("dropped", 0 <= self.dropped < 1, "a share from 0 to 1"),
            ("percentile", 0 < self.percentile < 1, "a share between 0 and 1"),
            ("limit", self.limit is None or self.limit >= 1, "1 or more"),
            ("traits", self.traits and set(self.traits) <= set(BIG_FIVE), f"some of {', '.join(BIG_FIVE)}"),
            ("neurons", self.neurons is not None or searching, "a folder; or questions and descriptions"),
        ):
            if not fits:
                raise InputError(
                    f"the method {self.method} cannot work with this option",
                    field=f"{type(self).__name__}.{name}",
                    expected=expected,
                    got=getattr(self, name),
                    fix="correct it in the settings",
                )


def _seed(seed: int, pole: Pole) -> int:
    """A seed of its own for each end of a trait."""
    return random.Random(f"{seed}/{key_of(pole)}").getrandbits(48)  # noqa: S311
