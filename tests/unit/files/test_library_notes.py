"""Libraries' notes about themselves are left out, and what else they say is not."""

import logging

import pytest

from files.library_notes import leave_out_notes

LOGGERS = {
    "lightning.pytorch.utilities.rank_zero": "Tip: try installing [litlogger]",
    "lightning.pytorch.trainer.connectors.checkpoint_connector": "`weights_only` was not set, defaulting to `False`.",
}


@pytest.mark.parametrize("name", LOGGERS)
def test_notes_are_left_out_and_nothing_else(name, caplog, monkeypatch):
    leave_out_notes()
    logger = logging.getLogger(name)
    monkeypatch.setattr(logger, "handlers", [caplog.handler])
    monkeypatch.setattr(logger, "propagate", False)
    with caplog.at_level(logging.INFO, name):
        logger.info(LOGGERS[name])
        logger.info("Restored all states")
    assert caplog.messages == ["Restored all states"]
