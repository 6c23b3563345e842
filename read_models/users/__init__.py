"""Users: who exists, with what is personal as ciphertext only."""
