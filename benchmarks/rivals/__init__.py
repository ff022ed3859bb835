"""What a user would otherwise take, under the same load."""
