"""The state of a partition: from a series' key to its slot, rows and rings, within bounds."""
