"""What a configuration that cannot be used is told."""

import pytest

from streamdet.config import load
from streamdet.errors import ConfigError

CANARY = "canary-7Zq!"
"""A value that no message may quote."""


def problems(file=None, *overrides):
    """Return the lines of the refusal, without the folder."""
    with pytest.raises(ConfigError) as refused:
        load(file, overrides)
    folder = f"{file.parent}/" if file else ""
    return str(refused.value).replace(folder, "").splitlines()
