"""Read model commands: what became of a client's command."""
