"""The embedded broker and store of one machine."""
