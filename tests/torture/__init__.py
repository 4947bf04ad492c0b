"""An invariant checker in the manner of Jepsen's: faults from a seed, then every event is counted.

`python -m tests.torture` runs it. `points` says what is written and what must become of it, `feed`
writes it, `faults` kills workers and brokers meanwhile, `progress` watches the group's offsets,
`check` compares what was published with what the detector says offline, `run` puts them together.
"""
