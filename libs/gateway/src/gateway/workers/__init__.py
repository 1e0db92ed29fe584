"""A service as several processes on one host: who starts them, restarts them, and speaks for all of them."""
