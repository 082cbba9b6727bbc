"""Training of the risk head: what it learns from, how it is fitted, how it is judged. Run by hand, not by the pool."""
