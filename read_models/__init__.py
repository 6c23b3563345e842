"""What is asked: tables folded from the journals."""
