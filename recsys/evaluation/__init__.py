"""What a model is worth: metrics per user, whole-ranking evaluation, paired comparison."""
