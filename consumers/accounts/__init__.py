"""Decides over cash, holdings, locks and the life of orders."""
