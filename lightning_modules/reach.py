"""Which tokens an intervention reaches, and so what different prompts may share."""

from __future__ import annotations

from interventions.applied import Combined
from interventions.limited import Limited


def spares_prompts(intervention: object) -> bool:
    """Whether an intervention does nothing before the last token of a prompt, so that prompts can be shared."""
    return isinstance(intervention, Limited) and (intervention.phase, intervention.positions) == ("all", "last")


def acts_alike(intervention: object) -> bool:
    """Whether an intervention does the same to all tokens, wherever they stand."""
    parts = intervention.parts if isinstance(intervention, Combined) else [intervention]
    return not any(isinstance(part, Limited) for part in parts)
