"""How it runs: journal protocol, logs, projector, settings, telemetry, local stack, CLI."""
