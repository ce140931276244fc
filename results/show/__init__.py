"""How it looks: sheets in five formats, figures, status."""
