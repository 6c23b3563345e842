"""Identity decides usernames, emails, profiles, sign-in attempts and sessions."""
