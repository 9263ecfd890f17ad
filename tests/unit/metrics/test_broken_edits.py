"""An edit that breaks the model counts as one that failed, not as one that could not be measured."""

from types import SimpleNamespace

import torch

from metrics.personality_edit import _preference_values

NAMES = ("es", "z_per", "z_topic", "mean_logp_same_post", "mean_logp_other_post")


def parts(value, empty):
    return SimpleNamespace(**dict.fromkeys(NAMES, torch.tensor([value])), empty=torch.tensor([empty]))


def test_what_is_not_a_number_is_no_success_and_what_is_empty_has_no_value():
    for value, empty, expected in ((float("nan"), False, 0.0), (0.7, False, 0.7), (float("nan"), True, None)):
        given = parts(value, empty)
        got = _preference_values(given, given, 0)["edit_success"]
        assert got is None if expected is None else abs(got - expected) < 1e-6
