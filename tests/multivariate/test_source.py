"""What a `dataSource` may name, and what is read from it."""

import zipfile

import pytest

from streamdet.errors import RequestError
from streamdet.multivariate import source
from streamdet.multivariate.source import MULTI_TABLE, ONE_TABLE, Sources, without_secrets

ONE = "timestamp,a,b\n1970-01-01T00:00:00Z,1,2\n\n1970-01-01T00:00:01Z,,4\n"
EACH = "timestamp,value\n1970-01-01T00:00:00Z,{}\n"
ALWAYS = (-(2**62), 2**62)


@pytest.fixture
def folder(tmp_path):
    data = tmp_path / "data"
    (data / "plant").mkdir(parents=True)
    (data / "one.csv").write_text(ONE)
    (data / "plant" / "a.csv").write_text(EACH.format(1))
    (data / "plant" / "b.csv").write_text(EACH.format(2))
    (data / "plant" / "README.txt").write_text("not a variable")
    with zipfile.ZipFile(data / "plant.zip", "w") as archive:
        archive.write(data / "plant" / "a.csv", "a.csv")
        archive.write(data / "plant" / "b.csv", "b.csv")
        archive.write(data / "plant" / "b.csv", "inside/c.csv")
    (tmp_path / "secret.csv").write_text(ONE)
    return data


def read(folder, name, schema=ONE_TABLE, within=ALWAYS, read_topic=None):
    columns = Sources(folder, read_topic).read(name, schema, *within)
    return {each.variable: (each.time_us.tolist(), each.value.tolist()) for each in columns}


def refusal(folder, name, schema=ONE_TABLE, read_topic=None):
    with pytest.raises(RequestError) as caught:
        read(folder, name, schema, read_topic=read_topic)
    return caught.value


@pytest.mark.parametrize(
    "name",
    ["one.csv", "./one.csv", "plant/../one.csv", "https://account.blob.host/one.csv?sig=abc"],
)
def test_one_table_has_a_column_a_variable(folder, name):
    found = read(folder, name)
    assert found["b"] == ([0, 1_000_000], [2.0, 4.0])
    assert found["a"][1][0] == 1.0
    assert str(found["a"][1][1]) == "nan"


def test_a_file_may_be_named_by_its_whole_path(folder):
    assert set(read(folder, str(folder / "one.csv"))) == {"a", "b"}
    assert set(read(folder, f"file://{folder}/one.csv")) == {"a", "b"}


@pytest.mark.parametrize("name", ["plant", "plant.zip"])
def test_many_tables_have_a_file_a_variable(folder, name):
    assert read(folder, name, MULTI_TABLE) == {"a": ([0], [1.0]), "b": ([0], [2.0])}


def test_only_points_from_start_to_end_are_read(folder):
    assert read(folder, "one.csv", within=(1_000_000, 1_000_000))["b"] == ([1_000_000], [4.0])
    assert read(folder, "one.csv", within=(5, 6))["b"] == ([], [])


@pytest.mark.parametrize(
    "name",
    [
        "../secret.csv", "plant/../../secret.csv", "/etc/passwd", "file:///etc/passwd", "link.csv",
        "linked/secret.csv", "https://host/..%2fsecret.csv", "https://host/", "http://[",
        "none.csv", "a\0b", "x" * 2000, "~/secret.csv",
    ],
)  # fmt: skip
def test_nothing_outside_of_the_folder_exists(folder, name):
    (folder / "link.csv").symlink_to(folder.parent / "secret.csv")
    (folder / "linked").symlink_to(folder.parent)
    assert refusal(folder, name).code == "FileNotExist"


def test_a_link_out_of_the_folder_is_no_variable(folder):
    (folder / "plant" / "secret.csv").symlink_to(folder.parent / "secret.csv")
    assert set(read(folder, "plant", MULTI_TABLE)) == {"a", "b"}


