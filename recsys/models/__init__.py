"""What is learned from ratings: biases, explicit and implicit ALS, the pair that is served, and the baselines."""
