"""`streamdet state`: what lies in the state topic, looked at, taken out as a file, and deleted."""

from streamdet.state_topic.contents import Access
from streamdet.state_topic.export import export
from streamdet.state_topic.purge import Purge, purge
from streamdet.state_topic.selection import Selection, series_named
from streamdet.state_topic.series import document_of, find_series, lines_of
from streamdet.state_topic.summary import Summary, summarize

__all__ = [
    "Access",
    "Purge",
    "Selection",
    "Summary",
    "document_of",
    "export",
    "find_series",
    "lines_of",
    "purge",
    "series_named",
    "summarize",
]
