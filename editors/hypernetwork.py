"""The trained part of MEND: transforms shared by weights of one shape, and a learning rate for each weight's edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from editors.factors import Factors
from editors.transform import FactorRows, GradientTransform, kept_rows
from files.errors import InputError, check_at_least
from interventions.weights import LowRank, LowRankEdit

_OPTIONS = "model.init_args.transform"


@dataclass
class TransformOptions:
    """Form of the gradient transforms.

    Attributes:
        rank: Rank of their matrices, capped at their width.
        n_hidden: Hidden layers; each transform has one layer more.
        combine: One network on both factors together. Set it false for one network each, or for a variant.
        one_sided: Transform only the narrower factor (with combine false).
        x_only: Transform only the inputs (with combine false).
        delta_only: Transform only the gradients (with combine false).
        shared: Weights of one shape share a transform.
        clip: Bound on normalised factors, against topics that the model cannot name; null switches it off.
    """

    rank: int = 1920
    n_hidden: int = 1
    combine: bool = True
    one_sided: bool = False
    x_only: bool = False
    delta_only: bool = False
    shared: bool = True
    clip: float | None = 5.0

    def __post_init__(self) -> None:
        chosen = [name for name in ("combine", "one_sided", "x_only", "delta_only") if getattr(self, name)]
        if len(chosen) > 1:
            raise InputError(
                "the transform takes one form only",
                field=f"{_OPTIONS}.{chosen[-1]}",
                expected="at most one of combine, one_sided, x_only and delta_only",
                got=chosen,
                fix="set combine to false beside a variant, or leave the variant out",
            )
        check_at_least(f"{_OPTIONS}.rank", self.rank, 1)
        check_at_least(f"{_OPTIONS}.n_hidden", self.n_hidden, 0)
        if self.clip is not None and not self.clip > 0:
            raise InputError(
                "leaves nothing of the factors",
                field=f"{_OPTIONS}.clip",
                expected="a number above 0, or null for no bound",
                got=self.clip,
                fix="correct the option",
            )


class Hypernetwork(nn.Module):
    """Makes edits from the gradients of many weights.

    Args:
        shapes: (in, out) of every edited weight, by path; a transform's modes are numbered in this order.
        edit_lr: Learning rate every weight's edit starts with. The edit is added, so a negative one follows the
            gradient downhill while the transforms are still the identity.
        options: Form of the transforms.
    """

    def __init__(
        self, shapes: Mapping[str, tuple[int, int]], edit_lr: float, options: TransformOptions | None = None
    ) -> None:
        super().__init__()
        options = options or TransformOptions()
        self.shapes = dict(shapes)
        self.edit_lrs = nn.Parameter(torch.full((len(shapes),), edit_lr))
        self.members: dict[str, list[str]] = {}
        for path, (x_dim, delta_dim) in self.shapes.items():
            name = f"{x_dim}to{delta_dim}" if options.shared else path.replace(".", "_")
            self.members.setdefault(name, []).append(path)
        self.transforms = nn.ModuleDict(
            {
                name: GradientTransform(
                    *self.shapes[paths[0]],
                    len(paths) if options.shared else None,
                    rank=options.rank,
                    n_hidden=options.n_hidden,
                    combine=options.combine,
                    one_sided=options.one_sided,
                    x_only=options.x_only,
                    delta_only=options.delta_only,
                    clip=options.clip,
                )
                for name, paths in self.members.items()
            }
        )
        self.has_modes = options.shared

    def forward(self, factors: Mapping[str, Factors]) -> LowRankEdit:
        """The edits that follow from the gradients: E of them, with gradients to this network.

        All weights of one shape go through their transform in one product. In training their rows enter the running
        statistics weight by weight, those of all edits together.

        Args:
            factors: Factors of every edited weight, by path.

        Raises:
            UntrainedError: If the statistics hold fewer than two rows: the network was never trained.
        """
        made: dict[str, tuple[Tensor, Tensor]] = {}
        # In full precision whatever the Trainer's: in half of it the normalised factors would lose their small parts.
        with torch.autocast(self.edit_lrs.device.type, enabled=False):
            self._make(factors, made)
        scales = self.edit_lrs.unbind()
        return LowRankEdit({path: LowRank(*made[path], scale) for path, scale in zip(self.shapes, scales, strict=True)})

    def _make(self, factors: Mapping[str, Factors], made: dict[str, tuple[Tensor, Tensor]]) -> None:
        """Put the new factors of every weight into `made`."""
        for name, paths in self.members.items():
            kept = [kept_rows(factors[path].u, factors[path].v) for path in paths]
            parts = [
                FactorRows(factors[path].u[chosen], factors[path].v[chosen], mode if self.has_modes else None)
                for mode, (path, chosen) in enumerate(zip(paths, kept, strict=True))
            ]
            for path, chosen, (u, v) in zip(paths, kept, self.transforms[name](parts), strict=True):
                made[path] = padded(u, chosen), padded(v, chosen)


def padded(rows: Tensor, kept: Tensor) -> Tensor:
    """Rows of several edits, one after the other, as one tensor with an edit per entry.

    Args:
        rows: (M, d) the kept rows of the first edit, then of the second, and so on.
        kept: (E, T) which tokens they come from.

    Returns:
        (E, K, d), K the largest number of rows of an edit; an edit with fewer ends in zeros.

    Example:
        >>> padded(torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[True, False, True], [False, True, False]]))
        tensor([[[1.],
                 [2.]],
        <BLANKLINE>
                [[3.],
                 [0.]]])
    """
    edits = len(kept)
    if edits == 1:
        return rows[None]
    longest = int(kept.sum(1).max())
    place = kept.cumsum(1) - 1 + longest * torch.arange(edits, device=kept.device)[:, None]
    return rows.new_zeros(edits * longest, rows.shape[1]).index_copy(0, place[kept], rows).view(edits, longest, -1)
