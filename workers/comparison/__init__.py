"""Two checkpoints of a slot side by side: both run on the same items, or read off the shadows in stored records."""
