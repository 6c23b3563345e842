"""Commands of `cnop`, one module each: a function `command`, or a typer `app` of subcommands.

The module's name is the command's name (`_` for `-`); nothing else has to be registered.
"""
