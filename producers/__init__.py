"""Who reports: the command publisher, market feeds and the clock."""
