"""Read model orders: the orders of an account."""
