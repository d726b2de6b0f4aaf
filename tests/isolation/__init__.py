"""Nothing crosses the wall between two organisations, however hard it is pushed."""
