"""What programs print: safe text, streams, help, tables."""
