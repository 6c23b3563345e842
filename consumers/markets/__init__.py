"""markets decides what trades: one order book per symbol, with the house behind it."""
