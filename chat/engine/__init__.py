"""Runs generations: reads providers by the clock, writes the event log, serves readers. Knows no Django."""
