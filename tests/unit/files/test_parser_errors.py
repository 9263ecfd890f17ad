"""What a parser refuses is said in a few lines."""

import pytest

from files.parser_errors import explained

CLASS = """Parser key "{key}":
  Does not validate against any of the Union subtypes
  Subtypes: [<class 'lightning_modules.base.PersonaModule'>, <class 'NoneType'>]
  Errors:
    - {found}
    - Expected a <class 'NoneType'>
  Given value type: <class 'dict'>
  Given value: {{'class_path': 'lightning_modules.mendd.MENDModule', 'init_args': {{'lm': 1}}}}"""
OF_CLASS = "Problem with given class_path '{}':\n        {}"
INSIDE = """Parser key "loss":
          Does not validate against any of the Union subtypes
          Subtypes: [<class 'files.errors.InputError'>, <class 'NoneType'>]
          Errors:
            - Problem with given class_path 'files.errors.InputError':
                Option 'problm' is not accepted
            - Expected a <class 'NoneType'>
          Given value type: <class 'dict'>
          Given value: {'problm': 1.0}"""
NO_FILE = "Parser key \"config\": File does not exist: '/a/no.yaml'"
LITERALS = """Parser key "trainer.precision":
  Does not validate against any of the Union subtypes
  Errors:
    - Expected a typing.Literal[64, 32]
    - Expected a typing.Literal['16-true', '64-true']
    - Expected a <class 'NoneType'>
  Given value type: <class 'str'>
  Given value: 17"""


@pytest.mark.parametrize(
    ("message", "parts"),
    [
        (
            CLASS.format(key="model", found=OF_CLASS.format("files.x.X", "module 'files' has no attribute 'erors'")),
            ("field 'model'", "there is no files.erors", "such as errors"),
        ),
        (
            CLASS.format(
                key="model", found=OF_CLASS.format("a.B", "module 'files.errors' has no attribute 'InputErr'")
            ),
            ("there is no files.errors.InputErr", "such as InputError"),
        ),
        (
            CLASS.format(key="model", found="Import path a.XModule does not correspond to a subclass of PersonaModule"),
            ("a.XModule is no PersonaModule", "nor the other way round"),
        ),
        (
            CLASS.format(key="model", found=OF_CLASS.format("a.B", INSIDE)),
            ("field 'model.loss.problm'", "is not known by files.errors.InputError", "such as problem"),
        ),
        (
            CLASS.format(key="model", found=OF_CLASS.format("a.B", "the following arguments are required: lm.name")),
            ("field 'model.lm.name'", "is missing"),
        ),
        (LITERALS, ("'trainer.precision'", "expected: one of 64, 32 or one of '16-true', '64-true'", "got: 17")),
        ("Parser key \"a\":\n  Expected a <class 'int'>. Got value: many", ("'a'", "a whole number", "got: many")),
        (NO_FILE, ("field 'config'", "no such file", "/a/no.yaml")),
        ("unrecognized arguments: --trainer.nonsense 17", ("field '--trainer.nonsense'", "is not known")),
        ("Unexpected config: ", ("'--config'", "holds no settings")),
        ("Subcommand 'fit' does not accept option 'trainr.x'", ("trainr.x", "is not known")),
        ("something else", ("something else",)),
    ],
)
def test_it_is_said_where_and_what(message, parts):
    said = str(explained(message, "python train.py fit --config FILE"))
    for part in (*parts, "next step: ", "python train.py fit --help"):
        assert part in said, said
    assert len(said) < 600 and "Namespace(" not in said and "NoneType" not in said
