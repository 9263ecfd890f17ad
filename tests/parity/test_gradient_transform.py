"""The gradient transform against recorded runs of the published one (golden case 5)."""

import torch
from torch import Tensor

from editors.transform import FactorRows, GradientTransform, kept_rows
from tests.parity.golden import Instance, assert_matches, load_case

VARIANTS = ("one_sided", "x_only", "delta_only")


def own_name(name: str, transform: GradientTransform) -> str:
    """Name of a weight here, for its name in the golden files: one network is `mlp` there, two are `mlp1`, `mlp2`."""
    network, _, rest = name.removesuffix(".weight").partition(".")
    own = list(transform.networks)
    return f"networks.{own[int(network.removeprefix('mlp') or 1) - 1]}.{rest}"


def build(instance: Instance) -> GradientTransform:
    """The transform an instance describes, with its initial weights."""
    transform = GradientTransform(
        instance["x_dim"],
        instance["delta_dim"],
        instance["n_modes"],
        rank=instance["rank"],
        n_hidden=instance["n_hidden"],
        combine=instance["combine"],
        **{name: bool(instance.get(name, False)) for name in VARIANTS},
    )
    initial = instance.tensors("state/").items()
    weights = {own_name(name, transform): value for name, value in initial if name.startswith("mlp")}
    missing, unexpected = transform.load_state_dict(weights, strict=False)
    assert not unexpected and all(name.startswith("moments.") for name in missing)
    return transform


def run(transform: GradientTransform, u: Tensor, v: Tensor, mode: int | None) -> tuple[Tensor, Tensor]:
    """One call on everything that is kept."""
    kept = kept_rows(u, v)
    return transform([FactorRows(u[kept], v[kept], mode)])[0]


def statistics(transform: GradientTransform) -> dict[str, Tensor]:
    """The running statistics under the golden names."""
    moments, widths = transform.moments, transform.widths
    parts = {"mean": moments.mean, "std": moments.std, "s": moments.spread}
    named = {}
    for name, value in parts.items():
        named[f"u_{name}"], named[f"v_{name}"] = value.split(widths)
    return named | {"k": moments.count}


def test_every_instance(golden_dir, subtests):
    case = load_case(golden_dir, "gradient_transform")
    for instance in case.instances:
        with subtests.test(instance.name):
            transform, t = build(instance).train(), instance.tensors()
            for call, mode in enumerate(instance["param_idx_train"], start=1):
                out_u, out_v = run(transform, t[f"u{call}"], t[f"v{call}"], mode)
                assert_matches({"u": out_u, "v": out_v}, instance.tensors(f"train{call}/out_"), case.tolerance)
                assert_matches(statistics(transform), instance.tensors(f"train{call}/stats/"), case.tolerance)
            # a variant leaves one of the factors as it is
            trained = [(out, c) for out, c in ((out_u, t["grad/cu"]), (out_v, t["grad/cv"])) if out.requires_grad]
            torch.autograd.backward(*zip(*trained, strict=True))
            got = {name: parameter.grad for name, parameter in transform.named_parameters()}
            recorded = instance.tensors("grad/").items()
            want = {own_name(n, transform): g for n, g in recorded if n.startswith("mlp")}
            assert_matches(got, want, case.tolerance, "gradient")
            transform.eval()
            last = len(instance["param_idx_train"])
            out_u, out_v = run(transform, t[f"u{last + 1}"], t[f"v{last + 1}"], instance["param_idx_eval"])
            assert_matches({"out_u": out_u, "out_v": out_v}, instance.tensors("eval/"), case.tolerance)
            assert_matches(statistics(transform), instance.tensors(f"train{last}/stats/"), case.tolerance)
