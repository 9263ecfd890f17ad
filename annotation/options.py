"""The options that several commands share: whose files, and who writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from annotation.sources import CharacterFiles, read_characters
from annotation.steps import CACHE, StepFolder
from annotation.writers import ModelWriter, RuleWriter, Writer
from files.errors import InputError
from files.provenance import REPOSITORY
from llm.client import ChatClient
from llm.options import EndpointOptions

INVENTED = REPOSITORY / "assets" / "data" / "characters" / "characters.yaml"


@dataclass(frozen=True)
class SourceOptions:
    """Whom the data are about: a file that lists characters, one character, or by default the two invented ones.

    Args:
        characters: YAML file with a list of characters, each with name, knowledge, style, stage and when.
        name: The name of one character, instead of such a file.
        knowledge: File with what is known of the character, one paragraph a line.
        style: File with the character's own words, one paragraph a line.
        stage: Name of the stage of life that these files are about.
        when: The sentence that states the stage to the character.
    """

    characters: str | None = None
    name: str | None = None
    knowledge: str | None = None
    style: str | None = None
    stage: str | None = None
    when: str | None = None

    def read(self) -> list[CharacterFiles]:
        """The characters.

        Raises:
            InputError: The file is faulty, or one of name and knowledge is given alone.
        """
        if self.name is None and self.knowledge is None:
            return read_characters(self.characters or INVENTED)
        if self.characters is not None or not self.name or not self.knowledge:
            raise InputError(
                "names a character in part, or twice",
                field="--name and --knowledge" if self.characters is None else "--characters",
                expected="either --characters, or --name with --knowledge",
                got={"characters": self.characters, "name": self.name, "knowledge": self.knowledge},
            )
        return [CharacterFiles(self.name, self.knowledge, self.style, self.stage, self.when)]

    def one(self) -> CharacterFiles:
        """The one character; of a file with several, the one that name and stage choose.

        Raises:
            InputError: As in `read`, or several are left.
        """
        if self.name is not None and self.knowledge is None:
            found = [one for one in read_characters(self.characters or INVENTED) if one.name == self.name]
            found = [one for one in found if self.stage is None or one.stage == self.stage]
        else:
            found = self.read()
        if len(found) != 1:
            raise InputError(
                "does not choose one character",
                field="--name and --stage",
                expected="a name and a stage of the list",
                got=[one.slug for one in found] or self.name,
                fix='give both, such as --name "Tilda Marrow" --stage late, and --characters for another list',
            )
        return found[0]


@dataclass(frozen=True)
class WriterOptions(EndpointOptions):
    """Who writes: a chat model behind an OpenAI-compatible endpoint, or by default the built-in writer."""

    def model_writer(self, folder: StepFolder) -> ModelWriter | None:
        """The language model that writes; None where the built-in writer does.

        Raises:
            InputError: An option is wrong, or the key is missing.
        """
        if self.base_url is None:
            self._check_unused()
            return None
        return ModelWriter(ChatClient(self.client_settings(str(folder.file(CACHE)))))

    def writer(self, folder: StepFolder, characters: Sequence[CharacterFiles]) -> Writer:
        """Who writes about these characters.

        Raises:
            InputError: As in `model_writer`, or the built-in writer does not know one of them.
        """
        chosen = self.model_writer(folder)
        if chosen is not None:
            return chosen
        from organism.characters.writer import knows

        unknown = [one for one in characters if not knows(one.name, one.stage)]
        if unknown:
            raise InputError(
                "is nobody that the built-in writer knows",
                field="--base_url",
                expected="an endpoint with a chat model, for any other than the two invented characters",
                got=unknown[0].slug,
                fix="give --base_url and --model, such as those of `transformers serve`",
            )
        return RuleWriter()

    def _check_unused(self) -> None:
        """Refuse options of an endpoint without one: they would be passed over in silence."""
        defaults = WriterOptions()
        for name in ("model", "budget", "token_budget", "cache", "prompt_price", "completion_price"):
            if getattr(self, name) != getattr(defaults, name):
                raise InputError(
                    "belongs to an endpoint, and none is given",
                    field=f"--{name}",
                    expected="--base_url too",
                    got=getattr(self, name),
                    fix="give --base_url, or leave this out",
                )


def output_folder(out: str | Path) -> StepFolder:
    """The folder that a command writes to.

    Raises:
        InputError: It cannot be written to.
    """
    return StepFolder(out)
