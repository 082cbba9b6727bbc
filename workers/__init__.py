"""The pool: queues, engine, storage, the embedded stack and the command line."""
