"""Two checkpoints of one slot held against each other: where they disagree, how scores moved, which is the better.

Pure figures over aligned scores. Where the scores come from, stored records or both models run side by side, is the
caller's business.
"""
