"""Compiled loops over arrays: numpy and numba, nothing else."""
