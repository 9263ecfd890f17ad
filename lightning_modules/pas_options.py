"""Options of PAS that mean nothing, refused with their names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from files.errors import InputError
from lightning_modules.pas_fit import HeadSettings

Prompt = Literal["plain", "described"]
"""Kinds of prompts: without anything about the person, and with the person's own answers."""
Statements = Literal["answered", "told"]
"""What shows a statement made and not made."""


def check_options(
    settings: HeadSettings,
    *,
    folds: int,
    tried: int | None,
    rows: int,
    strengths: Sequence[float],
    prompts: Sequence[str],
    per_trait: bool,
    along: str,
    strength_per_trait: bool,
) -> None:
    """Refuse options that mean nothing.

    Args:
        settings: How heads are found.
        folds: Parts of the describing items.
        tried: Items that strengths under descriptions are chosen by.
        rows: Texts in one forward pass.
        strengths: Strengths to try.
        prompts: Kinds of prompts.
        per_trait: Whether heads are found for each trait.
        along: Along which traits is steered.
        strength_per_trait: Whether a strength is chosen for each trait.

    Raises:
        InputError: Naming the option.
    """
    unknown = [prompt for prompt in prompts if prompt not in get_args(Prompt)]
    for option, value, fits, expected in (
        ("heads", settings.heads, settings.heads >= 1, "1 or more"),
        ("folds", folds, folds >= 2, "2 or more"),
        ("tried", tried, tried is None or tried >= 1, "1 or more"),
        ("rows", rows, rows >= 1, "1 or more"),
        ("c", settings.c, settings.c > 0, "more than 0"),
        ("strengths", strengths, bool(strengths), "at least one number"),
        ("prompts", prompts, bool(prompts) and not unknown, "plain, described or both"),
        ("along", along, per_trait or along == "all", "all without per_trait"),
        ("strength_per_trait", True, per_trait or not strength_per_trait, "false without per_trait"),
    ):
        if not fits:
            raise InputError(
                "means nothing", field=f"model.init_args.{option}", expected=expected, got=value, fix="correct it"
            )


def check_prompt(prompt: Prompt, prompts: Sequence[Prompt]) -> None:
    """Refuse a kind of prompt that no strengths were chosen under.

    Args:
        prompt: The kind asked for.
        prompts: Those that strengths were chosen under.

    Raises:
        InputError: It is not among them.
    """
    if prompt not in prompts:
        raise InputError(
            f"strengths were not chosen under {prompt} prompts",
            field="model.init_args.prompts",
            expected=f"a list with {prompt}",
            got=prompts,
            fix="train again with this kind of prompt in the list",
        )
