"""What the pool counts while it works, and how Prometheus reads it."""
