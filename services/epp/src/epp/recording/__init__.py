"""What was served, as a file that the lab replays: block hashes, lengths, times, sessions; never a text."""
