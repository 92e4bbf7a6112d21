"""Starts the receiver and the captures, watches them, answers signals and HTTP: the process that decides."""
