"""The locality loss against recorded runs of the published one (golden case 2)."""

from losses.edit import drawdown_loss
from tests.parity.golden import assert_matches, load_case


def test_every_instance(golden_dir, subtests):
    case = load_case(golden_dir, "drawdown")
    for instance in case.instances:
        with subtests.test(instance.name):
            t = instance.tensors()
            got = drawdown_loss(t["logits_pre"], t["logits_post"], t["mask"])
            assert_matches(got, instance["expected"]["value"], case.tolerance)
