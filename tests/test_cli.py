"""The command line: what each command calls, what it prints, and its exit code."""

import json
import logging
import subprocess
import sys

import pytest
from typer.testing import CliRunner

import streamdet
import streamdet.app
import streamdet.demo
from streamdet import cli
from streamdet.errors import ConfigError, FatalError, Fenced

HEAVY = ("numba", "numpy", "confluent_kafka", "pydantic", "yaml", "rich", "prometheus_client")


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch):
    """No variable of the machine comes in, no log handler goes out."""
    monkeypatch.delenv("STREAMDET_DEBUG", raising=False)
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers, root.level = before
    logging.getLogger("streamdet").setLevel(logging.NOTSET)


def streamdet_(*arguments):
    return CliRunner().invoke(cli.app, [str(each) for each in arguments], prog_name="streamdet")


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "streamdet.yaml"
    file.write_text("kafka: {group_id: from-file}\n")
    return file


def test_help_imports_nothing_heavy():
    program = (
        "import sys; sys.argv = ['streamdet', '--help']\n"
        "from streamdet.cli import main\n"
        "try: main()\n"
        f"finally: print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0
    assert "Usage: streamdet" in done.stdout
    assert done.stderr.strip() == "[]"


def test_the_module_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "streamdet", "--version"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, f"streamdet {streamdet.__version__}\n")


def test_a_command_that_does_not_exist_is_a_usage_error_with_a_suggestion():
    done = streamdet_("validat")
    assert done.exit_code == 2
    assert "Did you mean 'validate'" in done.stderr


class TestRun:
    def test_it_runs_the_worker_with_file_and_overrides(self, monkeypatch, file):
        seen = []
        monkeypatch.setattr(streamdet.app, "run", lambda config: seen.append(config) or 0)
        done = streamdet_("run", "-c", file, "--set", "detection.period=7")
        assert done.exit_code == 0
        assert seen[0].kafka.group_id == "from-file"
        assert seen[0].detection.period == 7

    def test_without_a_file_the_environment_is_enough(self, monkeypatch):
        seen = []
        monkeypatch.setenv("STREAMDET_KAFKA__GROUP_ID", "from-variable")
        monkeypatch.setattr(streamdet.app, "run", lambda config: seen.append(config) or 0)
        assert streamdet_("run").exit_code == 0
        assert seen[0].kafka.group_id == "from-variable"

    @pytest.mark.parametrize(
        ("error", "code", "said"),
        [
            (ConfigError("topic x is missing"), 2, "topic x is missing\n"),
            (FatalError("brokers away"), 1, "streamdet: brokers away\n"),
            (Fenced("replaced"), 1, "streamdet: replaced\n"),
            (KeyboardInterrupt(), 130, ""),
        ],
    )
    def test_an_error_is_one_message_and_an_exit_code(self, monkeypatch, error, code, said):
        def fail(config):
            raise error

        monkeypatch.setattr(streamdet.app, "run", fail)
        done = streamdet_("run")
        assert (done.exit_code, done.stderr, done.stdout) == (code, said, "")

    @pytest.mark.parametrize("variable", [None, "STREAMDET_DEBUG"])
    def test_debug_adds_the_traceback(self, monkeypatch, variable):
        def fail(config):
            raise FatalError("brokers away")

        monkeypatch.setattr(streamdet.app, "run", fail)
        if variable:
            monkeypatch.setenv(variable, "1")
        done = streamdet_("run") if variable else streamdet_("--debug", "run")
        assert done.exit_code == 1
        assert "Traceback" in done.stderr
        assert done.stderr.endswith("streamdet: brokers away\n")

    def test_a_defect_of_ours_says_so_in_one_line(self, monkeypatch, capsys):
        def fail(config):
            raise ZeroDivisionError("division by zero")

        monkeypatch.setattr(streamdet.app, "run", fail)
        monkeypatch.setattr(sys, "argv", ["streamdet", "run"])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("streamdet: internal error, please report it")
        assert line.endswith("ZeroDivisionError: division by zero")

    def test_an_error_cannot_write_to_the_terminal(self, monkeypatch):
        def fail(config):
            raise FatalError("topic \x1b[2J\r is bad\nsecond line")

        monkeypatch.setattr(streamdet.app, "run", fail)
        assert streamdet_("run").stderr == "streamdet: topic \\x1b[2J\\r is bad\nsecond line\n"

    def test_the_log_is_set_up_as_configured(self, monkeypatch):
        def speak(config):
            logging.getLogger("streamdet.test").debug("hello")
            return 0

        monkeypatch.setattr(streamdet.app, "run", speak)
        done = streamdet_("run", "--set", "logging.format=json", "--set", "logging.level=debug")
        assert json.loads(done.stderr)["message"] == "hello"


