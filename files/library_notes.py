"""Notes that libraries print about themselves, kept from the terminal."""

from __future__ import annotations

import logging

# By logger: an advertisement for a service, and a default that each saved checkpoint would be accompanied by.
_NOTES = {
    "lightning.pytorch.utilities.rank_zero": "litlogger",
    "lightning.pytorch.trainer.connectors.checkpoint_connector": "`weights_only` was not set",
}


def leave_out_notes() -> None:
    """Keep these notes, and nothing else, from being printed."""
    for name, text in _NOTES.items():
        logging.getLogger(name).addFilter(_Without(text))


class _Without(logging.Filter):
    """Lets no message through that holds a text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def filter(self, record: logging.LogRecord) -> bool:
        return self.text not in record.getMessage()
