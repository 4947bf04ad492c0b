"""Which series are meant: by their text, or by a glob for their metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from streamdet.config import MatchConfig
from streamdet.errors import ConfigError
from streamdet.types import SeriesId


def series_named(text: str) -> SeriesId:
    """Return the series of a text as events and logs have it; its dimensions in any order.

    Raises
    ------
    ConfigError
        It is not of that form.
    """
    try:
        written = SeriesId.parse(text)
    except ValueError:
        written = SeriesId("")
    if not written.metric or str(written) != text:
        raise ConfigError(
            f'--series {text}: must be of the form name{{key="value",other="value"}}, without '
            "spaces, in single quotes for the shell"
        )
    return SeriesId.of(written.metric, dict(written.dimensions))


@dataclass(frozen=True, slots=True)
class Selection:
    """Series by name, or by a glob for the metric."""

    names: frozenset[str]
    match: MatchConfig | None = None

    @staticmethod
    def of(series: Sequence[str], metric: str | None) -> Selection:
        """Return what the options say.

        Raises
        ------
        ConfigError
            They say nothing, or nothing that can be.
        """
        if not series and not metric:
            raise ConfigError("nothing is chosen: name series with --series, or --metric NAME")
        names = frozenset(str(series_named(text)) for text in series)
        return Selection(names, MatchConfig(metric=metric) if metric else None)

    def takes(self, name: str) -> bool:
        """Return whether the series whose text is `name` is meant."""
        if name in self.names:
            return True
        return self.match is not None and self.match.fits(SeriesId.parse(name))
