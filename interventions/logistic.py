"""Logistic regressions with an L2 penalty, many at once: every label set on every set of features, to a known accuracy.

Minimised is `|w|^2 / 2 + sum_i c_i log(1 + exp(-t_i (w x_i + b)))` with t = 1 or -1 and a free intercept b, which for
c_i = C is what scikit-learn's `LogisticRegression(C=C)` minimises.

Where label sets share their features, the costly part of a Newton step, the factorised Hessian, is shared as well: one
factor with a typical weight for all samples serves as preconditioner for all. With it, conjugate gradients in float32
come near the minimum, a Newton step or two with float64 gradients reach it, and what is still short of it (features of
very different scales, say) is finished by plain Newton steps in float64.

Inside, the intercept is the weight of a last feature that is always 1 and costs no penalty (F = D + 1 features), and a
margin is a decision value times t.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.linalg import vecdot

# Mean of p (1 - p) over the samples near a typical minimum; a good guess saves iterations, a bad one only costs some.
_TYPICAL_WEIGHT = 0.05
_FIRST_STEPS = 60
_FIRST_CHANGE = 1e-3
_POLISH_ROUNDS = 4
_POLISH_STEPS = 30
_POLISH_REDUCTION = 1e-2
_DENSE_STEPS = 200
_DENSE_AT_ONCE = 2**22
_TINY = 1e-30
_LARGEST_CURVATURE = 1e24


@dataclass
class _Problem:
    """S sets of features and P label sets, in one number format.

    Attributes:
        inputs: Features (S, N, F), each but the last around a mean of about 0.
        signs: 1 or -1 (P, N).
        costs: Weight of each sample's loss (P, N); 0 where it does not count.
        penalty: 1 for every feature but the last (F,).
        inverse: Preconditioner (S, F, F).
    """

    inputs: Tensor
    signs: Tensor
    costs: Tensor
    penalty: Tensor
    inverse: Tensor

    def double(self) -> _Problem:
        """The same in float64, but for the preconditioner, which needs no digits."""
        parts = (self.inputs, self.signs, self.costs, self.penalty)
        inputs, signs, costs, penalty = (part.double() for part in parts)
        return _Problem(inputs, signs, costs, penalty, self.inverse)

    def gradient(self, weights: Tensor, chances: Tensor) -> Tensor:
        """Gradient (S, P, F), given the chance that each sample is taken for the other kind (S, P, N)."""
        return torch.baddbmm(weights * self.penalty, self.costs * self.signs * chances, self.inputs, alpha=-1)

    def margins(self, weights: Tensor) -> Tensor:
        """Decision values times signs (S, P, N)."""
        return (weights @ self.inputs.mT) * self.signs


def fit_logistic(features: Tensor, signs: Tensor, costs: Tensor, tolerance: float) -> tuple[Tensor, Tensor]:
    """Fit all label sets on all sets of features.

    Args:
        features: (S, N, D) in float32, each with a mean of about 0 over the samples.
        signs: (P, N), 1 or -1.
        costs: (P, N) at least 0; every label set has both signs among the samples that cost something.
        tolerance: Largest error of a decision value on the samples, as estimated from the last step taken.

    Returns:
        Weights (S, P, D) and intercepts (S, P) in float64.

    Raises:
        ArithmeticError: A minimum was not found, or features are of absurd size or not finite.
    """
    basis = None
    if features.shape[2] > features.shape[1]:
        # The minimum lies in the span of the samples: as many coordinates as samples are enough, and keep all lengths.
        basis, triangle = torch.linalg.qr(features.mT.double())
        features = triangle.mT.float()
    fast = _problem(features, signs.float(), costs.float())
    exact = fast.double()
    found, done = _polish(exact, fast, _approach(fast), tolerance)
    if not bool(done.all()):
        _finish(exact, found, ~done, tolerance)
    weights = found[..., :-1]
    return weights if basis is None else weights @ basis.mT, found[..., -1]


def _problem(features: Tensor, signs: Tensor, costs: Tensor) -> _Problem:
    sets, samples, width = features.shape
    inputs = features.new_empty(sets, samples, width + 1)
    inputs[..., :-1] = features
    inputs[..., -1] = 1
    penalty = inputs.new_ones(width + 1)
    penalty[-1] = 0
    typical = float(costs.sum() / (costs > 0).sum().clamp(min=1)) * _TYPICAL_WEIGHT
    hessian = torch.baddbmm(penalty.diag().expand(sets, -1, -1), inputs.mT, inputs, alpha=typical)
    if not bool((hessian.diagonal(dim1=1, dim2=2) < _LARGEST_CURVATURE).all()):
        raise ArithmeticError("features are of absurd size or not finite")
    factor, failed = torch.linalg.cholesky_ex(hessian)
    inverse = torch.cholesky_inverse(factor)
    inverse[failed > 0] = torch.eye(width + 1, device=inputs.device)
    return _Problem(inputs, signs, costs, penalty, inverse)


def _approach(problem: _Problem) -> Tensor:
    """Weights (S, P, F) near the minimum: nonlinear conjugate gradients with a nearly exact line search."""
    shape = (len(problem.inputs), len(problem.signs))
    weights = problem.inputs.new_zeros(*shape, problem.inputs.shape[2])
    margins = problem.inputs.new_zeros(*shape, problem.inputs.shape[1])
    step, old, old_size = weights, weights, torch.full_like(weights[..., 0], torch.inf)
    for _ in range(_FIRST_STEPS):
        chances = torch.sigmoid(-margins)
        gradient = problem.gradient(weights, chances)
        solved = gradient @ problem.inverse
        size = vecdot(gradient, solved)
        # Polak and Ribiere's rule, beginning anew where it is negative.
        kept = ((size - vecdot(solved, old)) / old_size).clamp(min=0)
        step = torch.addcmul(-solved, step, kept.unsqueeze(-1))
        old, old_size = gradient, size.clamp(min=_TINY)
        ahead = problem.margins(step)
        length = _length(problem, weights, margins, step, ahead, chances, vecdot(gradient, step))
        change = ahead * length
        weights = torch.addcmul(weights, step, length)
        margins = margins + change
        if float(change.abs().max()) < _FIRST_CHANGE:
            break
    return weights


def _length(
    problem: _Problem, weights: Tensor, margins: Tensor, step: Tensor, ahead: Tensor, chances: Tensor, slope: Tensor
) -> Tensor:
    """How far along a step the objective is least (S, P, 1): two Newton steps in one dimension.

    Args:
        problem: The problem.
        weights: (S, P, F).
        margins: (S, P, N) of the weights.
        step: (S, P, F).
        ahead: (S, P, N) margins of the step.
        chances: (S, P, N) at the weights.
        slope: (S, P) of the objective along the step, at the weights.
    """
    square = vecdot(step * problem.penalty, step)
    pull = problem.costs * ahead
    curvature = square + vecdot(pull * chances * (1 - chances), ahead)
    length = (-slope / curvature.clamp(min=_TINY)).clamp(0, 10)
    chances = torch.sigmoid(-torch.addcmul(margins, ahead, length.unsqueeze(-1)))
    slope = vecdot(weights * problem.penalty, step) + length * square - vecdot(pull, chances)
    curvature = square + vecdot(pull * chances * (1 - chances), ahead)
    # A step that would lead uphill is not taken; from the same point the next one is then the gradient's.
    return (length - slope / curvature.clamp(min=_TINY)).clamp(0, 30).unsqueeze(-1)


def _polish(exact: _Problem, fast: _Problem, weights: Tensor, tolerance: float) -> tuple[Tensor, Tensor]:
    """Newton steps with float64 gradients, solved in float32; the weights, and which are within tolerance (S, P)."""
    weights = weights.double()
    done = torch.zeros(weights.shape[:2], dtype=torch.bool, device=weights.device)
    for _ in range(_POLISH_ROUNDS):
        chances = torch.sigmoid(-exact.margins(weights))
        gradient = exact.gradient(weights, chances)
        bends = (exact.costs * chances * (1 - chances)).float()
        step, ahead, unsolved = _newton_step(fast, gradient.float(), bends)
        weights = weights + step
        change = ahead.abs().amax(-1)
        # What is left after a Newton step: its square, and the part that was not solved for.
        left = change.square() + change * unsolved
        done = left.isfinite() & (left <= tolerance)
        if bool(done.all()):
            break
    return weights, done


def _newton_step(problem: _Problem, gradient: Tensor, bends: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Solve the Newton equation: the step (S, P, F), its decision values (S, P, N), the share left unsolved (S, P)."""
    left = -gradient
    step, ahead = torch.zeros_like(left), torch.zeros_like(bends)
    way = solved = left @ problem.inverse
    size = vecdot(left, solved)
    first = size.clamp(min=_TINY)
    for _ in range(_POLISH_STEPS):
        way_ahead = way @ problem.inputs.mT
        image = torch.baddbmm(way * problem.penalty, bends * way_ahead, problem.inputs)
        length = (size / vecdot(way, image).clamp(min=_TINY)).unsqueeze(-1)
        step = torch.addcmul(step, way, length)
        ahead = torch.addcmul(ahead, way_ahead, length)
        left = torch.addcmul(left, image, length, value=-1)
        solved = left @ problem.inverse
        new_size = vecdot(left, solved)
        kept = new_size / size.clamp(min=_TINY)
        size = new_size
        if bool((size <= _POLISH_REDUCTION**2 * first).all()):
            break
        way = torch.addcmul(solved, way, kept.unsqueeze(-1))
    return step, ahead, (size / first).clamp(min=0).sqrt()


