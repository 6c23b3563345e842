"""Deterministic simulation: a seeded scheduler, and an in-memory log that fails on purpose."""
