"""What every section of the configuration shares."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from pydantic import BaseModel, ConfigDict, field_validator

Place = tuple[str | int, ...]
Problems = Iterator[tuple[Place, str]]
"""Places, as keys and indices from the top of the section, and what is wrong there."""


class Section(BaseModel):
    """A section of the configuration."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,  # an input may be a secret in the wrong place
        ignored_types=(cached_property,),
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_booleans(cls, value: object) -> object:
        if isinstance(value, bool):
            # ValueError is what pydantic reports.
            raise ValueError(  # noqa: TRY004
                "must not be a boolean; text such as yes, no, on or off needs quotes"
            )
        return value
