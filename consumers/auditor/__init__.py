"""Proves that no execution was lost or doubled, and that the books balance."""
