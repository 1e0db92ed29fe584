"""How an endpoint is chosen: profiles of filters, scorers and one picker, run by a profile handler. Pure."""
