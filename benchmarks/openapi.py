"""Whether `streamdet serve` keeps to its OpenAPI document, whatever it is sent (schemathesis).

python -m benchmarks.openapi [--cases N] [--operation ID]

N made-up cases an operation (all of them, or one), right and wrong ones. A failure is an answer of
5xx, or one that the document does not describe. Exit code 0: there was none.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.serve.served import KEY, Served

# No schema says that timestamps ascend, so what fits it may be refused all the same.
_LEFT_OUT = "positive_data_acceptance"
# 413 beside what schemathesis takes for a refusal: some wrong bodies are longer than is read.
_SETTINGS = """
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 413, 415, 422, 428, 429, "5xx"]
"""


def check(cases: int, operation: str | None) -> int:
    """Run all cases against a server of their own; return the exit code of schemathesis."""
    keys = {"STREAMDET_SERVE__KEYS": f"[{{name: check, key: {KEY}}}]"}
    program = Path(sys.executable).with_name("schemathesis")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "schemathesis.toml").write_text(_SETTINGS)
        settings = (f"serve.folder={folder}/kept", f"serve.data_folder={folder}")
        with Served(*settings, env=keys) as server:
            server.wait_for("ready after")
            command = [program, "run", f"{server.url}/openapi.json", "--no-color"]
            command += ["-H", f"Ocp-Apim-Subscription-Key: {KEY}"]
            command += ["--max-examples", str(cases), "--exclude-checks", _LEFT_OUT]
            command += ["--phases", "coverage,fuzzing", "--request-timeout", "60"]
            if operation is not None:
                command += ["--include-operation-id", operation]
            code = subprocess.run(command, check=False, cwd=folder).returncode
            broken = [line for line in server.log if " status=5" in line]
    print(f"answers of 5xx: {len(broken)}")
    return code or bool(broken)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--operation", metavar="ID", help="as in the document: add-point")
    given = parser.parse_args()
    sys.exit(check(given.cases, given.operation))
