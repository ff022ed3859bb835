"""Measurements of the product. They print figures and assert nothing."""
