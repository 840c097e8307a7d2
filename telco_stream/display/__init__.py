"""Results, progress and complaints, as people and scripts read them."""
