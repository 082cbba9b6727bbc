"""Which checkpoint fills which slot: one object in the store, moved step by step."""
