"""What is in a snapshot: summaries computed in Spark, figures from them, one page."""
