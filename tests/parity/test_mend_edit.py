"""Whole edits of a small model, their training losses and gradients, against recorded runs (golden case 5b)."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

from editors.diagnostics import compare_update
from editors.factors import Factors, edit_factors
from editors.halves import ModelHalves
from editors.hypernetwork import Hypernetwork, TransformOptions
from editors.outer import OuterOptions, outer_losses
from editors.records import EditBatch, EditRecord
from editors.selection import EditedWeights, select_weights
from editors.training import as_leaves, carried_back
from editors.transform import GradientTransform
from interventions.applied import applied
from interventions.weights import LowRankEdit
from lm.chat import TokenBatch
from lm.sites import sites_of
from losses.edit import drawdown_loss, personality_loss
from metrics.edit_success import edit_success
from tests.parity.golden import Case, Instance, assert_matches, load_case


class GoldenEditor:
    """The model and the hypernetwork that the set-up of the case describes, under the names of the golden files."""

    def __init__(self, case: Case, setup: Instance) -> None:
        self.model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(case.folder / setup["model_dir"]).eval()
        sites = sites_of(self.model)
        self.weights: EditedWeights = select_weights(sites, layers=[], weights=setup["inner_params"])
        self.halves = ModelHalves(self.model, [sites.block(k) for k in range(sites.num_layers)], self.weights.first)
        shared = all(fields["n_modes"] is not None for fields in setup["transforms"].values())
        self.hypernetwork = Hypernetwork(self.weights.shapes(), 0.0, TransformOptions(clip=None, shared=shared))
        self.options = OuterOptions(cedit=setup["cedit"], cloc=setup["cloc"], counted="all")
        tensors = setup.tensors()
        self.members: dict[str, str] = {}
        self.transform_names: dict[str, str] = {}
        for name, fields in setup["transforms"].items():
            own = {path: member for path in self.weights.modules for member in fields["members"] if is_in(member, path)}
            self.members |= own
            transform = GradientTransform(
                fields["x_dim"],
                fields["delta_dim"],
                fields["n_modes"],
                rank=fields["rank"],
                n_hidden=fields.get("n_hidden", 1),
            )
            with torch.no_grad():
                for parameter_name, parameter in transform.named_parameters():
                    parameter.copy_(tensors[f"transform/{name}/{golden_name(parameter_name, tensors, name)}"])
            self.transform_names[name] = next(n for n, of in self.hypernetwork.members.items() if set(of) == set(own))
            self.hypernetwork.transforms[self.transform_names[name]] = transform
        with torch.no_grad():
            self.hypernetwork.edit_lrs.copy_(tensors["edit_lrs"])

    def edit(self, batch: EditBatch) -> tuple[LowRankEdit, dict[str, Factors], Tensor]:
        factors, loss = edit_factors(self.halves, batch.edit, len(batch), self.weights.modules, "all")
        return self.hypernetwork(factors), factors, loss

    def statistics(self) -> dict[str, Tensor]:
        named: dict[str, Tensor] = {}
        for name, own in self.transform_names.items():
            transform: Any = self.hypernetwork.transforms[own]
            moments = transform.moments
            for quantity, value in (("mean", moments.mean), ("std", moments.std), ("s", moments.spread)):
                u, v = value.split(transform.widths)
                named |= {f"{name}/u_{quantity}": u, f"{name}/v_{quantity}": v}
            named[f"{name}/k"] = moments.count
        return named

    def gradients(self, like: dict[str, Tensor]) -> dict[str, Tensor | None]:
        named = {"edit_lrs": self.hypernetwork.edit_lrs.grad}
        for name, own in self.transform_names.items():
            for parameter_name, parameter in self.hypernetwork.transforms[own].named_parameters():
                named[f"{name}/{golden_name(parameter_name, like, name)}"] = parameter.grad
        return named


def is_in(member: str, path: str) -> bool:
    """Whether a golden name, such as that of a projection, is part of a module's path."""
    return f".{member.removesuffix('.weight')}." in f".{path}."


def golden_name(own: str, known: dict[str, Tensor], transform: str) -> str:
    """The golden name of a transform's weight; scales and shifts are called `.weight` there."""
    name = own.replace("networks.joined", "mlp")
    return name if any(key.endswith(f"{transform}/{name}") for key in known) else f"{name}.weight"


def tokens_of(t: dict[str, Tensor], part: str) -> TokenBatch:
    """One part of the batch; the golden labels are those that its mask gives."""
    ids, mask = t[f"{part}/input_ids"], t[f"{part}/attention_mask"]
    tokens = TokenBatch(ids, mask, t.get(f"{part}/q_mask", torch.zeros_like(mask)).bool())
    assert torch.equal(tokens.labels(), t[f"{part}/labels"])
    return tokens


def batch_of(t: dict[str, Tensor]) -> EditBatch:
    outer, locality, same = tokens_of(t, "outer"), tokens_of(t, "loc"), t["outer/same_mask"]
    first_outer, first_locality = torch.zeros(len(outer)).long(), torch.zeros(len(locality)).long()
    everything = torch.ones_like(same)
    return EditBatch(
        tokens_of(t, "edit"), outer, first_outer, same, everything, locality, first_locality, [EditRecord("", "")]
    )


def runs_of(case: Case) -> list[tuple[Instance, list[Instance]]]:
    """Each set-up with the edits that follow it."""
    runs: list[tuple[Instance, list[Instance]]] = []
    for instance in case.instances:
        if "model_dir" in instance:
            runs.append((instance, []))
        else:
            runs[-1][1].append(instance)
    assert all(edits for _, edits in runs)
    return runs


