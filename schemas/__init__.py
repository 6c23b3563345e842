"""What is said: topics, envelope, money and the messages of every context."""
