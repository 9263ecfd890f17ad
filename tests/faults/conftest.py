"""Counts the faults of these tests (see `tests/faults/tally.py`)."""

from __future__ import annotations

import pytest

from tests.faults.tally import FULL, Report, counted, tally

__all__ = ["tally"]

_report = Report()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if call.when == "call" or (call.when == "setup" and report.outcome != "passed"):
        counted(_report, item, report.outcome, writing=FULL)
    return report
