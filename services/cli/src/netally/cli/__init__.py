"""The netally command: starts, inspects and operates the services."""
