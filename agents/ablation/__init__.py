"""The paper's ladder: SINT trained with and without generated positives, and judged (section 5, Table 1)."""
