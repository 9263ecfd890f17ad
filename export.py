"""Write what was trained or learnt for other programs: `python export.py SOURCE --out FOLDER`."""

from __future__ import annotations

import sys

from files.errors import exit_on_input_error

OVERVIEW = """\
usage: python export.py SOURCE --out FOLDER [--form FORM] [--KEY VALUE ...]

Takes a persona out of this project: a folder that transformers, vLLM or llama.cpp can load, with a model card.

source:
  a checkpoint of train.py (.ckpt), a bundle (.safetensors), a settings file of evaluate.py (.yaml), or the folder of a
  run of either

options:
  --out FOLDER        where to; it must be empty or not there yet, and appears only when it is whole
  --form FORM         auto (default), or one of
                        weights         plain weights: edits by MEND, models trained by sft, dpo or ppo
                        adapter         a LoRA or other adapter of peft
                        bias            PAS as a bias of plain weights, where the architecture has one
                        bundle          a small file that SteeredModel puts on the base model (pas, repe, sae, npti)
                        control_vector  directions for llama.cpp (GGUF; repe, sae)
  --personas '["A"]'  names in a bundle, or levels of traits: extraversion+, trust-0.5, "openness=1, neuroticism=-1"
  --edits FILE        topics with opinions that a MEND checkpoint edits by;  --topics '["A", "B"]'  only these
  --results FILE      figures for the model card (default: results.json beside the source)
  --dtype float32     number format of whole weights
  --with_base true    put the base model beside a bundle
  --help              this page; `python export.py --options` lists every option with its meaning

examples:
  python export.py runs/quickstart/checkpoints/last.ckpt --edits assets/data/personality_edit/test.json \\
      --topics '["the Glubrel River"]' --out runs/export/mend
  python export.py configs/eval/personality_bench/repe.yaml --personas '["extraversion+", "neuroticism-"]' \\
      --out runs/export/repe
  python export.py runs/pas/bundles/plain/case-1000.safetensors --out runs/export/pas

exit codes: 0 done, 2 something in the options or the source is wrong (the message says what), 130 interrupted
"""


@exit_on_input_error()
def main(arguments: list[str]) -> None:
    """Answer a plain call for help at once; load the libraries for anything else."""
    if not arguments or arguments in (["-h"], ["--help"]):
        sys.stdout.write(OVERVIEW)
        return
    from deployment.export_command import run

    run(["--help"] if arguments == ["--options"] else arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
