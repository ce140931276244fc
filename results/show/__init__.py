"""How it looks: sheets in five formats, plots, status."""
