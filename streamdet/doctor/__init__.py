"""`streamdet doctor`: looks at configuration, brokers, topics, group and points; changes nothing.

`examination` asks, the other modules judge: pure functions from what was told (`cluster`) or read
(`sample`) to findings.
"""

from streamdet.doctor.examination import Brokers, examine
from streamdet.doctor.finding import Check, Finding, Status

__all__ = ["Brokers", "Check", "Finding", "Status", "examine"]
