"""Read model portfolio: what an account holds."""
