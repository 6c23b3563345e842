"""A second exchange, too simple to be wrong: what each inbox record must lead to."""
