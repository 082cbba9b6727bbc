"""The benchmark: a generated corpus, what else could examine it, and how the pool stands beside that."""
