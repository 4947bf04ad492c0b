"""Coverage-guided fuzzing of the compiled parser: ``python -m tests.fuzz --minutes 15``."""
