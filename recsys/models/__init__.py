"""What is learned from ratings: biases, explicit and implicit ALS, and the pair that is served."""
