"""What a segment means: models, observations and fusion. Knows no broker, no store, no Celery."""