def test_every_edit(golden_dir: Path, subtests) -> None:
    case = load_case(golden_dir, "mend_edit")
    for setup, edits in runs_of(case):
        editor = GoldenEditor(case, setup)
        for instance in edits:
            with subtests.test(instance.name):
                check_edit(editor, instance, case.tolerance)


def check_edit(editor: GoldenEditor, instance: Instance, tolerance: dict[str, float]) -> None:
    t, expected = instance.tensors(), instance["expected"]
    editor.hypernetwork.train(instance["training"]).zero_grad()
    batch = batch_of(t)
    edit, factors, loss = editor.edit(batch)
    assert_matches(loss.squeeze(0), expected["inner_loss"], tolerance, "inner loss")
    check_factors(editor, edit, factors, t, tolerance)
    assert_matches(editor.statistics(), instance.tensors("stats_after/"), tolerance, "statistics")
    check_information(editor, edit, factors, expected["info"], tolerance)
    check_logits(editor, edit, batch, t, expected, tolerance)
    leaves = as_leaves(edit)
    losses = outer_losses(editor.halves, leaves, batch, editor.options, backward=True)
    got = {"edit": losses.edit.squeeze(0), "locality": losses.locality.squeeze(0), "total": losses.total}
    assert_matches(got, {part: expected[f"outer_{part}_loss"] for part in got}, tolerance, "outer loss")
    wanted = instance.tensors("outer_grad/")
    if wanted:
        carried_back(edit, leaves).backward()
        assert_matches(editor.gradients(wanted), wanted, tolerance, "outer gradient")


def check_factors(
    editor: GoldenEditor, edit: LowRankEdit, factors: dict[str, Factors], t: dict[str, Tensor], tolerance
) -> None:
    real = t["edit/attention_mask"].bool()
    for path, member in editor.members.items():
        shape = t[f"u/{member}"].shape[:2]
        assert_matches(factors[path].u.unflatten(1, shape)[0][real], t[f"u/{member}"][real], tolerance, f"u/{member}")
        assert_matches(factors[path].v.unflatten(1, shape)[0], t[f"v/{member}"], tolerance, f"v/{member}")
        change = edit.weights[path]
        got = {"factor_u": change.u[0], "factor_v": change.v[0], "delta": change.delta()}
        assert_matches(got, {name: t[f"{name}/{member}"] for name in got}, tolerance, member)


def check_information(
    editor: GoldenEditor, edit: LowRankEdit, factors: dict[str, Factors], expected, tolerance
) -> None:
    for index, (path, change) in enumerate(edit.weights.items()):
        result = compare_update(factors[path].u[0], factors[path].v[0], change.u[0], change.v[0])
        got = {f"grad/{name}{index}": value for name, value in result._asdict().items()}
        assert_matches(got, {name: expected[name] for name in got}, tolerance, "information")


def check_logits(
    editor: GoldenEditor, edit: LowRankEdit, batch: EditBatch, t: dict[str, Tensor], expected, tolerance
) -> None:
    model, real = editor.model, t["edit/attention_mask"].bool()
    inputs = {
        part: {name: t[f"{part}/{name}"] for name in ("input_ids", "attention_mask")}
        for part in ("edit", "outer", "loc")
    }
    with torch.no_grad():
        before = {part: model(**tensors).logits for part, tensors in inputs.items()}
        with applied(model, edit):
            after = {part: model(**tensors).logits for part, tensors in inputs.items()}
        plain = edit.materialize(model)(**inputs["edit"]).logits
    assert_matches(before["edit"][real], t["edit/logits_pre"][real], tolerance, "logits before")
    assert_matches(after["edit"][real], t["edit/logits_post"][real], tolerance, "logits after")
    assert_matches(plain[real], t["edit/logits_post"][real], tolerance, "logits of the plain edited model")
    labels, same = t["outer/labels"], t["outer/same_mask"]
    success = edit_success(before["outer"], after["outer"], labels, t["outer/q_mask"], same, variant="as_released")
    got = {name: value.squeeze(0) for name, value in success._asdict().items() if name in expected}
    assert got and set(got) >= {name for name in expected if name.startswith(("es", "z_", "mean_"))}
    assert_matches(got, {name: expected[name] for name in got}, tolerance, "edit success")
    losses = {
        "outer_edit_loss": personality_loss(after["outer"], labels, same).nll,
        "outer_locality_loss": drawdown_loss(before["loc"], after["loc"], t["loc/q_mask"]),
    }
    assert_matches(losses, {name: expected[name] for name in losses}, tolerance, "losses of whole batches")


def test_other_weights_have_no_gradient(golden_dir: Path) -> None:
    """Nothing is written into the model: neither values nor gradients."""
    case = load_case(golden_dir, "mend_edit")
    for setup, edits in runs_of(case):
        editor = GoldenEditor(case, setup)
        stored = AutoModelForCausalLM.from_pretrained(case.folder / setup["model_dir"]).state_dict()
        batch = batch_of(edits[0].tensors())
        edit, _, _ = editor.edit(batch)
        leaves = as_leaves(edit)
        outer_losses(editor.halves, leaves, batch, editor.options, backward=True)
        carried_back(edit, leaves).backward()
        for name, parameter in editor.model.named_parameters():
            assert parameter.grad is None, name
            assert torch.equal(parameter, stored[name]), name
