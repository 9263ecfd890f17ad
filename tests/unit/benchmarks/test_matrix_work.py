"""Commands of the matrix: what they say when they fail, and that none is left behind."""

import time

import pytest

from benchmarks.matrix_work import Commands, Task, run_tasks
from files.errors import InputError


def test_a_command_that_ends_with_an_error_is_quoted(tmp_path):
    commands = Commands(jobs=1)
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nprint('some progress')\nsys.exit('error: a.json: is faulty\\n  next step: mend it')\n"
    )
    with pytest.raises(InputError, match="broke down.*mend it"):  # exit code 1: a fault of the program
        commands.run([str(script)], tmp_path / "log.txt")
    script.write_text(
        "import sys\nsys.stderr.write('error: a.json: is faulty\\n  next step: mend it\\n')\nsys.exit(2)\n"
    )
    with pytest.raises(InputError) as error:
        commands.run([str(script)], tmp_path / "log.txt")
    assert str(error.value) == "a.json: is faulty\n  next step: mend it"


def test_what_is_running_ends_with_the_matrix(tmp_path):
    commands = Commands(jobs=2)
    script = tmp_path / "script.py"
    script.write_text("import time\ntime.sleep(600)\n")

    def fail():
        while not (tmp_path / "log.txt").exists():
            time.sleep(0.01)
        raise RuntimeError("a fault")

    tasks = [
        Task("long", frozenset(), lambda: commands.run([str(script)], tmp_path / "log.txt") or []),
        Task("faulty", frozenset(), fail),
        Task("never", frozenset({"long"}), lambda: pytest.fail("begun after the end")),
    ]
    started = time.monotonic()
    with pytest.raises(RuntimeError, match="a fault"):
        run_tasks(tasks, 2, commands.stop)
    assert time.monotonic() - started < 60