def _finish(problem: _Problem, weights: Tensor, wanted: Tensor, tolerance: float) -> None:
    """Solve single problems by Newton steps with their own Hessians; writes their weights in."""
    count = max(1, _DENSE_AT_ONCE // problem.inputs[0].numel())
    for chosen in wanted.nonzero().split(count):
        features, people = chosen[:, 0], chosen[:, 1]
        weights[features, people] = _dense(
            problem.inputs[features], problem.signs[people], problem.costs[people], problem.penalty, tolerance
        )


def _dense(inputs: Tensor, signs: Tensor, costs: Tensor, penalty: Tensor, tolerance: float) -> Tensor:
    """Weights (n, F) of n problems with inputs (n, N, F) of their own."""
    weights = torch.zeros_like(inputs[:, 0])

    def margins(at: Tensor) -> Tensor:
        return (inputs @ at.unsqueeze(-1)).squeeze(-1) * signs

    def objective(at: Tensor) -> Tensor:
        losses = torch.nn.functional.softplus(-margins(at))
        return (penalty * at.square()).sum(-1) / 2 + (costs * losses).sum(-1)

    value = objective(weights)
    for _ in range(_DENSE_STEPS):
        chances = torch.sigmoid(-margins(weights))
        gradient = penalty * weights - ((costs * signs * chances).unsqueeze(1) @ inputs).squeeze(1)
        hessian = inputs.mT @ ((costs * chances * (1 - chances)).unsqueeze(-1) * inputs)
        # All samples far on their sides leave the intercept without curvature.
        hessian.diagonal(dim1=1, dim2=2).add_(penalty + 1e-10)
        step = -torch.linalg.solve(hessian, gradient.unsqueeze(-1)).squeeze(-1)
        change = margins(step).abs().amax(-1)
        if bool((change.square() <= tolerance).all()) and bool((change <= 1e-2).all()):
            return weights + step
        slope = vecdot(gradient, step)
        length = torch.ones_like(value)
        for _ in range(50):
            new = objective(weights + length.unsqueeze(-1) * step)
            short = new <= value + 1e-4 * length * slope + 1e-12 * value.abs()
            if bool(short.all()):
                break
            length = torch.where(short, length, length / 2)
        weights = weights + length.unsqueeze(-1) * step
        value = objective(weights)
    raise ArithmeticError("a logistic regression found no minimum")
