"""What TensorBoard shows of a report: its pictures, and the table of hyperparameters with the figures of every run."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from metrics.result_rows import ResultRow
from report.boards import Board
from report.contents import Contents
from report.provenance import short
from report.writing import file_name, report_figures

LOGS = Path("tensorboard", "report")


def write_tensorboard(it: Contents, folder: str | Path) -> Path:
    """Write a report's pictures and its runs, each with what it was run with and what came out, for TensorBoard.

    Args:
        it: What to show.
        folder: Where to; an earlier `tensorboard/report` in it is replaced.

    Returns:
        The folder of the logs.
    """
    from torch.utils.tensorboard import SummaryWriter  # seconds of imports, which only the end of a comparison needs

    logs = Path(folder) / LOGS
    shutil.rmtree(logs, ignore_errors=True)
    with SummaryWriter(str(logs)) as writer:
        for name, figure in report_figures(it):
            writer.add_figure(f"report/{name}", figure, close=False)
        for board in it.boards:
            for method, figures in board.methods.items():
                known = run_figures(figures)
                if known:
                    name = file_name(board.benchmark, method, board.model)
                    writer.add_hparams(hyperparameters(board, method), known, run_name=name)
    return logs


def hyperparameters(board: Board, method: str) -> dict[str, str | int]:
    """What a run was made with, as TensorBoard's table shows it.

    Args:
        board: Its benchmark and model.
        method: Its method.

    Returns:
        Names and values.
    """
    rows = list(board.methods[method].values())
    seeds = board.seeds[method]
    return {
        "benchmark": board.benchmark,
        "method": method,
        "model": board.model,
        "seed": seeds[0] if len(seeds) == 1 else ", ".join(map(str, seeds)),
        "commit": short(rows[0].raw.get("commit")),
        "data": short(rows[0].raw.get("data_hash")),
    }


def run_figures(figures: Mapping[str, ResultRow]) -> dict[str, float]:
    """A run's plain figures that have a value, by the names under which TensorBoard shows them."""
    return {f"figures/{name}": row.value for name, row in figures.items() if row.value is not None}
