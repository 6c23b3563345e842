"""The whole system in memory under a seeded scheduler, and what must hold of each history."""
