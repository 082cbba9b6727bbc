"""The process that owns the models of one device."""
