"""Which markets there are, what they ask of orders, and what they quote now."""
