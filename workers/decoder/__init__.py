"""Decoding what strangers sent, in a helper process that may crash, hang and starve by itself."""
