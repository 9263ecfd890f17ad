"""Build the training data of a character: `python annotate.py COMMAND [--KEY VALUE ...]`."""

from __future__ import annotations

import sys

from files.errors import exit_on_input_error

OVERVIEW = """\
usage: python annotate.py COMMAND [--KEY VALUE ...]

From text about a character to data that a model is trained on to speak as that character. Every command reads and
writes one folder (--out, by default runs/annotation), so that each can be repeated by itself.

commands, in the order of use:
  quickstart          all of it for the two invented characters, offline, in a minute
  retrieve            read the characters' files into passages to search
  ask                 have questions written: ordinary ones, ones with a false premise, opinions
  answer              have them answered as the character (--analysed true: after an analysis; --review true: show me)
  deduplicate         leave out questions that say the same, split the rest 80/20
  prefer              make preference pairs without a judge
  prompt              have further questions written, without answers, for training on rewards (PPO)
  mix                 the training file: the character's conversations several times over, among general ones
further commands:
  chat                talk to a character
  stylise             have given instructions answered in a character's manner
  personality         descriptions of people from their questionnaire answers (PAPI's personality prompts)
  backgrounds         stories of people from a list of attributes
  export, import      the original record files of six lines each

whose data:
  --characters FILE   a YAML list of name, knowledge, style, stage, when (default: the two invented characters)
  --name NAME --knowledge FILE --style FILE [--stage STAGE --when SENTENCE]
                      one character instead; the files hold a paragraph a line
who writes:
  --base_url URL --model NAME
                      a chat model behind any OpenAI-compatible endpoint (default: the built-in writer of the invented
                      characters, without key or network); the key is taken from the environment (--key_variable)
  --budget, --token_budget, --concurrency, --requests_per_minute, --timeout, --retries
  --help              this page; `python annotate.py COMMAND --help` explains every option of a command

Answers are kept as they arrive: a command that was stopped goes on where it was when it is given again.

examples:
  python annotate.py quickstart
  python annotate.py ask --base_url http://127.0.0.1:8000/v1 --model assets/tiny-ocean --ordinary 2
  python annotate.py chat --name "Tilda Marrow" --stage late

exit codes: 0 done, 2 something in the options or the data is wrong (the message says what), 130 interrupted
"""


@exit_on_input_error()
def main(arguments: list[str]) -> None:
    """Answer a plain call for help at once; load the libraries for anything else."""
    if not arguments or arguments in (["-h"], ["--help"]):
        sys.stdout.write(OVERVIEW)
        return
    from annotate_cli import run

    run(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
