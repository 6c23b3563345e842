"""Auth checks secrets for the gateways: registrations, passwords, tokens."""
