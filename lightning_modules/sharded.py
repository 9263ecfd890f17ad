"""Training shared out over processes, weights and optimizer state alike (FSDP2), with checkpoints as of one process."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.strategies import ModelParallelStrategy, Strategy
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.optim import Optimizer

from files.errors import InputError
from lightning_modules.base import PersonaModule
from lightning_modules.optimizers import JointOptimizer
from lightning_modules.shards import share_of, whole
from lm.sites import sites_of

_LM = "lm"


class ShardedStrategy(ModelParallelStrategy):
    """FSDP2 for the modules of this package; each process holds its share of what is trained.

    What is shared out, and what is not:

    - A part that is trained: its weights, gradients and optimizer state. It is put together while it runs. A language
      model is shared out block by block, MEND's network as a whole.
    - A language model that is only read stays whole in every process. How often MEND and PAS pass through it depends on
      the texts of their records, which differ between processes, and processes that put weights together must do so
      equally often. A model too large for that can be loaded in 4 or 8 bits.
    - An autoencoder, and a model trained by PPO, are refused, for pieces of them are used at times of their own.
    - What is steered by: hooks act on activations, which are never shared out. MEND's factors stay where their record
      is; only the running moments of all processes' factors are brought together.

    A checkpoint is one file, the same as that of a single process: a run may go on under another strategy or number of
    processes. To write it the first process holds everything that is trained, and the optimizer state, once in its main
    memory.

    Args:
        process_group_backend: How processes talk, such as nccl or gloo; by default what suits the device.

    Raises:
        InputError: The method trains a part that cannot be shared out.
    """

    def __init__(self, process_group_backend: str | None = None) -> None:
        super().__init__("auto", 1, save_distributed_checkpoint=False, process_group_backend=process_group_backend)

    @property
    def lightning_restore_optimizer(self) -> bool:
        """The Trainer hands the optimizers' states over, as it does for one process."""
        return True

    def setup_environment(self) -> None:
        """Share out over all processes of all machines."""
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()

    def setup(self, trainer: Trainer) -> None:
        """Share out what the module has built in `configure_model`."""
        # Nothing is written into what the parts give.
        warnings.filterwarnings("ignore", message=r"FSDP2-wrapped module .* returned a view tensor")
        share_out(self._module(), self.device_mesh["data_parallel"])
        super().setup(trainer)

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """The trained tensors, put together; on other processes than the first without their content."""
        return self._kept(self._module().state_dict())

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """The optimizer's state, put together in the same way."""
        return self._kept(getattr(optimizer, "_optimizer", optimizer).state_dict())

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """Read a checkpoint of any strategy; every process reads it for itself."""
        return Strategy.load_checkpoint(self, self.broadcast(checkpoint_path), weights_only)

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Give the module this process's share of the trained tensors."""
        own = self._module().state_dict()
        state = {name: share_of(value, own.get(name)) for name, value in checkpoint["state_dict"].items()}
        self._module().load_state_dict(state, strict=strict)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Give the optimizers this process's share of their states."""
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            optimizer.load_state_dict(share_of_state(optimizer, state))

    def _kept(self, state: dict[str, Any]) -> dict[str, Any]:
        """Put together by all processes, kept by the first."""
        return {name: _first_alone(value, self.is_global_zero) for name, value in state.items()}

    def _module(self) -> LightningModule:
        if self.lightning_module is None:
            raise RuntimeError("the strategy has no module yet")
        return self.lightning_module


def share_out(module: LightningModule, mesh: DeviceMesh) -> None:
    """Share out the parts of a module that are trained; a language model block by block.

    Args:
        module: The module, after `configure_model`.
        mesh: The processes.

    Raises:
        InputError: It trains a part that cannot be shared out.
    """
    allowed = module.shared_parts if isinstance(module, PersonaModule) else ()
    for name, part in module.named_children():
        if not any(parameter.requires_grad for parameter in part.parameters()):
            continue
        if name not in allowed:
            raise InputError(
                f"the method {getattr(module, 'method', type(module).__name__)} trains a part, {name}, whose weights "
                "cannot be shared out, because its processes do not all use it equally often, or use pieces of it",
                field="trainer.strategy",
                expected="ddp, or a method such as sft, mend, or dpo with model.init_args.reference copy",
                got=ShardedStrategy.__name__,
                fix="take configs/cluster/ddp.yaml, with an adapter where the model is large",
            )
        if name == _LM and isinstance(module, PersonaModule):
            sites = sites_of(module.lm, module.lm_spec.sites)
            for block in range(sites.num_layers):
                fully_shard(sites.block(block), mesh=mesh)
        fully_shard(part, mesh=mesh)


def share_of_state(optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """What a process holds of an optimizer's whole state."""
    if isinstance(optimizer, JointOptimizer):
        parts = zip(optimizer.parts, state["parts"], strict=True)
        return {"parts": [share_of_state(part, of_part) for part, of_part in parts]}
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    numbers = [number for group in state["param_groups"] for number in group["params"]]
    by_number = dict(zip(numbers, parameters, strict=True))
    shares = {
        number: {name: share_of(value, by_number[number]) for name, value in of_parameter.items()}
        for number, of_parameter in state["state"].items()
    }
    return {**state, "state": shares}


def _first_alone(value: Any, first: bool) -> Any:
    """Tensors put together one at a time, so that the other processes hold no more than one of them."""
    if isinstance(value, Tensor):
        together = whole(value)
        return together.cpu() if first else torch.empty(0)
    if isinstance(value, Mapping):
        return {name: _first_alone(item, first) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_first_alone(item, first) for item in value]
    return value