class TestValidate:
    def test_a_good_file_is_summed_up(self, file):
        done = streamdet_("validate", file)
        assert done.exit_code == 0
        assert done.stdout.startswith(f"{file}: valid\n")
        assert "group from-file" in done.stdout

    def test_every_problem_is_a_line_that_begins_with_the_place(self, tmp_path):
        file = tmp_path / "bad.yaml"
        file.write_text("delivery: twice\nmetrics: {prot: 1}\n")
        done = streamdet_("validate", file)
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr.splitlines() == [
            f"{file}:1: delivery: must be 'exactly_once' or 'at_least_once'",
            f"{file}:2: metrics.prot: unknown key; did you mean port?",
        ]


class TestConfig:
    def test_show_prints_what_a_worker_would_see_and_no_secret(self, monkeypatch, file):
        monkeypatch.setenv("STREAMDET_KAFKA__SASL_PASSWORD", "canary")
        done = streamdet_("config", "show", "-c", file, "--set", "commit_interval=0.5")
        assert done.exit_code == 0
        assert "group_id: from-file" in done.stdout
        assert "commit_interval: 500ms" in done.stdout
        assert "sasl_password: '**********'" in done.stdout
        assert "canary" not in done.output

    def test_schema_prints_a_json_schema(self):
        schema = json.loads(streamdet_("config", "schema").stdout)
        assert schema["properties"]["delivery"]["default"] == "exactly_once"


class TestTopics:
    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            ((), (4, -1, False)),
            (("--partitions", 12, "--replication", 3, "--dry-run"), (12, 3, True)),
        ],
    )
    def test_create_asks_for_the_topics_and_prints_a_line_about_each(
        self, monkeypatch, arguments, expected
    ):
        def create(config, partitions, replication, *, dry_run):
            assert (partitions, replication, dry_run) == expected
            return ["a: created", "b: exists"]

        monkeypatch.setattr(streamdet.app, "create_topics", create)
        done = streamdet_("topics", "create", *arguments)
        assert (done.exit_code, done.stdout) == (0, "a: created\nb: exists\n")

    def test_fewer_than_one_partition_is_a_usage_error(self):
        assert streamdet_("topics", "create", "--partitions", 0).exit_code == 2


class TestReplay:
    @pytest.fixture
    def points(self, tmp_path):
        file = tmp_path / "points.jsonl"
        file.write_text('{"metric": "a", "value": 1}\nx\n')
        return file

    def test_a_dry_run_needs_no_broker_and_bad_lines_exit_with_1(self, points):
        done = streamdet_("replay", points, "-t", "metrics", "--dry-run")
        assert done.exit_code == 1
        assert "would send 1 points of 1 series to metrics" in done.stdout
        assert "bad lines: 1" in done.stdout
        assert done.stderr.startswith(f"{points}:2: ")

    def test_many_bad_lines_are_counted_rather_than_all_printed(self, points):
        points.write_text("x\n" * 50)
        done = streamdet_("replay", points, "-t", "metrics", "--dry-run")
        assert len(done.stderr.splitlines()) == 21
        assert done.stderr.endswith("... and 30 more bad lines\n")

    def test_the_producer_is_closed_whatever_happens(self, monkeypatch, points):
        class Producer:
            closed = False

            def send(self, records):
                raise FatalError("refused")

            def close(self):
                self.closed = True

        producer, seen = Producer(), []
        monkeypatch.setattr(
            streamdet.app, "open_producer", lambda config: seen.append(config) or producer
        )
        done = streamdet_("replay", points, "-t", "metrics", "--bootstrap-servers", "b:1")
        assert (done.exit_code, producer.closed) == (1, True)
        assert done.stderr.endswith("streamdet: refused\n")
        assert seen[0].kafka.bootstrap_servers == "b:1"

    def test_a_map_of_no_field_is_a_usage_error(self, points):
        done = streamdet_("replay", points, "-t", "metrics", "--dry-run", "--map", "host=h")
        assert done.exit_code == 2
        assert done.stderr.startswith("--map host=h: must be one of")


def test_demo_passes_its_options_on(monkeypatch):
    seen = {}

    def run(series, seed, **options):
        seen.update(series=series, seed=seed, **options)
        return 3

    monkeypatch.setattr(streamdet.demo, "run", run)
    done = streamdet_("demo", "--series", 50, "--seed", 7, "--days", 5, "--plain")
    assert done.exit_code == 3
    assert seen == {"series": 50, "seed": 7, "days": 5.0, "plain": True}


def test_version_names_what_streamdet_stands_on():
    versions = json.loads(streamdet_("version", "--json").stdout)
    named = ("streamdet", "python", "librdkafka", "confluent-kafka", "numba", "numpy")
    assert set(versions) == set(named)
    text = streamdet_("version").stdout
    assert all(f"{name} " in text and versions[name] in text for name in named)
