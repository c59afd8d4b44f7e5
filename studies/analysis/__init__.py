"""What a study found: results, audits, comparisons, exports and reproductions."""
