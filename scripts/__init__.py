"""Programs that show the template at work: the demo, and the pictures of it."""
