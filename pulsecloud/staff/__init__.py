"""The staff admin: every page that operators use, over all rooms."""
