"""Detection over a whole series of one variable."""
