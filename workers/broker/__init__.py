"""What the pool says to its broker, of whichever kind: Valkey and Redis, or RabbitMQ."""
