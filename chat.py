"""A page in the browser to talk to a model and to personas of it, side by side: `python chat.py`."""

from __future__ import annotations

import sys

from files.errors import exit_on_input_error

OVERVIEW = """\
usage: python chat.py [--models '["A", "B"]'] [--methods '["FILE", ...]'] [--port N] [--KEY VALUE ...]

Serves a page on this machine, and to nobody else: the model as it is in one column, personas in the others, all asked
at once. Choose the model, the method and the personas, set the levels of your own persona with sliders, and watch a
classifier read traits off the answers. Nothing is sent anywhere; what is saved lies below --out.

options:
  --models '["A"]'    folders or names of models (default: the built-in model)
  --methods '["F"]'   settings files of evaluate.py (default: those of configs/eval/personality_bench)
  --classifier NAME   reads traits off answers (default: assets/tiny-classifier; "" shows no bars)
  --port 7860         where the page is served
  --out runs/chat     saved conversations
  --browser true      open a browser on it
  --help              this page; `python chat.py --options` lists every option with its meaning

Needs the extra demo: pip install "oceantune[demo]".

exit codes: 0 done, 2 something in the options is wrong (the message says what), 130 interrupted
"""


@exit_on_input_error()
def main(arguments: list[str]) -> None:
    """Answer a plain call for help at once; load the libraries for anything else."""
    if arguments in (["-h"], ["--help"]):
        sys.stdout.write(OVERVIEW)
        return
    from deployment.chat_command import run

    run(["--help"] if arguments == ["--options"] else arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
