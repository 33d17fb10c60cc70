"""Latency and accuracy of the file that is deployed."""
