"""PAS, personality activation search: speak as one person by shifting a few attention heads."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from files.errors import InputError
from interventions.applied import Intervention
from interventions.asked_trait import by_asked_trait
from interventions.bundle import Bundle, facts_of
from interventions.calls import Positions
from interventions.heads import ShiftHeads
from interventions.places import places_of
from lightning_modules.answering import RowIntervention
from lightning_modules.base import HEADER, PersonaModule
from lightning_modules.pas_asked import end_of, learn_asked, towards_ends
from lightning_modules.pas_fit import HeadSettings, item_folds
from lightning_modules.pas_options import Described, PASOptions, Prompt, Statements
from lightning_modules.pas_record import answered_heads, told_heads
from lightning_modules.pas_stated import learn_stated
from lightning_modules.pas_strength import Prober, limited, people_shift
from lightning_modules.shards import gathered
from lm.loading import LMSpec, freeze
from personas.people import PeopleBatch
from personas.questionnaire import Questionnaire
from personas.traits import BIG_FIVE

_STATED = ("heads", "vectors", "accuracy", "strengths", "errors")
_ASKED = tuple(f"asked_{name}" for name in _STATED)


class PASModule(PersonaModule):
    """Learns, for each person, which attention heads to shift and how far; without gradient steps.

    The frozen model reads every statement that describes people once with an agreeing and once with a disagreeing
    answer. A person's own answers say which of these it would say. Linear probes on the heads' activations at the last
    token find the heads that tell this best, on items held back from them; the shift of a head is the difference of the
    class means, scaled by the spread along it. The strength is the one at which the model answers the person's own
    items best, each item under a shift that was learnt without it.

    Args:
        lm: The language model.
        heads: Number of heads to shift.
        direction: Along the difference of class means, or along the probe's weights.
        statements: What shows a statement made and not made: the item answered either way, as published; or other
            items asked after telling it, and without.
        per_trait: Learn heads and directions for each trait from its own items.
        along: With `per_trait`: steer along all traits; or each item of a questionnaire along the trait it measures.
        strengths: Strengths to try, of either sign; 0 leaves the model as it is.
        strength_per_trait: Choose a strength for each trait by its own items; needs `per_trait`.
        positions: Steer all tokens, as published; or the last token of a prompt and those generated after it, which
            lets all people and strengths share the computation of the prompts.
        prompts: Under which prompts strengths are chosen: plain ones, and ones with the person's answers in them.
        described: What the shift under descriptions is learnt from: the statements, as published; or how the model is
            about to answer describing items after the person's other answers, those agreed with against the others. It
            then has a strength for each trait, towards its high end, whichever way an item is keyed.
        described_strengths: Strengths to try of that kind; those of `strengths` if left out.
        described_layers: Layers whose heads that kind may shift; all if left out.
        select_on: Choose strengths by the describing items; or by the scored ones, as the release does, which makes its
            figures look better than they are.
        tried: Choose strengths under descriptions by about so many of the describing items; by all if left out.
        folds: Parts of the describing items; each is held back in turn.
        ranking: Rank heads by held-back accuracy, or as the release does.
        c: Weight of the losses against the penalty in the probes.
        rows: Texts in one forward pass; fewer need less memory.
        seed: Seed of how items are shared out.

    Reference:
        Zhu et al., Personality Alignment of Large Language Models, ICLR 2025.
    """

    needs = ("people", "people who answered a questionnaire", "datamodules.papi.PapiDataModule")
    automatic_optimization = False

    def __init__(
        self,
        lm: LMSpec,
        heads: int = 24,
        direction: Literal["mean_difference", "probe"] = "mean_difference",
        statements: Statements = "answered",
        per_trait: bool = False,
        along: Literal["all", "asked"] = "all",
        strengths: Sequence[float] = (0.0, 1.0, 2.0, 4.0, 6.0, 8.0),
        strength_per_trait: bool = False,
        positions: Positions = "all",
        prompts: Sequence[Prompt] = ("plain", "described"),
        described: Described = "statements",
        described_strengths: Sequence[float] | None = None,
        described_layers: Sequence[int] | None = None,
        select_on: Literal["description", "test"] = "description",
        tried: int | None = None,
        folds: int = 2,
        ranking: Literal["held_back", "as_released"] = "held_back",
        c: float = 1.0,
        rows: int = 64,
        seed: int = 0,
    ) -> None:
        super().__init__(lm)
        self.settings = HeadSettings(heads, direction, c, ranking, seed)
        self.statements: Statements = statements
        self.positions: Positions = positions
        self.prompts: list[Prompt] = list(prompts)
        other = list(strengths if described_strengths is None else described_strengths)
        self.options = PASOptions(
            per_trait=per_trait, along=along, strengths=list(strengths), strength_per_trait=strength_per_trait,
            prompts=self.prompts, described=described, described_strengths=other,
            described_layers=described_layers, select_on=select_on,
            tried=tried, folds=folds, rows=rows,
        )  # fmt: skip
        self.stated_prompts = self.options.stated_prompts
        # DDP refuses a module without any parameter to train.
        self.anchor = nn.Parameter(torch.zeros(()))
        self.known: dict[str, int] = {}
        self.cases: list[str] = []
        self._parts: list[tuple[int, str, str, dict[str, Tensor]]] = []
        self._features: dict[str, Tensor] = {}

    def configure_model(self) -> None:
        """Load the model and freeze it.

        Raises:
            InputError: It cannot be loaded, or an option means nothing.
        """
        if self.model_hash is not None:
            return
        # Here, not in the constructor: what a constructor raises reaches the user wrapped in the parser's words.
        self.options.check(self.settings)
        super().configure_model()
        freeze(self.lm)
        self.places = places_of(self.lm, self.lm_spec.sites)
        self.options.check_layers(self.places.layers)

    def configure_optimizers(self) -> list[Any]:
        """None: nothing is trained by gradient."""
        return []

    def training_step(self, batch: PeopleBatch, batch_idx: int) -> None:
        """Learn the people of a batch."""
        if len(batch):
            learnt = self.learn(batch)
            for record, order in enumerate(batch.questions.order):
                of_person = {name: value[record : record + 1] for name, value in learnt.items()}
                self._parts.append((order, batch.people[record].case, batch.fingerprint(record), of_person))
            self.log("train/held_back_accuracy", learnt["accuracy"].mean(), batch_size=len(batch), prog_bar=True)

    def on_train_epoch_end(self) -> None:
        """Bring the people of all processes together, in the order of the table."""
        parts = sorted(gathered(self._parts), key=lambda part: part[0])
        self._parts = []
        if not parts:
            return
        for name in parts[0][3]:
            self.register_buffer(name, torch.cat([tensors[name] for *_, tensors in parts]).to(self.device))
        self.cases = [case for _, case, _, _ in parts]
        self.known = {fingerprint: place for place, (_, _, fingerprint, _) in enumerate(parts)}
        for prompt in self.prompts:
            self.log(f"train/strength_{prompt}", self._strengths(prompt).mean(), sync_dist=True)

    def learn(self, batch: PeopleBatch) -> dict[str, Tensor]:
        """Heads, shifts and strengths of people.

        Args:
            batch: P people.

        Returns:
            As of `learn_stated`; with `described: asked` of plain prompts alone, and also as of `learn_asked`.
        """
        rows, described = self.options.rows, batch.questionnaire.described
        prober = Prober(self.lm, self.tokenizer, self.places, batch.wording, rows, self.positions)
        how = item_folds(described, self.options.folds, self.settings.seed), self.settings, self.options
        learnt = learn_stated(batch, self._recorded(batch), prober, *how)
        return learnt if self.options.described == "statements" else learnt | learn_asked(batch, prober, *how)

    def intervene(self, batch: PeopleBatch, prompt: Prompt = "plain") -> RowIntervention:
        """The shift of each person of a batch, as in `shifted_heads`."""
        return self.shift(*self.shifted_heads(batch, prompt), batch.questionnaire)

    def shift(self, heads: Tensor, vectors: Tensor, asked: Questionnaire | None = None) -> RowIntervention:
        """An intervention that shifts heads at this method's positions.

        Args:
            heads: (P, T, k, 2) layer and head; a row for each trait or, with 10, for each end of a trait.
            vectors: (P, T, k, head_dim), the strength in them.
            asked: What is asked, if it is a questionnaire; its items may be steered each along its own trait.
        """

        def shift(heads: Tensor, vectors: Tensor) -> Intervention:
            return limited(ShiftHeads.sparse(self.places, heads, vectors), self.positions)

        of_ends = heads.shape[1] > len(BIG_FIVE)
        if asked is None or (self.options.along == "all" and not of_ends):
            return shift(heads.flatten(1, 2), vectors.flatten(1, 2))
        row_of = {str(item.number): end_of(item) if of_ends else BIG_FIVE.index(item.trait) for item in asked.items}
        return by_asked_trait(heads, vectors, row_of, shift)

    def shifted_heads(self, batch: PeopleBatch, at: Prompt | float = "plain") -> tuple[Tensor, Tensor]:
        """Heads (P, T, k, 2) and their shifts (P, T, k, head_dim); people not in the checkpoint are learnt first.

        Args:
            batch: The people.
            at: The kind of prompt whose strengths are taken, or one strength for everybody.

        Raises:
            InputError: If strengths were not chosen under this kind of prompt.
        """
        if isinstance(at, str):
            self.options.check_prompt(at)
        known = [self.known.get(batch.fingerprint(record)) for record in range(len(batch))]
        if new := [record for record, place in enumerate(known) if place is None]:
            warnings.warn(f"{len(new)} people are not in the PAS checkpoint and are learnt now", stacklevel=2)
            self._append(batch.part(new))
            known = [self.known[batch.fingerprint(record)] for record in range(len(batch))]
        rows = torch.tensor(known, dtype=torch.long, device=self.get_buffer("heads").device)
        if isinstance(at, str) and at not in self.stated_prompts:
            heads, vectors, strengths = (self.get_buffer(name)[rows] for name in (*_ASKED[:2], _ASKED[3]))
            return towards_ends(heads, vectors, strengths)
        heads, vectors = (self.get_buffer(name)[rows] for name in _STATED[:2])
        return heads, vectors * (
            self._strengths(at)[rows].view(*vectors.shape[:2], 1, 1) if isinstance(at, str) else at
        )

    def bundle(self, prompt: Prompt = "plain") -> Bundle:
        """What was learnt of everybody, to be kept in a file: a persona per person, at the strengths chosen.

        Args:
            prompt: The kind of prompt whose strengths are taken.

        Raises:
            InputError: If strengths were not chosen under this kind of prompt, or go by how each item is keyed.
        """
        self.options.check_bundled(prompt)
        strengths = self._strengths(prompt)
        shift = people_shift(self.places, self.get_buffer("heads"), self.get_buffer("vectors"), strengths)
        details = {"prompt": prompt, "heads": self.settings.heads, "direction": self.settings.direction}
        facts = facts_of(self.lm, self.places)
        return Bundle(limited(shift, self.positions), self.method, tuple(self.cases), facts, details)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add who the people are."""
        super().on_save_checkpoint(checkpoint)
        checkpoint[HEADER]["people"] = {"cases": self.cases, "fingerprints": list(self.known)}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take over who the people of a checkpoint are; InputError where it does not say so."""
        super().on_load_checkpoint(checkpoint)
        people = checkpoint[HEADER].get("people")
        if not isinstance(people, dict) or not people.get("fingerprints"):
            raise InputError(
                "the checkpoint holds no people", field="ckpt_path", fix="train to the end; the last checkpoint counts"
            )
        self.cases = list(people["cases"])
        self.known = {fingerprint: place for place, fingerprint in enumerate(people["fingerprints"])}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Read what was learnt of people, after making room for them."""
        for name in (*_STATED, *_ASKED):
            value = state_dict.get(name)
            if isinstance(value, Tensor):
                self.register_buffer(name, torch.zeros_like(value, device=self.device))
        return super().load_state_dict(state_dict, strict, assign)

    def _append(self, batch: PeopleBatch) -> None:
        """Learn people who come late."""
        learnt = self.learn(batch)
        for name in learnt:
            old = [self.get_buffer(name)] if self.known else []
            self.register_buffer(name, torch.cat([*old, learnt[name].to(self.device)]))
        for record in range(len(batch)):
            self.known[batch.fingerprint(record)] = len(self.known)
            self.cases.append(batch.people[record].case)

    def _recorded(self, batch: PeopleBatch) -> Tensor:
        """Activations of the heads (N, L, H, head_dim), each statement made and not made; shared by everybody."""
        items, wording = batch.questionnaire.described, batch.wording
        key = repr((items, wording))
        if key not in self._features:
            record = told_heads if self.statements == "told" else answered_heads
            self._features = {key: record(self.lm, self.tokenizer, self.places, items, wording, self.options.rows)}
        return self._features[key]

    def _strengths(self, prompt: Prompt) -> Tensor:
        """The strengths of everybody under a kind of prompt (P, T), or (P, 5) of traits."""
        if prompt not in self.stated_prompts:
            return self.get_buffer("asked_strengths")
        return self.get_buffer("strengths")[:, self.stated_prompts.index(prompt)]
