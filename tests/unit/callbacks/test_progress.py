"""The progress bar names the end that a training has."""

import pytest
from lightning.pytorch import Trainer

from callbacks.progress import TrainingProgressBar

ENDS = [({"max_epochs": 3}, "Epoch 0/2"), ({"max_steps": 20}, "Epoch 0"), ({"max_epochs": -1}, "Epoch 0")]


@pytest.mark.parametrize(("settings", "said"), ENDS)
def test_the_last_epoch_is_named_where_there_is_one(settings, said):
    bar = TrainingProgressBar()
    bar.setup(Trainer(logger=False, enable_checkpointing=False, callbacks=[bar], **settings), None, "fit")
    assert bar._get_train_description(0).strip() == said
