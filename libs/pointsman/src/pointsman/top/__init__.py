"""`pointsman top`: pools and endpoints of a running stack in a terminal."""
