"""`streamdet dlq`: what lies in the dead-letter topic, and sending it in again.

Late records have a dead letter's headers, so all of it works on their topic too.
"""

from streamdet.dlq.letter import Letter, Selection
from streamdet.dlq.listing import Listing, take_listing
from streamdet.dlq.replay import Plan, Replayer, Stream, Tally, take_stock
from streamdet.dlq.show import lines_of

__all__ = [
    "Letter",
    "Listing",
    "Plan",
    "Replayer",
    "Selection",
    "Stream",
    "Tally",
    "lines_of",
    "take_listing",
    "take_stock",
]
