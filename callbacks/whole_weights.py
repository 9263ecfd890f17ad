"""The trained weights of a sharded run in one plain file, whatever shared them out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from callbacks.run_folder import CHECKPOINTS, WholeCheckpointIO

FILE = "weights.ckpt"


class WholeWeights(Callback):
    """Writes `checkpoints/weights.ckpt` when training ends: what was trained, put together, with its header.

    Evaluation, export and `init_from` read it as any other checkpoint; it holds no optimizer state to go on with.
    """

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the tensors together, which takes all processes, and write them from the first."""
        checkpoint: dict[str, Any] = {"state_dict": whole_state(pl_module), "global_step": trainer.global_step}
        pl_module.on_save_checkpoint(checkpoint)
        if trainer.is_global_zero:
            WholeCheckpointIO().save_checkpoint(checkpoint, Path(trainer.default_root_dir) / CHECKPOINTS / FILE)
        trainer.strategy.barrier("weights written")


def whole_state(module: nn.Module) -> dict[str, Tensor]:
    """What a module keeps in its checkpoints, put together and in main memory; all processes must call this.

    Args:
        module: The module.
    """
    # FSDP2 puts shares in the place of whole weights when the state is asked for; parameters are looked up after that.
    state = module.state_dict()
    parameters = dict(module.named_parameters(remove_duplicate=False))
    return {name: _together(value, parameters.get(name)) for name, value in state.items()}


def _together(value: Tensor, parameter: nn.Parameter | None) -> Tensor:
    if isinstance(value, DTensor):
        return value.full_tensor().cpu()
    if parameter is None or not hasattr(parameter, "ds_id"):
        return value.detach().cpu().clone()
    with _gathered(parameter):
        return parameter.detach().cpu().clone()


def _gathered(parameter: nn.Parameter) -> Any:
    """While this lasts a parameter that DeepSpeed has shared out is whole."""
    from deepspeed.runtime.zero import GatheredParameters

    return GatheredParameters([parameter])
