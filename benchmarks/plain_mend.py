"""MEND's training step written out plainly, as published: the yardstick of `benchmarks/mend.py`.

Every forward goes through the whole model, base and edited model each on their own, with logits at every position;
every edit is a full matrix added to a copy of its weight; each weight goes through its transform alone. Nothing of the
project's editing code is used but the transforms' parameters, so that both sides start from the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from transformers import PreTrainedModel

from editors.hypernetwork import Hypernetwork
from editors.records import EditBatch
from lm.chat import TokenBatch


class PlainStatistics:
    """Mean and deviation of the rows seen so far, counted one row at a time.

    The release counts in float32 and loses the fourth digit of the gradients to rounding by that alone. Here it is
    float64, so that a difference between the two sides is a difference of procedure.
    """

    def __init__(self, width: int) -> None:
        self.mean = torch.zeros(width, dtype=torch.float64)
        self.squares = torch.zeros(width, dtype=torch.float64)
        self.count = 0

    def add(self, rows: Tensor) -> None:
        """Count rows (M, width)."""
        for row in rows.double():
            self.count += 1
            gap = row - self.mean
            self.mean += gap / self.count
            self.squares += gap * (row - self.mean)

    def normalise(self, rows: Tensor) -> Tensor:
        """Rows in units of the deviation, around the mean."""
        deviation = (self.squares / (self.count - 1)).sqrt()
        return (rows - self.mean.float()) / (deviation.float() + 1e-7)


@dataclass
class PlainLosses:
    """Losses of one step, scalars."""

    edit: Tensor
    locality: Tensor
    total: Tensor


class PlainMEND:
    """The published step on one record.

    Args:
        model: The frozen model.
        network: Gives the parameters of the transforms and the learning rates of the edits; its code is not run.
        cedit: Weight of the edited opinions.
        cloc: Weight of the other topics.
    """

    def __init__(self, model: PreTrainedModel, network: Hypernetwork, cedit: float, cloc: float) -> None:
        self.model, self.network, self.cedit, self.cloc = model, network, cedit, cloc
        self.paths = list(network.shapes)
        self.weights = {path: model.get_submodule(path).weight for path in self.paths}
        self.statistics = {name: PlainStatistics(sum(network.shapes[p[0]])) for name, p in network.members.items()}

    def step(self, batch: EditBatch) -> PlainLosses:
        """Losses of a record, and their gradients added to `grad` of the network's parameters."""
        with torch.no_grad():
            base_locality = self._logits(batch.locality)
        changed = self._edited_weights(batch.edit)
        with torch.no_grad():
            # The published step computes these for its edit success. No gradient is kept here, which is kind to it.
            self._logits(batch.outer)
        edit = _personality_loss(self._logits(batch.outer, changed), batch.outer.labels(), batch.same_mask)
        locality = _kl(base_locality, self._logits(batch.locality, changed), batch.locality.answer_mask)
        total = self.cedit * edit + self.cloc * locality
        total.backward()
        return PlainLosses(edit.detach(), locality.detach(), total.detach())

    def _edited_weights(self, tokens: TokenBatch) -> dict[str, Tensor]:
        entered, gradients = self._gradient(tokens)
        changed = {}
        for name, paths in self.network.members.items():
            for mode, path in enumerate(paths):
                u, v = (part.flatten(0, -2) for part in (entered[path], gradients[path]))
                kept = (u != 0).any(-1) & (v != 0).any(-1)
                rows = torch.cat([u[kept], v[kept]], -1)
                self.statistics[name].add(rows)
                joined = self._network(name, mode, self.statistics[name].normalise(rows))
                new_u, new_v = joined.split(self.network.shapes[path], -1)
                scale = self.network.edit_lrs[list(self.network.shapes).index(path)]
                changed[f"{path}.weight"] = self.weights[path] + scale * (new_v.T @ new_u)
        return changed

    def _network(self, name: str, mode: int, x: Tensor) -> Tensor:
        transform: Any = self.network.transforms[name]
        for layer in transform.networks["joined"].layers:
            hidden = nn.functional.linear(nn.functional.linear(x, layer.v), layer.u, layer.bias)
            x = x + (hidden * layer.mode_scale[mode] + layer.mode_shift[mode]).clamp(min=0)
        return x

    def _gradient(self, tokens: TokenBatch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Inputs of the edited layers, and the edit loss's gradients at their outputs, by a full backward pass."""
        entered: dict[str, Tensor] = {}
        gradients: dict[str, Tensor] = {}
        handles = []
        for path in self.paths:
            module = self.model.get_submodule(path)
            module.weight.requires_grad_(True)
            handles.append(module.register_forward_hook(_keep_passing(entered, gradients, path)))
        logits, labels = self._logits(tokens)[:, :-1], tokens.labels()[:, 1:]
        nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100).backward()
        for handle in handles:
            handle.remove()
        for weight in self.weights.values():
            weight.grad = None
            weight.requires_grad_(False)
        return entered, gradients

    def _logits(self, tokens: TokenBatch, changed: Mapping[str, Tensor] | None = None) -> Tensor:
        inputs = {
            "input_ids": tokens.input_ids,
            "attention_mask": tokens.attention_mask,
            "position_ids": tokens.position_ids(),
            "use_cache": False,
        }
        return functional_call(self.model, dict(changed or {}), (), inputs).logits


def _keep_passing(entered: dict[str, Tensor], gradients: dict[str, Tensor], path: str) -> Any:
    """Keep what enters a layer now and, once it comes, the gradient at what leaves it."""

    def keep_gradient(gradient: Tensor) -> None:
        gradients[path] = gradient

    def keep(_module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        entered[path] = args[0].detach()
        output.register_hook(keep_gradient)

    return keep


def _personality_loss(logits: Tensor, labels: Tensor, same_mask: Tensor) -> Tensor:
    log_probs = logits[:, :-1].log_softmax(-1)
    labels = labels[:, 1:]
    counted = labels != -100
    chosen = log_probs.gather(-1, labels.masked_fill(~counted, 0)[..., None]).squeeze(-1)
    same, other = counted & same_mask[:, None], counted & ~same_mask[:, None]
    likelihood = -chosen[same].mean()
    return likelihood - (1 - chosen[other].exp() + torch.finfo(torch.float32).eps).log().mean()


def _kl(logits_pre: Tensor, logits_post: Tensor, mask: Tensor) -> Tensor:
    before, after = logits_pre.log_softmax(-1), logits_post.log_softmax(-1)
    kl = (before.exp() * (before - after)).sum(-1)
    return (kl * mask).sum() / mask.sum()