def test_without_a_folder_no_file_exists(folder):
    assert refusal(None, str(folder / "one.csv")).code == "FileNotExist"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "FileColumnsNotExist"),
        ("time,a\n", "FileColumnsNotExist"),
        ("timestamp\n1970-01-01,1\n", "NoVariablesFound"),
        ("timestamp,a,a\n", "DuplicatedVariables"),
        ("timestamp,a\n1970-01-01,high\n", "VariableParseError"),
        ("timestamp,a\nyesterday,1\n", "InvalidTimestampFormat"),
        ("timestamp," + ",".join(f"v{j}" for j in range(302)), "DataExceedsLimit"),
        ("timestamp,a\n1970-01-01," + "1" * 200_000, "ReadingFileError"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_by_its_code(folder, text, code):
    (folder / "bad.csv").write_text(text)
    assert refusal(folder, "bad.csv").code == code


def test_a_refusal_names_the_variable_the_row_and_the_file(folder):
    (folder / "bad.csv").write_text("timestamp,heat\n1970-01-01T00:00:09Z,high\n")
    message = refusal(folder, "bad.csv").message
    assert all(part in message for part in ("heat", "high", "1970-01-01T00:00:09Z", "bad.csv"))


@pytest.mark.parametrize("content", [b"PK no zip", b"", b"timestamp,a\n\xff\xfe,1\n"])
def test_files_that_cannot_be_read_are_refused(folder, content):
    (folder / "bad.zip").write_bytes(content)
    (folder / "bad.csv").write_bytes(b"\xff\xfe" + content)
    assert refusal(folder, "bad.zip", MULTI_TABLE).code == "ReadingFileError"
    assert refusal(folder, "bad.csv").code == "ReadingFileError"


def test_a_zip_with_a_damaged_file_is_refused(folder):
    content = bytearray((folder / "plant.zip").read_bytes())
    content[40] ^= 0xFF
    (folder / "plant.zip").write_bytes(content)
    assert refusal(folder, "plant.zip", MULTI_TABLE).code == "ReadingFileError"


def test_tables_of_the_other_schema_are_no_variables(folder):
    assert refusal(folder, "one.csv", MULTI_TABLE).code == "NoVariablesFound"
    assert refusal(folder, "plant").code == "NoVariablesFound"


def test_a_file_over_the_limit_is_refused_unread(folder, monkeypatch):
    monkeypatch.setattr(source, "FILE_SIZE_BYTES", 10)
    assert refusal(folder, "one.csv").code == "FileSizeTooLarge"
    assert refusal(folder, "plant.zip", MULTI_TABLE).code == "FileSizeTooLarge"


def test_rows_over_the_limit_are_refused(folder, monkeypatch):
    monkeypatch.setattr(source, "TRAINING_MAX", 1)
    assert refusal(folder, "one.csv").code == "TooManyData"
    rows = [("s", 0, 1.0), ("s", 1, 1.0)]
    assert refusal(folder, "topic:points", read_topic=lambda *_: rows).code == "TooManyData"


def test_a_topics_series_are_its_variables(folder):
    asked = []

    def read_topic(topic, start_us, end_us):
        asked.append((topic, start_us, end_us))
        return [("b", 7, 1.0), ("a", 5, 2.0), ("b", 6, 3.0), ("a", 99, 9.0)]

    found = read(folder, "topic:points", within=(5, 50), read_topic=read_topic)
    assert found == {"a": ([5], [2.0]), "b": ([7, 6], [1.0, 3.0])}
    assert asked == [("points", 5, 50)]


def test_a_topic_is_refused_where_none_is_read_or_it_has_too_many_series(folder):
    assert refusal(folder, "topic:points").code == "MergeDataFailed"
    rows = [(f"s{j}", 0, 1.0) for j in range(302)]
    assert refusal(folder, "topic:points", read_topic=lambda *_: rows).code == "DataExceedsLimit"


@pytest.mark.parametrize(
    "text", ["https://user:word@host:81/a/b.csv?sig=s3cret#x", "https://user:word@[bad/b.csv?sig=s3cret"]
)  # fmt: skip
def test_no_signature_or_password_of_a_source_is_kept(text):
    kept = without_secrets(text)
    assert "s3cret" not in kept
    assert "word" not in kept
    assert "b.csv" in kept
