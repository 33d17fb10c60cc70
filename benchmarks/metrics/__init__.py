"""Figures beside COCO's AP, one a file."""
