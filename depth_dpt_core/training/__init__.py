"""Training: configuration, losses, trainer."""
