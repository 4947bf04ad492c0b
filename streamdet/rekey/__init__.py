"""`streamdet rekey`: the records of a topic to another one, each under the key of its series.

For topics whose producers set no key, or another: there the points of a series lie spread over
partitions, and no worker sees all of them.
"""

from streamdet.rekey.copier import Copier, Plan, Tally
from streamdet.rekey.sample import Sample, take_sample

__all__ = ["Copier", "Plan", "Sample", "Tally", "take_sample"]
