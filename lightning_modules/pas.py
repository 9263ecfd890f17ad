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
from lightning_modules.pas_fit import HeadSettings, find_heads, head_shifts, item_folds, of_each_trait, statement_labels
from lightning_modules.pas_options import Prompt, Statements, check_options, check_prompt
from lightning_modules.pas_record import answered_heads, told_heads
from lightning_modules.pas_strength import Prober, Trial, best_strengths, limited, people_shift, trial_of
from lightning_modules.shards import gathered
from lm.loading import LMSpec, freeze
from personas.people import PeopleBatch
from personas.questionnaire import Questionnaire
from personas.traits import BIG_FIVE

_KEPT = ("heads", "vectors", "accuracy", "strengths", "errors")


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
        self.per_trait = per_trait
        self.along = along
        self.tried = list(strengths)
        self.strength_per_trait = strength_per_trait
        self.positions: Positions = positions
        self.prompts: list[Prompt] = list(prompts)
        self.select_on = select_on
        self.tried_items = tried
        self.folds = folds
        self.rows = rows
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
        check_options(
            self.settings,
            folds=self.folds,
            tried=self.tried_items,
            rows=self.rows,
            strengths=self.tried,
            prompts=self.prompts,
            per_trait=self.per_trait,
            along=self.along,
            strength_per_trait=self.strength_per_trait,
        )
        super().configure_model()
        freeze(self.lm)
        self.places = places_of(self.lm, self.lm_spec.sites)

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
        for name in _KEPT:
            self.register_buffer(name, torch.cat([tensors[name] for *_, tensors in parts]).to(self.device))
        self.cases = [case for _, case, _, _ in parts]
        self.known = {fingerprint: place for place, (_, _, fingerprint, _) in enumerate(parts)}
        for number, prompt in enumerate(self.prompts):
            self.log(f"train/strength_{prompt}", self.get_buffer("strengths")[:, number].mean(), sync_dist=True)

    def learn(self, batch: PeopleBatch) -> dict[str, Tensor]:
        """Heads, shifts and strengths of people.

        Args:
            batch: P people.

        Returns:
            `heads` (P, T, k, 2), `vectors` (P, T, k, head_dim), `accuracy` (P, T, k), `strengths` (P, V, T) for V kinds
            of prompts, and `errors` (P, V, S) of every strength tried. T is 5 with `per_trait`, else 1.
        """
        items = batch.questionnaire.described
        answers = torch.tensor([list(person.described(batch.questionnaire)) for person in batch.people])
        features = self._recorded(batch)
        labels, used = statement_labels(answers)
        if self.per_trait:
            labels, used = of_each_trait(labels, used, items)
        folds = item_folds(items, self.folds, self.settings.seed)
        of_statement = folds.repeat_interleave(2)
        heads, accuracy = find_heads(features, labels, used, of_statement, self.settings)
        shifts = head_shifts(features, labels, used, heads, accuracy, self.settings)
        without = [
            head_shifts(features, labels, used & (of_statement != fold), heads, accuracy, self.settings)
            for fold in range(self.folds)
        ]
        learnt = {name: getattr(shifts, name).unflatten(0, (len(batch), -1)).cpu() for name in _KEPT[:3]}
        more = self.select_on == "test", self.tried_items
        trials = [trial_of(batch, prompt, folds, shifts, without, *more) for prompt in self.prompts]
        chosen, errors = zip(*(self._strengths(batch, trial) for trial in trials), strict=True)
        return {**learnt, "strengths": torch.stack(chosen, 1), "errors": torch.stack(errors, 1)}

    def intervene(self, batch: PeopleBatch, prompt: Prompt = "plain") -> RowIntervention:
        """The shift of each person of a batch, as in `shifted_heads`."""
        return self.shift(*self.shifted_heads(batch, prompt), batch.questionnaire)

    def shift(self, heads: Tensor, vectors: Tensor, asked: Questionnaire | None = None) -> RowIntervention:
        """An intervention that shifts heads at this method's positions.

        Args:
            heads: (P, T, k, 2) layer and head.
            vectors: (P, T, k, head_dim), the strength in them.
            asked: What is asked, if it is a questionnaire; its items may be steered each along its own trait.
        """

        def shift(heads: Tensor, vectors: Tensor) -> Intervention:
            return limited(ShiftHeads.sparse(self.places, heads, vectors), self.positions)

        if self.along == "all" or asked is None:
            return shift(heads.flatten(1, 2), vectors.flatten(1, 2))
        trait_of = {str(item.number): BIG_FIVE.index(item.trait) for item in asked.items}
        return by_asked_trait(heads, vectors, trait_of, shift)

    def shifted_heads(self, batch: PeopleBatch, at: Prompt | float = "plain") -> tuple[Tensor, Tensor]:
        """Heads (P, T, k, 2) and their shifts (P, T, k, head_dim); people not in the checkpoint are learnt first.

        Args:
            batch: The people.
            at: The kind of prompt whose strengths are taken, or one strength for everybody.

        Raises:
            InputError: If strengths were not chosen under this kind of prompt.
        """
        if isinstance(at, str):
            check_prompt(at, self.prompts)
        known = [self.known.get(batch.fingerprint(record)) for record in range(len(batch))]
        if new := [record for record, place in enumerate(known) if place is None]:
            warnings.warn(f"{len(new)} people are not in the PAS checkpoint and are learnt now", stacklevel=2)
            self._append(batch.part(new))
            known = [self.known[batch.fingerprint(record)] for record in range(len(batch))]
        rows = torch.tensor(known, dtype=torch.long, device=self.get_buffer("heads").device)
        heads, vectors, strengths = (self.get_buffer(name)[rows] for name in ("heads", "vectors", "strengths"))
        chosen = strengths[:, self.prompts.index(at)].view(*vectors.shape[:2], 1, 1) if isinstance(at, str) else at
        return heads, vectors * chosen

    def bundle(self, prompt: Prompt = "plain") -> Bundle:
        """What was learnt of everybody, to be kept in a file: a persona per person, at the strengths chosen.

        Args:
            prompt: The kind of prompt whose strengths are taken.

        Raises:
            InputError: If strengths were not chosen under this kind of prompt.
        """
        check_prompt(prompt, self.prompts)
        strengths = self.get_buffer("strengths")[:, self.prompts.index(prompt)]
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
        for name in _KEPT:
            value = state_dict.get(name)
            if isinstance(value, Tensor):
                self.register_buffer(name, torch.zeros_like(value, device=self.device))
        return super().load_state_dict(state_dict, strict, assign)

    def _append(self, batch: PeopleBatch) -> None:
        """Learn people who come late."""
        learnt = self.learn(batch)
        for name in _KEPT:
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
            self._features = {key: record(self.lm, self.tokenizer, self.places, items, wording, self.rows)}
        return self._features[key]

    def _strengths(self, batch: PeopleBatch, trial: Trial) -> tuple[Tensor, Tensor]:
        """The strengths chosen (P, T), and the summed error of each one tried (P, S)."""
        prober = Prober(self.lm, self.tokenizer, self.places, batch.wording, self.rows, self.positions)
        errors = prober.errors(trial, self.tried, separately=self.strength_per_trait or self.along == "asked")
        chosen = best_strengths(errors, self.tried, self.strength_per_trait)
        return chosen.expand(-1, len(BIG_FIVE) if self.per_trait else 1), errors.nansum(-1)
