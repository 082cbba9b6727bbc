"""Runs beside the live one: deep reviews and bulk rescans, which share one way to plan, feed, pause and report."""
