"""What the control plane makes of every object, in the words of the APIs: values, and how people read them. Pure."""
