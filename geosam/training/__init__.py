"""Training: labelled pictures, simulated prompts, losses and the loop that fits networks to them."""
