"""The loss of edited opinions and of the edit step against recorded runs of the published one (golden case 3)."""

from losses.edit import inner_edit_loss, personality_loss
from tests.parity.golden import assert_matches, load_case


def test_every_instance(golden_dir, subtests):
    case = load_case(golden_dir, "personality_loss")
    for instance in case.instances:
        t = instance.tensors()
        for key, expected in instance["expected"].items():
            with subtests.test(f"{instance.name}/{key}"):
                options = dict(option.rsplit("_", 1) for option in key.split("/") if option != "inner_edit")
                flags = {name: value == "true" for name, value in options.items()}
                if key.startswith("inner_edit"):
                    got = inner_edit_loss(t["logits"], t["labels"], **flags)
                else:
                    got = personality_loss(t["logits"], t["labels"], t["same_mask"], **flags)
                assert_matches(got._asdict(), expected, case.tolerance)
