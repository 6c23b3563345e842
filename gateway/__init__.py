"""Who may enter: the HTTP edge."""
