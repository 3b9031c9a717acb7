"""Turning trained models into artifacts."""
