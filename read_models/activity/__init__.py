"""Read model activity: the money movements and executions of an account."""
