"""Traces by OpenTelemetry: its words are known here alone, and without traces none of it is loaded."""
