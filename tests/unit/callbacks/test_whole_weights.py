"""What was trained in one plain file, read as any other checkpoint."""

import torch

from callbacks.whole_weights import WholeWeights
from lightning_modules.trained import read_checkpoint, rebuilt
from lm.loading import LMSpec
from tests.unit.lightning_modules.chats import run


def test_the_file_holds_the_trained_weights_and_rebuilds_the_module(tiny_lm_dir, tmp_path):
    module = run(tiny_lm_dir, tmp_path, WholeWeights())
    path = tmp_path / "checkpoints" / "weights.ckpt"
    assert read_checkpoint(path).keys() == {"state_dict", "global_step", "oceantune"}
    found = rebuilt(path, LMSpec(str(tiny_lm_dir))).state_dict()
    assert found.keys() == module.state_dict().keys()
    assert all(torch.equal(found[name], value) for name, value in module.state_dict().items())
