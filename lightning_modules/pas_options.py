"""Options of PAS that mean nothing, refused with their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from files.errors import InputError
from lightning_modules.pas_fit import HeadSettings

Prompt = Literal["plain", "described"]
"""Kinds of prompts: without anything about the person, and with the person's own answers."""
Statements = Literal["answered", "told"]
"""What shows a statement made and not made."""
Described = Literal["statements", "asked"]
"""What the shift under descriptions is learnt from."""


@dataclass(frozen=True)
class PASOptions:
    """How people are learnt; the options of `PASModule` of the same names, of which these mean nothing by themselves.

    Attributes:
        per_trait: Whether heads are found for each trait.
        along: Along which traits is steered.
        strengths: Strengths to try.
        strength_per_trait: Whether one is chosen for each trait.
        prompts: Kinds of prompts.
        described: What the shift under descriptions is learnt from.
        described_strengths: Strengths of such a shift of its own.
        described_layers: Layers whose heads it may shift; all if None.
        select_on: The items that strengths are chosen by.
        tried: Describing items that strengths under descriptions are chosen by; all if None.
        folds: Parts of the describing items.
        rows: Texts in one forward pass.
    """

    per_trait: bool
    along: Literal["all", "asked"]
    strengths: Sequence[float]
    strength_per_trait: bool
    prompts: Sequence[Prompt]
    described: Described
    described_strengths: Sequence[float]
    described_layers: Sequence[int] | None
    select_on: Literal["description", "test"]
    tried: int | None
    folds: int
    rows: int

    @property
    def separately(self) -> bool:
        """Whether an item is steered along its own trait alone."""
        return self.strength_per_trait or self.along == "asked"

    @property
    def stated_prompts(self) -> list[Prompt]:
        """The kinds of prompts under which people are steered by what was learnt from statements."""
        return [prompt for prompt in self.prompts if prompt == "plain" or self.described == "statements"]

    def check(self, settings: HeadSettings) -> None:
        """Refuse options that mean nothing.

        Args:
            settings: How heads are found.

        Raises:
            InputError: Naming the option.
        """
        kinds = get_args(Prompt)
        known = [prompt in kinds for prompt in self.prompts]
        asked, both = self.described == "asked", set(self.prompts) == set(kinds)
        for option, value, fits, expected in (
            ("heads", settings.heads, settings.heads >= 1, "1 or more"),
            ("folds", self.folds, self.folds >= 2, "2 or more"),
            ("tried", self.tried, self.tried is None or self.tried >= 1, "1 or more"),
            ("rows", self.rows, self.rows >= 1, "1 or more"),
            ("c", settings.c, settings.c > 0, "more than 0"),
            ("strengths", self.strengths, bool(self.strengths), "at least one number"),
            ("described_strengths", [], bool(self.described_strengths), "at least one number"),
            ("prompts", self.prompts, bool(known) and all(known), "plain, described or both"),
            ("described", "asked", both or not asked, "statements, unless prompts are both plain and described"),
            ("described", "asked", self.select_on != "test" or not asked, "statements, with select_on test"),
            ("along", self.along, self.per_trait or self.along == "all", "all without per_trait"),
            ("strength_per_trait", True, self.per_trait or not self.strength_per_trait, "false without per_trait"),
        ):
            if not fits:
                raise InputError(
                    "means nothing", field=f"model.init_args.{option}", expected=expected, got=value, fix="correct it"
                )

    def check_prompt(self, prompt: Prompt) -> None:
        """Refuse a kind of prompt that no strengths were chosen under.

        Args:
            prompt: The kind asked for.

        Raises:
            InputError: It is not among them.
        """
        if prompt not in self.prompts:
            raise InputError(
                f"strengths were not chosen under {prompt} prompts",
                field="model.init_args.prompts",
                expected=f"a list with {prompt}",
                got=self.prompts,
                fix="train again with this kind of prompt in the list",
            )

    def check_bundled(self, prompt: Prompt) -> None:
        """Refuse a kind of prompt under which a person has no shift that serves whatever is asked.

        Args:
            prompt: The kind asked for.

        Raises:
            InputError: It is not among the kinds learnt, or what was learnt under it goes by each item's key.
        """
        self.check_prompt(prompt)
        if prompt not in self.stated_prompts:
            raise InputError(
                f"under {prompt} prompts no one shift serves whatever is asked: it goes by each item's key",
                field="model.init_args.described",
                expected="statements",
                got=self.described,
                fix="train with described: statements, or take the bundle of plain prompts",
            )

    def check_layers(self, layers: Sequence[int]) -> None:
        """Refuse layers that the model does not have.

        Args:
            layers: Those it has.

        Raises:
            InputError: One of `described_layers` is not among them, or there is none.
        """
        asked = self.described_layers
        if asked is not None and (not asked or not set(asked) <= set(layers)):
            raise InputError(
                "names no layer of the model",
                field="model.init_args.described_layers",
                expected=f"numbers from {min(layers)} to {max(layers)}",
                got=asked,
                fix="correct it, or leave it out for all layers",
            )
