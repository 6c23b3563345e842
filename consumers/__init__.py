"""Who decides: identity, accounts, markets, auth and the auditor."""
