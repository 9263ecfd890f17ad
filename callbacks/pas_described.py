"""The trained PAS method with the person's answers in the prompt, as it was published."""

from __future__ import annotations

from typing import Any

from callbacks.prompting import FewShot
from callbacks.steering import RowIntervention
from files.errors import InputError


class PASDescribed(FewShot):
    """PAS under the prompt of `FewShot`; its strengths are those that were searched for under such prompts.

    Reference:
        Zhu et al., Personality Alignment of Large Language Models, 2024 (PAS; the release describes the person in the
        prompt while it steers).
    """

    method = "pas_described"

    def fit(self) -> None:
        """See that the checkpoint is one of PAS.

        Raises:
            InputError: If it is another method's, or there is none.
        """
        trained_pas(self.evaluation.trained, self.method)

    def intervene(self, batch: Any) -> RowIntervention:
        """The trained shift of each person's heads."""
        return trained_pas(self.evaluation.trained, self.method).intervene(batch, "described")


def trained_pas(trained: Any, method: str) -> Any:
    """The PAS module of an evaluation's checkpoint.

    Args:
        trained: The trained method of the evaluation.
        method: Who asks, for errors.

    Returns:
        The module.

    Raises:
        InputError: If there is no checkpoint, or it is of another method.
    """
    module = getattr(trained, "module", None)
    if getattr(module, "method", None) != "pas":
        raise InputError(
            f"the method {method} needs a PAS checkpoint",
            field="--ckpt_path",
            expected="a checkpoint of lightning_modules.pas.PASModule",
            got=None if module is None else module.method,
            fix="train with configs/pas/quickstart.yaml and name runs/pas/checkpoints/last.ckpt",
        )
    return module
