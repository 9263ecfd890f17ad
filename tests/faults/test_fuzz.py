"""Every reader with files gone wrong: a clean error or a result, and never another exception, a hang or a huge memory.

`make faults` (`FAULTS=full`) gives each reader 10,000 files; the suite gives it 200.
"""

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from files.errors import InputError
from lightning_modules.trained import read_checkpoint
from personas.item_key import read_item_key
from tests.faults.hostile import hostile
from tests.faults.readers import READERS, outcome
from tests.faults.samples import ITEM_ROWS, checkpoint, items
from tests.faults.tally import FULL
from tests.faults.workbooks import declared_small, workbook

INPUTS = 10_000 if FULL else 200
FUZZED = settings(
    max_examples=INPUTS,
    deadline=None,
    derandomize=not FULL,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.timeout(7200 if FULL else 180)
def test_no_file_breaks_a_reader(name, tmp_path, tally):
    reader = READERS[name]
    file, sample = tmp_path / reader.name, reader.sample()
    file.write_bytes(sample)
    assert (outcome(reader, file) is None) == reader.whole
    tally.of(f"fuzzed {name}")

    @FUZZED
    @given(hostile(sample))
    def read(content):
        tally.put_in()
        file.write_bytes(content)
        outcome(reader, file)
        tally.stood()

    read()
    assert {path.name for path in tmp_path.iterdir()} <= {reader.name, "checkpoints", "c.yaml", "results.json"}


LONG = 10_000_000


# Those that all others are made of.
PLAIN = (
    "json",
    "json lines",
    "json stream",
    "csv",
    "lines of text",
    "records",
    "yaml",
    "journal",
    "six lines",
    "protocol",
)


@pytest.mark.parametrize("name", PLAIN)
def test_a_line_of_ten_megabytes(name, tmp_path):
    reader = READERS[name]
    file = tmp_path / reader.name
    begin = b'{"a": "' if reader.name.endswith(("json", "jsonl")) else b"a,b"
    file.write_bytes(begin + b"x" * LONG)
    outcome(reader, file)


def test_a_flipped_bit_of_a_checkpoint_is_found_or_does_no_harm(tmp_path, tally):
    tally.of("flipped bits")
    file = tmp_path / "last.ckpt"

    @settings(FUZZED, max_examples=min(INPUTS, 2000))
    @given(st.integers(0, len(checkpoint()) - 1), st.integers(0, 7))
    def flip(place, bit):
        tally.put_in()
        content = bytearray(checkpoint())
        content[place] ^= 1 << bit
        file.write_bytes(content)
        try:
            found = read_checkpoint(file)
        except InputError as error:
            assert str(file) in str(error)
        else:  # in padding and dates
            assert found["state_dict"]["weight"].tolist() == list(range(64)) and found["global_step"] == 3
        tally.stood()

    flip()


BOMBS = {
    "a part of zeros": lambda: workbook(ITEM_ROWS, beside=b"\0" * (70 << 20)),
    "a part that declares one byte": lambda: declared_small(
        workbook(ITEM_ROWS, beside=b"\0" * (70 << 20)), b"xl/media/picture.bin"
    ),
    "a cell far away": lambda: workbook(ITEM_ROWS, more=b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'),
    "a cell split by the buffer": lambda: workbook(
        ITEM_ROWS, more=b"<!--%s-->" % (b"x" * 64_000) + b'<row r="900000"><c   r = "ZZZ900000"><v>1</v></c></row>'
    ),
    "many rows": lambda: workbook(ITEM_ROWS, more=b'<row r="4294967295"><c><v>1</v></c></row>'),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_workbook_that_would_burst_is_refused(name, tmp_path):
    file = tmp_path / "key.xlsx"
    file.write_bytes(BOMBS[name]())
    with pytest.raises(InputError, match="far too much memory"):
        read_item_key(file)


def test_a_whole_workbook_is_read_as_its_table_is(tmp_path):
    file = tmp_path / "key.xlsx"
    file.write_bytes(workbook(ITEM_ROWS))
    assert read_item_key(file) == items()
